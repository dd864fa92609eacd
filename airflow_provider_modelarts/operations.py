"""The operations of the API as methods, for whoever can make a call: the synchronous client, and the hook."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
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


class ModelArtsOperations(ABC):
    """The operations of the API, for whoever can make a call.

    Every method may raise the errors of :mod:`airflow_provider_modelarts.exceptions`.
    """

    @abstractmethod
    def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the answer."""

    def run(self, flow: Flow[T]) -> T:
        """Make the calls of a flow and return its result."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                    step = next(flow)
                    continue
                try:
                    value = self.call(step)
                except ModelArtsError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(value)
        except StopIteration as end:
            result: T = end.value
            return result

    def iter_trials(self, training_job_id: str, *, page_size: int = 50) -> Iterator[Trial]:
        """Yield the trials of a search, page by page, as the pages arrive.

        :param page_size: trials per request, 1 to 50.
        :raises ModelArtsProtocolError: when the platform lists fewer trials than it promises. So it does while a
            search starts its trials; wait for its end first.
        """
        walk = paging.walk(paging.checked_page_size(page_size))
        step = next(walk)
        while step.offset is not None:
            step = walk.send(self.call(api.list_trials(training_job_id, limit=page_size, offset=step.offset)))
            yield from step.trials

    def list_trials(self, training_job_id: str, *, page_size: int = 50) -> list[Trial]:
        """Return all trials of a search. See :meth:`iter_trials`."""
        return list(self.iter_trials(training_job_id, page_size=page_size))

    def get_training_job(self, training_job_id: str) -> TrainingJob:
        """Return a training job (ShowTrainingJobDetails)."""
        return self.call(api.show_training_job(training_job_id))

    def get_algorithm(self, algorithm_id: str) -> Algorithm:
        """Return a managed algorithm with the settings of its search (ShowAlgorithmByUuid)."""
        return self.call(api.show_algorithm(algorithm_id))

    def get_trial(self, training_job_id: str, trial_id: str) -> list[Trial]:
        """Return the reports of one trial, oldest first; the last is its current state (ShowAutoSearchPerTrial).

        The platform gives no status here: ``done`` tells whether the trial has ended.
        """
        return self.call(api.show_trial(training_job_id, trial_id))

    def stop_trial(self, training_job_id: str, trial_id: str) -> str:
        """Stop one trial early, and return its id (ShowAutoSearchTrialEarlyStop)."""
        return self.call(api.stop_trial(training_job_id, trial_id))

    def get_parameter_importance(self, training_job_id: str) -> list[ParameterImportance]:
        """Return how much each hyperparameter matters, by the platform's analysis (ShowAutoSearchParamsAnalysis)."""
        return self.call(api.show_parameter_importance(training_job_id))

    def create_training_job(self, body: Mapping[str, JSON]) -> TrainingJob:
        """Create a training job (CreateTrainingJob). It costs money, and is never repeated by itself.

        :param body: as the platform documents it.
        """
        return self.call(api.create_training_job(body))

    def stop_training_job(self, training_job_id: str) -> bool:
        """Stop a training job (StopTrainingJob); return False when it had ended or is gone."""
        return self.run(job_ends.stop_job(training_job_id))

    def delete_training_job(self, training_job_id: str) -> bool:
        """Delete a training job (DeleteTrainingJob); return False when it was gone."""
        return self.run(job_ends.delete_job(training_job_id))

    def list_events(self, training_job_id: str, *, level: str | None = None, limit: int = 50) -> list[JobEvent]:
        """Return the events of a job, newest first (ListTrainingJobEvents).

        :param level: ``Info``, ``Warning`` or ``Error``; None for all.
        :param limit: 1 to 100.
        """
        return self.call(api.list_events(training_job_id, level=level, limit=limit))

    def get_log_preview(self, training_job_id: str, task: str = "worker-0") -> str:
        """Return the newest part of a task's log, empty while there is none (ShowTrainingJobLogsPreview).

        :param task: one of the job's ``tasks``.
        """
        return self.run(job_ends.read_log(training_job_id, task))

    def search_training_jobs(self, *, filters: Sequence[Filter] = (), limit: int = 50, offset: int = 0) -> JobPage:
        """Return one page of the training jobs (ListTrainingJobs), newest first.

        :param filters: key, operator (between, like, in, not) and values of each, such as
            ``("phase", "in", ["Running"])``.
        :param limit: jobs per page, 1 to 50.
        :param offset: number of the page, from 0.
        """
        return self.call(api.search_training_jobs(filters=filters, limit=limit, offset=offset))

    def request(self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: JSON = None) -> JSON:
        """Call any other operation, with the same signature, retries and errors; return its JSON.

        :param path: such as ``/v2/{project_id}/training-job-flavors``; ``{project_id}`` is filled in.
        :param body: JSON to send; None sends no body.
        """
        return self.call(api.any_request(method, path, query, body))
