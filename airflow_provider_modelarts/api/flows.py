"""Operations of several calls, as generators of requests."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from airflow_provider_modelarts.api import operations, pagination
from airflow_provider_modelarts.api.operations import Request
from airflow_provider_modelarts.core.jobs import Algorithm, JobEvent, SearchSettings, TrainingJob
from airflow_provider_modelarts.core.progress import Listing, SearchSnapshot
from airflow_provider_modelarts.core.trials import Trial
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsConfigurationError,
    ModelArtsError,
    ModelArtsNotFoundError,
    ModelArtsPermissionError,
    sanitize,
)

T = TypeVar("T")

_NOT_STOPPABLE = 409  # with ModelArts.2796: the job has ended
_NO_LOG_YET = frozenset({"ModelArts.2776", "ModelArts.2818"})

# of a failed job in the task's error: what a person reads at once
_MAX_LOG_LINES = 20
_MAX_EVENTS = 5
_MAX_LINE = 300


@dataclass(frozen=True, slots=True)
class Sleep:
    """Step: sleep for some seconds before the next request."""

    seconds: float


# A generator type cannot express that the result of each request has a type of its own.
Flow: TypeAlias = Generator[Request[Any] | Sleep, Any, T]


def snapshot_for_polling(training_job_id: str, known: SearchSettings | None = None) -> Flow[SearchSnapshot]:
    """Read a job, and its trials once it can have any.

    :param known: settings of the search from an earlier poll; they spare a request for the algorithm.
    """
    job: TrainingJob = yield operations.show_training_job(training_job_id)
    if job.phase.is_starting:
        return SearchSnapshot(job, Listing())
    if job.search is None:
        job = replace(job, search=known or (yield from _search_of_algorithm(job)))
    return SearchSnapshot(job, (yield from read_listing(training_job_id, partial=True)))


def snapshot_for_ranking(training_job_id: str) -> Flow[SearchSnapshot]:
    """Read a job and all its trials; of an active job, the trials that it lists so far."""
    job: TrainingJob = yield operations.show_training_job(training_job_id)
    if job.search is None:
        job = replace(job, search=(yield from _search_of_algorithm(job)))
    partial = not job.phase.is_terminal
    return SearchSnapshot(job, (yield from read_listing(training_job_id, partial=partial)))


def read_listing(
    training_job_id: str, *, page_size: int = pagination.MAX_PAGE_SIZE, partial: bool = False
) -> Flow[Listing]:
    """Read all trials, page by page. For ``partial`` see :func:`~airflow_provider_modelarts.api.pagination.walk`."""
    trials: list[Trial] = []
    total = 0
    walk = pagination.walk(page_size, partial=partial)
    step = next(walk)
    while step.offset is not None:
        page = yield operations.list_trials_page(training_job_id, limit=page_size, offset=step.offset)
        total = page.total
        step = walk.send(page)
        trials += step.trials
    return Listing(trials, total)


def _search_of_algorithm(job: TrainingJob) -> Flow[SearchSettings]:
    """Return the search settings of the job's algorithm; empty ones when they stay unknown."""
    if job.algorithm_id is None:
        return SearchSettings()
    try:
        algorithm: Algorithm = yield operations.show_algorithm(job.algorithm_id)
    except (ModelArtsNotFoundError, ModelArtsPermissionError):
        return SearchSettings()  # deleted, or of another account: the search itself can still be read
    return algorithm.search or SearchSettings()


def stop_job(training_job_id: str) -> Flow[bool]:
    """Stop a job; return False if it has ended or no longer exists."""
    try:
        yield operations.stop_training_job(training_job_id)
    except ModelArtsNotFoundError:
        return False
    except ModelArtsApiError as error:
        if error.status == _NOT_STOPPABLE:
            return False
        raise
    return True


def delete_job(training_job_id: str) -> Flow[bool]:
    """Delete a job; return False if it no longer exists."""
    try:
        yield operations.delete_training_job(training_job_id)
    except ModelArtsNotFoundError:
        return False
    return True


def stop_running_trial(training_job_id: str, trial_id: str) -> Flow[bool]:
    """Stop one trial early; return False if it has ended.

    The response to stopping an ended trial is not documented, so the status of the trial is read first.

    :raises ModelArtsConfigurationError: when the search does not list the trial.
    """
    listing = yield from read_listing(training_job_id, partial=True)
    trial = next((trial for trial in listing.trials if trial.trial_id == trial_id), None)
    if trial is None:
        raise ModelArtsConfigurationError(f"training job {training_job_id} lists no trial {trial_id!r}")
    if trial.ended:
        return False
    yield operations.stop_trial(training_job_id, trial_id)
    return True


def read_log(training_job_id: str, task: str) -> Flow[str]:
    """Return the newest part of a task's log; empty while there is none."""
    try:
        log: str = yield operations.show_log_preview(training_job_id, task)
    except ModelArtsApiError as error:
        if error.code in _NO_LOG_YET:
            return ""
        raise
    return log


def explain_failure(training_job_id: str) -> Flow[str]:
    """Return who failed, and the last error events and log lines of a job, or why they cannot be read."""
    events = yield from _readable("events", _last_events(training_job_id))
    lines = yield from _readable("log", _last_lines(training_job_id))
    return "\n".join([*events, *lines])


def _readable(what: str, flow: Flow[list[str]]) -> Flow[list[str]]:
    try:
        lines = yield from flow
    except ModelArtsError as error:
        return [f"(its {what} cannot be read: {error})"]
    return [sanitize(line, _MAX_LINE) for line in lines]


def _last_events(training_job_id: str) -> Flow[list[str]]:
    events: list[JobEvent] = yield operations.list_events(training_job_id, level="Error", limit=_MAX_EVENTS)
    return [f"{event.time} {event.source}: {event.message}" for event in reversed(events[:_MAX_EVENTS])]


def _last_lines(training_job_id: str) -> Flow[list[str]]:
    job: TrainingJob = yield operations.show_training_job(training_job_id)
    lines = [_culprit(job)] if job.phase.is_failure else []
    for task in job.tasks[:1]:
        log = yield from read_log(training_job_id, task)
        lines += [f"{task}: {line}" for line in log.splitlines()[-_MAX_LOG_LINES:]]
    return lines


def _culprit(job: TrainingJob) -> str:
    if job.exit_code is None:
        return "The platform failed: it reports no exit code of the training script."
    return f"The training script failed with exit code {job.exit_code}. Its last lines:"
