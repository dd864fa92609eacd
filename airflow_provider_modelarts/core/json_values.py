"""JSON values, and reading them without trusting them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from airflow_provider_modelarts.exceptions import ModelArtsProtocolError, sanitize

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

_END_OF_INTEGERS = 10**20  # no id, count or time has more digits, and floats can hold what is below


def as_object(value: JSON, what: str) -> dict[str, JSON]:
    """Return a JSON object, or raise :class:`ModelArtsProtocolError` saying what is none."""
    if isinstance(value, dict):
        return value
    raise ModelArtsProtocolError(f"{what} should be a JSON object, but is {describe(value)}")


def as_list(value: JSON, what: str) -> list[JSON]:
    """Return a JSON list, or raise :class:`ModelArtsProtocolError` saying what is none."""
    if isinstance(value, list):
        return value
    raise ModelArtsProtocolError(f"{what} should be a JSON list, but is {describe(value)}")


def child(value: JSON, *keys: str) -> JSON:
    """Return what lies under nested keys; None where the way there ends."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(value: JSON) -> str:
    """Return a text; the empty one for anything that is none (numbers become their digits)."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def words(value: JSON, limit: int) -> str:
    """Return a text for people to read, harmless in a log: the words of it, on one line and of bounded length."""
    return sanitize(" ".join(text(value)[: 4 * limit].split()), limit)


def integer(value: JSON) -> int | None:
    """Return a whole number of 20 digits at most, also from its digits; None for anything else.

    The documents type several fields as integer here and as text there.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < _END_OF_INTEGERS else None
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.strip().removeprefix("-").isdecimal():
        return int(value)
    return None


def describe(value: object, limit: int = 60) -> str:
    """Return a short description of a value for an error message."""
    if isinstance(value, Mapping):
        return f"an object with {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a huge integer"
    shown = repr(value[: limit + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."
