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

from airflow_provider_modelarts.exceptions import ModelArtsError
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
    """Base of the sensors: polls one job until it is done, and never stops it."""

    operator_extra_links = (ModelArtsTrainingJobLink(),)
    ui_color = "#e8d7f1"

    training_job_id: str
    modelarts_conn_id: str
    region: str | None
    project_id: str | None
    deferrable: bool

    @abstractmethod
    def make_poller(self) -> Poller:
        """Return a poller of the job."""

    @abstractmethod
    def make_trigger(self, **shared: Any) -> BaseTrigger:
        """Return the trigger that waits for the job.

        :param shared: the arguments that all triggers have.
        """

    def push_leaderboard(self, context: Context) -> None:
        """Push what the *Trials* tab shows of a job that has ended. It never changes the outcome of the task."""

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll the job once; in deferrable mode, defer to the trigger unless the job has ended."""
        from airflow_provider_modelarts.core.progress import State

        with self._task_errors():
            polled = self.hook.run(self._poller.poll(time.time))
        if polled.log_line:
            self.log.info(polled.log_line)
        ModelArtsTrainingJobLink.push(context, self.hook, self.training_job_id)
        if polled.state is not State.WAITING:
            self.push_leaderboard(context)
        if polled.state is State.FAILED:
            raise ModelArtsSearchFailedError(polled.message)
        if polled.state is State.WAITING and self.deferrable:
            self._defer()
        return PokeReturnValue(polled.state is State.DONE, polled.summary)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Resume with the event of the trigger, and return the summary of the job."""
        from airflow_provider_modelarts.triggers.modelarts import TriggerOutcome

        with self._task_errors():
            outcome = TriggerOutcome.from_event(event, self.training_job_id)
            outcome.raise_error()
        if outcome.status == "timeout":
            raise self._timeout_error(outcome.message)
        self.push_leaderboard(context)
        if outcome.status != "done":
            raise ModelArtsSearchFailedError(outcome.message)
        self.log.info(outcome.message)
        return outcome.summary

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the trigger; ``soft_fail`` and ``never_fail`` apply as they do without deferral."""
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
        """Hook of the connection."""
        from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook

        return ModelArtsHook(self.modelarts_conn_id, self.region, self.project_id)

    @cached_property
    def _poller(self) -> Poller:
        return self.make_poller()

    def _defer(self) -> None:
        from airflow_provider_modelarts.triggers.modelarts import defer_to_trigger

        defer_to_trigger(
            self,
            self.make_trigger,
            seconds=min(self.timeout, self._execution_seconds()),
            training_job_id=self.training_job_id,
            poll_interval=self.poke_interval,
            ignore_errors=self.silent_fail,
        )

    def _execution_seconds(self) -> float:
        return self.execution_timeout.total_seconds() if self.execution_timeout else math.inf

    def _timeout_error(self, message: str) -> BaseException:
        """Return the error that Airflow raises on a worker: ``execution_timeout`` leaves the task its retries."""
        if self._execution_seconds() < self.timeout:
            return AirflowTaskTimeout(message)
        return AirflowSensorTimeout(message)

    @contextmanager
    def _task_errors(self) -> Iterator[None]:
        try:
            with as_task_errors():
                yield
        except ModelArtsCallRefusedError:
            self.soft_fail = False  # a refused credential or a wrong argument must not be hidden as a skip
            raise


class ModelArtsHyperparameterSearchSensor(ModelArtsBaseSensor):
    """Wait until every trial of a hyperparameter search is TERMINATED.

    The search is done when at least one trial is listed, all listed trials have ended, and no further one is expected:
    the job is Completed, or as many trials are listed as the search will run. The task fails at once when the job
    fails or is stopped, or when a trial ends in ERROR, which never becomes TERMINATED.

    XCom: ``return_value`` is a summary: job id, phase, number of trials per status. Key ``leaderboard`` lists the
    trials for the *Trials* tab of Airflow's UI, if the search declares its objective.

    :param training_job_id: id of the search job. (templated)
    :param expected_trials: number of trials that the search will run; its own ``num_samples`` when None. (templated)
    :param max_failed_trials: number of trials that may end in ERROR. (templated)
    :param accept_stopped: treat a stopped search as completed, if one of its trials has ended. (templated)
    :param settle_seconds: seconds by which the trial table may lag behind the end of the job. (templated)
    :param deferrable: wait in the triggerer instead of on a worker; ``poke_interval`` and ``timeout`` apply there too.
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: takes precedence over the connection's region. (templated)
    :param project_id: takes precedence over the connection's project id. (templated)
    """

    template_fields: Sequence[str] = (
        "training_job_id",
        "expected_trials",
        "max_failed_trials",
        "accept_stopped",
        "settle_seconds",
        "modelarts_conn_id",
        "region",
        "project_id",
    )

    def __init__(
        self,
        *,
        training_job_id: str,
        expected_trials: int | str | None = None,
        max_failed_trials: int | str = 0,
        accept_stopped: bool | str = False,
        settle_seconds: float | str = 120,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id
        self.expected_trials = expected_trials
        self.max_failed_trials = max_failed_trials
        self.accept_stopped = accept_stopped
        self.settle_seconds = settle_seconds
        self.deferrable = deferrable
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id

    def make_poller(self) -> SearchPoller:
        """Return a poller of the search."""
        from airflow_provider_modelarts.api.polling import SearchPoller

        return SearchPoller(self.training_job_id, self._policy())

    def make_trigger(self, **shared: Any) -> ModelArtsHyperparameterSearchTrigger:
        """Return the trigger that waits for the search."""
        from airflow_provider_modelarts.triggers.modelarts import ModelArtsHyperparameterSearchTrigger

        policy = self._policy()
        return ModelArtsHyperparameterSearchTrigger(
            **shared,
            expected_trials=policy.expected_trials,
            max_failed_trials=policy.max_failed_trials,
            accept_stopped=policy.accept_stopped,
            settle_seconds=policy.settle_seconds,
        )

    def push_leaderboard(self, context: Context) -> None:
        """Push the trials of the search, best first; only log why they cannot be read or ranked."""
        from airflow_provider_modelarts.api.flows import snapshot_for_ranking
        from airflow_provider_modelarts.core.leaderboard import leaderboard
        from airflow_provider_modelarts.core.selection import criterion_for, rank

        try:
            snapshot = self.hook.run(snapshot_for_ranking(self.training_job_id))
            ranking = rank(snapshot.listing.trials, criterion_for(snapshot.job.search))
        except ModelArtsError as error:
            self.log.warning("The Trials tab cannot show training job %s: %s", self.training_job_id, error)
            return
        context["ti"].xcom_push(key="leaderboard", value=leaderboard(snapshot, ranking))

    def _policy(self) -> WaitPolicy:
        from airflow_provider_modelarts.core.progress import read_policy

        return read_policy(
            expected_trials=self.expected_trials,
            max_failed_trials=self.max_failed_trials,
            accept_stopped=self.accept_stopped,
            settle_seconds=self.settle_seconds,
        )


class ModelArtsTrainingJobSensor(ModelArtsBaseSensor):
    """Wait until a training job is Completed; fail if it has failed or was stopped.

    XCom: ``return_value`` is a summary: id, name, phase, duration in seconds, outputs.

    :param training_job_id: id of the job. (templated)
    :param accept_stopped: treat a stopped job as completed. (templated)
    :param deferrable: wait in the triggerer instead of on a worker; ``poke_interval`` and ``timeout`` apply there too.
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: takes precedence over the connection's region. (templated)
    :param project_id: takes precedence over the connection's project id. (templated)
    """

    template_fields: Sequence[str] = ("training_job_id", "accept_stopped", "modelarts_conn_id", "region", "project_id")

    def __init__(
        self,
        *,
        training_job_id: str,
        accept_stopped: bool | str = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id
        self.accept_stopped = accept_stopped
        self.deferrable = deferrable
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id

    def make_poller(self) -> JobPoller:
        """Return a poller of the job."""
        from airflow_provider_modelarts.api.polling import JobPoller

        return JobPoller(self.training_job_id, self._accepts_stopped())

    def make_trigger(self, **shared: Any) -> ModelArtsTrainingJobTrigger:
        """Return the trigger that waits for the job."""
        from airflow_provider_modelarts.triggers.modelarts import ModelArtsTrainingJobTrigger

        return ModelArtsTrainingJobTrigger(**shared, accept_stopped=self._accepts_stopped())

    def _accepts_stopped(self) -> bool:
        from airflow_provider_modelarts.core import coerce

        return coerce.flag("accept_stopped", self.accept_stopped)
