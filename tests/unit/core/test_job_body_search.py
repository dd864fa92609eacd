"""Search settings in plain terms, converted to the platform's policies."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import DATA, quick

from airflow_provider_modelarts.core.job_body import auto_search, with_search
from airflow_provider_modelarts.core.jobs import Mode, Objective, SearchSettings, read_search
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

SPACE = {"lr": {"min": 0.001, "max": 0.1}}
OBJECTIVE = {"metric": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"}
TPE = {"name": "tpe_search", "num_samples": 8}
TERMS = {"search_space": SPACE, "objective": OBJECTIVE, "algorithm": TPE}
BODY = {"algorithm": {"code_dir": "/b/c/", "parameters": [{"name": "lr", "value": "0.01"}]}}
NO_TERMS = dict.fromkeys(TERMS)
RAW = {"auto_search": {"search_params": [{"name": "lr", "lower_bound": "0.001", "upper_bound": "0.1"}]}}


def error_of(**terms):
    """Return the error message for these terms; the other terms are valid."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        auto_search(**{**TERMS, **terms})
    return str(caught.value)


def param_of(values):
    """Return the search param for the values of one hyperparameter, without its name."""
    (param,) = auto_search({"x": values}, OBJECTIVE, TPE)["search_params"]
    assert param.pop("name") == "x"
    return param


def algorithm_params(**params):
    """Return the params written for a search algorithm, as (key, value, type)."""
    (config,) = auto_search(SPACE, OBJECTIVE, {"num_samples": 8, **params})["algo_configs"]
    return [(param["key"], param["value"], param["type"]) for param in config["params"]]


def without_blanks(value):
    """Return JSON without the keys of empty text, which are optional."""
    if isinstance(value, dict):
        return {key: without_blanks(item) for key, item in value.items() if item != ""}
    return [without_blanks(item) for item in value] if isinstance(value, list) else value


def test_search_of_the_constructed_request():
    """Plain terms give the request constructed from the documentation, except for its empty fields."""
    request = json.loads((DATA / "create_search_job_request_constructed.json").read_text(encoding="utf-8"))

    policies = auto_search(
        {"learning_rate": {"min": 0.001, "max": 0.1}, "momentum": [0.8, 0.9, 0.95]},
        {"metric": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"},
        {"name": "tpe_search", "num_samples": 8, "seed": 1, "gamma": 0.25, "n_initial_points": 20},
    )

    assert policies == without_blanks(request["algorithm"]["policies"]["auto_search"])


def test_search_from_json_text():
    """Each of the three terms may be JSON text, as rendered by a template."""
    assert auto_search(*(json.dumps(term) for term in TERMS.values())) == auto_search(**TERMS)


def test_search_read_back():
    """Written settings are read back with the same objective and number of trials."""
    assert read_search(auto_search(**TERMS)) == SearchSettings((Objective("acc", Mode.MAX, "acc: ([0-9.]+)"),), 8)


def test_search_does_not_change_its_terms():
    """The arguments of an operator are not modified."""
    terms = copy.deepcopy(TERMS)

    auto_search(**terms)

    assert terms == TERMS


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        (
            {"min": 0.001, "max": 0.1},
            {"param_type": "continuous", "lower_bound": "0.001", "upper_bound": "0.1"},
        ),
        ({"min": 1, "max": 10}, {"param_type": "continuous", "lower_bound": "1", "upper_bound": "10"}),
        ({"max": 1, "min": -1.5}, {"param_type": "continuous", "lower_bound": "-1.5", "upper_bound": "1"}),
        ({"min": 1e-05, "max": "1e-1"}, {"param_type": "continuous", "lower_bound": "1e-05", "upper_bound": "1e-1"}),
        (
            {"min": 0, "max": 1, "points": 5},
            {"param_type": "continuous", "lower_bound": "0", "upper_bound": "1", "discrete_points_num": "5"},
        ),
        (
            {"min": 0, "max": 1, "points": "2"},
            {"param_type": "continuous", "lower_bound": "0", "upper_bound": "1", "discrete_points_num": "2"},
        ),
        ('{"min": 0, "max": 1}', {"param_type": "continuous", "lower_bound": "0", "upper_bound": "1"}),
        ([16, 32], {"param_type": "discrete", "discrete_values": ["16", "32"]}),
        ([0.5, 1e-05], {"param_type": "discrete", "discrete_values": ["0.5", "1e-05"]}),
        (["adam", "sgd"], {"param_type": "discrete", "discrete_values": ["adam", "sgd"]}),
        ([True, False], {"param_type": "discrete", "discrete_values": ["True", "False"]}),
        (["only"], {"param_type": "discrete", "discrete_values": ["only"]}),
    ],
)
def test_search_param(values, sent):
    """A range becomes continuous, a list discrete, and every number text."""
    assert param_of(values) == sent


def test_search_params_keep_their_order():
    """Hyperparameters keep the order given."""
    space = {"z": [1], "a": [2], "m": {"min": 0, "max": 1}}

    assert [param["name"] for param in auto_search(space, OBJECTIVE, TPE)["search_params"]] == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "search_space names no hyperparameter"),
        (None, "search_space must be a mapping or a JSON object, not None"),
        ([1], "search_space must be a mapping or a JSON object, not a list of 1"),
        ({"lr": []}, "search_space['lr'] has no values"),
        (
            {"lr": (0.1, 1)},
            """search_space['lr'] is a tuple: give {"min": 0.1, "max": 1} for a range, or a list for values""",
        ),
        ({"lr": 0.1}, "search_space['lr'] must be a mapping or a JSON object, not 0.1"),
        ({"lr": None}, "search_space['lr'] must be a mapping or a JSON object, not None"),
        ({"lr": "low"}, "search_space['lr'] must be a mapping or a JSON object, not 'low'"),
        ({"lr": {}}, "search_space['lr'] lacks max, min"),
        ({"lr": {"min": 0}}, "search_space['lr'] lacks max"),
        ({"lr": {"max": 0}}, "search_space['lr'] lacks min"),
        (
            {"lr": {"min": 0, "max": 1, "steps": 5, "log": True}},
            "search_space['lr'] does not take log, steps; it takes max, min, points",
        ),
        ({"lr": {"min": 1, "max": 0.5}}, "search_space['lr']: min 1.0 must be below max 0.5"),
        ({"lr": {"min": 1, "max": "1"}}, "search_space['lr']: min 1.0 must be below max 1.0"),
        ({"lr": {"min": "low", "max": 1}}, "search_space['lr'].min must be a number, not 'low'"),
        ({"lr": {"min": 0, "max": None}}, "search_space['lr'].max must be a number, not None"),
        ({"lr": {"min": 0, "max": float("inf")}}, "search_space['lr'].max must be a number, not inf"),
        ({"lr": {"min": False, "max": 1}}, "search_space['lr'].min must be a number, not False"),
        (
            {"lr": {"min": 0, "max": 1, "points": 1}},
            "search_space['lr'].points must be a whole number, at least 2, not 1",
        ),
        ({"lr": {"min": 0, "max": 1, "points": None}}, "search_space['lr'].points must be a number, not None"),
        ({"lr": [0.1, None]}, "hyperparameter 'lr' must be text, a finite number or a flag, not None"),
        ({"lr": [float("nan")]}, "hyperparameter 'lr' must be text, a finite number or a flag, not nan"),
        ({"layers": [[64], [32]]}, "hyperparameter 'layers' must be text, a finite number or a flag, not a list of 1"),
        ({"good": [1], "bad": []}, "search_space['bad'] has no values"),
    ],
)
def test_search_space_that_is_invalid(space, message):
    """An invalid search space raises an error that names the hyperparameter and the key."""
    assert error_of(search_space=space) == message


@pytest.mark.parametrize(("mode", "sent"), [("max", "max"), ("min", "min"), ("MIN", "min"), (Mode.MAX, "max")])
def test_objective(mode, sent):
    """Metric, mode and regular expression become one entry of plain text."""
    (entry,) = auto_search(SPACE, {**OBJECTIVE, "mode": mode}, TPE)["reward_attrs"]

    assert entry == {"name": "acc", "mode": sent, "regex": "acc: ([0-9.]+)"}
    assert type(entry["mode"]) is str


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (None, "objective must be a mapping or a JSON object, not None"),
        ("acc", "objective must be a mapping or a JSON object, not 'acc'"),
        ({}, "objective lacks metric, mode, regex"),
        ({"metric": "acc", "mode": "max"}, "objective lacks regex"),
        ({**OBJECTIVE, "name": "acc"}, "objective does not take name; it takes metric, mode, regex"),
        ({**OBJECTIVE, "metric": ""}, "objective.metric must be the name of a metric, not ''"),
        ({**OBJECTIVE, "metric": None}, "objective.metric must be the name of a metric, not None"),
        ({**OBJECTIVE, "metric": ["acc"]}, "objective.metric must be the name of a metric, not a list of 1"),
        ({**OBJECTIVE, "mode": "up"}, "objective.mode must be 'max' or 'min', not 'up'"),
        ({**OBJECTIVE, "mode": None}, "objective.mode must be 'max' or 'min', not None"),
    ],
)
def test_objective_that_is_invalid(objective, message):
    """An incomplete objective, an unknown key or an invalid value raises an error that names the key."""
    assert error_of(objective=objective) == message


@pytest.mark.parametrize("regex", ["acc: (", "[", "(?P<a", "*"])
def test_objective_with_a_broken_regex(regex):
    """A regex that does not compile raises an error, because it would match nothing in any log."""
    assert error_of(objective={**OBJECTIVE, "regex": regex}).startswith("objective.regex is not a regular expression: ")


@pytest.mark.parametrize("regex", [None, "", 7, ["acc"]])
def test_objective_without_a_regex(regex):
    """A regex that is empty or not text raises an error, because the search would cost money without a result."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^objective\.regex "):
        auto_search(SPACE, {**OBJECTIVE, "regex": regex}, TPE)


@pytest.mark.parametrize(
    ("algorithm", "params"),
    [
        (
            {"name": "bayes_opt_search", "kind": "ucb", "kappa": 2.5, "xi": 0.0, "num_samples": 20, "seed": 1},
            [
                ("num_samples", "20", "Integer"),
                ("kind", "ucb", "String"),
                ("kappa", "2.5", "Float"),
                ("xi", "0.0", "Float"),
                ("seed", "1", "Integer"),
            ],
        ),
        (
            {"name": "tpe_search", "gamma": 0.25, "n_initial_points": 20, "num_samples": 20, "seed": 1},
            [
                ("num_samples", "20", "Integer"),
                ("gamma", "0.25", "Float"),
                ("n_initial_points", "20", "Integer"),
                ("seed", "1", "Integer"),
            ],
        ),
        (
            {"name": "anneal_search", "avg_best_idx": 2.0, "shrink_coef": 0.1, "num_samples": 20, "seed": 1},
            [
                ("num_samples", "20", "Integer"),
                ("avg_best_idx", "2.0", "Float"),
                ("shrink_coef", "0.1", "Float"),
                ("seed", "1", "Integer"),
            ],
        ),
    ],
)
def test_algorithm_as_the_platform_lists_it(algorithm, params):
    """Each algorithm takes the parameters, values and types that ShowSearchAlgorithms documents."""
    assert algorithm_params(**algorithm) == params


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"num_samples": "20"}, ("num_samples", "20", "Integer")),
        ({"num_samples": 20.0}, ("num_samples", "20", "Integer")),
        ({"seed": 0}, ("seed", "0", "Integer")),
        ({"seed": "7"}, ("seed", "7", "Integer")),
        ({"gamma": 1}, ("gamma", "1.0", "Float")),
        ({"gamma": "0.25"}, ("gamma", "0.25", "Float")),
        ({"n_initial_points": 5.0}, ("n_initial_points", "5", "Integer")),
    ],
)
def test_algorithm_parameter(given, sent):
    """Values are written in the type of their parameter, from numbers and from rendered text."""
    assert sent in algorithm_params(name="tpe_search", **given)


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (None, "algorithm must be a mapping or a JSON object, not None"),
        ("tpe_search", "algorithm must be a mapping or a JSON object, not 'tpe_search'"),
        ({}, "algorithm lacks name, num_samples"),
        ({"name": "tpe_search"}, "algorithm lacks num_samples"),
        ({"num_samples": 8}, "algorithm lacks name"),
        (
            {**TPE, "name": "grid_search"},
            "algorithm.name must be one of bayes_opt_search, tpe_search, anneal_search, not 'grid_search'",
        ),
        (
            {**TPE, "name": None},
            "algorithm.name must be one of bayes_opt_search, tpe_search, anneal_search, not 'None'",
        ),
        (
            {**TPE, "kappa": 2.5},
            "algorithm tpe_search does not take kappa; it takes gamma, n_initial_points, name, num_samples, seed",
        ),
        (
            {**TPE, "name": "bayes_opt_search", "gamma": 0.25},
            "algorithm bayes_opt_search does not take gamma; it takes kappa, kind, name, num_samples, seed, xi",
        ),
        (
            {**TPE, "name": "anneal_search", "gamma": 0.25},
            "algorithm anneal_search does not take gamma; it takes avg_best_idx, name, num_samples, seed, shrink_coef",
        ),
        ({**TPE, "num_samples": 0}, "algorithm.num_samples must be a whole number, at least 1, not 0"),
        ({**TPE, "num_samples": "many"}, "algorithm.num_samples must be a number, not 'many'"),
        ({**TPE, "num_samples": 1.5}, "algorithm.num_samples must be a whole number, at least 1, not 1.5"),
        ({**TPE, "seed": -1}, "algorithm.seed must be a whole number, at least 0, not -1"),
        ({**TPE, "seed": None}, "algorithm.seed must be a number, not None"),
        ({**TPE, "gamma": "high"}, "algorithm.gamma must be a number, not 'high'"),
        ({**TPE, "gamma": float("nan")}, "algorithm.gamma must be a number, not nan"),
    ],
)
def test_algorithm_that_is_invalid(algorithm, message):
    """A search algorithm that the platform would reject raises an error that names the key."""
    assert error_of(algorithm=algorithm) == message


def test_algorithm_with_an_unknown_parameter():
    """A parameter that no algorithm has raises an error that names the parameter."""
    assert error_of(algorithm={**TPE, "trials": 8}).startswith("algorithm does not take trials; it takes ")


def leaves_of(value):
    """Return the leaves of a JSON value."""
    if isinstance(value, (dict, list)):
        return [leaf for item in (value.values() if isinstance(value, dict) else value) for leaf in leaves_of(item)]
    return [value]


numbers = st.integers(-1000, 1000) | st.floats(-1000, 1000)
ranges = st.tuples(numbers, numbers).filter(lambda ends: ends[0] < ends[1])
spaces = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.lists(numbers | st.booleans() | st.text(max_size=5), min_size=1, max_size=3)
    | ranges.map(lambda ends: {"min": ends[0], "max": ends[1]}),
    min_size=1,
    max_size=4,
)


@quick
@given(spaces, st.integers(1, 10_000), st.floats(0, 1))
def test_search_holds_nothing_but_text(space, num_samples, gamma):
    """Every leaf of the settings is text, as the platform requires."""
    algorithm = {"name": "tpe_search", "num_samples": num_samples, "gamma": gamma}

    assert {type(leaf) for leaf in leaves_of(auto_search(space, OBJECTIVE, algorithm))} == {str}


def test_body_with_a_search_in_plain_terms():
    """The search is added to the policies of the algorithm, and the rest of the body is kept."""
    job = with_search({"kind": "job", **BODY}, **TERMS, policies=None)

    assert job == {
        "kind": "job",
        "algorithm": {
            "code_dir": "/b/c/",
            "parameters": [{"name": "lr", "value": "0.01"}],
            "policies": {"auto_search": auto_search(**TERMS)},
        },
    }


@pytest.mark.parametrize("policies", [RAW, json.dumps(RAW)])
def test_body_with_raw_policies(policies):
    """Policies in the platform's own shape are accepted as a mapping and as JSON text."""
    assert with_search(BODY, **NO_TERMS, policies=policies)["algorithm"]["policies"] == RAW


def test_body_that_has_a_search():
    """A search that is already in the body is kept unchanged."""
    body = {"algorithm": {**BODY["algorithm"], "policies": RAW}}

    assert with_search(body, **NO_TERMS, policies=None)["algorithm"]["policies"] == RAW


def test_body_with_a_managed_algorithm():
    """A body with a managed algorithm requires no search, because the algorithm may hold one."""
    job = with_search({"algorithm": {"id": "alg-1"}}, **NO_TERMS, policies=None)

    assert job["algorithm"]["id"] == "alg-1"
    assert "policies" not in job["algorithm"]


def test_body_with_a_subscribed_algorithm():
    """A subscribed algorithm, the other documented kind of reference, may hold the search as well."""
    algorithm = {"subscription_id": "sub-1", "item_version_id": "1.0.0"}

    assert with_search({"algorithm": algorithm}, **NO_TERMS, policies=None)["algorithm"].items() >= algorithm.items()


@pytest.mark.parametrize(
    ("parameters", "has"), [([{"name": "epochs", "value": "3"}], "epochs"), ([], "none"), (None, "none")]
)
@pytest.mark.parametrize("terms", [TERMS, NO_TERMS], ids=["plain", "raw"])
def test_body_without_the_searched_parameter(parameters, has, terms):
    """A search for a parameter that the script does not receive raises an error that names the parameter."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        with_search({"algorithm": {"parameters": parameters}}, **terms, policies=None if terms is TERMS else RAW)

    assert str(caught.value) == (
        f"search_space['lr'] is not a parameter of the job: algorithm.parameters of the body has {has}"
    )


@pytest.mark.parametrize("algorithm", [{"id": "alg-1"}, {"subscription_id": "sub-1", "item_version_id": "1.0.0"}])
def test_body_with_a_managed_algorithm_and_a_search(algorithm):
    """A managed algorithm has parameters of its own, so that a search for any parameter is accepted."""
    job = with_search({"algorithm": algorithm}, **TERMS, policies=None)

    assert job["algorithm"]["policies"] == {"auto_search": auto_search(**TERMS)}


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ({"lower_bound": "1", "upper_bound": "0.5"}, "search_space['lr']: min 1.0 must be below max 0.5"),
        ({"discrete_values": []}, "search_space['lr'] has no values"),
    ],
)
def test_raw_policies_that_are_invalid(param, message):
    """An invalid search space raises an error in the platform's own shape too."""
    raw = {"auto_search": {"search_params": [{"name": "lr", **param}]}}

    with pytest.raises(ModelArtsConfigurationError) as caught:
        with_search(BODY, **NO_TERMS, policies=raw)

    assert str(caught.value) == message


def test_body_with_the_searched_parameter():
    """A param_of parameter that is already in the body keeps its value, constraint and position."""
    entry = {"name": "lr", "value": "0.01", "constraint": {"type": "Float"}}

    assert with_search({"algorithm": {"parameters": [entry]}}, **TERMS, policies=None)["algorithm"]["parameters"] == [
        entry
    ]


def test_body_with_a_search_is_a_copy():
    """The given body is not modified, because a retry uses it again."""
    body = {"algorithm": {**BODY["algorithm"], "policies": {"auto_search": None}}}
    before = copy.deepcopy(body)

    with_search(body, **TERMS, policies=None)

    assert body == before


@pytest.mark.parametrize(
    ("terms", "policies", "message"),
    [
        (TERMS, RAW, "give either policies or search_space, objective, algorithm, not both"),
        ({**NO_TERMS, "objective": OBJECTIVE}, RAW, "give either policies or objective, not both"),
        ({**NO_TERMS, "objective": OBJECTIVE}, None, "a search also requires algorithm, search_space"),
        ({**TERMS, "algorithm": None}, None, "a search also requires algorithm"),
        (NO_TERMS, "auto", "policies must be a mapping or a JSON object, not 'auto'"),
        (NO_TERMS, {"auto_search": None}, "the job has no search: give search_space, objective and algorithm, or "),
        (NO_TERMS, None, "the job has no search: give search_space, objective and algorithm, or policies, or "),
    ],
)
def test_body_with_an_unclear_search(terms, policies, message):
    """A search that is missing, incomplete or given twice raises an error before a job is created."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        with_search({"algorithm": {"code_dir": "/b/c/"}}, **terms, policies=policies)

    assert str(caught.value).startswith(message)
