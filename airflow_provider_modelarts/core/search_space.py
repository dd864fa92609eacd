"""What a search draws its hyperparameters from: read from the job, or told from the values that were drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard, cast

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.jobs import TrainingJob
from airflow_provider_modelarts.core.json_values import JSON, child, describe, integer, text

Scalar: TypeAlias = str | int | float | bool

_LARGEST_WHOLE = 2**53  # floats tell whole numbers apart up to here
_MOST_BITS = 1000  # of a whole number: a float can hold it, and it can be written in decimal digits


@dataclass(frozen=True, slots=True)
class Interval:
    """All numbers from one to another, both ends included; only whole ones if ``whole``."""

    low: float
    high: float
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """Some values: all of them numbers, all flags, or all texts."""

    values: tuple[Scalar, ...]


SearchSpace: TypeAlias = Mapping[str, Interval | Choices]


def read_search_space(job: TrainingJob) -> dict[str, Interval | Choices]:
    """Return what the search of a job draws from, by hyperparameter.

    What cannot be read is left out. A job that leaves its search to its algorithm tells nothing.
    """
    entries = child(dict(job.raw), "algorithm", "policies", "auto_search", "search_params")
    pairs = [
        (text(child(entry, "name")), _read_entry(entry)) for entry in (entries if isinstance(entries, list) else [])
    ]
    return {name: space for name, space in pairs if name and space is not None}


def _read_entry(entry: JSON) -> Interval | Choices | None:
    listed = child(entry, "discrete_values")
    if listed:
        words = listed.split(",") if isinstance(listed, str) else listed
        texts = [_text(word).strip() for word in words] if isinstance(words, list) else []
        return _choices(_read_alike(list(filter(None, texts))))
    low, high = (_number(child(entry, end)) for end in ("lower_bound", "upper_bound"))
    return Interval(low, high) if low is not None and high is not None and low <= high else None


def _number(cell: JSON) -> float | None:
    whole = integer(cell)
    number = whole if whole is not None else cells.number(cell)
    return number if _is_number(number) else None


def _read_alike(texts: Sequence[str]) -> Sequence[Scalar]:
    """Return texts as the numbers or the flags that all of them stand for, else as they are."""
    for read in (_number, cells.flag):
        values = [value for value in map(read, texts) if value is not None]
        if len(values) == len(texts):
            return values
    return texts


def fit(
    values: Sequence[JSON], known: Interval | Choices | None = None
) -> tuple[Interval | Choices | None, list[Scalar | None]]:
    """Return the space that the values of a hyperparameter are from, and the values as they are in it.

    It is the known space if all of them are in that; else the interval that holds them all if they are numbers, or
    the list of them; None where there is no value. None, NaN and infinities are no values, but None. If the values
    are of several kinds, all are taken as texts, and so are lists, objects and whole numbers beyond 2**53.
    """
    alike = _alike([None if _is_no_value(value) else value for value in values])
    given = [value for value in alike if value is not None]
    return _space(given, known) if given else None, alike


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
    """Return whether all that is given is listed; a flag is no number."""
    return {(isinstance(value, bool), value) for value in given} <= {
        (isinstance(value, bool), value) for value in listed
    }


def _alike(values: Sequence[JSON]) -> list[Scalar | None]:
    """Return values as they are if they are of one kind, else as texts."""
    given = [value for value in values if value is not None]
    if all(map(_is_number, given)) or all(isinstance(value, bool) for value in given):
        return cast("list[Scalar | None]", list(values))
    return [None if value is None else _text(value) for value in values]


def _is_no_value(value: JSON) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number that is the same as a float."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= _LARGEST_WHOLE
    return isinstance(value, float) and math.isfinite(value)


def plain(value: JSON) -> Scalar | None:
    """Return a value as tables and pictures can show it: lists and objects as their JSON text.

    Whole numbers beyond all floats become text too, in hexadecimal digits.
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return hex(value)
    if isinstance(value, (dict, list)):
        try:
            return json.dumps(value)
        except (ValueError, RecursionError):
            return describe(value)
    return value


def storable(text: str) -> str:
    """Return a text without halves of characters, which neither files nor databases take."""
    return text.encode("utf-8", "replace").decode()


def _text(value: JSON) -> str:
    return str(plain(value))
