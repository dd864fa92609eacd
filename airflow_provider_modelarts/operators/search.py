"""Creating a hyperparameter search, and choosing from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_modelarts.operators.best_trial import BEST_TRIAL_FIELDS, BestTrialMixin
from airflow_provider_modelarts.operators.job import JOB_FIELDS, TrainingJobBaseOperator
from airflow_provider_modelarts.task_exceptions import ModelArtsBestTrialError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_modelarts.api.polling import Poller
    from airflow_provider_modelarts.core.json_values import JSON
    from airflow_provider_modelarts.core.progress import WaitPolicy

_JSON_FIELDS = ("search_space", "objective", "algorithm", "policies")


class ModelArtsHyperparameterSearchOperator(TrainingJobBaseOperator, BestTrialMixin):
    """Creates a hyperparameter search, waits for all its trials, and returns the config of the best.

    The search is described in plain terms, or by a raw ``policies`` body, and checked before anything is sent. Waiting
    is that of the search sensor, choosing and XCom are those of the best-trial operator. For all other arguments see
    :class:`~airflow_provider_modelarts.operators.job.TrainingJobBaseOperator` and
    :class:`~airflow_provider_modelarts.operators.best_trial.BestTrialMixin`.

    :param search_space: hyperparameter -> ``{"min": 1e-4, "max": 0.1}``, or a list of values. (templated)
    :param objective: ``{"metric": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"}``: the script prints the metric,
        the platform finds it with the regular expression. (templated)
    :param algorithm: ``{"name": "tpe_search", "num_samples": 20}`` and its other parameters. (templated)
    :param policies: ``algorithm.policies`` as the platform has it, in place of these three. (templated)
    :param stop_when: a value of the objective; once a trial has reached it, the search is stopped and the best so far
        is taken. (templated)
    :param max_failed_trials: how many trials may end in ERROR. (templated)
    :param settle_seconds: seconds that the trial table may lag behind the end of its job. (templated)
    """

    template_fields: Sequence[str] = (
        *JOB_FIELDS,
        *_JSON_FIELDS,
        "stop_when",
        "max_failed_trials",
        "settle_seconds",
        *BEST_TRIAL_FIELDS,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **TrainingJobBaseOperator.template_fields_renderers,
        **BestTrialMixin.template_fields_renderers,
        **dict.fromkeys(_JSON_FIELDS, "json"),
    }

    def __init__(
        self,
        *,
        search_space: Mapping[str, Any] | str | None = None,
        objective: Mapping[str, Any] | str | None = None,
        algorithm: Mapping[str, Any] | str | None = None,
        policies: Mapping[str, Any] | str | None = None,
        stop_when: float | str | None = None,
        max_failed_trials: int | str = 0,
        settle_seconds: float | str = 120,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.search_space = search_space
        self.objective = objective
        self.algorithm = algorithm
        self.policies = policies
        self.stop_when = stop_when
        self.max_failed_trials = max_failed_trials
        self.settle_seconds = settle_seconds

    def job_body(self) -> dict[str, JSON]:
        """Return the body to send, with the search in it; all arguments are checked on the way."""
        from airflow_provider_modelarts.core.job_body import with_search
        from airflow_provider_modelarts.core.selection import check_objective

        self._policy()
        self._stop_when()
        body = with_search(
            super().job_body(),
            search_space=self.search_space,
            objective=self.objective,
            algorithm=self.algorithm,
            policies=self.policies,
        )
        check_objective(body, self.wish())
        return body

    def make_poller(self, training_job_id: str) -> Poller:
        """Return what looks at the search."""
        from airflow_provider_modelarts.api.polling import SearchPoller

        return SearchPoller(training_job_id, self._policy(), self._stop_when())

    def make_trigger(self, **shared: Any) -> BaseTrigger:
        """Return the trigger that takes over."""
        from airflow_provider_modelarts.triggers.modelarts import ModelArtsHyperparameterSearchTrigger

        policy = self._policy()
        return ModelArtsHyperparameterSearchTrigger(
            **shared,
            max_failed_trials=policy.max_failed_trials,
            settle_seconds=policy.settle_seconds,
            stop_when=self._stop_when(),
        )

    def result(self, context: Context, summary: dict[str, JSON]) -> dict[str, JSON]:
        """Return the config of the best trial, and stop what still runs of a search that has reached its goal.

        In this order: a retry takes up the search after a call that failed, and cannot take up one that was stopped.
        """
        try:
            config = self.choose(context, str(summary["training_job_id"]))
        except (AirflowSkipException, ModelArtsBestTrialError):
            self._stop_at_goal()
            raise
        self._stop_at_goal()
        return config

    def _stop_at_goal(self) -> None:
        if self.stop_when is not None:
            self._stop_job_or_warn()

    def _policy(self) -> WaitPolicy:
        from airflow_provider_modelarts.core.progress import read_policy

        return read_policy(
            expected_trials=None,
            max_failed_trials=self.max_failed_trials,
            accept_stopped=False,
            settle_seconds=self.settle_seconds,
        )

    def _stop_when(self) -> float | None:
        from airflow_provider_modelarts.core import coerce

        return coerce.optional(coerce.number, "stop_when", self.stop_when)
