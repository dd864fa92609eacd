"""Conversion of arguments and connection fields to the number, flag or mapping that they stand for.

Rendered templates and connections in URI form hold only text. Every error names the field.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar

from airflow_provider_modelarts.core.json_values import describe
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TRUE = ("true", "1", "yes", "on", 1)
_FALSE = ("false", "0", "no", "off", 0)
_RENDERED_NONE = "None"  # a template that renders a missing XCom

T = TypeVar("T")
Choice = TypeVar("Choice", bound=StrEnum)


def identifier(field: str, value: object) -> str:
    """Return an id that may enter a path: 1 to 64 letters, digits, hyphens and underscores."""
    if value == _RENDERED_NONE:
        raise ModelArtsConfigurationError(f"{field} is None: the upstream task in its template pushed no XCom")
    if isinstance(value, str) and is_identifier(value):
        return value
    raise _invalid(field, "1 to 64 letters, digits, '-' and '_'", value)


def is_identifier(word: str) -> bool:
    """Return whether a word is an id that may enter a path."""
    return word != _RENDERED_NONE and _ID.fullmatch(word) is not None


def number(field: str, value: object) -> float:
    """Return a finite number."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            converted = float(value)
        except (ValueError, OverflowError):
            converted = math.nan
        if math.isfinite(converted):
            return converted
    raise _invalid(field, "a number", value)


def seconds(field: str, value: object) -> float:
    """Return a number of seconds above 0."""
    if (converted := number(field, value)) > 0:
        return converted
    raise _invalid(field, "above 0 seconds", value)


def integer(field: str, value: object, *, at_least: int = 0) -> int:
    """Return a whole number of at least ``at_least``."""
    converted = number(field, value)
    if converted.is_integer() and converted >= at_least:
        return int(converted)
    raise _invalid(field, f"a whole number, at least {at_least}", value)


def positive(field: str, value: object) -> int:
    """Return a whole number of at least 1."""
    return integer(field, value, at_least=1)


def optional(convert: Callable[[str, object], T], field: str, value: object) -> T | None:
    """Return a converted value; None for None and for an empty rendered template (``""`` or ``"None"``)."""
    return None if value is None or value in ("", _RENDERED_NONE) else convert(field, value)


def flag(field: str, value: object) -> bool:
    """Return a flag."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else value
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise _invalid(field, "true or false", value)


def choice(field: str, value: object, choices: type[Choice]) -> Choice:
    """Return a member of an enum."""
    word = str(value).strip().lower()
    for member in choices:
        if member.value == word:
            return member
    raise _invalid(field, " or ".join(repr(member.value) for member in choices), value)


def mapping(field: str, value: object) -> Mapping[str, object]:
    """Return a mapping with text keys, from a mapping or from JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _invalid(field, "a mapping or a JSON object", value) from None
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    raise _invalid(field, "a mapping or a JSON object", value)


def _invalid(field: str, expected: str, value: object) -> ModelArtsConfigurationError:
    return ModelArtsConfigurationError(f"{field} must be {expected}, not {describe(value)}")
