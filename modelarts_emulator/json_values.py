"""JSON values, and readers that do not trust their types."""

from __future__ import annotations

import math
import re
from typing import TypeAlias

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

_INTEGER = re.compile(r"\s*-?\d{1,20}\s*", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_TENSOR = re.compile(r"tensor\(([^,()]+)(?:,.*)?\)")
_MAX_INTEGER = 10**20  # no id, count or time has more digits
_MAX_DESCRIPTION = 60


class ShapeError(ValueError):
    """A JSON value of another type than the documented one."""


def as_object(value: JSON, what: str) -> dict[str, JSON]:
    """Return a JSON object.

    :raises ShapeError: naming ``what`` is not an object.
    """
    if not isinstance(value, dict):
        raise ShapeError(f"{what} must be a JSON object, not {describe(value)}")
    return value


def as_list(value: JSON, what: str) -> list[JSON]:
    """Return a JSON list.

    :raises ShapeError: naming ``what`` is not a list.
    """
    if not isinstance(value, list):
        raise ShapeError(f"{what} must be a JSON list, not {describe(value)}")
    return value


def child(value: object, *keys: str) -> JSON:
    """Return the value below nested keys, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value  # type: ignore[return-value]  # values of JSON objects are JSON


def text(value: JSON) -> str:
    """Return a text, the digits of a number, or an empty text for any other value."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return str(value)


def number(value: JSON) -> float | None:
    """Return the number that a value, its text or the text of a tensor holds, or None. NaN is a number here."""
    if isinstance(value, str):
        tensor = _TENSOR.fullmatch(value.strip())
        word = (tensor[1] if tensor else value).strip()
        return float(word) if _NUMBER.fullmatch(word) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def finite(value: JSON) -> float | None:
    """Return the finite number in a value, or None."""
    found = number(value)
    return found if found is not None and math.isfinite(found) else None


def integer(value: JSON) -> int | None:
    """Return the whole number that a value or its text holds, or None. The platform sends both types."""
    if isinstance(value, str):
        return int(value) if _INTEGER.fullmatch(value) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) < _MAX_INTEGER else None


def describe(value: object) -> str:
    """Return a value as one short printable line for an error message."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    shown = repr(value[: _MAX_DESCRIPTION + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= _MAX_DESCRIPTION else f"{shown[:_MAX_DESCRIPTION]}..."
