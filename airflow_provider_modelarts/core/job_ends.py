"""What to do when a job is no longer wanted, and what to say when it broke."""

from __future__ import annotations

from airflow_provider_modelarts.core import api
from airflow_provider_modelarts.core.flows import Flow, list_trials
from airflow_provider_modelarts.core.jobs import TrainingJob
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsConfigurationError,
    ModelArtsError,
    ModelArtsNotFoundError,
    harmless,
)

_NOT_STOPPABLE = 409  # with ModelArts.2796: it has ended already
_NO_LOG_YET = frozenset({"ModelArts.2776", "ModelArts.2818"})
_LAST_LINES = 20
_MOST_EVENTS = 5
_LONGEST_LINE = 300


def stop_job(training_job_id: str) -> Flow[bool]:
    """Stop a job; return False when there was nothing to stop: it has ended, or is gone."""
    try:
        yield api.stop_training_job(training_job_id)
    except ModelArtsNotFoundError:
        return False
    except ModelArtsApiError as error:
        if error.status == _NOT_STOPPABLE:
            return False
        raise
    return True


def delete_job(training_job_id: str) -> Flow[bool]:
    """Delete a job; return False when it was gone already."""
    try:
        yield api.delete_training_job(training_job_id)
    except ModelArtsNotFoundError:
        return False
    return True


def stop_trial(training_job_id: str, trial_id: str) -> Flow[bool]:
    """Stop one trial early; return False when it had ended.

    What the platform answers for a trial that has ended is documented nowhere, so that its status is read before.

    :raises ModelArtsConfigurationError: when the search lists no such trial.
    """
    listing = yield from list_trials(training_job_id, partial=True)
    trial = next((trial for trial in listing.trials if trial.trial_id == trial_id), None)
    if trial is None:
        raise ModelArtsConfigurationError(f"training job {training_job_id} lists no trial {trial_id!r}")
    if trial.ended:
        return False
    yield api.stop_trial(training_job_id, trial_id)
    return True


def read_log(training_job_id: str, task: str) -> Flow[str]:
    """Return the newest part of a task's log; empty while there is none."""
    try:
        log: str = yield api.show_log_preview(training_job_id, task)
    except ModelArtsApiError as error:
        if error.code in _NO_LOG_YET:
            return ""
        raise
    return log


def explain_failure(training_job_id: str) -> Flow[str]:
    """Return the last error events and log lines of a job, as far as they can be read. It raises nothing of ours."""
    events = yield from _readable("events", _last_events(training_job_id))
    lines = yield from _readable("log", _last_lines(training_job_id))
    return "\n".join([*events, *lines])


def _readable(what: str, flow: Flow[list[str]]) -> Flow[list[str]]:
    try:
        lines = yield from flow
    except ModelArtsError as error:
        return [f"(its {what} cannot be read: {error})"]
    return [harmless(line, _LONGEST_LINE) for line in lines]


def _last_events(training_job_id: str) -> Flow[list[str]]:
    events: list[api.JobEvent] = yield api.list_events(training_job_id, level="Error", limit=_MOST_EVENTS)
    return [f"{event.time} {event.source}: {event.message}" for event in reversed(events[:_MOST_EVENTS])]


def _last_lines(training_job_id: str) -> Flow[list[str]]:
    job: TrainingJob = yield api.show_training_job(training_job_id)
    lines = []
    for task in job.tasks[:1]:
        log = yield from read_log(training_job_id, task)
        lines += [f"{task}: {line}" for line in log.splitlines()[-_LAST_LINES:]]
    return lines
