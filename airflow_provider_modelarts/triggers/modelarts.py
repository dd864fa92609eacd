"""The deferrable halves of sensors and operators.

Triggers of many tasks share one event loop: nothing in here blocks it. What their constructors take is stored in the
metadata database and outlives an upgrade, so arguments are only ever added, with a default.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_modelarts.async_client import AsyncModelArtsClient
    from airflow_provider_modelarts.core.watch import Glance, Watch


class ModelArtsHyperparameterSearchTrigger(BaseTrigger):
    """Waits until a search is done or failed, or until a deadline.

    Fires once, with ``{"status": ...}``: ``done`` with a ``summary``, ``failed`` or ``timeout`` with a ``message``, or
    ``error`` with the ``error`` of a call.

    :param training_job_id: id of the search job.
    :param poll_interval: seconds between two looks.
    :param deadline: seconds since the epoch; absolute, so that a restart of the triggerer does not move it.
    :param ignore_errors: go on after a call that failed, as a sensor with ``silent_fail`` does.

    The others are those of the sensor.
    """

    def __init__(
        self,
        *,
        training_job_id: str,
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        poll_interval: float = 30.0,
        deadline: float | None = None,
        expected_trials: int | None = None,
        max_failed_trials: int = 0,
        accept_stopped: bool = False,
        settle_seconds: float = 120.0,
        ignore_errors: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.training_job_id = training_job_id
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.expected_trials = expected_trials
        self.max_failed_trials = max_failed_trials
        self.accept_stopped = accept_stopped
        self.settle_seconds = settle_seconds
        self.ignore_errors = ignore_errors

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of this class and the arguments that make an equal trigger."""
        names = (
            "training_job_id",
            "modelarts_conn_id",
            "region",
            "project_id",
            "poll_interval",
            "deadline",
            "expected_trials",
            "max_failed_trials",
            "accept_stopped",
            "settle_seconds",
            "ignore_errors",
        )
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the search again and again, and fire one event at its end."""
        from airflow_provider_modelarts.exceptions import ModelArtsError, error_to_dict
        from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook

        try:
            hook = ModelArtsHook(self.modelarts_conn_id, self.region, self.project_id)
            async with await hook.get_async_conn() as client:
                event = await self._wait(client)
        except ModelArtsError as error:
            event = {"status": "error", "error": error_to_dict(error)}
        except Exception as error:  # a trigger that raises leaves its task with no explanation
            self.log.exception("Waiting for training job %s broke off", self.training_job_id)
            message = f"waiting for training job {self.training_job_id} broke off: {type(error).__name__}: {error}"
            event = {"status": "error", "error": error_to_dict(ModelArtsError(message))}
        yield TriggerEvent(event)

    async def _wait(self, client: AsyncModelArtsClient) -> dict[str, Any]:
        from airflow_provider_modelarts.core.progress import State, WaitPolicy
        from airflow_provider_modelarts.core.watch import Watch

        policy = WaitPolicy(self.expected_trials, self.max_failed_trials, self.accept_stopped, self.settle_seconds)
        watch = Watch(self.training_job_id, policy)
        while True:
            glance = await self._look(client, watch)
            if glance is not None and glance.state is not State.WAITING:
                return {"status": glance.state.value, "message": glance.message, "summary": glance.summary}
            rest = self.poll_interval if self.deadline is None else self.deadline - time.time()
            if rest <= 0:
                return {"status": "timeout", "message": watch.timeout_message()}
            await asyncio.sleep(min(self.poll_interval, rest))

    async def _look(self, client: AsyncModelArtsClient, watch: Watch) -> Glance | None:
        from airflow_provider_modelarts.exceptions import (
            ModelArtsAuthenticationError,
            ModelArtsConfigurationError,
            ModelArtsError,
        )

        try:
            glance = await client.run(watch.look(time.time))
        except (ModelArtsAuthenticationError, ModelArtsConfigurationError):
            raise
        except ModelArtsError as error:
            if not self.ignore_errors:
                raise
            self.log.warning("Ignored, as silent_fail asks: %s", error)
            return None
        if glance.news:
            self.log.info(glance.news)
        return glance
