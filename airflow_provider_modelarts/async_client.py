"""The asynchronous client: aiohttp drives the API layer. Works without Airflow."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_modelarts.api import flows, operations, pagination, session
from airflow_provider_modelarts.api.connection_pool import Pool, single_flight
from airflow_provider_modelarts.api.credentials import secrets_of
from airflow_provider_modelarts.api.exchange import (
    Authenticate,
    Exchange,
    Outside,
    Pause,
    Send,
    exchange,
    find_project_id,
)
from airflow_provider_modelarts.api.flows import Sleep
from airflow_provider_modelarts.api.login import obtain
from airflow_provider_modelarts.api.retry import PASSING_ERRORS
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsAuthenticationError, ModelArtsError, ModelArtsThrottledError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from airflow_provider_modelarts.api.credentials import Credential
    from airflow_provider_modelarts.api.flows import Flow
    from airflow_provider_modelarts.api.operations import Filter, Request
    from airflow_provider_modelarts.api.settings import Settings
    from airflow_provider_modelarts.core.jobs import Algorithm, JobEvent, JobPage, ParameterImportance, TrainingJob
    from airflow_provider_modelarts.core.json_values import JSON
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
        walk = pagination.walk(pagination.checked_page_size(page_size))
        step = next(walk)
        while step.offset is not None:
            page = await self.call(operations.list_trials(training_job_id, limit=page_size, offset=step.offset))
            step = walk.send(page)
            for trial in step.trials:
                yield trial

    async def list_trials(self, training_job_id: str, *, page_size: int = 50) -> list[Trial]:
        """Return all trials of a search. See :meth:`iter_trials`."""
        return [trial async for trial in self.iter_trials(training_job_id, page_size=page_size)]

    async def get_training_job(self, training_job_id: str) -> TrainingJob:
        """Return a training job (ShowTrainingJobDetails)."""
        return await self.call(operations.show_training_job(training_job_id))

    async def get_algorithm(self, algorithm_id: str) -> Algorithm:
        """Return a managed algorithm with the settings of its search (ShowAlgorithmByUuid)."""
        return await self.call(operations.show_algorithm(algorithm_id))

    async def get_trial(self, training_job_id: str, trial_id: str) -> list[Trial]:
        """Return the reports of one trial, oldest first; the last is its current state (ShowAutoSearchPerTrial).

        The platform gives no status here: ``done`` tells whether the trial has ended.
        """
        return await self.call(operations.show_trial(training_job_id, trial_id))

    async def stop_trial(self, training_job_id: str, trial_id: str) -> str:
        """Stop one trial early, and return its id (ShowAutoSearchTrialEarlyStop)."""
        return await self.call(operations.stop_trial(training_job_id, trial_id))

    async def get_parameter_importance(self, training_job_id: str) -> list[ParameterImportance]:
        """Return how much each hyperparameter matters, by the platform's analysis (ShowAutoSearchParamsAnalysis)."""
        return await self.call(operations.show_parameter_importance(training_job_id))

    async def create_training_job(self, body: Mapping[str, JSON]) -> TrainingJob:
        """Create a training job (CreateTrainingJob). It costs money, and is never repeated by itself.

        :param body: as the platform documents it.
        """
        return await self.call(operations.create_training_job(body))

    async def stop_training_job(self, training_job_id: str) -> bool:
        """Stop a training job (StopTrainingJob); return False when it had ended or is gone."""
        return await self.run(flows.stop_job(training_job_id))

    async def delete_training_job(self, training_job_id: str) -> bool:
        """Delete a training job (DeleteTrainingJob); return False when it was gone."""
        return await self.run(flows.delete_job(training_job_id))

    async def list_events(self, training_job_id: str, *, level: str | None = None, limit: int = 50) -> list[JobEvent]:
        """Return the events of a job, newest first (ListTrainingJobEvents).

        :param level: ``Info``, ``Warning`` or ``Error``; None for all.
        :param limit: 1 to 100.
        """
        return await self.call(operations.list_events(training_job_id, level=level, limit=limit))

    async def get_log_preview(self, training_job_id: str, task: str = "worker-0") -> str:
        """Return the newest part of a task's log, empty while there is none (ShowTrainingJobLogsPreview).

        :param task: one of the job's ``tasks``.
        """
        return await self.run(flows.read_log(training_job_id, task))

    async def search_training_jobs(
        self, *, filters: Sequence[Filter] = (), limit: int = 50, offset: int = 0
    ) -> JobPage:
        """Return one page of the training jobs (ListTrainingJobs), newest first.

        :param filters: key, operator (between, like, in, not) and values of each, such as
            ``("phase", "in", ["Running"])``.
        :param limit: jobs per page, 1 to 50.
        :param offset: number of the page, from 0.
        """
        return await self.call(operations.search_training_jobs(filters=filters, limit=limit, offset=offset))

    async def request(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: JSON = None
    ) -> JSON:
        """Call any other operation, with the same signature, retries and errors; return its JSON."""
        return await self.call(operations.any_request(method, path, query, body))


class AsyncModelArtsClient(AsyncModelArtsOperations):
    """ModelArts over keep-alive connections, for an event loop. Use it in an ``async with`` statement.

    Clients of one event loop that call as the same one share their connections and their pace: see
    :class:`~airflow_provider_modelarts.api.connection_pool.Pool`. Its methods are those of
    :class:`~airflow_provider_modelarts.client.ModelArtsClient`, to be awaited.

    :param settings: where and as whom to call.
    :param reload: returns the settings as they are now; asked once when the platform refuses the key or password.
    :param on_secret: is told each token and key that is obtained at run time, to mask it in logs.
    :param is_urgent: call past the queue and the pace of the pool, and keep to no long ``Retry-After``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reload: Callable[[], Awaitable[Settings]] | None = None,
        on_secret: Callable[[str], Awaitable[None]] | None = None,
        is_urgent: bool = False,
    ) -> None:
        self.settings = settings
        self._is_urgent = is_urgent
        self._reload = reload
        self._on_secret = on_secret
        self._outside = Outside(time.time, random.random)
        self._joined: Pool | None = None

    async def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the answer."""
        if self._is_urgent:
            hurried = replace(self.settings, retry=self.settings.retry.urgent())
            return await self._drive(exchange(request, hurried, self._outside))
        async with self._pool.turn():
            return await self._drive(exchange(request, self.settings, self._outside))

    async def project_id(self) -> str:
        """Return the project id, looked up by the region's name if it is not set."""
        return await self._drive(find_project_id(self.settings, self._outside))

    async def close(self) -> None:
        """Close the connections, unless other clients share them."""
        joined, self._joined = self._joined, None
        if joined is not None:
            await joined.leave()

    async def __aenter__(self) -> AsyncModelArtsClient:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def _pool(self) -> Pool:
        self._joined = self._joined or Pool.join(self.settings)
        return self._joined

    async def _drive(self, exchange: Exchange[T]) -> T:
        try:
            step = next(exchange)
            while True:
                match step:
                    case Send():
                        step = exchange.send(await self._pool.send(step, self.settings))
                    case Authenticate(refused=refused):
                        step = exchange.send(await self._authenticate(refused))
                    case Pause(seconds=seconds, error=error):
                        if isinstance(error, ModelArtsThrottledError):
                            self._pool.slow_down(seconds)
                        await asyncio.sleep(seconds)
                        step = next(exchange)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _authenticate(self, refused: Credential | None) -> Credential | None:
        """Return what proves who calls; None when there is nothing else than what was refused."""
        try:
            credential = await self._credential(refused)
        except ModelArtsAuthenticationError:
            if not await self._is_changed():
                raise
            return await self._credential(None)
        if credential is None and await self._is_changed():
            return await self._credential(None)
        return credential

    async def _credential(self, refused: Credential | None) -> Credential | None:
        """Return the credential that all share who sign in alike; obtain one if there is none that is fresh."""
        if isinstance(self.settings.credentials, AccessKey):
            return None if refused == self.settings.credentials else self.settings.credentials
        fresh = session.fresh(self.settings, refused, time.time())
        if fresh is not None:
            return fresh
        try:
            credential = await single_flight(
                session.identity(self.settings), lambda: _renew(self.settings, self._on_secret)
            )
        except PASSING_ERRORS:
            valid = session.valid(self.settings, refused, time.time())
            if valid is None:
                raise
            return valid
        return None if credential == refused else credential

    async def _is_changed(self) -> bool:
        """Read the settings again, and return whether they say to sign in otherwise than before."""
        if self._reload is None:
            return False
        before, self.settings = self.settings, await self._reload()
        return self.settings.credentials != before.credentials


async def _renew(settings: Settings, on_secret: Callable[[str], Awaitable[None]] | None) -> Credential:
    """Sign in over a connection of its own: whoever asked first may be gone before it is done."""
    async with AsyncModelArtsClient(settings) as client:
        issued = await client._drive(obtain(settings, client._outside))
    session.keep(settings, issued)
    if on_secret is not None:
        for secret in secrets_of(issued.credential):
            await on_secret(secret)
    return issued.credential
