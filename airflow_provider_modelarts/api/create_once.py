"""Exactly-once creation of a training job.

A job costs money, and ``POST`` is not idempotent. The name of a job identifies its task instance: a retry finds the job
of an earlier try by it, and a ``POST`` without a response is resolved by a search for it.
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
_SEARCH_DELAYS = (0.0, 1.0, 2.0, 4.0)  # seconds before each search for a job whose creation got no response


@dataclass(frozen=True, slots=True)
class Acquired:
    """Job of a task; ``adopted`` when an earlier try created it."""

    job: TrainingJob
    adopted: bool


def acquire_job(
    body: Mapping[str, JSON], identity: TaskIdentity, *, since: float = 0.0, remembered_id: str | None = None
) -> Flow[Acquired]:
    """Adopt the job of this generation of the task, or create it.

    Before a job is created, active jobs of other generations are stopped: see
    :func:`~airflow_provider_modelarts.core.job_identity.plan`.

    :param body: of CreateTrainingJob; its name is replaced, its description gets a mark.
    :param since: seconds since the epoch; a job that is older was not created by this task.
    :param remembered_id: id of the job that this task has stored; no other proof is required.
    :raises ModelArtsError: as the platform refuses; a note says so when it stays unknown whether a job was created.
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
    """Stop the job of a task whose creation was interrupted; return False if none was found."""
    for seconds in _SEARCH_DELAYS:
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
    for seconds in _SEARCH_DELAYS:
        yield Sleep(seconds)
        for job in (yield from _similar(identity)):
            if job.name == name and identity.owns(job):
                return Acquired(job, adopted=True)
    unanswered.add_note(f"No training job named {name} was found since. A retry of the task searches for it again.")
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
