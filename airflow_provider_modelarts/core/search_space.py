"""Search space: the values of each hyperparameter, read from the job or inferred from its trials."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard, cast

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.jobs import TrainingJob
from airflow_provider_modelarts.core.json_values import JSON, child, describe, integer, items, replace_surrogates, text

Scalar: TypeAlias = str | int | float | bool

_MAX_WHOLE = 2**53  # a float distinguishes all whole numbers up to here
_MAX_BITS = 1000  # of a whole number that still fits into a float and into decimal digits


@dataclass(frozen=True, slots=True)
class Interval:
    """All numbers between two bounds, both included; only whole ones if ``whole``."""

    low: float
    high: float
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """List of values: all of them numbers, all flags, or all texts."""

    values: tuple[Scalar, ...]


SearchSpace: TypeAlias = Mapping[str, Interval | Choices]


def read_search_space(job: TrainingJob) -> dict[str, Interval | Choices]:
    """Return the search space of a job by hyperparameter.

    Unreadable entries are left out. The space is empty for a job whose algorithm defines the search.
    """
    entries = items(child(dict(job.raw), "algorithm", "policies", "auto_search", "search_params"))
    pairs = [(text(child(entry, "name")), _read_entry(entry)) for entry in entries]
    return {name: space for name, space in pairs if name and space is not None}


def _read_entry(entry: JSON) -> Interval | Choices | None:
    listed = child(entry, "discrete_values")
    if listed:
        values = listed.split(",") if isinstance(listed, str) else items(listed)
        texts = [_text(value).strip() for value in values]
        return _choices(_read_alike(list(filter(None, texts))))
    low, high = (_number(child(entry, end)) for end in ("lower_bound", "upper_bound"))
    return Interval(low, high) if low is not None and high is not None and low <= high else None


def _read_alike(texts: Sequence[str]) -> Sequence[Scalar]:
    """Return texts as numbers if all are numbers, as flags if all are flags, else as they are."""
    for read in (_number, cells.flag):
        values = [value for value in map(read, texts) if value is not None]
        if len(values) == len(texts):
            return values
    return texts


def _number(cell: JSON) -> float | None:
    whole = integer(cell)
    number = whole if whole is not None else cells.number(cell)
    return number if _is_number(number) else None


def fit(
    values: Sequence[JSON], known: Interval | Choices | None = None
) -> tuple[Interval | Choices | None, list[Scalar | None]]:
    """Return the space of the values of one hyperparameter, and the values converted to its kind.

    It is the known space if that holds all of them; else the interval that spans them if they are numbers, or the
    list of them; None when there is no value. NaN and infinities count as None. Values of several kinds are converted
    to text, and so are lists, objects and whole numbers beyond 2**53.
    """
    alike = _alike([None if _is_no_value(value) else value for value in values])
    given = [value for value in alike if value is not None]
    return _space(given, known) if given else None, alike


def _is_no_value(value: JSON) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _alike(values: Sequence[JSON]) -> list[Scalar | None]:
    """Return values as they are if they are of one kind, else as texts."""
    given = [value for value in values if value is not None]
    if all(map(_is_number, given)) or all(isinstance(value, bool) for value in given):
        return cast("list[Scalar | None]", list(values))
    return [None if value is None else _text(value) for value in values]


def _space(given: Sequence[Scalar], known: Interval | Choices | None) -> Interval | Choices | None:
    numbers = [value for value in given if _is_number(value)]
    if len(numbers) == len(given):
        low, high = min(numbers), max(numbers)
        if isinstance(known, Interval) and known.low <= low and high <= known.high:
            low, high = known.low, known.high
        elif isinstance(known, Choices) and _holds(known.values, given):
            return known
        return Interval(low, high, whole=all(isinstance(number, int) for number in (low, high, *numbers)))
    if isinstance(known, Choices):
        for listed in (known.values, tuple(map(_text, known.values))):
            if _holds(listed, given):
                return Choices(listed)
    return _choices(given)


def _choices(values: Sequence[Scalar]) -> Choices | None:
    return Choices(tuple(dict.fromkeys(values))) if values else None


def _holds(listed: Sequence[Scalar], given: Sequence[Scalar]) -> bool:
    """Return whether all given values are listed; a flag is not a number."""
    return {(isinstance(value, bool), value) for value in given} <= {
        (isinstance(value, bool), value) for value in listed
    }


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number that a float holds exactly."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= _MAX_WHOLE
    return isinstance(value, float) and math.isfinite(value)


def _text(value: JSON) -> str:
    return str(to_scalar(value))


def to_scalar(value: JSON) -> Scalar | None:
    """Return a value for a cell of a table: lists and objects as JSON text.

    Whole numbers beyond the range of floats become hexadecimal text.
    """
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return hex(value)
    if isinstance(value, (dict, list)):
        try:
            return json.dumps(value)
        except (ValueError, RecursionError):
            return describe(value)
    return value
