"""Parameters and searches that cannot be are refused, and nothing is left of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integration.emulator.bench import Bench, changed
from integration.emulator.wire import send

from modelarts_emulator import running

SEARCH = "algorithm.policies.auto_search"
X = f"{SEARCH}.search_params.0"
ACC = f"{SEARCH}.reward_attrs.0"
TPE = f"{SEARCH}.algo_configs.0"


def constrained(value, kind, valid_type="None", valid_range=()):
    """Return the parameters of a job: one with a constraint."""
    constraint = {"type": kind, "valid_type": valid_type, "valid_range": list(valid_range)}
    return [{"name": "x", "value": value, "constraint": constraint}]


PARAMETERS = {
    "no list": ({"x": "1"}, "2788"),
    "no object": (["x"], "2788"),
    "no name": ([{"value": "1"}], "2767"),
    "bad name": ([{"name": "x y", "value": "1"}], "2767"),
    "name twice": ([{"name": "x", "value": "1"}, {"name": "x", "value": "1"}], "2767"),
    "list as a value": ([{"name": "x", "value": ["1"]}], "2765"),
    "number as a value": ([{"name": "x", "value": 1}], "2765"),
    "flag as a value": ([{"name": "x", "value": True}], "2765"),
    "constraint that is no object": ([{"name": "x", "value": "1", "constraint": ["Integer"]}], "2788"),
    "word for a whole number": (constrained("one", "Integer"), "2765"),
    "fraction for a whole number": (constrained("1.5", "Integer"), "2765"),
    "word for a number": (constrained("one", "Float"), "2765"),
    "word for a flag": (constrained("maybe", "Boolean"), "2765"),
    "none of the choices": (constrained("c", "String", "Choice", ["a", "b"]), "2769"),
    "below the range": (constrained("0", "Integer", "Range", ["1", "9"]), "2770"),
    "above the range": (constrained("9.5", "Float", "Range", ["1", "9"]), "2770"),
}


@pytest.mark.parametrize(("parameters", "code"), PARAMETERS.values(), ids=PARAMETERS)
def test_bad_parameters_are_refused(bench, parameters, code):
    """By their names, their forms, and their own constraints."""
    assert bench.refusal(changed(bench.body(), "algorithm.parameters", parameters)) == code


SEARCHES = {
    "search that is no object": (SEARCH, ["x"], "2788"),
    "policies that are no object": ("algorithm.policies", ["x"], "2788"),
    "no search_params": (f"{SEARCH}.search_params", [], "2826"),
    "search_params that are no list": (f"{SEARCH}.search_params", {"name": "x"}, "2788"),
    "the same parameter twice": (f"{SEARCH}.search_params", [{"name": "x", "discrete_values": ["1"]}] * 2, "2826"),
    "unknown parameter": (f"{X}.name", "y", "2826"),
    "parameter without a name": (f"{X}.name", None, "2826"),
    "unknown param_type": (f"{X}.param_type", "log", "2825"),
    "bounds missing": (f"{X}.param_type", "continuous", "2825"),
    "bound that is a word": (X, {"name": "x", "lower_bound": "low", "upper_bound": "1"}, "2825"),
    "bound without end": (X, {"name": "x", "lower_bound": "0", "upper_bound": "inf"}, "2825"),
    "bounds too far apart": (X, {"name": "x", "lower_bound": "-1e308", "upper_bound": "1e308"}, "2826"),
    "lower bound above the upper one": (X, {"name": "x", "lower_bound": "2", "upper_bound": "1"}, "2826"),
    "grid of one point": (X, {"name": "x", "lower_bound": "0", "upper_bound": "1", "discrete_points_num": "1"}, "2826"),
    "bounds that are no text": (X, {"name": "x", "lower_bound": 0, "upper_bound": 1}, "2825"),
    "value that is no text": (f"{X}.discrete_values", ["1", 2], "2825"),
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
    "regex that is none": (f"{ACC}.regex", "acc: (", "2826"),
    "regex that is no text": (f"{ACC}.regex", ["acc"], "2826"),
    "unknown algorithm": (f"{TPE}.name", "genetic_search", "2826"),
    "no trials": (f"{TPE}.params.0.value", "0", "2826"),
    "number of trials that is a word": (f"{TPE}.params.0.value", "many", "2826"),
    "half a trial": (f"{TPE}.params.0.value", "2.5", "2826"),
    "number of trials that is no text": (f"{TPE}.params.0.value", 2, "2825"),
    "params that are no list": (f"{TPE}.params", {"num_samples": "1"}, "2788"),
    "seed below zero": (f"{TPE}.params.0", {"key": "seed", "value": "-1"}, "2826"),
}


@pytest.mark.parametrize(("path", "value", "code"), SEARCHES.values(), ids=SEARCHES)
def test_bad_search_is_refused(bench, path, value, code):
    """By the platform's code where it has one; no job is there, and nothing was written."""
    assert bench.refusal(changed(bench.search_body(), path, value)) == code


def test_values_that_are_not_of_the_type_of_their_parameter_are_refused(bench):
    """Neither values nor bounds may be."""
    body = changed(bench.search_body(), "algorithm.parameters", constrained("1", "Integer"))
    space = {"name": "x", "lower_bound": "1", "upper_bound": "2.5"}

    assert bench.refusal(changed(body, f"{X}.discrete_values", ["1", "1.5"])) == "2825"
    assert bench.refusal(changed(body, X, space)) == "2825"


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory):
    """A bench for all examples of a test; its script ends at once."""
    with running(scenarios=[], root=tmp_path_factory.mktemp("shared")) as emulator:
        bench = Bench(emulator)
        bench.write("print('acc: 1')")
        yield bench


def paths_in(value, path=""):
    """Return the dotted paths of all nodes of a JSON value but the first."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [(f"{path}.{key}".lstrip("."), node) for key, node in entries]
    return [found for name, node in inner for found in (name, *paths_in(node, name))]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
LOOKS = ["", "/autosearch-trials", "/autosearch-parameter-analysis", "/events", "/tasks/worker-0/logs/preview"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_anything_in_the_place_of_any_part_is_a_job_or_refused(shared, data):
    """Never an error of the emulator, and so is whatever looks at such a job."""
    good = shared.search_body(samples=2)
    path = data.draw(st.sampled_from(paths_in(good)))
    answer = shared.post(changed(good, path, data.draw(ANYTHING)))

    assert answer.status == 201 or 400 <= answer.status < 500
    if answer.status == 201:
        job_id = answer.json["metadata"]["id"]
        assert {shared.ask("GET", job_id, look).status for look in LOOKS} <= {200, 204, 400}
        assert shared.ask("DELETE", job_id).status == 202
    assert send(shared.emulator, "POST", "/v2/{p}/training-job-searches").json["total"] == 0
