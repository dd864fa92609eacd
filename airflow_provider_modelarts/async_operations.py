"""The operations of the API as coroutines; the same as in :mod:`~airflow_provider_modelarts.operations`."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_modelarts.core import api, job_ends, paging
from airflow_provider_modelarts.core.flows import Sleep
from airflow_provider_modelarts.exceptions import ModelArtsError

if TYPE_CHECKING:
    from airflow_provider_modelarts.core.api import Algorithm, Filter, JobEvent, JobPage, ParameterImportance, Request
    from airflow_provider_modelarts.core.flows import Flow
    from airflow_provider_modelarts.core.jobs import TrainingJob
    from airflow_provider_modelarts.core.shapes import JSON
    from airflow_provider_modelarts.core.trials import Trial

T = TypeVar("T")


class AsyncModelArtsOperations(ABC):
    """The operations of the API, for whoever can make a call without blocking an event loop.

    Every method may raise the errors of :mod:`airflow_provider_modelarts.exceptions`.
    """

    @abstractmethod
    async def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the answer."""

    async def run(self, flow: Flow[T]) -> T:
        """Make the calls of a flow and return its result."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, Sleep):
                    await asyncio.sleep(step.seconds)
                    step = next(flow)
                    continue
                try:
                    value = await self.call(step)
                except ModelArtsError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(value)
        except StopIteration as end:
            result: T = end.value
            return result

    async def iter_trials(self, training_job_id: str, *, page_size: int = 50) -> AsyncIterator[Trial]:
        """Yield the trials of a search, page by page, as the pages arrive.

        :param page_size: trials per request, 1 to 50.
        :raises ModelArtsProtocolError: when the platform lists fewer trials than it promises.
        """
        walk = paging.walk(paging.checked_page_size(page_size))
        step = next(walk)
        while step.offset is not None:
            page = await self.call(api.list_trials(training_job_id, limit=page_size, offset=step.offset))
            step = walk.send(page)
            for trial in step.trials:
                yield trial

    async def list_trials(self, training_job_id: str, *, page_size: int = 50) -> list[Trial]:
        """Return all trials of a search. See :meth:`iter_trials`."""
        return [trial async for trial in self.iter_trials(training_job_id, page_size=page_size)]

    async def get_training_job(self, training_job_id: str) -> TrainingJob:
        """Return a training job (ShowTrainingJobDetails)."""
        return await self.call(api.show_training_job(training_job_id))

    async def get_algorithm(self, algorithm_id: str) -> Algorithm:
        """Return a managed algorithm with the settings of its search (ShowAlgorithmByUuid)."""
        return await self.call(api.show_algorithm(algorithm_id))

    async def get_trial(self, training_job_id: str, trial_id: str) -> list[Trial]:
        """Return the reports of one trial, oldest first; the last is its current state (ShowAutoSearchPerTrial).

        The platform gives no status here: ``done`` tells whether the trial has ended.
        """
        return await self.call(api.show_trial(training_job_id, trial_id))

    async def stop_trial(self, training_job_id: str, trial_id: str) -> str:
        """Stop one trial early, and return its id (ShowAutoSearchTrialEarlyStop)."""
        return await self.call(api.stop_trial(training_job_id, trial_id))

    async def get_parameter_importance(self, training_job_id: str) -> list[ParameterImportance]:
        """Return how much each hyperparameter matters, by the platform's analysis (ShowAutoSearchParamsAnalysis)."""
        return await self.call(api.show_parameter_importance(training_job_id))

    async def create_training_job(self, body: Mapping[str, JSON]) -> TrainingJob:
        """Create a training job (CreateTrainingJob). It costs money, and is never repeated by itself.

        :param body: as the platform documents it.
        """
        return await self.call(api.create_training_job(body))

    async def stop_training_job(self, training_job_id: str) -> bool:
        """Stop a training job (StopTrainingJob); return False when it had ended or is gone."""
        return await self.run(job_ends.stop_job(training_job_id))

    async def delete_training_job(self, training_job_id: str) -> bool:
        """Delete a training job (DeleteTrainingJob); return False when it was gone."""
        return await self.run(job_ends.delete_job(training_job_id))

    async def list_events(self, training_job_id: str, *, level: str | None = None, limit: int = 50) -> list[JobEvent]:
        """Return the events of a job, newest first (ListTrainingJobEvents).

        :param level: ``Info``, ``Warning`` or ``Error``; None for all.
        :param limit: 1 to 100.
        """
        return await self.call(api.list_events(training_job_id, level=level, limit=limit))

    async def get_log_preview(self, training_job_id: str, task: str = "worker-0") -> str:
        """Return the newest part of a task's log, empty while there is none (ShowTrainingJobLogsPreview).

        :param task: one of the job's ``tasks``.
        """
        return await self.run(job_ends.read_log(training_job_id, task))

    async def search_training_jobs(
        self, *, filters: Sequence[Filter] = (), limit: int = 50, offset: int = 0
    ) -> JobPage:
        """Return one page of the training jobs (ListTrainingJobs), newest first.

        :param filters: key, operator (between, like, in, not) and values of each, such as
            ``("phase", "in", ["Running"])``.
        :param limit: jobs per page, 1 to 50.
        :param offset: number of the page, from 0.
        """
        return await self.call(api.search_training_jobs(filters=filters, limit=limit, offset=offset))

    async def request(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: JSON = None
    ) -> JSON:
        """Call any other operation, with the same signature, retries and errors; return its JSON."""
        return await self.call(api.any_request(method, path, query, body))
