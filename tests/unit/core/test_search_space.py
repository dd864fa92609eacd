"""Search spaces."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import DATA, job, quick

from airflow_provider_modelarts.core.job_body import auto_search
from airflow_provider_modelarts.core.search_space import Choices, Interval, fit, read_search_space, to_scalar

NUMBERS = Choices((16, 32, 64))
UNIT = Interval(0, 1)


def space_of(*entries):
    """Return the search space of a job whose search has these parameters."""
    return read_search_space(job(raw={"algorithm": {"policies": {"auto_search": {"search_params": list(entries)}}}}))


def entry(**fields):
    """Return a search parameter in the platform's shape."""
    return {"name": "x", **fields}


def bounds(low, high):
    """Return a search parameter with these bounds."""
    return entry(param_type="continuous", lower_bound=low, upper_bound=high)


def typed(space):
    """Return the values of a space with their types, because 1 equals True."""
    return [(type(value), value) for value in space.values]


def test_space_of_the_constructed_request():
    """The request constructed from the documentation has an interval and a list, both as text."""
    request = json.loads((DATA / "create_search_job_request_constructed.json").read_text(encoding="utf-8"))

    assert read_search_space(job(raw=request)) == {
        "learning_rate": Interval(0.001, 0.1),
        "momentum": Choices((0.8, 0.9, 0.95)),
    }


def test_space_read_back():
    """Written numbers, flags and words are read back with their types."""
    given_space = {"lr": {"min": 1e-5, "max": 0.1}, "units": [8, 16], "nesterov": [True, False], "kind": ["a", "b"]}
    search = auto_search(
        given_space, {"metric": "acc", "mode": "max", "regex": "x"}, {"name": "tpe_search", "num_samples": 2}
    )

    space = space_of(*search["search_params"])

    assert space["lr"] == Interval(1e-5, 0.1)
    assert typed(space["units"]) == [(int, 8), (int, 16)]
    assert typed(space["nesterov"]) == [(bool, True), (bool, False)]
    assert typed(space["kind"]) == [(str, "a"), (str, "b")]


@pytest.mark.parametrize(
    ("listed", "values"),
    [
        (["16", "32"], (16, 32)),
        ("16,32", (16, 32)),
        ("16, 32", (16, 32)),
        ([16, 0.5], (16, 0.5)),
        (["0.5", "1e-3"], (0.5, 0.001)),
        (["16", "16", "32"], (16, 32)),
        (["auto", "16"], ("auto", "16")),
        (["True", "false"], (True, False)),
        (["True", "1"], ("True", "1")),
        (["nan", "0.5"], ("nan", "0.5")),
        (["inf", "0.5"], ("inf", "0.5")),
        (["a", ""], ("a",)),
    ],
)
def test_listed_values_are_of_one_kind(listed, values):
    """Listed values are all numbers, all flags or all texts, without duplicates."""
    assert typed(space_of(entry(param_type="discrete", discrete_values=listed))["x"]) == typed(Choices(values))


@pytest.mark.parametrize(
    ("low", "high", "interval"),
    [
        ("0.001", "0.1", Interval(0.001, 0.1)),
        ("1e-05", "1", Interval(1e-05, 1)),
        (1, 9, Interval(1, 9)),
        ("-3", "-3", Interval(-3, -3)),
    ],
)
def test_bounds_as_numbers_and_text(low, high, interval):
    """Bounds are read from numbers and from text, and may be equal."""
    assert space_of(bounds(low, high)) == {"x": interval}


@pytest.mark.parametrize(
    "unreadable",
    [
        bounds("1", "0"),
        bounds("low", "1"),
        bounds("0", None),
        bounds("nan", "1"),
        bounds("0", "inf"),
        bounds(True, "2"),
        entry(param_type="discrete", discrete_values=[]),
        entry(param_type="discrete", discrete_values=" , "),
        entry(param_type="discrete", discrete_values={"a": 1}),
        {"param_type": "continuous", "lower_bound": "0", "upper_bound": "1"},
        "x",
        None,
    ],
)
def test_parameter_that_is_unreadable(unreadable):
    """An unreadable parameter is left out, and the other parameters are read."""
    assert space_of(unreadable, {**bounds("0", "1"), "name": "y"}) == {"y": Interval(0, 1)}


@pytest.mark.parametrize(
    "raw", [{}, {"algorithm": None}, {"algorithm": {"policies": {"auto_search": {"search_params": "x"}}}}]
)
def test_job_without_a_search_has_no_space(raw):
    """A job that leaves the search to its algorithm has an empty space."""
    assert read_search_space(job(raw=raw)) == {}


FITS = {
    "numbers within": ([0.5, 0.25], UNIT, UNIT, [0.5, 0.25]),
    "ends": ([0.0, 1.0], UNIT, UNIT, [0.0, 1.0]),
    "whole numbers within": ([1, 3], Interval(1, 9), Interval(1, 9, whole=True), [1, 3]),
    "whole numbers within broken ends": ([1, 3], Interval(0.5, 9), Interval(0.5, 9), [1, 3]),
    "one below": ([-0.5, 0.5], UNIT, Interval(-0.5, 0.5), [-0.5, 0.5]),
    "one above": ([0.5, 1.5], UNIT, Interval(0.5, 1.5), [0.5, 1.5]),
    "listed": ([16, 64], NUMBERS, NUMBERS, [16, 64]),
    "listed as texts": (["16", "64"], NUMBERS, Choices(("16", "32", "64")), ["16", "64"]),
    "listed flags": ([True], Choices((True, False)), Choices((True, False)), [True]),
    "flag among listed numbers": ([True], Choices((1, 2)), Choices((True,)), [True]),
    "number not listed": ([16, 128], NUMBERS, Interval(16, 128, whole=True), [16, 128]),
    "word not listed": (["a", "c"], Choices(("a", "b")), Choices(("a", "c")), ["a", "c"]),
    "word in an interval": (["a"], UNIT, Choices(("a",)), ["a"]),
    "whole numbers": ([3, 1, 2], None, Interval(1, 3, whole=True), [3, 1, 2]),
    "numbers": ([3, 0.5], None, Interval(0.5, 3), [3, 0.5]),
    "words": (["b", "a", "b"], None, Choices(("b", "a")), ["b", "a", "b"]),
    "flags": ([True, False], None, Choices((True, False)), [True, False]),
    "number and word": ([1, "auto", 0.5], None, Choices(("1", "auto", "0.5")), ["1", "auto", "0.5"]),
    "number and flag": ([1, True], None, Choices(("1", "True")), ["1", "True"]),
    "lists": ([[1, 2], [1]], None, Choices(("[1, 2]", "[1]")), ["[1, 2]", "[1]"]),
    "objects": ([{"a": None}], None, Choices(('{"a": null}',)), ['{"a": null}']),
    "missing in some": ([None, 2], None, Interval(2, 2, whole=True), [None, 2]),
    "not a number": ([math.nan, 0.5], None, Interval(0.5, 0.5), [None, 0.5]),
    "infinite": ([math.inf, -math.inf, 0.5], UNIT, UNIT, [None, None, 0.5]),
    "nothing": ([None, math.nan], UNIT, None, [None, None]),
    "empty": ([], UNIT, None, []),
    "largest whole": ([2**53, 1], None, Interval(1, 2**53, whole=True), [2**53, 1]),
    "beyond whole floats": ([2**53 + 1, 1], None, Choices(("9007199254740993", "1")), ["9007199254740993", "1"]),
    "huge": ([2**2000], None, Choices((hex(2**2000),)), [hex(2**2000)]),
    "lone surrogate": (["\ud800x"], None, Choices(("?x",)), ["?x"]),
}


@pytest.mark.parametrize(("values", "known", "space", "expected"), FITS.values(), ids=FITS)
def test_fitted_space(values, known, space, expected):
    """The known space is kept if it holds all values, else it is inferred from the values."""
    fitted, settled = fit(values, known)

    assert fitted == space
    assert [(type(value), value) for value in settled] == [(type(value), value) for value in expected]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
spaces = st.none() | st.just(UNIT) | st.just(NUMBERS) | st.just(Choices(("a", "b"))) | st.just(Choices((True, False)))


@quick
@given(st.lists(json_values | st.sampled_from([16, 0.5, "a", True]), max_size=5), spaces)
def test_fitted_space_holds_all_values(values, known):
    """Every fitted value is a plain value of the fitted space, or None."""
    space, settled = fit(values, known)

    assert len(settled) == len(values)
    for value in settled:
        if value is None:
            continue
        if isinstance(space, Interval):
            assert space.low <= value <= space.high
            assert isinstance(value, int) or not space.whole
        else:
            assert value in space.values
            assert len({type(choice) is str for choice in space.values}) == 1


def nested(depth):
    """Return lists nested to a depth."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


SHOWN = {
    "word": ("word", "word"),
    "number": (1, 1),
    "nothing": (None, None),
    "whole number that a float can hold": (2**999, 2**999),
    "huge": (2**1000, hex(2**1000)),
    "huge below zero": (-(2**1000), hex(-(2**1000))),
    "list": ([1, "a"], '[1, "a"]'),
    "huge in an object": ({"a": [10**5000]}, "an object with 1 keys"),
    "deep": (nested(100_000), "a list of 1"),
}


@pytest.mark.parametrize(("value", "shown"), SHOWN.values(), ids=SHOWN)
def test_scalar_of_a_value(value, shown):
    """A value of any size and depth becomes a scalar that a table can show."""
    assert to_scalar(value) == shown
