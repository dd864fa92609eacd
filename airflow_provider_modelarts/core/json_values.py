"""JSON values, and readers that do not trust them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from airflow_provider_modelarts.exceptions import ModelArtsProtocolError, sanitize

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

# No id, count or time has more digits, and a float can hold every number of so many.
_MAX_DIGITS = 20
_INTEGER_LIMIT = 10**_MAX_DIGITS
# Longer ones fill an error message, and Python refuses to print the longest.
_PRINTED_INTEGER_LIMIT = 10**30


def as_object(value: JSON, what: str) -> dict[str, JSON]:
    """Return a value that must be a JSON object.

    :param what: name of the value in the error message.
    :raises ModelArtsProtocolError: when it is not an object.
    """
    if isinstance(value, dict):
        return value
    raise ModelArtsProtocolError(f"{what} should be a JSON object, but is {describe(value)}")


def as_list(value: JSON, what: str) -> list[JSON]:
    """Return a value that must be a JSON list.

    :param what: name of the value in the error message.
    :raises ModelArtsProtocolError: when it is not a list.
    """
    if isinstance(value, list):
        return value
    raise ModelArtsProtocolError(f"{what} should be a JSON list, but is {describe(value)}")


def items(value: JSON) -> list[JSON]:
    """Return the items of a JSON list; no items for any other value."""
    return value if isinstance(value, list) else []


def child(value: JSON, *keys: str) -> JSON:
    """Return the value under nested keys; None when a key is missing or its parent is not an object."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text(value: JSON) -> str:
    """Return a string as it is and a number as its digits; the empty string for any other value."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def one_line(value: JSON, limit: int) -> str:
    """Return the :func:`text` of a value on one line of bounded length, safe to log."""
    return sanitize(" ".join(text(value)[: 4 * limit].split()), limit)


def integer(value: JSON) -> int | None:
    """Return a whole number of at most 20 digits, also from text; None for any other value.

    The API documents several fields as integers in one place and as text in another.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < _INTEGER_LIMIT else None
    if not isinstance(value, str) or len(value) > _MAX_DIGITS or not value.isascii():
        return None
    return int(value) if value.strip().removeprefix("-").isdecimal() else None


def is_int64(value: int) -> bool:
    """Return whether an integer fits into 64 bits: databases and other JSON readers change longer ones."""
    return -(2**63) <= value < 2**63


def is_storable(text: str) -> bool:
    """Return whether a database stores a text unchanged: PostgreSQL rejects NUL and lone surrogates."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def replace_surrogates(text: str) -> str:
    """Return a text with lone surrogates replaced: neither files nor databases can encode them."""
    return text.encode("utf-8", "replace").decode()


def describe(value: object, limit: int = 60) -> str:
    """Return a short description of a value for an error message."""
    if isinstance(value, Mapping):
        return f"an object with {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) >= _PRINTED_INTEGER_LIMIT:
        return "a huge integer"
    shown = repr(value[: limit + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."
