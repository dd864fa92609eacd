"""Tables of trials of any shape: each is read or raises an error, and every number is in its cell."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.builders import quick

from airflow_provider_modelarts.core.trials import TrialPage, read_page, read_table
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError

NUMERAL = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|inf", re.IGNORECASE)
PLAIN_NUMERAL = re.compile(rf"[+-]?(?:{NUMERAL.pattern})", re.IGNORECASE)
REQUIRED = ["trial_id", "status", "config"]
NUMBERS = ["reward_attr", "best_reward", "training_iteration", "time_total_s"]

#: Texts that are nearly numbers: digits of other scripts, separators, words, wrappers.
odd_texts = st.sampled_from(
    "1_000 \u0663 \uff11\uff12 \u00bd 0x10 1,5 5% -nan 1e999 1e-999 --1 +.5 5. 1e5 1.2.3 0 -0 True None null".split()
) | st.sampled_from(
    ["", " ", " 7\n", "\ud800", "1\x00", "tensor(\u0663)", "tensor(1_0)", "tensor([0.5])", "9" * 4000, "0.5 (best)"]
)
numerals = st.floats().map(repr) | st.integers().map(str)
texts = odd_texts | numerals | numerals.map("tensor({}, device='cuda:0')".format) | st.text(max_size=6)
numbers = st.floats() | st.integers() | st.sampled_from([10**400, -(10**4000), 2**63])
leaves = st.none() | st.booleans() | numbers | texts
any_json = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)

# names that repeat, because the first column of a name counts; some are not names at all
names = st.sampled_from([*NUMBERS, *NUMBERS, "acc", "acc", "loss", "done", "", "trial_id"]) | texts
cells = odd_texts | leaves | st.lists(leaves, max_size=2)
columns = st.lists(names, min_size=2, max_size=6).flatmap(lambda more: st.permutations([*REQUIRED, *more]))


def table_of(header):
    """Return a strategy for tables with a header and complete rows of any cells."""
    row = st.tuples(*(st.sampled_from(["a", "b"]) if name == "trial_id" else cells for name in header)).map(list)
    return st.tuples(st.just(header), st.lists(row, min_size=1, max_size=3))


tables = columns.flatmap(table_of)

#: The characters of configs: JSON, the repr of a dict, and the repr of the vendor SDK.
config_signs = st.text("{}[]()':,.-+eE0123456789 \"Decimalnf\\", max_size=12)
config_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | config_signs,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(config_signs, inner, max_size=3),
    max_leaves=6,
)
config_texts = st.dictionaries(st.sampled_from(["lr", "trial_index", "param/lr"]), config_values).map(repr)
broken_config_texts = st.builds(
    lambda text, place, signs, cut: text[:place] + signs + text[place + cut :],
    config_texts,
    st.integers(0, 40),
    config_signs,
    st.integers(0, 3),
)


def numbers_in(cell):
    """Return the absolute values of the numbers in a cell."""
    if isinstance(cell, str):
        return [float(numeral) for numeral in NUMERAL.findall(cell)]
    if isinstance(cell, bool) or not isinstance(cell, int | float) or abs(cell) > 10**308:
        return [abs(cell)] if isinstance(cell, float) else []
    return [abs(float(cell))]


def is_among(number, seen):
    """Return whether the absolute value of a number is among others; NaN equals NaN."""
    return repr(abs(float(number))) in map(repr, seen)


def read_or_none(read, *arguments):
    """Return the result of a reader, or None for a protocol error."""
    try:
        return read(*arguments)
    except ModelArtsProtocolError:
        return None


def leaves_of(value):
    """Return the numbers at any depth of a configuration."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves_of(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves_of(item)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


@quick
@given(any_json | st.permutations([*REQUIRED, "acc"]), any_json | st.lists(any_json, min_size=1, max_size=3))
def test_table_of_any_json(header, data):
    """Any JSON as header and data is read or raises a protocol error."""
    assert isinstance(read_or_none(read_table, header, data), list | None)


@quick
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "total": any_json,
            "limit": any_json,
            "items": any_json | st.builds(lambda table: {"header": table[0], "data": table[1]}, tables),
        },
    )
    | any_json
)
def test_page_of_any_json(response):
    """Any JSON response is read or raises a protocol error, and the total of a page is in its response."""
    page = read_or_none(read_page, response)

    assert isinstance(page, TrialPage | None)
    if page is not None:
        assert page.total == response["total"] or (
            isinstance(response["total"], str) and str(page.total) in response["total"]
        )


@settings(quick, max_examples=200)
@given(tables)
def test_table_numbers_are_in_their_cells(table):
    """Every number of a trial is in the first cell of its column; a missing number is None, never zero."""
    header, rows = table
    trials = read_or_none(read_table, header, rows) or []

    for row, trial in zip(rows, trials, strict=bool(trials)):
        cells = {}
        for name, cell in zip(header, row, strict=True):
            cells.setdefault(name if isinstance(name, str) else repr(name), cell)
        read = dict(
            zip(NUMBERS, [trial.reward, trial.best_reward, trial.training_iteration, trial.duration], strict=True)
        )
        for name, number in [*read.items(), *trial.metrics.items()]:
            assert number is None or is_among(number, numbers_in(cells[name])), (name, number)
        assert all(number is not None for number in trial.metrics.values())


@quick
@given(numerals, st.sampled_from(["{}", " {}\n", "tensor({})", "tensor({}, device='cuda:0', requires_grad=True)"]))
def test_table_loses_no_number(numeral, form):
    """A plain number, alone or in a tensor, is read exactly, including its sign."""
    (trial,) = read_table([*REQUIRED, "acc", "best_reward"], [["a", "RUNNING", {}, form.format(numeral), numeral]])

    assert [repr(trial.metrics["acc"]), repr(trial.best_reward)] == [repr(float(numeral))] * 2


@quick
@given(config_texts | broken_config_texts)
@example("{'lr': Decimal('0.03'), 'trial_index': '\u0663'}")
def test_config_numbers_are_in_their_text(text):
    """Every number of a config, and the index of its trial, is in the text of its cell, even if the text is broken."""
    (trial,) = read_table(REQUIRED, [["a", "RUNNING", text]])

    seen = numbers_in(text)
    assert all(is_among(number, seen) for number in leaves_of(trial.config))
    assert trial.index is None or is_among(trial.index, seen)


@pytest.mark.parametrize("digits", ["\u0663", "\uff13", "\u096b"])
def test_total_in_digits_of_another_script(digits):
    """A total in digits of another script raises an error."""
    with pytest.raises(ModelArtsProtocolError, match="has no usable total"):
        read_page({"total": digits, "items": None})
