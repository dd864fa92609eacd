"""Refusals of parameters and searches, with the platform's code if it is documented."""

from __future__ import annotations

import pytest
from unit.emulator.bodies import changed, job_body, refusal, search_body

from modelarts_emulator.runs.storage import Buckets

SEARCH = "algorithm.policies.auto_search"
X = f"{SEARCH}.search_params.0"
ACC = f"{SEARCH}.reward_attrs.0"
TPE = f"{SEARCH}.algo_configs.0"


@pytest.fixture(name="buckets")
def _buckets(tmp_path):
    """Bucket with a script."""
    path = tmp_path / "bucket" / "code" / "train.py"
    path.parent.mkdir(parents=True)
    path.touch()
    return Buckets(tmp_path)


def test_good_search_is_accepted(buckets):
    """The body that the other tests change is accepted."""
    assert refusal(search_body(), buckets) == ""


def constrained(value, kind, valid_type="None", valid_range=()):
    """Return the parameters of a job: one parameter with a constraint."""
    constraint = {"type": kind, "valid_type": valid_type, "valid_range": list(valid_range)}
    return [{"name": "x", "value": value, "constraint": constraint}]


PARAMETERS = {
    "not a list": ({"x": "1"}, "2788"),
    "not an object": (["x"], "2788"),
    "no name": ([{"value": "1"}], "2767"),
    "bad name": ([{"name": "x y", "value": "1"}], "2767"),
    "name twice": ([{"name": "x", "value": "1"}, {"name": "x", "value": "1"}], "2767"),
    "list as a value": ([{"name": "x", "value": ["1"]}], "2765"),
    "number as a value": ([{"name": "x", "value": 1}], "2765"),
    "flag as a value": ([{"name": "x", "value": True}], "2765"),
    "constraint that is not an object": ([{"name": "x", "value": "1", "constraint": ["Integer"]}], "2788"),
    "word for a whole number": (constrained("one", "Integer"), "2765"),
    "fraction for a whole number": (constrained("1.5", "Integer"), "2765"),
    "word for a number": (constrained("one", "Float"), "2765"),
    "word for a flag": (constrained("maybe", "Boolean"), "2765"),
    "none of the choices": (constrained("c", "String", "Choice", ["a", "b"]), "2769"),
    "below the range": (constrained("0", "Integer", "Range", ["1", "9"]), "2770"),
    "above the range": (constrained("9.5", "Float", "Range", ["1", "9"]), "2770"),
}


@pytest.mark.parametrize(("parameters", "code"), PARAMETERS.values(), ids=PARAMETERS)
def test_bad_parameters_are_refused(buckets, parameters, code):
    """Parameters with a bad name, form or value are refused."""
    assert refusal(changed(job_body(), "algorithm.parameters", parameters), buckets) == code


SEARCHES = {
    "search that is not an object": (SEARCH, ["x"], "2788"),
    "policies that are not an object": ("algorithm.policies", ["x"], "2788"),
    "no search_params": (f"{SEARCH}.search_params", [], "2826"),
    "search_params that are not a list": (f"{SEARCH}.search_params", {"name": "x"}, "2788"),
    "the same parameter twice": (f"{SEARCH}.search_params", [{"name": "x", "discrete_values": ["1"]}] * 2, "2826"),
    "unknown parameter": (f"{X}.name", "y", "2826"),
    "parameter without a name": (f"{X}.name", None, "2826"),
    "unknown param_type": (f"{X}.param_type", "log", "2825"),
    "bounds missing": (f"{X}.param_type", "continuous", "2825"),
    "bound that is a word": (X, {"name": "x", "lower_bound": "low", "upper_bound": "1"}, "2825"),
    "infinite bound": (X, {"name": "x", "lower_bound": "0", "upper_bound": "inf"}, "2825"),
    "bounds too far apart": (X, {"name": "x", "lower_bound": "-1e308", "upper_bound": "1e308"}, "2826"),
    "lower bound above the upper one": (X, {"name": "x", "lower_bound": "2", "upper_bound": "1"}, "2826"),
    "grid of one point": (X, {"name": "x", "lower_bound": "0", "upper_bound": "1", "discrete_points_num": "1"}, "2826"),
    "bounds that are not text": (X, {"name": "x", "lower_bound": 0, "upper_bound": 1}, "2825"),
    "value that is not text": (f"{X}.discrete_values", ["1", 2], "2825"),
    "no values": (f"{X}.discrete_values", [], "2826"),
    "blank value": (f"{X}.discrete_values", ["1", ""], "2826"),
    "value that is an object": (f"{X}.discrete_values", [{"a": "1"}], "2826"),
    "1001 values": (f"{X}.discrete_values", ["1"] * 1001, "2826"),
    "no reward_attrs": (f"{SEARCH}.reward_attrs", [], "2826"),
    "the same metric twice": (f"{SEARCH}.reward_attrs", [{"name": "acc", "mode": "max"}] * 2, "2824"),
    "metric without a name": (f"{ACC}.name", None, "2826"),
    "metric named as a column": (f"{ACC}.name", "status", "2826"),
    "no mode": (f"{ACC}.mode", None, "2826"),
    "unknown mode": (f"{ACC}.mode", "maximum", "2826"),
    "invalid regex": (f"{ACC}.regex", "acc: (", "2826"),
    "regex that is not text": (f"{ACC}.regex", ["acc"], "2826"),
    "unknown algorithm": (f"{TPE}.name", "genetic_search", "2826"),
    "no trials": (f"{TPE}.params.0.value", "0", "2826"),
    "number of trials that is a word": (f"{TPE}.params.0.value", "many", "2826"),
    "fraction of a trial": (f"{TPE}.params.0.value", "2.5", "2826"),
    "number of trials that is not text": (f"{TPE}.params.0.value", 2, "2825"),
    "params that are not a list": (f"{TPE}.params", {"num_samples": "1"}, "2788"),
    "seed below zero": (f"{TPE}.params.0", {"key": "seed", "value": "-1"}, "2826"),
}


@pytest.mark.parametrize(("path", "value", "code"), SEARCHES.values(), ids=SEARCHES)
def test_bad_search_is_refused(buckets, path, value, code):
    """A search with one bad part is refused."""
    assert refusal(changed(search_body(), path, value), buckets) == code


def test_values_of_another_type_than_their_parameter_are_refused(buckets):
    """Values and bounds that are not of the type of their parameter are refused."""
    body = changed(search_body(), "algorithm.parameters", constrained("1", "Integer"))
    space = {"name": "x", "lower_bound": "1", "upper_bound": "2.5"}

    assert refusal(changed(body, f"{X}.discrete_values", ["1", "1.5"]), buckets) == "2825"
    assert refusal(changed(body, X, space), buckets) == "2825"
