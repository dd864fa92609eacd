"""Bodies of new training jobs."""

from __future__ import annotations

import copy
import enum
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import quick

from airflow_provider_modelarts.core.job_body import parameter_text, read_body, with_hyperparameters
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError


def parameter(name, value, kind=None):
    """Return an entry of ``algorithm.parameters``; ``kind`` is the type in its constraint."""
    return {"name": name, "value": value, **({"constraint": {"type": kind, "editable": True}} if kind else {})}


def body_with(*parameters):
    """Return a job body with these parameters."""
    return {"kind": "job", "metadata": {}, "algorithm": {"id": "alg-1", "parameters": list(parameters)}}


def parameters_of(body):
    """Return the parameters of a body as a mapping from name to value."""
    return {entry["name"]: entry["value"] for entry in body["algorithm"]["parameters"]}


@pytest.mark.parametrize("body", [{"spec": {"resource": {}}}, '{"spec": {"resource": {}}}'])
def test_read_body(body):
    """A body is accepted as a mapping and as JSON text, and the fields common to all bodies are filled in."""
    assert read_body(body) == {"spec": {"resource": {}}, "metadata": {}, "algorithm": {}, "kind": "job"}


def test_read_body_with_unknown_fields():
    """The user's fields are kept, including fields that this package does not know."""
    body = {"kind": "edge_job", "metadata": {"name": "n"}, "algorithm": {"id": "a"}, "new": [{"field": 1}]}

    assert read_body(body) == body


def test_read_body_is_a_copy():
    """The result is a deep copy: the arguments of an operator are not modified."""
    body = {"metadata": {"annotations": {"a": "b"}}}

    read_body(body)["metadata"]["annotations"]["a"] = "c"

    assert body == {"metadata": {"annotations": {"a": "b"}}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "body must be a mapping or a JSON object, not None"),
        ("job", "body must be a mapping or a JSON object, not 'job'"),
        ([{}], "body must be a mapping or a JSON object, not a list of 1"),
        ({1: 2}, "body must be a mapping or a JSON object, not an object with 1 keys"),
        ({"metadata": "name"}, "body.metadata should be a JSON object, but is 'name'"),
        ({"metadata": None}, "body.metadata should be a JSON object, but is None"),
        ({"algorithm": ["a"]}, "body.algorithm should be a JSON object, but is a list of 1"),
        (
            {"algorithm": {"parameters": {"lr": 1}}},
            "body.algorithm.parameters should be a JSON list, but is an object with 1 keys",
        ),
    ],
)
def test_read_body_of_the_wrong_shape(body, message):
    """A part of the wrong shape raises an error that names the part."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        read_body(body)

    assert str(caught.value) == message


@pytest.mark.parametrize("parameters", [None, []])
def test_read_body_with_blank_parameters(parameters):
    """Parameters that are null or empty are accepted."""
    assert read_body({"algorithm": {"parameters": parameters}})["algorithm"]["parameters"] == parameters


@pytest.mark.parametrize(
    ("value", "written"), [(0.1, "0.1"), (1000, "1000"), (True, "True"), ("0.10", "0.10"), (None, None)]
)
def test_read_body_with_native_values(value, written):
    """Values become text, as the platform requires, because render_template_as_native_obj renders native types."""
    body = {"algorithm": {"parameters": [{"name": "x", "value": value}, {"name": "empty"}]}}

    assert read_body(body)["algorithm"]["parameters"] == [{"name": "x", "value": written}, {"name": "empty"}]


def test_read_body_with_a_list_as_a_value():
    """A list as the value of a parameter raises an error that names the parameter."""
    with pytest.raises(ModelArtsConfigurationError, match="hyperparameter 'x' must be text"):
        read_body({"algorithm": {"parameters": [{"name": "x", "value": [1, 2]}]}})


def test_hyperparameters_replace_values():
    """A hyperparameter replaces the value of the parameter with its name and changes nothing else."""
    body = body_with(parameter("data", "obs://b/d/"), parameter("lr", "0.1", "Float"), parameter("batch", "32"))

    changed = with_hyperparameters(body, {"lr": 0.02})

    expected = body_with(parameter("data", "obs://b/d/"), parameter("lr", "0.02", "Float"), parameter("batch", "32"))
    assert changed == expected


def test_hyperparameters_with_new_names_are_added():
    """Hyperparameters with new names are appended in the order given."""
    changed = with_hyperparameters(body_with(parameter("lr", "0.1")), {"momentum": 0.9, "lr": 0.02, "seed": 1})

    assert changed["algorithm"]["parameters"] == [
        {"name": "lr", "value": "0.02"},
        {"name": "momentum", "value": "0.9"},
        {"name": "seed", "value": "1"},
    ]


@pytest.mark.parametrize("body", [{}, {"algorithm": {}}, {"algorithm": {"parameters": None}}])
def test_hyperparameters_of_a_body_without_parameters(body):
    """A body without parameters receives the hyperparameters."""
    assert with_hyperparameters(body, {"lr": 0.02})["algorithm"]["parameters"] == [{"name": "lr", "value": "0.02"}]


def test_hyperparameters_do_not_change_the_body_given():
    """The given body is not modified, because a retry uses it again."""
    body = body_with(parameter("lr", "0.1", "Float"))
    before = copy.deepcopy(body)

    changed = with_hyperparameters(body, {"lr": 0.02, "seed": 1})
    changed["algorithm"]["parameters"][0]["constraint"]["editable"] = False

    assert body == before


def test_hyperparameters_by_the_type_of_each():
    """Each value is written in the type of its own parameter."""
    body = body_with(parameter("batch", "32", "Integer"), parameter("lr", "0.1", "Float"), parameter("x", "1"))

    assert parameters_of(with_hyperparameters(body, {"batch": 64.0, "lr": 64.0, "x": 64.0})) == {
        "batch": "64",
        "lr": "64.0",
        "x": "64.0",
    }


@pytest.mark.parametrize("entry", [None, "lr", 7, ["lr"], {}, {"name": None}, {"value": "1"}])
def test_hyperparameters_beside_an_odd_entry(entry):
    """An entry that is not a parameter is kept, for the platform to judge."""
    changed = with_hyperparameters(body_with(entry), {"lr": 0.02})

    assert changed["algorithm"]["parameters"] == [entry, {"name": "lr", "value": "0.02"}]


@pytest.mark.parametrize("constraint", [None, "Float", [], {}, {"type": None}])
def test_hyperparameters_beside_an_odd_constraint(constraint):
    """A constraint without a readable type is ignored."""
    body = body_with({"name": "lr", "value": "0.1", "constraint": constraint})

    assert parameters_of(with_hyperparameters(body, {"lr": 2.0})) == {"lr": "2.0"}


def test_hyperparameters_that_are_empty():
    """Empty hyperparameters leave the body unchanged."""
    body = body_with(parameter("lr", "0.1"))

    assert with_hyperparameters(body, {}) == body


@pytest.mark.parametrize(
    ("value", "kind", "written"),
    [
        ("adam", "", "adam"),
        ("", "", ""),
        ("0.10", "Float", "0.10"),
        ("32.0", "Integer", "32.0"),
        (32, "", "32"),
        (32, "Float", "32"),
        (32, "Integer", "32"),
        (-1, "Integer", "-1"),
        (0, "", "0"),
        (10**20, "", "100000000000000000000"),
        (0.0340820322164706, "", "0.0340820322164706"),
        (0.1 + 0.2, "Float", "0.30000000000000004"),
        (1e-05, "", "1e-05"),
        (1e22, "", "1e+22"),
        (32.0, "", "32.0"),
        (32.0, "Float", "32.0"),
        (32.0, "Integer", "32"),
        (-0.0, "Integer", "0"),
        (1e22, "Integer", "10000000000000000000000"),
        (True, "", "True"),
        (False, "", "False"),
        (True, "Boolean", "True"),
        (False, "String", "False"),
        (True, "Integer", "1"),
        (False, "Integer", "0"),
    ],
)
def test_parameter_text(value, kind, written):
    """A value is written as text that a script reads back as the same value."""
    assert parameter_text("x", value, kind) == written


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (None, "", "'lr' must be text, a finite number or a flag, not None"),
        (math.nan, "", "'lr' must be text, a finite number or a flag, not nan"),
        (math.inf, "Float", "'lr' must be text, a finite number or a flag, not inf"),
        (-math.inf, "", "'lr' must be text, a finite number or a flag, not -inf"),
        ([64, 32], "", "'lr' must be text, a finite number or a flag, not a list of 2"),
        ({"a": 1}, "", "'lr' must be text, a finite number or a flag, not an object with 1 keys"),
        ((1,), "", "'lr' must be text, a finite number or a flag, not (1,)"),
        (b"x", "", "'lr' must be text, a finite number or a flag, not b'x'"),
        (32.5, "Integer", "'lr' must be a whole number, not 32.5"),
        (math.nan, "Integer", "'lr' must be a whole number, not nan"),
        (math.inf, "Integer", "'lr' must be a whole number, not inf"),
        (None, "Integer", "'lr' must be a whole number, not None"),
    ],
)
def test_parameter_text_of_an_invalid_value(value, kind, message):
    """A value without a text form raises an error that names the hyperparameter."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        parameter_text("lr", value, kind)

    assert str(caught.value) == f"hyperparameter {message}"


@pytest.mark.parametrize("value", [None, math.nan, [1]])
def test_hyperparameters_with_an_invalid_value(value):
    """One hyperparameter without a text form raises an error that names it."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^hyperparameter 'layers' must be "):
        with_hyperparameters(body_with(parameter("layers", "2")), {"lr": 0.02, "layers": value})


class Size(enum.IntEnum):
    """Number with a repr of its own."""

    LARGE = 64


class Float64(float):
    """Stand-in for the scalars of numpy 2, whose repr contains their type."""

    def __repr__(self):
        """Return the repr that numpy gives."""
        return f"np.float64({float(self)})"


@pytest.mark.parametrize(("value", "written"), [(Size.LARGE, "64"), (Float64(0.02), "0.02")])
def test_parameter_text_of_a_number_with_a_repr_of_its_own(value, written):
    """Members of an IntEnum and numpy floats are written as plain numbers."""
    assert parameter_text("x", value) == written


@quick
@given(st.dictionaries(st.text(min_size=1), st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_hyperparameters_read_back(config):
    """Numbers written as text are read back with the same values and types."""
    written = parameters_of(with_hyperparameters({}, config))

    assert {name: repr(json.loads(value)) for name, value in written.items()} == {
        name: repr(value) for name, value in config.items()
    }
