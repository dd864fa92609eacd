"""What operations read: the names in a path, a query, and a body. No HTTP in here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_modelarts.api.pagination import MAX_PAGE_SIZE
from airflow_provider_modelarts.core.json_values import JSON, integer
from modelarts_emulator.errors import bad_body, bad_parameter


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation reads: the names in its path, its query, its body and its headers, in lower case."""

    names: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def job_id(self) -> str:
        """The id of the job in the path."""
        return self.names["job_id"]

    def object(self) -> dict[str, JSON]:
        """Return the object in the body; an empty one where there is none."""
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise bad_body() from None
        if not isinstance(value, dict):
            raise bad_body()
        return value


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that is more than JSON: headers and text."""

    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)


def page_of(given: Mapping[str, JSON] | Mapping[str, str]) -> tuple[int, int]:
    """Return limit and offset, or refuse those that are out of range."""
    limit, offset = number_of(given, "limit", MAX_PAGE_SIZE), number_of(given, "offset", 0)
    if not 1 <= limit <= MAX_PAGE_SIZE:
        raise bad_parameter("limit")
    return limit, offset


def number_of(given: Mapping[str, JSON] | Mapping[str, str], name: str, default: int) -> int:
    """Return a whole number that is not negative, or refuse it."""
    number = integer(given[name]) if name in given else default
    if number is None or number < 0:
        raise bad_parameter(name)
    return number
