"""The triggers, and how a task defers to them."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from abc import abstractmethod
from contextvars import copy_context
from datetime import timedelta
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from concurrent.futures import ThreadPoolExecutor

    from airflow_provider_modelarts.api.polling import Poller, PollResult
    from airflow_provider_modelarts.async_client import AsyncModelArtsClient
    from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook


#: How much longer than the trigger's own deadline Airflow waits for it, should the triggerer be gone.
_BACKSTOP = timedelta(minutes=5)


class _Waiting(Protocol):
    modelarts_conn_id: str
    region: str | None
    project_id: str | None

    def defer(self, *, trigger: BaseTrigger, method_name: str, timeout: timedelta | None) -> NoReturn: ...


def defer_to_trigger(
    task: _Waiting, make_trigger: Callable[..., BaseTrigger], *, seconds: float | None, **arguments: Any
) -> NoReturn:
    """Defer a task, to go on with its ``execute_complete``.

    :param make_trigger: makes the trigger from the arguments that all triggers have.
    :param seconds: how long to wait at most; without end when None.
    :param arguments: further arguments of the trigger.
    """
    task.defer(
        trigger=make_trigger(
            modelarts_conn_id=task.modelarts_conn_id,
            region=task.region,
            project_id=task.project_id,
            deadline=None if seconds is None else time.time() + seconds,
            **arguments,
        ),
        method_name="execute_complete",
        timeout=None if seconds is None else timedelta(seconds=seconds) + _BACKSTOP,
    )


_AIRFLOW_CALLS_ON_KILL = hasattr(BaseTrigger, "on_kill")  # from 3.3 on
_is_loaded = threading.Event()  # what a look needs


class _ModelArtsBaseTrigger(BaseTrigger):
    """Looks at one job until it is done or failed, or until a deadline.

    Fires once, with ``{"training_job_id": ..., "status": ...}``: ``done`` or ``failed`` with a ``message`` and a
    ``summary``, ``timeout`` with a ``message``, or ``error`` with the ``error`` of a call.

    :param training_job_id: id of the job.
    :param poll_interval: seconds between two looks, give or take a tenth; the first is at some time within them, so
        that thousands of waits that start together do not look together.
    :param deadline: seconds since the epoch; absolute, so that a restart of the triggerer does not move it.
    :param ignore_errors: go on after a call that failed, as a sensor with ``silent_fail`` does.
    :param stop_on_kill: stop the job when somebody ends the task; for the task that started it.
    """

    def __init__(
        self,
        own: dict[str, Any],
        *,
        training_job_id: str,
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        ignore_errors: bool = False,
        stop_on_kill: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.training_job_id = training_job_id
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.ignore_errors = ignore_errors
        self.stop_on_kill = stop_on_kill
        self._own = own

    @abstractmethod
    def _poller(self) -> Poller:
        """Return what looks at the job."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class and the arguments that make an equal trigger."""
        shared = (
            "training_job_id",
            "modelarts_conn_id",
            "region",
            "project_id",
            "poll_interval",
            "deadline",
            "ignore_errors",
            "stop_on_kill",
        )
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {**{name: getattr(self, name) for name in shared}, **self._own}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the job again and again, and fire one event at its end."""
        from airflow_provider_modelarts.exceptions import ModelArtsError, error_to_dict

        try:
            event = await self._wait()
        except asyncio.CancelledError:
            await self._cancelled()
            raise
        except ModelArtsError as error:
            event = {"status": "error", "error": error_to_dict(error)}
        except Exception as error:  # a trigger that raises leaves its task with no explanation
            await self._say(
                logging.ERROR, "Waiting for training job %s broke off", self.training_job_id, exc_info=error
            )
            message = f"waiting for training job {self.training_job_id} broke off: {type(error).__name__}: {error}"
            event = {"status": "error", "error": error_to_dict(ModelArtsError(message))}
        yield TriggerEvent({"training_job_id": self.training_job_id, **event})

    async def on_kill(self) -> None:
        """Stop the job, if its task started it. Airflow calls this from 3.3 on, when somebody ends the task.

        It is called once, and broken off after half a minute: it cannot queue behind calls that hang or are throttled.
        """
        from airflow_provider_modelarts.api.flows import stop_job

        if not self.stop_on_kill:
            return
        async with await self._hook().get_async_conn(is_urgent=True) as client:
            await client.run(stop_job(self.training_job_id))
        await self._say(logging.INFO, "Training job %s was stopped, because its task was ended", self.training_job_id)

    async def _cancelled(self) -> None:
        """Tell, on Airflow 2.11, a task that somebody ended from a triggerer that only shuts down."""
        if self.stop_on_kill and not _AIRFLOW_CALLS_ON_KILL:
            from airflow_provider_modelarts.triggers.task_state import is_still_deferred

            if not await is_still_deferred(self.task_instance):
                await self.on_kill()

    def _hook(self) -> ModelArtsHook:
        from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook

        return ModelArtsHook(self.modelarts_conn_id, self.region, self.project_id)

    async def _wait(self) -> dict[str, Any]:
        await _load()
        from airflow_provider_modelarts.api.polling import first_delay_of, next_delay_of
        from airflow_provider_modelarts.core.progress import State

        await self._rest(first_delay_of(self.poll_interval, random.random()))
        watch = self._poller()
        async with await self._hook().get_async_conn() as client:
            while True:
                glance = await self._look(client, watch)
                if glance is not None and glance.state is not State.WAITING:
                    return {"status": glance.state.value, "message": glance.message, "summary": glance.summary}
                if not await self._rest(next_delay_of(self.poll_interval, random.random())):
                    return {"status": "timeout", "message": watch.timeout_message()}

    async def _rest(self, seconds: float) -> bool:
        """Sleep, but not beyond the deadline; return False when that has passed before."""
        left = seconds if self.deadline is None else self.deadline - time.time()
        await asyncio.sleep(max(0.0, min(seconds, left)))
        return left > 0

    async def _look(self, client: AsyncModelArtsClient, watch: Poller) -> PollResult | None:
        from airflow_provider_modelarts.exceptions import (
            ModelArtsAuthenticationError,
            ModelArtsConfigurationError,
            ModelArtsError,
        )
        from airflow_provider_modelarts.hooks.modelarts import with_connection_hint

        try:
            glance = await client.run(watch.look(time.time))
        except ModelArtsError as error:
            known = with_connection_hint(error, client.settings, self.modelarts_conn_id)
            if not self.ignore_errors or isinstance(error, (ModelArtsAuthenticationError, ModelArtsConfigurationError)):
                raise known.with_traceback(error.__traceback__) from error.__cause__
            await self._say(logging.WARNING, "Ignored, as silent_fail asks: %s", known)
            return None
        if glance.news:
            await self._say(logging.INFO, glance.news)
        return glance

    async def _say(self, level: int, message: str, *values: object, exc_info: Exception | None = None) -> None:
        """Write to the task's log in a thread, and go on after a second at the latest.

        Writing waits for Airflow's supervisor, which may wait for this loop, or be busy for long.
        """
        write = partial(copy_context().run, self.log.log, level, message, *values, exc_info=exc_info)
        await asyncio.wait([asyncio.get_running_loop().run_in_executor(_writer(), write)], timeout=1)


class ModelArtsHyperparameterSearchTrigger(_ModelArtsBaseTrigger):
    """Waits for a search: see :class:`_ModelArtsBaseTrigger`; the arguments not named there are those of the sensor.

    :param stop_when: a value of the search's objective with which it is done before its end.
    """

    def __init__(
        self,
        *,
        expected_trials: int | None = None,
        max_failed_trials: int = 0,
        accept_stopped: bool = False,
        settle_seconds: float = 120.0,
        stop_when: float | None = None,
        **shared: Any,
    ) -> None:
        own = {
            "expected_trials": expected_trials,
            "max_failed_trials": max_failed_trials,
            "accept_stopped": accept_stopped,
            "settle_seconds": settle_seconds,
            "stop_when": stop_when,
        }
        super().__init__(own, **shared)

    def _poller(self) -> Poller:
        from airflow_provider_modelarts.api.polling import SearchPoller
        from airflow_provider_modelarts.core.progress import WaitPolicy

        own = dict(self._own)
        stop_when = own.pop("stop_when")
        return SearchPoller(self.training_job_id, WaitPolicy(**own), stop_when)


class ModelArtsTrainingJobTrigger(_ModelArtsBaseTrigger):
    """Waits for a training job: see :class:`_ModelArtsBaseTrigger`.

    :param accept_stopped: take a job that somebody stopped for done.
    """

    def __init__(self, *, accept_stopped: bool = False, **shared: Any) -> None:
        super().__init__({"accept_stopped": accept_stopped}, **shared)

    def _poller(self) -> Poller:
        from airflow_provider_modelarts.api.polling import JobPoller

        return JobPoller(self.training_job_id, **self._own)


@cache
def _writer() -> ThreadPoolExecutor:
    """Return the one thread that writes: while it waits for the supervisor, those of the event loop do other things."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, "modelarts-log")


async def _load() -> None:
    """Import in a thread what a look needs: it takes some tenths of a second, and must not hold up the event loop."""
    if not _is_loaded.is_set():
        await asyncio.to_thread(_import)


def _import() -> None:
    for name in ("hooks.modelarts", "async_client", "api.polling"):
        import_module(f"airflow_provider_modelarts.{name}")
    import_module("aiohttp")
    _is_loaded.set()
