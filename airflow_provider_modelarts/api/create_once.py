"""Creating a training job exactly once.

A job costs money, and ``POST`` is not idempotent. The name says which task instance a job belongs to, so that a retry
finds what an earlier try created, and a ``POST`` without an answer is resolved by looking for the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_modelarts.api import operations
from airflow_provider_modelarts.api.flows import Flow, Sleep, stop_job
from airflow_provider_modelarts.core.job_identity import TaskIdentity, is_active, is_usable, plan
from airflow_provider_modelarts.core.jobs import JobPage, TrainingJob
from airflow_provider_modelarts.core.json_values import JSON, as_object, text
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsError,
    ModelArtsNotFoundError,
    ModelArtsProtocolError,
    ModelArtsServerError,
    ModelArtsTransportError,
)

_NAME_IS_TAKEN = "ModelArts.2751"
_LOOKS = (0.0, 1.0, 2.0, 4.0)  # seconds before each look for a job whose creation got no answer


@dataclass(frozen=True, slots=True)
class Acquired:
    """The job that a task works with; ``adopted`` when an earlier try had created it."""

    job: TrainingJob
    adopted: bool


def acquire_job(
    body: Mapping[str, JSON], identity: TaskIdentity, *, since: float = 0.0, remembered_id: str | None = None
) -> Flow[Acquired]:
    """Adopt the job of this generation of the task, or create it.

    Before one is created, those of other generations that are still at work are stopped: see :func:`plan`.

    :param body: of CreateTrainingJob; its name is replaced, its description gets a mark.
    :param since: seconds since the epoch before which this task can have created nothing.
    :param remembered_id: id of the job that this task has stored, if it could; no other proof is needed.
    :raises ModelArtsError: as the platform refuses; when nobody knows whether a job was created, that is what it says.
    """
    if remembered_id is not None:
        known = yield from _show(remembered_id)
        if known is not None and identity.owns(known) and is_usable(known):
            return Acquired(known, adopted=True)
    decision = plan(identity, (yield from _similar(identity)), since=since)
    if decision.adopt is not None:
        return Acquired(decision.adopt, adopted=True)
    for earlier in decision.superseded:
        yield from stop_job(earlier.id)
    return (yield from _create(_named(body, identity, decision.name), identity, decision.name))


def stop_unanswered(identity: TaskIdentity) -> Flow[bool]:
    """Stop what a task may have created whose creation was broken off; return whether there was anything."""
    for seconds in _LOOKS:
        yield Sleep(seconds)
        if (yield from _stop_active(identity)):
            return True
    return False


def _create(body: Mapping[str, JSON], identity: TaskIdentity, name: str) -> Flow[Acquired]:
    unanswered: ModelArtsError
    try:
        return Acquired((yield operations.create_training_job(body)), adopted=False)
    except (ModelArtsTransportError, ModelArtsServerError, ModelArtsProtocolError) as error:
        unanswered = error
    except ModelArtsApiError as error:
        if error.code != _NAME_IS_TAKEN:
            raise
        unanswered = error
    for seconds in _LOOKS:
        yield Sleep(seconds)
        for job in (yield from _similar(identity)):
            if job.name == name and identity.owns(job):
                return Acquired(job, adopted=True)
    unanswered.add_note(f"No training job named {name} was found since. A retry of the task looks for it again.")
    raise unanswered


def _similar(identity: TaskIdentity) -> Flow[list[TrainingJob]]:
    page: JobPage = yield operations.search_training_jobs(filters=[("name", "like", [identity.name])])
    return list(page.jobs)


def _stop_active(identity: TaskIdentity) -> Flow[bool]:
    active = [job for job in (yield from _similar(identity)) if identity.owns(job) and is_active(job)]
    for job in active:
        yield from stop_job(job.id)
    return bool(active)


def _show(training_job_id: str) -> Flow[TrainingJob | None]:
    try:
        job: TrainingJob = yield operations.show_training_job(training_job_id)
    except ModelArtsNotFoundError:
        return None
    return job


def _named(body: Mapping[str, JSON], identity: TaskIdentity, name: str) -> dict[str, JSON]:
    metadata = as_object(body.get("metadata") or {}, "body.metadata")
    description = identity.described(text(metadata.get("description")))
    return {**body, "metadata": {**metadata, "name": name, "description": description}}
