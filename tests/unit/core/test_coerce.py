"""Values supplied by a user or a template."""

from __future__ import annotations

import math
from enum import StrEnum

import pytest

from airflow_provider_modelarts.core import coerce
from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError


class Colour(StrEnum):
    """Enum of two words."""

    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    "value",
    ["5b60a667-1438-4eb5-9705-85b860e623dc", "04f679b17380d32a2f32c00335c4b5ba", "a", "A_b-9", "x" * 64],
)
def test_identifier_that_is_valid(value):
    """An id of letters, digits, hyphens and underscores is returned unchanged."""
    assert coerce.identifier("training_job_id", value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "a b",
        "a/b",
        "../x",
        "..",
        ".",
        "\0",
        "\ud800",
        "%2e",
        "?a",
        "x" * 1_000_000,
        "a.b",
        "a\n",
        "\na",
        "a%2Fb",
        "a?b",
        "a#b",
        "ä",
        "\u0661",
        "x" * 65,
        "{{ ti }}",
        None,
        7,
        True,
        b"a",
        ["a"],
        {"a": 1},
    ],
)
def test_identifier_that_is_invalid(value):
    """An id that could change the path raises an error that names the field."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^training_job_id must be 1 to 64 letters"):
        coerce.identifier("training_job_id", value)


def test_identifier_of_a_missing_xcom():
    """The text rendered for a missing XCom is not an id, and the error explains the cause."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^training_job_id is None: the upstream task in its "):
        coerce.identifier("training_job_id", "None")


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5.0), (0.5, 0.5), ("5", 5.0), (" 0.5 ", 0.5), ("-1e3", -1000.0), (0, 0.0), ("0", 0.0)],
)
def test_number(value, number):
    """A number is accepted as a number and as rendered text."""
    assert coerce.number("timeout", value) == number


@pytest.mark.parametrize(
    "value", [True, False, None, "", "ten", "nan", "inf", math.nan, math.inf, "1,5", [], [1], {}, 10**400, "9" * 400]
)
def test_number_of_an_invalid_value(value):
    """A value that is not a finite number raises an error that names the field."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^timeout must be a number, not "):
        coerce.number("timeout", value)


@pytest.mark.parametrize(("value", "integer"), [(0, 0), (5, 5), ("5", 5), ("5.0", 5), (5.0, 5)])
def test_integer(value, integer):
    """A whole number is accepted in every form and becomes an int."""
    converted = coerce.integer("max_failed_trials", value)

    assert (converted, type(converted)) == (integer, int)


@pytest.mark.parametrize("value", [-1, "-1", 0.5, "0.5", True, None, "", "many", math.nan])
def test_integer_of_an_invalid_value(value):
    """A value that is not a whole number, or is below the bound, raises an error that names the field."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^max_failed_trials must be a "):
        coerce.integer("max_failed_trials", value)


@pytest.mark.parametrize(("value", "count"), [(1, 1), ("1", 1), (100, 100)])
def test_positive(value, count):
    """A count is a whole number of at least 1."""
    assert coerce.positive("top_k", value) == count


@pytest.mark.parametrize("value", [0, "0", -1, 0.5])
def test_positive_of_an_invalid_value(value):
    """Zero, negative numbers and fractions raise an error that names the bound."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^top_k must be a whole number, at least 1, not "):
        coerce.positive("top_k", value)


@pytest.mark.parametrize(("value", "seconds"), [(30, 30.0), ("0.5", 0.5)])
def test_seconds(value, seconds):
    """A pause is a number above 0."""
    assert coerce.seconds("poll_interval", value) == seconds


@pytest.mark.parametrize(
    ("value", "required"), [(0, "above 0 seconds"), ("-1", "above 0 seconds"), ("soon", "a number")]
)
def test_seconds_of_an_invalid_value(value, required):
    """A pause that is not a number above 0 raises an error, because polling would never pause."""
    with pytest.raises(ModelArtsConfigurationError, match=rf"^poll_interval must be {required}, not"):
        coerce.seconds("poll_interval", value)


@pytest.mark.parametrize("value", [None, "", "None"])
def test_optional_of_nothing(value):
    """None, blank text and the rendered text of None mean no value."""
    assert coerce.optional(coerce.number, "bar", value) is None


@pytest.mark.parametrize(("value", "number"), [(0, 0.0), ("0", 0.0), (1.5, 1.5)])
def test_optional_of_a_value(value, number):
    """A value is converted, and zero is a value."""
    assert coerce.optional(coerce.number, "bar", value) == number


def test_optional_of_an_invalid_value():
    """An optional value must be valid if it is given."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^bar must be a number"):
        coerce.optional(coerce.number, "bar", "high")


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("True", True),
        (" YES ", True),
        ("on", True),
        ("1", True),
        (1, True),
        ("false", False),
        ("False", False),
        ("no", False),
        ("off", False),
        ("0", False),
        (0, False),
    ],
)
def test_flag(value, flag):
    """A flag is accepted as a boolean, as 0 or 1, and as the words of connections and templates."""
    assert coerce.flag("verify", value) is flag


@pytest.mark.parametrize("value", ["", "maybe", 2, None, [], 0.5, "truefalse"])
def test_flag_of_an_invalid_value(value):
    """A value that is not a flag raises an error; text is not true merely because it is not empty."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^verify must be true or false, not "):
        coerce.flag("verify", value)


@pytest.mark.parametrize(
    ("value", "member"),
    [("red", Colour.RED), ("BLUE", Colour.BLUE), (" red ", Colour.RED), (Colour.BLUE, Colour.BLUE)],
)
def test_choice(value, member):
    """A word is accepted in any case."""
    assert coerce.choice("colour", value, Colour) is member


@pytest.mark.parametrize("value", ["", "green", None, 1, "redblue"])
def test_choice_of_an_invalid_value(value):
    """An unknown word raises an error that lists the allowed words."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^colour must be 'red' or 'blue', not "):
        coerce.choice("colour", value, Colour)


def test_choice_of_a_mode():
    """The mode of an objective is chosen by its word."""
    assert coerce.choice("mode", "Max", Mode) is Mode.MAX


@pytest.mark.parametrize(
    ("value", "mapping"),
    [({"a": 1}, {"a": 1}), ({}, {}), ('{"a": 1}', {"a": 1}), (' {"a": {"b": [1]}} ', {"a": {"b": [1]}})],
)
def test_mapping(value, mapping):
    """A mapping is accepted as a mapping and as JSON text."""
    assert coerce.mapping("constraints", value) == mapping


@pytest.mark.parametrize(
    "value", [None, "", "text", "[1]", "1", "{'a': 1}", "{", [], [("a", 1)], 7, {1: 2}, "[" * 100_000]
)
def test_mapping_of_an_invalid_value(value):
    """A value that is not a mapping with text keys raises an error that names the field."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^constraints must be a mapping or a JSON object, not "):
        coerce.mapping("constraints", value)


@pytest.mark.parametrize("value", ["x" * 10_000, ["x" * 10_000], {"x" * 10_000: 1}, 10**4000])
def test_error_message_of_a_long_value(value):
    """The error message of a long value is short."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        coerce.identifier("region", value)

    assert len(str(caught.value)) < 150
