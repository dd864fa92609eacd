"""Exactly-once creation of a training job.

A job costs money, and ``POST`` is not idempotent. The name of a job identifies its task: a retry finds the job of an
earlier try by it, and a ``POST`` without a response is resolved by a search for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from airflow_provider_modelarts.api import operations
from airflow_provider_modelarts.api.flows import Flow, Sleep, stop_job
from airflow_provider_modelarts.core.job_identity import (
    OnClear,
    Plan,
    Relation,
    TaskIdentity,
    Training,
    is_active,
    plan,
)
from airflow_provider_modelarts.core.jobs import JobPage, TrainingJob
from airflow_provider_modelarts.core.json_values import JSON, as_object, child, text
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsError,
    ModelArtsNotFoundError,
    ModelArtsProtocolError,
    ModelArtsServerError,
    ModelArtsTransportError,
)

#: How long a listing may lag behind the creation of a job, in seconds; measured lags are not published.
MAX_LISTING_LAG = 300.0

_NAME_IS_TAKEN = "ModelArts.2751"
_MAX_NAMES = 5  # to try: names of deleted jobs may stay reserved
_MAX_DELAY = 15.0  # seconds between two searches


@dataclass(frozen=True, slots=True)
class Posted:
    """Creation that may have arrived.

    :param name: of the job.
    :param at: seconds since the epoch.
    """

    name: str
    at: float


@dataclass(frozen=True)
class JobRequest:
    """Job that a task asks for.

    :param body: of CreateTrainingJob; its name is replaced, its description gets a mark.
    :param on_clear: treatment of the jobs from before a clear.
    :param known_id: id of the last job that the task has stored.
    :param known_is_own: whether this generation has stored it; no other proof is required.
    :param posted: the ``POST`` of an earlier try whose response was not stored.
    :param stops_others: stop the other active jobs of the task.
    :param search_seconds: how long to search for a job whose creation got no response.
    """

    identity: TaskIdentity
    body: Mapping[str, JSON]
    on_clear: OnClear = OnClear.RESTART
    known_id: str | None = None
    known_is_own: bool = False
    posted: Posted | None = None
    search_seconds: float = 90.0
    stops_others: bool = True

    @cached_property
    def training(self) -> Training:
        """Content of the training."""
        return Training.of(self.body)

    @property
    def workspace_id(self) -> str:
        """The workspace of the job: a search lists the jobs of one."""
        return text(child(dict(self.body), "metadata", "workspace_id")) or "0"


@dataclass(frozen=True, slots=True)
class Acquired:
    """Job of a task.

    :param adopted: whether an earlier try created it.
    :param left: active jobs of the same task and run id that were left alone, because they are not provably its own.
    :param superseded: other active jobs of the task, which were stopped unless ``stops_others`` is False.
    """

    job: TrainingJob
    adopted: bool
    left: tuple[TrainingJob, ...] = ()
    superseded: tuple[TrainingJob, ...] = ()


class CreationLog(Protocol):
    """Record of a creation that outlives the process of the task."""

    def begin(self, name: str) -> None:
        """Record that the ``POST`` of a job is about to be sent."""

    def refuse(self) -> None:
        """Record that the platform has refused it."""


def acquire_job(
    request: JobRequest,
    *,
    is_healthy: Callable[[TrainingJob], Flow[bool]],
    log: CreationLog,
    clock: Callable[[], float],
) -> Flow[Acquired]:
    """Adopt the job of this generation of the task, or create it.

    Other active jobs of the task are stopped first: see :func:`~airflow_provider_modelarts.core.job_identity.plan`.

    :param is_healthy: returns whether to adopt a job of the task that is not active.
    :param clock: returns seconds since the epoch.
    :raises ModelArtsError: as the platform refuses; a note says so when it stays unknown whether a job was created.
    """
    known = (yield from _show(request.known_id)) if request.known_id else None
    if known and request.known_is_own and (yield from _is_usable(known, is_healthy)):
        return Acquired(known, adopted=True)
    decision = yield from _find(request, known, clock)
    for other in decision.superseded if request.stops_others else ():
        yield from stop_job(other.id)
    candidate = decision.candidate
    if candidate and (yield from _is_usable(candidate, is_healthy)):
        return Acquired(candidate, True, decision.foreign, decision.superseded)
    created = yield from _create(request, _first_number(request, decision), log)
    return replace(created, left=decision.foreign, superseded=decision.superseded)


def _first_number(request: JobRequest, decision: Plan) -> int:
    """Return the number of the next job; that of a ``POST`` without a job may be reserved."""
    posted = request.identity.read_name(request.posted.name) if request.posted else None
    if posted and request.posted and request.identity.name(posted.number) == request.posted.name:
        return max(decision.number, posted.number + 1)
    return decision.number


def stop_unanswered(request: JobRequest, search_seconds: float) -> Flow[bool]:
    """Stop the job of a task whose creation was interrupted; return False if none was found.

    :param search_seconds: how long the job may be missing in the listing.
    """
    for pause in _pauses(search_seconds):
        yield Sleep(pause)
        decision = plan(request.identity, request.training, (yield from _similar(request)), request.on_clear)
        if decision.candidate and is_active(decision.candidate):
            yield from stop_job(decision.candidate.id)
            return True
    return False


def _is_usable(job: TrainingJob, is_healthy: Callable[[TrainingJob], Flow[bool]]) -> Flow[bool]:
    return is_active(job) or (yield from is_healthy(job))


def _find(request: JobRequest, known: TrainingJob | None, clock: Callable[[], float]) -> Flow[Plan]:
    """Search for the jobs of the task; after a ``POST`` that may have arrived, until its job must be listed."""
    posted = request.posted
    deadline = posted.at + MAX_LISTING_LAG if posted else 0.0
    for pause in _pauses(math.inf):
        yield Sleep(max(0.0, min(pause, deadline - clock())))
        jobs = yield from _similar(request)
        if known and known.id not in {job.id for job in jobs}:
            jobs.append(known)
        if clock() >= deadline or (posted and posted.name in {job.name for job in jobs}):
            break
    return plan(request.identity, request.training, jobs, request.on_clear)


def _create(request: JobRequest, first_number: int, log: CreationLog) -> Flow[Acquired]:
    for number in range(first_number, first_number + _MAX_NAMES):
        name = request.identity.name(number)
        answer = yield from _post(request, name, log)
        if isinstance(answer, TrainingJob):
            return Acquired(answer, adopted=False)
        if found := (yield from _search(request, name)):
            return Acquired(found, adopted=True)
        error = answer
        if not _is_name_taken(error):
            break
    error.add_note(
        f"No training job named {name} was found within {request.search_seconds:g} seconds. A retry searches again."
    )
    raise error


def _post(request: JobRequest, name: str, log: CreationLog) -> Flow[TrainingJob | ModelArtsError]:
    """Create a job; return the error after which the job may exist."""
    create = operations.create_training_job(_named(request, name))
    log.begin(name)
    try:
        job: TrainingJob = yield create
    except (ModelArtsTransportError, ModelArtsServerError, ModelArtsProtocolError) as error:
        return error
    except ModelArtsApiError as error:
        if _is_name_taken(error):
            return error
        log.refuse()
        raise
    return job


def _is_name_taken(error: ModelArtsError) -> bool:
    return isinstance(error, ModelArtsApiError) and error.code == _NAME_IS_TAKEN


def _search(request: JobRequest, name: str) -> Flow[TrainingJob | None]:
    """Return the job of a name; None if the search does not list it in time, or lists that of another task."""
    for pause in _pauses(request.search_seconds):
        yield Sleep(pause)
        for job in (yield from _similar(request)):
            if job.name == name:
                is_own = request.identity.relation(job, request.training) is Relation.OWN
                return job if is_own else None
    return None


def _pauses(seconds: float) -> Iterator[float]:
    """Yield the seconds before each search: none before the first, and a given time in all."""
    pause, left = 0.0, seconds
    yield pause
    while left > 0:
        pause = min(2 * pause or 1.0, _MAX_DELAY, left)
        left -= pause
        yield pause


def _similar(request: JobRequest) -> Flow[list[TrainingJob]]:
    """Return the jobs of the task, of all its runs with this id."""
    page: JobPage = yield operations.search_training_jobs(
        filters=[("name", "like", [request.identity.stem])], workspace_id=request.workspace_id
    )
    jobs = [job for job in page.jobs if request.identity.read_name(job.name)]
    for place, job in enumerate(jobs):
        is_needed = not request.identity.nonce_is_proof or request.on_clear is OnClear.RESUME
        if is_needed and not job.description:  # a listing may leave it out
            jobs[place] = (yield from _show(job.id)) or job
    return jobs


def _show(training_job_id: str) -> Flow[TrainingJob | None]:
    try:
        job: TrainingJob = yield operations.show_training_job(training_job_id)
    except ModelArtsNotFoundError:
        return None
    return job


def _named(request: JobRequest, name: str) -> dict[str, JSON]:
    metadata = as_object(request.body.get("metadata") or {}, "body.metadata")
    description = request.identity.described(text(metadata.get("description")), request.training)
    return {**request.body, "metadata": {**metadata, "name": name, "description": description}}
