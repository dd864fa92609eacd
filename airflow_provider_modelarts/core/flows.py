"""What takes several calls, as generators of requests.

The drivers make the calls, send back the values and throw in the errors.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from airflow_provider_modelarts.core import api, paging
from airflow_provider_modelarts.core.api import Request
from airflow_provider_modelarts.core.jobs import SearchSettings, TrainingJob
from airflow_provider_modelarts.core.progress import Listing
from airflow_provider_modelarts.core.trials import Trial
from airflow_provider_modelarts.exceptions import ModelArtsNotFoundError, ModelArtsPermissionError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let some seconds pass before the next request."""

    seconds: float


# A generator type cannot say that each request is answered with a value of its own type.
Flow: TypeAlias = Generator[Request[Any] | Sleep, Any, T]


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a search: its job, with the settings of the search filled in, and its trials."""

    job: TrainingJob
    listing: Listing


def look_at_search(training_job_id: str, known: SearchSettings | None = None) -> Flow[Look]:
    """Read a job, and its trials where it can have any.

    :param known: settings of the search from an earlier look; spares asking for the algorithm again.
    """
    job: TrainingJob = yield api.show_training_job(training_job_id)
    if job.phase.is_starting:
        return Look(job, Listing())
    if job.search is None:
        job = replace(job, search=known or (yield from _search_of_algorithm(job)))
    return Look(job, (yield from list_trials(training_job_id, partial=True)))


def choose_from_search(training_job_id: str) -> Flow[Look]:
    """Read a job and all its trials, for choosing among them. Of a job still at work, those it has so far."""
    job: TrainingJob = yield api.show_training_job(training_job_id)
    if job.search is None:
        job = replace(job, search=(yield from _search_of_algorithm(job)))
    partial = not job.phase.is_terminal
    return Look(job, (yield from list_trials(training_job_id, partial=partial)))


def list_trials(training_job_id: str, *, page_size: int = paging.MAX_PAGE_SIZE, partial: bool = False) -> Flow[Listing]:
    """Read all trials, page by page. For ``partial`` see :func:`~airflow_provider_modelarts.core.paging.walk`."""
    trials: list[Trial] = []
    total = 0
    walk = paging.walk(page_size, partial=partial)
    step = next(walk)
    while step.offset is not None:
        page = yield api.list_trials(training_job_id, limit=page_size, offset=step.offset)
        total = page.total
        step = walk.send(page)
        trials += step.trials
    return Listing(trials, total)


def _search_of_algorithm(job: TrainingJob) -> Flow[SearchSettings]:
    """Return the settings of the algorithm that a job was created from; empty ones when nobody can tell."""
    if job.algorithm_id is None:
        return SearchSettings()
    try:
        algorithm: api.Algorithm = yield api.show_algorithm(job.algorithm_id)
    except (ModelArtsNotFoundError, ModelArtsPermissionError):
        return SearchSettings()  # deleted since, or not ours: the search itself can still be read
    return algorithm.search or SearchSettings()
