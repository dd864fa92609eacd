"""Conditions and order of a job search (ListTrainingJobs)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from airflow_provider_modelarts.core.json_values import JSON, child, integer, text
from modelarts_emulator.errors import bad_filter

Document = Mapping[str, JSON]

_KEYS: Mapping[str, Sequence[str]] = {
    "algorithm_id": ("algorithm", "id"),
    "algorithm_name": ("algorithm", "name"),
    "create_time": ("metadata", "create_time"),
    "id": ("metadata", "id"),
    "kind": ("kind",),
    "name": ("metadata", "name"),
    "phase": ("status", "phase"),
}


def matching(documents: Iterable[Document], filters: JSON) -> list[Document]:
    """Return the jobs that meet all conditions; one whose values are all blank is no condition."""
    entries = filters if isinstance(filters, list) else []
    conditions = [condition for entry in entries if (condition := _condition(entry))]
    return [document for document in documents if all(meets(document) for meets in conditions)]


def in_order(documents: Iterable[Document], sort_by: JSON, order: JSON) -> list[Document]:
    """Return the jobs by time of creation, newest first unless ``order`` is ``asc``.

    Of jobs that were created in the same millisecond, the one that was added last is the newest.
    """
    if sort_by not in (None, "", "create_time") or order not in (None, "", "asc", "desc"):
        raise bad_filter("ModelArts.2790", "sort condition")
    oldest_first = sorted(documents, key=_created)
    return oldest_first if order == "asc" else oldest_first[::-1]


def _condition(entry: JSON) -> Callable[[Document], bool] | None:
    key, operator, given = text(child(entry, "key")), text(child(entry, "operator")), child(entry, "value")
    if key not in _KEYS:
        raise bad_filter("ModelArts.2807", "filter key")
    values = [text(value) for value in given if text(value)] if isinstance(given, list) else []
    if not values:
        return None
    if operator == "between" and key == "create_time":
        first, last = _instants(values)
        return lambda document: first <= _created(document) <= last
    if operator == "like":
        return lambda document: any(value in _value(document, key) for value in values)
    if operator == "in":
        return lambda document: _value(document, key) in values
    if operator == "not":
        return lambda document: _value(document, key) not in values
    raise bad_filter("ModelArts.2808", "filter operator")


def _instants(values: Sequence[str]) -> tuple[float, float]:
    try:
        first, last = (datetime.fromisoformat(value).timestamp() * 1000 for value in values)
    except (ValueError, OverflowError):
        raise bad_filter("ModelArts.2809", "filter value") from None
    return first, last


def _created(document: Document) -> int:
    return integer(child(dict(document), "metadata", "create_time")) or 0


def _value(document: Document, key: str) -> str:
    return text(child(dict(document), *_KEYS[key]))
