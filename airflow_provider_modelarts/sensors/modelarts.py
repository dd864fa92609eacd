"""The sensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_modelarts.sensors.base import ModelArtsSensor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_modelarts.core.progress import WaitPolicy
    from airflow_provider_modelarts.core.watch import JobWatch, SearchWatch
    from airflow_provider_modelarts.triggers.modelarts import (
        ModelArtsHyperparameterSearchTrigger,
        ModelArtsTrainingJobTrigger,
    )

_JOB_FIELDS = ("training_job_id", "modelarts_conn_id", "region", "project_id")


class ModelArtsHyperparameterSearchSensor(ModelArtsSensor):
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

    def _make_watch(self) -> SearchWatch:
        from airflow_provider_modelarts.core.watch import SearchWatch

        return SearchWatch(self.training_job_id, self._policy())

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

    def _show_results(self, context: Context) -> None:
        from airflow_provider_modelarts.core.flows import choose_from_search
        from airflow_provider_modelarts.core.leaderboard import leaderboard
        from airflow_provider_modelarts.core.selection import criterion_for, rank
        from airflow_provider_modelarts.exceptions import ModelArtsError

        try:
            look = self.hook.run(choose_from_search(self.training_job_id))
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


class ModelArtsTrainingJobSensor(ModelArtsSensor):
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

    def _make_watch(self) -> JobWatch:
        from airflow_provider_modelarts.core.watch import JobWatch

        return JobWatch(self.training_job_id, self._accepts_stopped())

    def _make_trigger(self, **shared: Any) -> ModelArtsTrainingJobTrigger:
        from airflow_provider_modelarts.triggers.modelarts import ModelArtsTrainingJobTrigger

        return ModelArtsTrainingJobTrigger(**shared, accept_stopped=self._accepts_stopped())

    def _accepts_stopped(self) -> bool:
        from airflow_provider_modelarts.core import coerce

        return coerce.flag("accept_stopped", self.accept_stopped)
