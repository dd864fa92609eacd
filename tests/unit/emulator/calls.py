"""Calls of an emulator's handlers without HTTP, which return JSON."""

from __future__ import annotations

import json
from typing import Any

from modelarts_emulator import Emulator, handlers
from modelarts_emulator.handlers import Call


def get_job(emulator: Emulator, job_id: str) -> Any:
    """Return the JSON of a job. Each call is one tick."""
    return _json(handlers.show_job(emulator.project, Call({"job_id": job_id})))


def get_trials(emulator: Emulator, job_id: str, **query: int) -> Any:
    """Return the JSON of one page of trials."""
    call = Call({"job_id": job_id}, {name: str(value) for name, value in query.items()})
    return _json(handlers.list_trials(emulator.project, call))


def get_algorithm(emulator: Emulator, algorithm_id: str) -> Any:
    """Return the JSON of an algorithm."""
    return _json(handlers.show_algorithm(emulator.project, Call({"algorithm_id": algorithm_id})))


def search_jobs(emulator: Emulator, **body: object) -> Any:
    """Return the JSON of a job search."""
    return _json(handlers.search_jobs(emulator.project, Call({}, body=json.dumps(body).encode())))


def column(page: Any, name: str) -> list[Any]:
    """Return one column of a page, with None for the cells missing from short rows."""
    position = page["items"]["header"].index(name)
    return [row[position] if position < len(row) else None for row in page["items"]["data"]]


def _json(value: object) -> Any:
    return json.loads(json.dumps(value))
