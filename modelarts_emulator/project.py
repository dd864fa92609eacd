"""One project of the platform: its jobs and algorithms, the job search, and event listings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from modelarts_emulator.auth import Clock, Iam
from modelarts_emulator.documents import TableStyle, algorithm_document
from modelarts_emulator.errors import (
    algorithm_not_found,
    bad_event_query,
    bad_filter,
    bad_request,
    job_not_found,
)
from modelarts_emulator.jobs import Job, ScriptedJob
from modelarts_emulator.json_values import JSON, child, integer, text
from modelarts_emulator.runs.executor import Executor
from modelarts_emulator.runs.request import checked_body, complete_algorithm
from modelarts_emulator.scenario import Search
from modelarts_emulator.vocabulary import DEFAULT_WORKSPACE

Document = Mapping[str, JSON]

_SEARCH_KEYS: Mapping[str, Sequence[str]] = {
    "algorithm_id": ("algorithm", "id"),
    "algorithm_name": ("algorithm", "name"),
    "create_time": ("metadata", "create_time"),
    "id": ("metadata", "id"),
    "kind": ("kind",),
    "name": ("metadata", "name"),
    "phase": ("status", "phase"),
}
_EVENT_LEVELS = ("Info", "Warning", "Error")
# limits of ListTrainingJobEvents
_MAX_EVENTS = 100
_MAX_PATTERN = 256


class JobRules(Protocol):
    """Rules for the names and the listing of jobs, read at each request.

    :class:`~modelarts_emulator.Emulator` documents them.
    """

    listing_lag: float
    lists_descriptions: bool
    unique_names: bool
    reserves_names: bool


class Project:
    """One project in one region.

    :param style: of trial tables.
    :param clock: seconds since the epoch, for the times of jobs and the lag of the job search.
    """

    def __init__(self, *, region: str, project_id: str, style: TableStyle, clock: Clock, rules: JobRules) -> None:
        self.region = region
        self.project_id = project_id
        self.style = style
        self.iam = Iam(clock, region, project_id)
        self._executor: Executor | None = None
        self._clock = clock
        self._rules = rules
        self._jobs: dict[str, Job] = {}
        self._deleted_names: set[str] = set()
        self._algorithms: dict[str, Document] = {}

    def add(self, job: Job) -> None:
        """Add a job. It replaces a job with the same id."""
        self._jobs[job.id] = job

    def add_search(self, search: Search) -> None:
        """Add a scripted search, and the algorithm that holds its settings if it has one."""
        self.add(ScriptedJob(search, self._clock))
        if search.algorithm_id:
            self._algorithms[search.algorithm_id] = algorithm_document(search)

    def open(self, executor: Executor) -> None:
        """Accept new jobs, which the executor runs, and add the jobs that it has kept."""
        self._executor = executor
        for job in executor.restored_jobs():
            self.add(job)

    async def close(self) -> None:
        """End all running jobs."""
        if self._executor is not None:
            await self._executor.close()
            self._executor = None

    def create(self, body: Document) -> Job:
        """Add and start the job of a CreateTrainingJob body, or refuse it.

        Names are unique across workspaces: the platform documents no difference between them.
        """
        if self._executor is None:
            raise RuntimeError("jobs can be created only while the emulator serves")
        checked = checked_body(body)
        name = text(child(checked, "metadata", "name"))
        if self._rules.unique_names and name in self._used_names():
            raise bad_request("2751", f"The training job name {name} is in use.")
        job = self._executor.create(checked, complete_algorithm(checked, self.algorithm))
        self.add(job)
        return job

    def delete(self, job_id: str) -> None:
        """Remove a job, and end it if it is running."""
        self._deleted_names.add(_value(self.job(job_id).document(), "name"))
        del self._jobs[job_id]
        if self._executor is not None:
            self._executor.remove(job_id)

    def job(self, job_id: str) -> Job:
        """Return a job, or raise the platform's refusal."""
        if job_id not in self._jobs:
            raise job_not_found(job_id)
        return self._jobs[job_id]

    def jobs(self) -> list[Job]:
        """Return all jobs, oldest first."""
        return list(self._jobs.values())

    def listed_jobs(self, workspace_id: str) -> list[Document]:
        """Return the jobs of a workspace as the job search lists them, oldest first."""
        documents = (job.document() for job in self.jobs())
        listed = [document for document in documents if self._is_listed(document, workspace_id)]
        return listed if self._rules.lists_descriptions else [_without_description(document) for document in listed]

    def algorithm(self, algorithm_id: str) -> Document:
        """Return the response of ShowAlgorithmByUuid, or raise the platform's refusal."""
        if algorithm_id not in self._algorithms:
            raise algorithm_not_found()
        return self._algorithms[algorithm_id]

    def _used_names(self) -> set[str]:
        """Return the names that a new job cannot have."""
        names = {_value(job.document(), "name") for job in self.jobs()}
        return names | self._deleted_names if self._rules.reserves_names else names

    def _is_listed(self, document: Document, workspace_id: str) -> bool:
        lag, age = self._rules.listing_lag, round(self._clock() * 1000) - _created(document)
        return _workspace_id(document) == workspace_id and (lag <= 0 or age >= lag * 1000)


def matching_jobs(documents: Iterable[Document], filters: JSON) -> list[Document]:
    """Return the jobs that meet all conditions. A condition with blank values only is ignored."""
    entries = filters if isinstance(filters, list) else []
    conditions = [condition for entry in entries if (condition := _condition(entry))]
    return [document for document in documents if all(meets(document) for meets in conditions)]


def sorted_jobs(documents: Iterable[Document], sort_by: JSON, order: JSON) -> list[Document]:
    """Return the jobs by time of creation, newest first unless ``order`` is ``asc``.

    Of jobs that were created in the same millisecond, the one that was added last is the newest.
    """
    if sort_by not in (None, "", "create_time") or order not in (None, "", "asc", "desc"):
        raise bad_filter("ModelArts.2790", "sort condition")
    oldest_first = sorted(documents, key=_created)
    return oldest_first if order == "asc" else oldest_first[::-1]


def _condition(entry: JSON) -> Callable[[Document], bool] | None:
    key, operator, given = text(child(entry, "key")), text(child(entry, "operator")), child(entry, "value")
    if key not in _SEARCH_KEYS:
        raise bad_filter("ModelArts.2807", "filter key")
    values = [text(value) for value in given if text(value)] if isinstance(given, list) else []
    if not values:
        return None
    if operator == "between" and key == "create_time":
        first, last = _interval(values)
        return lambda document: first <= _created(document) <= last
    if operator == "like":
        return lambda document: any(value in _value(document, key) for value in values)
    if operator == "in":
        return lambda document: _value(document, key) in values
    if operator == "not":
        return lambda document: _value(document, key) not in values
    raise bad_filter("ModelArts.2808", "filter operator")


def _interval(values: Sequence[str]) -> tuple[float, float]:
    try:
        first, last = (datetime.fromisoformat(value).timestamp() * 1000 for value in values)
    except (ValueError, OverflowError):
        raise bad_filter("ModelArts.2809", "filter value") from None
    return first, last


def _without_description(document: Document) -> Document:
    metadata = child(dict(document), "metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    return {**document, "metadata": {name: value for name, value in fields.items() if name != "description"}}


def _created(document: Document) -> int:
    return integer(child(dict(document), "metadata", "create_time")) or 0


def _workspace_id(document: Document) -> str:
    return text(child(dict(document), "metadata", "workspace_id")) or DEFAULT_WORKSPACE


def _value(document: Document, key: str) -> str:
    return text(child(dict(document), *_SEARCH_KEYS[key]))


def event_page(events: Sequence[Mapping[str, JSON]], query: Mapping[str, str]) -> dict[str, JSON]:
    """Return the page of events that a query of ListTrainingJobEvents selects; ``offset`` counts pages.

    :param events: oldest first.
    """
    limit, offset = _event_number(query, "limit", 50), _event_number(query, "offset", 0)
    level, order, pattern = query.get("level", ""), query.get("order", "desc"), query.get("pattern", "")
    if not 1 <= limit <= _MAX_EVENTS:
        raise bad_event_query("limit")
    if order not in {"asc", "desc"}:
        raise bad_event_query("order")
    if level and level not in _EVENT_LEVELS:
        raise bad_event_query("level")
    if len(pattern) > _MAX_PATTERN:
        raise bad_event_query("pattern")
    first, last = _event_number(query, "start_time", 0), _event_number(query, "end_time", 2**62)
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


def _event_number(query: Mapping[str, str], name: str, default: int) -> int:
    number = integer(query[name]) if query.get(name) else default
    if number is None or number < 0:
        raise bad_event_query(name)
    return number


def _milliseconds(event: Mapping[str, JSON]) -> float:
    return datetime.fromisoformat(text(event["time"])).timestamp() * 1000
