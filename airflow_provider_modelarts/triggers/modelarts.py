"""The triggers, how a task defers to them, and the outcome that it resumes with."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from abc import abstractmethod
from contextlib import suppress
from contextvars import copy_context
from datetime import timedelta
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, Protocol

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsError,
    ModelArtsProtocolError,
    error_from_dict,
    error_to_dict,
)
from airflow_provider_modelarts.task_state import Ending, learn_ending_in_trigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from concurrent.futures import ThreadPoolExecutor

    from airflow_provider_modelarts.api.polling import Poller, PollResult
    from airflow_provider_modelarts.async_client import AsyncModelArtsClient
    from airflow_provider_modelarts.core.progress import FailureCause
    from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook

_MAX_END_SECONDS = 25.0  # Airflow allows on_kill 30 seconds
_BACKSTOP = timedelta(minutes=5)  # Airflow's own timeout after the trigger's deadline, if the triggerer is down
# From 3.3 on, Airflow calls on_kill. On 3.0 and 3.1, a question in a trigger may be answered with another's answer.
_CANCEL_MEANS_KILL = not hasattr(BaseTrigger, "on_kill") and (AIRFLOW_V_3_2_PLUS or not AIRFLOW_V_3_0_PLUS)


class _DeferrableTask(Protocol):
    modelarts_conn_id: str
    region: str | None
    project_id: str | None

    def defer(self, *, trigger: BaseTrigger, method_name: str, timeout: timedelta | None) -> NoReturn: ...


def defer_to_trigger(
    task: _DeferrableTask, make_trigger: Callable[..., BaseTrigger], *, seconds: float | None, **arguments: Any
) -> NoReturn:
    """Defer a task, which resumes in its ``execute_complete``.

    :param make_trigger: makes the trigger from the arguments that all triggers have.
    :param seconds: longest wait; unlimited when None.
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


class TriggerOutcome(NamedTuple):
    """Outcome of a wait: sent by the trigger as an event, and read by the task that resumes.

    Events are stored, and outlive an upgrade: their keys and statuses stay.

    :param status: ``done`` or ``failed``, as the job; ``timeout`` when the deadline has passed; ``error`` when a call
        failed.
    :param message: reason; empty for an ``error``.
    :param summary: summary of a job that is ``done`` or ``failed``.
    :param error: the error of the call, as plain JSON.
    :param cause: of a failure, as a word of :class:`~airflow_provider_modelarts.core.progress.FailureCause`.
    """

    training_job_id: str
    status: Literal["done", "failed", "timeout", "error"]
    message: str = ""
    summary: dict[str, Any] = {}  # noqa: RUF012 - an outcome is never changed
    error: dict[str, Any] = {}  # noqa: RUF012
    cause: str = ""

    def to_event(self) -> dict[str, Any]:
        """Return the payload of the event, as plain JSON, without what is empty."""
        return {name: value for name, value in self._asdict().items() if value}

    @classmethod
    def from_event(cls, event: Any, training_job_id: str | None) -> TriggerOutcome:
        """Return the outcome that :meth:`to_event` was called on.

        :param training_job_id: id of the job that the task waits for.
        :raises ModelArtsProtocolError: if the event is missing, or lacks what its status requires.
        """
        match event:
            case (
                {"status": "done", "message": str(), "summary": dict()}
                | {"status": "failed" | "timeout", "message": str()}
                | {"status": "error", "error": dict()}
            ):
                known = {name: event[name] for name in cls._fields if name in event}
                return cls(**{"training_job_id": training_job_id or "", **known})
        raise ModelArtsProtocolError(f"the trigger of training job {training_job_id} ended without a readable outcome")

    def failure_cause(self) -> FailureCause | None:
        """Return the cause of a failure; None for one that is not known here."""
        from airflow_provider_modelarts.core.progress import FailureCause

        return FailureCause(self.cause) if self.cause in set(FailureCause) else None

    def raise_error(self) -> None:
        """Raise the error of the call that ended the wait, if one did."""
        if self.status == "error":
            raise error_from_dict(self.error)


class _ModelArtsBaseTrigger(BaseTrigger):
    """Poll of one job until it is done or has failed, or until a deadline; fires one :class:`TriggerOutcome`.

    :param arguments: all arguments of the trigger, to be stored.
    """

    training_job_id: str
    modelarts_conn_id: str
    region: str | None
    project_id: str | None
    poll_interval: float
    deadline: float | None
    ignore_errors: bool
    stop_on_kill: bool
    generation: int | None

    def __init__(self, **arguments: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        vars(self).update(arguments)
        self._names = tuple(arguments)

    @abstractmethod
    def make_poller(self) -> Poller:
        """Return a poller of the job."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class, and the arguments that make an equal trigger."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in self._names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the job, and fire one event at the end of the wait."""
        try:
            outcome = await self._wait()
        except asyncio.CancelledError:
            if self.stop_on_kill and _CANCEL_MEANS_KILL:
                await _finish(self._stop_if_ended())
            raise
        except ModelArtsError as error:
            outcome = self._failed_call(error)
        except Exception as error:  # a trigger that raises leaves its task without an explanation
            message = f"the wait for training job {self.training_job_id} failed: {type(error).__name__}: {error}"
            await self._write_log(logging.ERROR, "%s", message, exc_info=error)
            outcome = self._failed_call(ModelArtsError(message))
        yield TriggerEvent(outcome.to_event())

    async def on_kill(self) -> None:
        """Stop the job, if the task created it and has ended. Airflow calls this from 3.3 on.

        Airflow also calls it for triggers that another triggerer has taken over. It cancels the call a second later.
        """
        if self.stop_on_kill:
            await _finish(self._stop_if_ended())

    async def _stop_if_ended(self) -> None:
        """Stop the job if its task has ended; log a failure to do so."""
        ending = await learn_ending_in_trigger(self.task_instance, self.training_job_id, self.generation)
        if ending not in {Ending.ENDED, Ending.CLEARED}:
            reason = (
                "another process waits for it" if ending is Ending.TAKEN_OVER else "Airflow reports no end of its task"
            )
            message = "The trigger was cancelled, but training job %s keeps running: %s"
            await self._write_log(logging.INFO, message, self.training_job_id, reason)
            return
        from airflow_provider_modelarts.api.flows import stop_job

        try:
            async with await self._hook().get_async_conn(is_urgent=True) as client:
                is_stopping = await client.run(stop_job(self.training_job_id))
        except ModelArtsError as error:
            message = "Failed to stop training job %s, whose task was ended and which may still be running: %s"
            await self._write_log(logging.ERROR, message, self.training_job_id, error)
        else:
            outcome = "is being stopped" if is_stopping else "has already ended"
            message = "The task was ended: training job %s %s"
            await self._write_log(logging.INFO, message, self.training_job_id, outcome)

    def _failed_call(self, error: ModelArtsError) -> TriggerOutcome:
        return TriggerOutcome(self.training_job_id, "error", error=error_to_dict(error))

    def _hook(self) -> ModelArtsHook:
        from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook

        return ModelArtsHook(self.modelarts_conn_id, self.region, self.project_id)

    async def _wait(self) -> TriggerOutcome:
        await _load()
        from airflow_provider_modelarts.api.polling import first_delay, next_delay
        from airflow_provider_modelarts.core.progress import State

        await self._sleep(first_delay(self.poll_interval, random.random()))
        poller = self.make_poller()
        async with await self._hook().get_async_conn() as client:
            while True:
                polled = await self._poll(client, poller)
                if polled is not None and polled.state is not State.WAITING:
                    status: Literal["done", "failed"] = "done" if polled.state is State.DONE else "failed"
                    cause = polled.cause or ""
                    return TriggerOutcome(self.training_job_id, status, polled.message, polled.summary, cause=cause)
                if not await self._sleep(next_delay(self.poll_interval, random.random())):
                    return TriggerOutcome(self.training_job_id, "timeout", poller.timeout_message())

    async def _sleep(self, seconds: float) -> bool:
        """Sleep until the deadline at most; return False if it had already passed."""
        left = seconds if self.deadline is None else self.deadline - time.time()
        await asyncio.sleep(max(0.0, min(seconds, left)))
        return left > 0

    async def _poll(self, client: AsyncModelArtsClient, poller: Poller) -> PollResult | None:
        from airflow_provider_modelarts.hooks.modelarts import with_connection_hint

        try:
            polled = await client.run(poller.poll(time.time))
        except ModelArtsError as error:
            hinted = with_connection_hint(error, client.settings, self.modelarts_conn_id)
            if not self.ignore_errors or isinstance(error, (ModelArtsAuthenticationError, ModelArtsConfigurationError)):
                raise hinted.with_traceback(error.__traceback__) from error.__cause__
            await self._write_log(logging.WARNING, "Ignored a failed call because silent_fail is set: %s", hinted)
            return None
        if polled.log_line:
            await self._write_log(logging.INFO, polled.log_line)
        return polled

    async def _write_log(self, level: int, message: str, *values: object, exc_info: Exception | None = None) -> None:
        """Write to the task's log in a background thread; continue after a second at most.

        A write blocks on Airflow's supervisor, which may be busy, or itself wait for this event loop.
        """
        write = partial(copy_context().run, self.log.log, level, message, *values, exc_info=exc_info)
        await asyncio.wait([asyncio.get_running_loop().run_in_executor(_log_writer(), write)], timeout=1)


class ModelArtsHyperparameterSearchTrigger(_ModelArtsBaseTrigger):
    """Wait for a hyperparameter search; fires one :class:`TriggerOutcome`.

    :param training_job_id: id of the search job.
    :param modelarts_conn_id: id of the connection.
    :param region: takes precedence over the connection's region.
    :param project_id: takes precedence over the connection's project id.
    :param poll_interval: seconds between two polls, give or take a tenth. The first poll is at a random time within
        them, which spreads waits that start together.
    :param deadline: seconds since the epoch; absolute, so that a restart of the triggerer does not move it.
    :param ignore_errors: continue after a failed call, as a sensor with ``silent_fail``.
    :param stop_on_kill: stop the job when the task is ended; for a task that created the job.
    :param generation: the task's ``max_tries`` when it deferred, which a clear changes; None if a clear stops no job.
    :param expected_trials: number of trials that the search will run; its own ``num_samples`` when None.
    :param max_failed_trials: number of trials that may end in ERROR.
    :param accept_stopped: treat a stopped search as completed, if one of its trials has ended.
    :param settle_seconds: seconds by which the trial table may lag behind the end of the job.
    :param stop_when: value of the objective at which the wait is done before the search has ended.
    """

    expected_trials: int | None
    max_failed_trials: int
    accept_stopped: bool
    settle_seconds: float
    stop_when: float | None

    def __init__(
        self,
        *,
        training_job_id: str,
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        ignore_errors: bool = False,
        stop_on_kill: bool = False,
        generation: int | None = None,
        expected_trials: int | None = None,
        max_failed_trials: int = 0,
        accept_stopped: bool = False,
        settle_seconds: float = 120.0,
        stop_when: float | None = None,
    ) -> None:
        super().__init__(
            training_job_id=training_job_id,
            modelarts_conn_id=modelarts_conn_id,
            region=region,
            project_id=project_id,
            poll_interval=poll_interval,
            deadline=deadline,
            ignore_errors=ignore_errors,
            stop_on_kill=stop_on_kill,
            generation=generation,
            expected_trials=expected_trials,
            max_failed_trials=max_failed_trials,
            accept_stopped=accept_stopped,
            settle_seconds=settle_seconds,
            stop_when=stop_when,
        )

    def make_poller(self) -> Poller:
        """Return a poller of the search."""
        from airflow_provider_modelarts.api.polling import SearchPoller
        from airflow_provider_modelarts.core.progress import WaitPolicy

        policy = WaitPolicy(self.expected_trials, self.max_failed_trials, self.accept_stopped, self.settle_seconds)
        return SearchPoller(self.training_job_id, policy, self.stop_when)


class ModelArtsTrainingJobTrigger(_ModelArtsBaseTrigger):
    """Wait for a training job; fires one :class:`TriggerOutcome`.

    :param training_job_id: id of the job.
    :param modelarts_conn_id: id of the connection.
    :param region: takes precedence over the connection's region.
    :param project_id: takes precedence over the connection's project id.
    :param poll_interval: seconds between two polls, give or take a tenth. The first poll is at a random time within
        them, which spreads waits that start together.
    :param deadline: seconds since the epoch; absolute, so that a restart of the triggerer does not move it.
    :param ignore_errors: continue after a failed call, as a sensor with ``silent_fail``.
    :param stop_on_kill: stop the job when the task is ended; for a task that created the job.
    :param generation: the task's ``max_tries`` when it deferred, which a clear changes; None if a clear stops no job.
    :param accept_stopped: treat a stopped job as completed.
    """

    accept_stopped: bool

    def __init__(
        self,
        *,
        training_job_id: str,
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        ignore_errors: bool = False,
        stop_on_kill: bool = False,
        generation: int | None = None,
        accept_stopped: bool = False,
    ) -> None:
        super().__init__(
            training_job_id=training_job_id,
            modelarts_conn_id=modelarts_conn_id,
            region=region,
            project_id=project_id,
            poll_interval=poll_interval,
            deadline=deadline,
            ignore_errors=ignore_errors,
            stop_on_kill=stop_on_kill,
            generation=generation,
            accept_stopped=accept_stopped,
        )

    def make_poller(self) -> Poller:
        """Return a poller of the job."""
        from airflow_provider_modelarts.api.polling import JobPoller

        return JobPoller(self.training_job_id, self.accept_stopped)


_unfinished: set[asyncio.Task[None]] = set()  # an event loop holds its tasks weakly


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Do some work to its end, although Airflow cancels the caller at each of its next rounds."""
    task = asyncio.ensure_future(work)
    _unfinished.add(task)
    task.add_done_callback(_unfinished.discard)
    deadline = time.monotonic() + _MAX_END_SECONDS
    while not task.done() and time.monotonic() < deadline:
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=_MAX_END_SECONDS)


@cache
def _log_writer() -> ThreadPoolExecutor:
    """Return the thread that writes all logs; blocked on the supervisor, it leaves the event loop's threads free."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, "modelarts-log")


_is_loaded = threading.Event()


async def _load() -> None:
    """Import what a poll requires, in a thread: some tenths of a second that must not block the event loop."""
    if not _is_loaded.is_set():
        await asyncio.to_thread(_import)


def _import() -> None:
    for name in ("hooks.modelarts", "async_client", "api.polling"):
        import_module(f"airflow_provider_modelarts.{name}")
    import_module("aiohttp")
    _is_loaded.set()
