"""Readers of untrusted JSON values."""

from __future__ import annotations

import math

import pytest

from airflow_provider_modelarts.core.json_values import as_list, as_object, child, describe, integer, text
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError

NOT_CONTAINERS = [None, "text", "", 0, 1.5, True]


@pytest.mark.parametrize("value", [{}, {"a": 1}])
def test_as_object_of_an_object(value):
    """An object is returned unchanged."""
    assert as_object(value, "the job") is value


@pytest.mark.parametrize("value", [*NOT_CONTAINERS, [], [{"a": 1}]])
def test_as_object_of_anything_else(value):
    """A value that is not an object raises a protocol error that names the expected part."""
    with pytest.raises(ModelArtsProtocolError, match=r"^the job should be a JSON object, but is "):
        as_object(value, "the job")


@pytest.mark.parametrize("value", [[], [1, 2]])
def test_as_list_of_a_list(value):
    """A list is returned unchanged."""
    assert as_list(value, "the header") is value


@pytest.mark.parametrize("value", [*NOT_CONTAINERS, {}, {"0": 1}])
def test_as_list_of_anything_else(value):
    """A value that is not a list raises a protocol error that names the expected part."""
    with pytest.raises(ModelArtsProtocolError, match=r"^the header should be a JSON list, but is "):
        as_list(value, "the header")


@pytest.mark.parametrize(
    ("value", "keys", "found"),
    [
        ({"a": {"b": 1}}, ("a", "b"), 1),
        ({"a": {"b": 1}}, ("a",), {"b": 1}),
        ({"a": 0}, ("a",), 0),
        ({"a": 1}, (), {"a": 1}),
        ({"a": 1}, ("b",), None),
        ({"a": 1}, ("a", "b"), None),
        ({"a": None}, ("a", "b"), None),
        ({"a": ["b"]}, ("a", "b"), None),
        ({"a": "b"}, ("a", "b"), None),
        ([], ("a",), None),
        ("a", ("a",), None),
        (None, ("a",), None),
    ],
)
def test_child(value, keys, found):
    """A path through nested objects gives None if an object or a key is missing."""
    assert child(value, *keys) == found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("word", "word"),
        (" a ", " a "),
        ("", ""),
        (7, "7"),
        (0, "0"),
        (-1.5, "-1.5"),
        (True, ""),
        (False, ""),
        (None, ""),
        ([], ""),
        (["a"], ""),
        ({"a": "b"}, ""),
    ],
)
def test_text(value, expected):
    """Text is returned unchanged, a number as its digits, and any other value as empty text."""
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (8, 8),
        (0, 0),
        (-3, -3),
        (8.0, 8),
        ("8", 8),
        (" 8 ", 8),
        ("-3", -3),
        ("1700000000000", 1_700_000_000_000),
        ("9" * 20, 99_999_999_999_999_999_999),
    ],
)
def test_integer(value, whole):
    """A whole number is read from a number and from its digits, and is of type int."""
    found = integer(value)

    assert (found, type(found)) == (whole, int)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "",
        " ",
        "-",
        "--3",
        "- 3",
        "8.0",
        "1e3",
        "0x10",
        "1_000",
        "eight",
        "²",
        "9" * 21,
        8.5,
        math.nan,
        math.inf,
        -math.inf,
        [],
        [8],
        {},
    ],
)
def test_integer_of_an_invalid_value(value):
    """A value that is not a whole number gives None, without an exception; a flag is not a number."""
    assert integer(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "None"),
        ("a", "'a'"),
        ("a\nb", r"'a\nb'"),
        (7, "7"),
        (True, "True"),
        (1.5, "1.5"),
        ({}, "an object with 0 keys"),
        ({"password": "hidden"}, "an object with 1 keys"),
        ([], "a list of 0"),
        (["a", "b"], "a list of 2"),
        (10**30, "a huge integer"),
        pytest.param(-(10**5000), "a huge integer", id="beyond what Python prints"),
        (10**29, "100000000000000000000000000000"),
        ("x" * 58, "'" + "x" * 58 + "'"),
        ("x" * 59, "'" + "x" * 59 + "..."),
    ],
)
def test_describe(value, expected):
    """A value is described in one short line, without the contents of an object or a list."""
    assert describe(value) == expected


def test_describe_with_a_limit():
    """The limit applies to the text of the value, without the dots."""
    assert describe("abcdefgh", limit=5) == "'abcd..."
