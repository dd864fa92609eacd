"""The hyperparameters of a search: what may be drawn for each (``search_params``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, child, describe, integer, text
from modelarts_emulator.errors import Refusal, bad_request

_MOST_VALUES = 1000
_LARGEST_WHOLE = 2**53


@dataclass(frozen=True, slots=True)
class Span:
    """All numbers from one to another; only whole ones if ``whole``."""

    name: str
    low: float
    high: float
    whole: bool

    def at(self, drawn: float) -> tuple[JSON, str]:
        """Return a value, and the text of it for the command line."""
        value = round(drawn) if self.whole else float(drawn)
        return value, repr(value)


@dataclass(frozen=True, slots=True)
class Grid:
    """As many numbers as ``points``, evenly spread from one to another."""

    name: str
    low: float
    high: float
    whole: bool
    points: int

    def at(self, drawn: float) -> tuple[JSON, str]:
        """Return the value of a place on the grid, and the text of it for the command line."""
        place = drawn / (self.points - 1)
        return Span(self.name, self.low, self.high, self.whole).at(self.low * (1 - place) + self.high * place)


@dataclass(frozen=True, slots=True)
class Choice:
    """Some values, with the text that each was given as."""

    name: str
    values: tuple[JSON, ...]
    texts: tuple[str, ...]

    def at(self, drawn: float) -> tuple[JSON, str]:
        """Return the value of a place in the list, and the text of it for the command line."""
        return self.values[int(drawn)], self.texts[int(drawn)]


Parameter: TypeAlias = Span | Grid | Choice


def read_space(entries: JSON, types: Mapping[str, str]) -> tuple[Parameter, ...]:
    """Return what ``search_params`` say, or refuse them.

    :param types: the job's parameters, and the type of each (``Integer``, ``Float``, ...; blank where it has none).
    """
    space = tuple(_parameter(as_object(entry, "an entry of search_params"), types) for entry in _list(entries))
    names = [parameter.name for parameter in space]
    if not names or len(set(names)) < len(names):
        raise bad_request("2826", "search_params must name at least one parameter, and none twice.")
    return space


def _list(entries: JSON) -> list[JSON]:
    return as_list([] if entries is None else entries, "search_params")


def _parameter(entry: dict[str, JSON], types: Mapping[str, str]) -> Parameter:
    name = text(entry.get("name"))
    if name not in types:
        raise bad_request("2826", f"search_params: {describe(name)} is no parameter of the job.")
    kind = entry.get("param_type") or ("discrete" if entry.get("discrete_values") else "continuous")
    if kind == "discrete":
        return _choice(name, entry.get("discrete_values"), types[name])
    if kind == "continuous":
        return _continuous(name, entry, types[name])
    raise bad_request("2825", f"search_params: {name} has the unknown param_type {describe(kind)}.")


def _choice(name: str, given: JSON, wanted: str) -> Choice:
    listed = given.split(",") if isinstance(given, str) else as_list(given or [], f"the discrete_values of {name}")
    texts = tuple(str(value) if isinstance(value, bool) else text(value).strip() for value in listed)
    if not texts or not all(texts) or len(texts) > _MOST_VALUES:
        raise bad_request("2826", f"search_params: {name} needs 1 to {_MOST_VALUES} discrete_values, none blank.")
    return Choice(name, _values(name, texts, wanted), texts)


def _values(name: str, texts: tuple[str, ...], wanted: str) -> tuple[JSON, ...]:
    """Return texts as what they stand for; whole numbers stay whole where no other number is among them."""
    whole, numbers = [integer(value) for value in texts], [_finite(value) for value in texts]
    if (wanted == "Integer" and None in whole) or (wanted == "Float" and None in numbers):
        raise bad_request("2825", f"search_params: {name} is of type {wanted}, its discrete_values are not.")
    if wanted == "String":
        return texts
    all_whole = wanted != "Float" and all(value is None or value.is_integer() for value in numbers)
    read = whole if all_whole else numbers
    return tuple(given if number is None else number for given, number in zip(texts, read, strict=True))


def _continuous(name: str, entry: Mapping[str, JSON], wanted: str) -> Span | Grid:
    low, high = _finite(entry.get("lower_bound")), _finite(entry.get("upper_bound"))
    if low is None or high is None:
        raise bad_request("2825", f"search_params: the bounds of {name} must be numbers.")
    if low > high or _finite(high - low) is None:
        raise bad_request("2826", f"search_params: the lower_bound of {name} must be below its upper_bound.")
    whole = wanted == "Integer"
    if whole and not (low.is_integer() and high.is_integer() and max(-low, high) <= _LARGEST_WHOLE):
        raise bad_request("2825", f"search_params: {name} is of type Integer, its bounds are not.")
    points = _points(name, entry)
    return Span(name, low, high, whole) if points is None else Grid(name, low, high, whole, points)


def _points(name: str, entry: Mapping[str, JSON]) -> int | None:
    given = child(dict(entry), "discrete_points_num")
    if given is None or given == "":
        return None
    points = integer(given)
    if points is None or not 2 <= points <= _LARGEST_WHOLE:
        raise _bad_points(name)
    return points


def _bad_points(name: str) -> Refusal:
    return bad_request("2826", f"search_params: the discrete_points_num of {name} must be a whole number from 2 on.")


def _finite(value: JSON) -> float | None:
    number = cells.number(value)
    return number if number is not None and number - number == 0 else None
