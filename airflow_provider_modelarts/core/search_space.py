"""What a search draws its hyperparameters from: read from the job, or told from the values that were drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.jobs import TrainingJob
from airflow_provider_modelarts.core.shapes import JSON, child, describe, integer, text

Scalar: TypeAlias = str | int | float | bool

_LARGEST_WHOLE = 2**53  # floats tell whole numbers apart up to here


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
    if child(entry, "param_type") == "discrete" or listed:
        words = listed.split(",") if isinstance(listed, str) else listed
        texts = [_text(word).strip() for word in words if word is not None] if isinstance(words, list) else []
        return _choices(_read_alike(list(filter(None, texts))))
    low, high = (_bound(child(entry, end)) for end in ("lower_bound", "upper_bound"))
    return Interval(low, high) if low is not None and high is not None and low <= high else None


def _bound(value: JSON) -> float | None:
    number = integer(value) if integer(value) is not None else cells.number(value)
    return number if _is_number(number) else None


def _read_alike(texts: Sequence[str]) -> Sequence[Scalar]:
    """Return texts as the numbers or flags that they all stand for, else as they are."""
    numbers = [_bound(text) for text in texts]
    flags = [cells.flag(text) for text in texts]
    for read in (numbers, flags):
        known = [value for value in read if value is not None]
        if len(known) == len(texts):
            return known
    return texts


def fit(values: Sequence[JSON], known: Interval | Choices | None = None) -> tuple[Interval | Choices, list[Scalar | None]]:
    """Return the space that the values of a hyperparameter are from, and the values as they are in it.

    That is the known space if all of them are in it; else the interval of all values that are numbers, or a list of
    the values. None, NaN and infinities are no values: they are None. Values of several kinds are texts, all of them,
    as are lists, objects, and whole numbers that no float can hold.
    """
    alike = _alike([None if value is None or _is_endless(value) else value for value in values])
    given = [value for value in alike if value is not None]
    return _space(given, known), alike


def _space(given: Sequence[Scalar], known: Interval | Choices | None) -> Interval | Choices:
    numbers = [value for value in given if _is_number(value)]
    only_numbers = len(numbers) == len(given) > 0
    if only_numbers and isinstance(known, Interval) and known.low <= min(numbers) and max(numbers) <= known.high:
        return _interval(known.low, known.high, numbers)
    if isinstance(known, Choices):
        for listed in (known.values, tuple(map(_text, known.values))):
            if _kinds(given) <= _kinds(listed):
                return Choices(listed)
    if only_numbers:
        return _interval(min(numbers), max(numbers), numbers)
    return Choices(tuple(dict.fromkeys(given)))
