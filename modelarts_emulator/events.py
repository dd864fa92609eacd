"""One page of a job's events (ListTrainingJobEvents)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from airflow_provider_modelarts.core.json_values import JSON, integer, text
from modelarts_emulator.errors import bad_event_query

_LEVELS = ("Info", "Warning", "Error")
_LONGEST_PAGE = 100
_LONGEST_PATTERN = 256


def event_page(events: Sequence[Mapping[str, JSON]], query: Mapping[str, str]) -> dict[str, JSON]:
    """Return the page of some events that a query asks for; ``offset`` counts pages.

    :param events: oldest first.
    """
    limit, offset = _number(query, "limit", 50), _number(query, "offset", 0)
    level, order, pattern = query.get("level", ""), query.get("order", "desc"), query.get("pattern", "")
    if not 1 <= limit <= _LONGEST_PAGE:
        raise bad_event_query("limit")
    if order not in {"asc", "desc"}:
        raise bad_event_query("order")
    if level and level not in _LEVELS:
        raise bad_event_query("level")
    if len(pattern) > _LONGEST_PATTERN:
        raise bad_event_query("pattern")
    first, last = _number(query, "start_time", 0), _number(query, "end_time", 2**62)
    found = [
        dict(event)
        for event in events
        if (not level or event["level"] == level)
        and pattern in text(event["message"])
        and first <= _milliseconds(event) <= last
    ]
    ordered = found if order == "asc" else found[::-1]
    return {
        "total": len(found),
        "limit": limit,
        "offset": offset,
        "order": order,
        "start_time": query.get("start_time", ""),
        "end_time": query.get("end_time", ""),
        "events": list(ordered[offset * limit : (offset + 1) * limit]),
    }


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    number = integer(query[name]) if query.get(name) else default
    if number is None or number < 0:
        raise bad_event_query(name)
    return number


def _milliseconds(event: Mapping[str, JSON]) -> float:
    return datetime.fromisoformat(text(event["time"])).timestamp() * 1000
