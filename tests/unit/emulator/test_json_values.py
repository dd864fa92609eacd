"""Readers of JSON values."""

from __future__ import annotations

import math

import pytest

from modelarts_emulator.json_values import (
    ShapeError,
    as_list,
    as_object,
    child,
    describe,
    finite,
    integer,
    number,
    text,
)

NUMBERS = {
    "0.25": 0.25,
    " -1e3 ": -1000.0,
    "+.5": 0.5,
    "3": 3.0,
    "inf": math.inf,
    "tensor(0.0754, device='cuda:0', requires_grad=True)": 0.0754,
    " tensor(1) ": 1.0,
    "": None,
    "None": None,
    "1_000": None,
    "٣": None,
    "1.0 2.0": None,
    "tensor([0.1, 0.2])": None,
    2: 2.0,
    10**400: None,
    True: None,
    None: None,
}


@pytest.mark.parametrize(("value", "expected"), NUMBERS.items(), ids=lambda value: repr(value)[:30])
def test_number_is_read_from_any_value(value, expected):
    """A number is read from any value, and a value without a number gives None, never zero."""
    assert number(value) == expected


def test_nan_is_a_number_and_not_finite():
    """NaN is a number that is not finite, as text and in a tensor."""
    assert math.isnan(number("nan"))
    assert math.isnan(number("tensor(nan, device='cuda:0')"))
    assert [finite(value) for value in ("nan", "-inf", "0.5")] == [None, None, 0.5]


INTEGERS = {"7": 7, " -7 ": -7, 7: 7, 8.0: 8, "7.0": None, 7.5: None, True: None, "٣": None, "": None, 10**20: None,
            "9" * 5000: None}  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), INTEGERS.items(), ids=lambda value: repr(value)[:30])
def test_integer_is_read_from_any_value(value, expected):
    """An integer is read from numbers and from text, because the platform documents both."""
    assert integer(value) == expected


def test_other_shapes_are_errors_that_name_the_field():
    """A value of another shape raises an error that names the field and describes the value."""
    with pytest.raises(ShapeError, match="metadata must be a JSON object, not a list"):
        as_object([], "metadata")
    with pytest.raises(ShapeError, match="inputs must be a JSON list, not 'x'"):
        as_list("x", "inputs")


def test_child_and_text_are_blank_for_other_shapes():
    """A value of another shape gives None or blank text, without an exception."""
    assert child({"a": {"b": 1}}, "a", "b") == 1
    assert child({"a": [1]}, "a", "b") is None
    assert [text(value) for value in ("a", 1, 0.5, True, None, [], {})] == ["a", "1", "0.5", "", "", "", ""]


@pytest.mark.parametrize("value", ["x" * 1_000_000, "a\x1b\nb", 10**70, None, {"a": 1}])
def test_description_is_short_and_printable(value):
    """The description of any value is short and printable."""
    assert len(describe(value)) < 70
    assert describe(value).isprintable()
