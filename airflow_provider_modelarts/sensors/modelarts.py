"""The sensors."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_modelarts.links.modelarts import ModelArtsTrainingJobLink
from airflow_provider_modelarts.task_exceptions import (
    ModelArtsCallRefusedError,
    ModelArtsSearchFailedError,
    as_task_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_modelarts.api.polling import JobPoller, Poller, SearchPoller
    from airflow_provider_modelarts.core.progress import WaitPolicy
    from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook
    from airflow_provider_modelarts.triggers.modelarts import (
        ModelArtsHyperparameterSearchTrigger,
        ModelArtsTrainingJobTrigger,
    )


class ModelArtsBaseSensor(BaseSensorOperator):
    """Looks at one job until it is done. It only watches: it never stops anything.

    :param training_job_id: id of the job. (templated)
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: region instead of the connection's. (templated)
    :param project_id: project id instead of the connection's. (templated)
    :param deferrable: wait in the triggerer instead of on a worker; ``poke_interval`` and ``timeout`` hold there too.
    """

    operator_extra_links = (ModelArtsTrainingJobLink(),)
    ui_color = "#e8d7f1"

    def __init__(
        self,
        *,
        training_job_id: str,
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id
        self.deferrable = deferrable

    @abstractmethod
    def _make_poller(self) -> Poller:
        """Return what looks at the job."""

    @abstractmethod
    def _make_trigger(self, **shared: Any) -> BaseTrigger:
        """Return the trigger that takes over; ``shared`` are the arguments that all triggers have."""

    def _push_leaderboard(self, context: Context) -> None:
        """Leave what people can look at when the job is over, however it ended. No outcome depends on it."""

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the job once; in deferrable mode hand over to the trigger unless it is over."""
        from airflow_provider_modelarts.core.progress import State

        with self._task_errors():
            glance = self.hook.run(self._poller.look(time.time))
        if glance.news:
            self.log.info(glance.news)
        ModelArtsTrainingJobLink.push(context, self.hook, self.training_job_id)
        if glance.state is not State.WAITING:
            self._push_leaderboard(context)
        if glance.state is State.FAILED:
            raise ModelArtsSearchFailedError(glance.message)
        if glance.state is State.WAITING and self.deferrable:
            self._defer()
        return PokeReturnValue(glance.state is State.DONE, glance.summary)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Take up what the trigger saw, and return the summary of the job."""
        from airflow_provider_modelarts.exceptions import ModelArtsProtocolError, error_from_dict

        if event and event.get("status") in {"done", "failed"}:
            self._push_leaderboard(context)
        match event:
            case {"status": "done", "summary": dict() as summary, "message": message}:
                self.log.info(message)
                return summary
            case {"status": "failed", "message": message}:
                raise ModelArtsSearchFailedError(message)
            case {"status": "timeout", "message": message}:
                raise self._time_is_up(message)
            case {"status": "error", "error": dict() as error}:
                with self._task_errors():
                    raise error_from_dict(error)
        raise ModelArtsProtocolError(f"the trigger of training job {self.training_job_id} ended without an outcome")

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the trigger; ``soft_fail`` and ``never_fail`` decide as they do without deferral."""
        from airflow_provider_modelarts.exceptions import ModelArtsError

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException:
            raise
        except (AirflowException, AirflowTaskTimeout, ModelArtsError) as error:
            if self.never_fail or (self.soft_fail and isinstance(error, AirflowTaskTimeout)):
                raise AirflowSkipException(str(error)) from error
            raise

    @cached_property
    def hook(self) -> ModelArtsHook:
        """The hook that makes the calls."""
        from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook

        return ModelArtsHook(self.modelarts_conn_id, self.region, self.project_id)

    @cached_property
    def _poller(self) -> Poller:
        return self._make_poller()

    def _defer(self) -> None:
        from airflow_provider_modelarts.triggers.modelarts import defer_to_trigger

        defer_to_trigger(
            self,
            self._make_trigger,
            seconds=min(self.timeout, self._execution_seconds()),
            training_job_id=self.training_job_id,
            poll_interval=self.poke_interval,
            ignore_errors=self.silent_fail,
        )

    def _execution_seconds(self) -> float:
        return self.execution_timeout.total_seconds() if self.execution_timeout else math.inf

    def _time_is_up(self, message: str) -> BaseException:
        """Return what Airflow itself raises on a worker: for ``execution_timeout`` the task may be retried."""
        if self._execution_seconds() < self.timeout:
            return AirflowTaskTimeout(message)
        return AirflowSensorTimeout(message)

    @contextmanager
    def _task_errors(self) -> Iterator[None]:
        try:
            with as_task_errors():
                yield
        except ModelArtsCallRefusedError:
            self.soft_fail = False  # a refused key or a wrong argument is no failed search: it must not be hidden
            raise


_JOB_FIELDS = ("training_job_id", "modelarts_conn_id", "region", "project_id")


class ModelArtsHyperparameterSearchSensor(ModelArtsBaseSensor):
    """Waits until every trial of a hyperparameter search is TERMINATED.

    It is done when at least one trial is listed, all have ended, and none is still to come: the job is Completed, or
    as many trials are listed as the search will run. It fails at once when the job fails, is stopped, or a trial ends
    in ERROR, which never becomes TERMINATED.

    Its XCom is a short summary: job id and phase, trials per status. Key ``leaderboard`` holds the trials,
    for the *Trials* tab of Airflow's UI, where the search tells its objective.

    :param training_job_id: id of the search job. (templated)
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: region instead of the connection's. (templated)
    :param project_id: project id instead of the connection's. (templated)
    :param expected_trials: how many trials the search will run; the search's own ``num_samples`` when None.
        (templated)
    :param max_failed_trials: how many trials may end in ERROR without failing the task. (templated)
    :param accept_stopped: take a job that somebody stopped for done, if one of its trials has ended. (templated)
    :param settle_seconds: seconds that the trial table may lag behind the end of its job. (templated)
    :param deferrable: wait in the triggerer instead of on a worker; ``poke_interval`` and ``timeout`` hold there too.
    """

    template_fields: Sequence[str] = (
        *_JOB_FIELDS,
        "expected_trials",
        "max_failed_trials",
        "accept_stopped",
        "settle_seconds",
    )

    def __init__(
        self,
        *,
        expected_trials: int | str | None = None,
        max_failed_trials: int | str = 0,
        accept_stopped: bool | str = False,
        settle_seconds: float | str = 120,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.expected_trials = expected_trials
        self.max_failed_trials = max_failed_trials
        self.accept_stopped = accept_stopped
        self.settle_seconds = settle_seconds

    def _make_poller(self) -> SearchPoller:
        from airflow_provider_modelarts.api.polling import SearchPoller

        return SearchPoller(self.training_job_id, self._policy())

    def _make_trigger(self, **shared: Any) -> ModelArtsHyperparameterSearchTrigger:
        from airflow_provider_modelarts.triggers.modelarts import ModelArtsHyperparameterSearchTrigger

        policy = self._policy()
        return ModelArtsHyperparameterSearchTrigger(
            **shared,
            expected_trials=policy.expected_trials,
            max_failed_trials=policy.max_failed_trials,
            accept_stopped=policy.accept_stopped,
            settle_seconds=policy.settle_seconds,
        )

    def _push_leaderboard(self, context: Context) -> None:
        from airflow_provider_modelarts.api.flows import snapshot_for_ranking
        from airflow_provider_modelarts.core.leaderboard import leaderboard
        from airflow_provider_modelarts.core.selection import criterion_for, rank
        from airflow_provider_modelarts.exceptions import ModelArtsError

        try:
            look = self.hook.run(snapshot_for_ranking(self.training_job_id))
            ranking = rank(look.listing.trials, criterion_for(look.job.search))
        except ModelArtsError as error:
            self.log.warning("The tab Trials will not show training job %s: %s", self.training_job_id, error)
            return
        context["ti"].xcom_push(key="leaderboard", value=leaderboard(look, ranking))

    def _policy(self) -> WaitPolicy:
        from airflow_provider_modelarts.core.progress import read_policy

        return read_policy(
            expected_trials=self.expected_trials,
            max_failed_trials=self.max_failed_trials,
            accept_stopped=self.accept_stopped,
            settle_seconds=self.settle_seconds,
        )


class ModelArtsTrainingJobSensor(ModelArtsBaseSensor):
    """Waits until a training job is Completed; fails when it failed or was stopped.

    Its XCom is a short summary: id, name, phase, duration in seconds, outputs.

    :param training_job_id: id of the job. (templated)
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: region instead of the connection's. (templated)
    :param project_id: project id instead of the connection's. (templated)
    :param accept_stopped: take a job that somebody stopped for done. (templated)
    :param deferrable: wait in the triggerer instead of on a worker; ``poke_interval`` and ``timeout`` hold there too.
    """

    template_fields: Sequence[str] = (*_JOB_FIELDS, "accept_stopped")

    def __init__(self, *, accept_stopped: bool | str = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.accept_stopped = accept_stopped

    def _make_poller(self) -> JobPoller:
        from airflow_provider_modelarts.api.polling import JobPoller

        return JobPoller(self.training_job_id, self._accepts_stopped())

    def _make_trigger(self, **shared: Any) -> ModelArtsTrainingJobTrigger:
        from airflow_provider_modelarts.triggers.modelarts import ModelArtsTrainingJobTrigger

        return ModelArtsTrainingJobTrigger(**shared, accept_stopped=self._accepts_stopped())

    def _accepts_stopped(self) -> bool:
        from airflow_provider_modelarts.core import coerce

        return coerce.flag("accept_stopped", self.accept_stopped)
