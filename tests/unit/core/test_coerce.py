"""Values that a user or a template supplies."""

from __future__ import annotations

import math
from enum import StrEnum

import pytest

from airflow_provider_modelarts.core import coerce
from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError


class Colour(StrEnum):
    """Two words to choose from."""

    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    "value",
    ["5b60a667-1438-4eb5-9705-85b860e623dc", "04f679b17380d32a2f32c00335c4b5ba", "a", "A_b-9", "x" * 64],
)
def test_identifier_that_may_enter_a_path(value):
    """Ids of letters, digits, hyphens and underscores are taken as they are."""
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
def test_identifier_that_may_not_enter_a_path(value):
    """Anything that could change the path is refused, naming the field."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^training_job_id must be 1 to 64 letters"):
        coerce.identifier("training_job_id", value)


def test_identifier_that_a_template_did_not_find():
    """The text that is rendered for a missing XCom is not an id, and the error explains it."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^training_job_id is None: the upstream task in its "):
        coerce.identifier("training_job_id", "None")


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5.0), (0.5, 0.5), ("5", 5.0), (" 0.5 ", 0.5), ("-1e3", -1000.0), (0, 0.0), ("0", 0.0)],
)
def test_number(value, number):
    """Numbers are taken as numbers and as the text that templates render."""
    assert coerce.number("timeout", value) == number


@pytest.mark.parametrize(
    "value", [True, False, None, "", "ten", "nan", "inf", math.nan, math.inf, "1,5", [], [1], {}, 10**400, "9" * 400]
)
def test_number_of_what_is_none(value):
    """What is no finite number is refused, naming the field."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^timeout must be a number, not "):
        coerce.number("timeout", value)


@pytest.mark.parametrize(("value", "integer"), [(0, 0), (5, 5), ("5", 5), ("5.0", 5), (5.0, 5)])
def test_integer(value, integer):
    """Whole numbers are taken in every form, and are of type int afterwards."""
    converted = coerce.integer("max_failed_trials", value)

    assert (converted, type(converted)) == (integer, int)


@pytest.mark.parametrize("value", [-1, "-1", 0.5, "0.5", True, None, "", "many", math.nan])
def test_integer_of_what_is_none(value):
    """What is no whole number, or below the bound, is refused, naming field and bound."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^max_failed_trials must be a "):
        coerce.integer("max_failed_trials", value)


@pytest.mark.parametrize(("value", "count"), [(1, 1), ("1", 1), (100, 100)])
def test_positive(value, count):
    """A count that makes no sense at zero begins at one."""
    assert coerce.positive("top_k", value) == count


@pytest.mark.parametrize("value", [0, "0", -1, 0.5])
def test_positive_of_what_is_not(value):
    """Zero and less are refused, naming the bound."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^top_k must be a whole number, at least 1, not "):
        coerce.positive("top_k", value)


@pytest.mark.parametrize(("value", "seconds"), [(30, 30.0), ("0.5", 0.5)])
def test_seconds(value, seconds):
    """A pause is a number above 0."""
    assert coerce.seconds("poll_interval", value) == seconds


@pytest.mark.parametrize(("value", "wanted"), [(0, "above 0 seconds"), ("-1", "above 0 seconds"), ("soon", "a number")])
def test_seconds_of_what_are_none(value, wanted):
    """No pause at all would ask again and again."""
    with pytest.raises(ModelArtsConfigurationError, match=rf"^poll_interval must be {wanted}, not"):
        coerce.seconds("poll_interval", value)


@pytest.mark.parametrize("value", [None, "", "None"])
def test_optional_of_nothing(value):
    """None, and what a template makes of it, is nothing."""
    assert coerce.optional(coerce.number, "bar", value) is None


@pytest.mark.parametrize(("value", "number"), [(0, 0.0), ("0", 0.0), (1.5, 1.5)])
def test_optional_of_something(value, number):
    """Zero is something."""
    assert coerce.optional(coerce.number, "bar", value) == number


def test_optional_of_something_wrong():
    """What is there must be right."""
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
    """Flags are taken as flags and as the words that connections and templates hold."""
    assert coerce.flag("verify", value) is flag


@pytest.mark.parametrize("value", ["", "maybe", 2, None, [], 0.5, "truefalse"])
def test_flag_of_what_is_none(value):
    """What is no flag is refused; in particular, text is not simply true."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^verify must be true or false, not "):
        coerce.flag("verify", value)


@pytest.mark.parametrize(
    ("value", "member"),
    [("red", Colour.RED), ("BLUE", Colour.BLUE), (" red ", Colour.RED), (Colour.BLUE, Colour.BLUE)],
)
def test_choice(value, member):
    """A word is taken in any case."""
    assert coerce.choice("colour", value, Colour) is member


@pytest.mark.parametrize("value", ["", "green", None, 1, "redblue"])
def test_choice_of_what_is_none(value):
    """Another word is refused, naming the words that there are."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^colour must be 'red' or 'blue', not "):
        coerce.choice("colour", value, Colour)


def test_choice_of_a_mode():
    """The mode of an objective can be chosen by its word."""
    assert coerce.choice("mode", "Max", Mode) is Mode.MAX


@pytest.mark.parametrize(
    ("value", "mapping"),
    [({"a": 1}, {"a": 1}), ({}, {}), ('{"a": 1}', {"a": 1}), (' {"a": {"b": [1]}} ', {"a": {"b": [1]}})],
)
def test_mapping(value, mapping):
    """A mapping is taken as one and as JSON text."""
    assert coerce.mapping("constraints", value) == mapping


@pytest.mark.parametrize(
    "value", [None, "", "text", "[1]", "1", "{'a': 1}", "{", [], [("a", 1)], 7, {1: 2}, "[" * 100_000]
)
def test_mapping_of_what_is_none(value):
    """What is no mapping with text keys is refused, naming the field."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^constraints must be a mapping or a JSON object, not "):
        coerce.mapping("constraints", value)


@pytest.mark.parametrize("value", ["x" * 10_000, ["x" * 10_000], {"x" * 10_000: 1}, 10**4000])
def test_message_is_short(value):
    """However long a wrong value is, the message is not."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        coerce.identifier("region", value)

    assert len(str(caught.value)) < 150
