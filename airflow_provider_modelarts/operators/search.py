"""Creation of a hyperparameter search, and selection of its best trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException, conf

from airflow_provider_modelarts.operators.best_trial import BestTrialMixin
from airflow_provider_modelarts.operators.job import TrainingJobBaseOperator
from airflow_provider_modelarts.task_exceptions import ModelArtsBestTrialError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_modelarts.api.polling import Poller
    from airflow_provider_modelarts.core.json_values import JSON
    from airflow_provider_modelarts.core.progress import WaitPolicy


class ModelArtsHyperparameterSearchOperator(TrainingJobBaseOperator, BestTrialMixin):
    """Create a hyperparameter search, wait for all its trials, and return the config of the best one.

    The search is described by ``search_space``, ``objective`` and ``algorithm``, or by a raw ``policies`` body, and
    validated before any request. It waits as ``ModelArtsHyperparameterSearchSensor`` does; the selection and the other
    XComs are those of ``ModelArtsBestTrialOperator``.

    One task creates one search: a retry adopts the search of an earlier try if that is running or Completed, and
    creates a new one if it failed or was stopped. Clearing the task creates a new search and stops the earlier one. The
    search is stopped when the task is ended, but not when only its worker or triggerer is. ``on_clear``,
    ``on_job_failure`` and ``cancel_on_kill`` change this.

    XCom ``training_job_id`` is pushed before the wait begins.

    :param body: body of CreateTrainingJob: a mapping, JSON text, or the name of a ``.json`` file beside the DAG; the
        name in it is replaced. (templated)
    :param hyperparameters: fixed values for ``algorithm.parameters`` of the body; a mapping or JSON text. An empty
        rendered value raises an error; ``{}`` sets none. (templated)
    :param search_space: range or values of each hyperparameter, such as
        ``{"learning_rate": {"min": 1e-4, "max": 0.1}, "batch_size": [16, 32]}``. (templated)
    :param objective: metric of the search, such as ``{"metric": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"}``; the
        regular expression finds the metric in the output of the training script. (templated)
    :param algorithm: search algorithm and its parameters, such as ``{"name": "tpe_search", "num_samples": 20}``.
        (templated)
    :param policies: ``algorithm.policies`` of the API, instead of these three. (templated)
    :param stop_when: value of the objective at which the search is stopped and the best trial so far is selected.
        (templated)
    :param max_failed_trials: number of trials that may end in ERROR. (templated)
    :param settle_seconds: seconds by which the trial table may lag behind the end of the job. (templated)
    :param metric: column of the trial table to compare the trials by; the search's own objective when None. (templated)
    :param mode: ``max`` or ``min``; required if the search does not declare it. (templated)
    :param scope: which report of the search's own objective to compare, a trial's ``best`` or its ``last``; for any
        other metric it is the last. (templated)
    :param constraints: inclusive bounds of other metrics, such as ``{"loss": {"max": 0.1}}``; a mapping or JSON text.
        (templated)
    :param top_k: number of trials in ``top_trials``, 1 to 100. (templated)
    :param only_if_better_than: value that the best trial must beat strictly, such as that of the model in use; None
        and blank text set no threshold. (templated)
    :param on_not_better: ``skip`` or ``fail`` the task if the best trial does not beat ``only_if_better_than``.
        (templated)
    :param wait_for_completion: wait for the end of the search; if False, return once the job is created.
    :param cancel_on_kill: stop the search when the task is ended or exceeds its ``execution_timeout``, when more of
        its trials fail than tolerated, when its last try dies, and after a clear. If False, stop it at ``stop_when``
        only.
    :param on_clear: after a clear of the task, ``restart`` stops the earlier search and creates another; ``resume``
        adopts it if it is active or Completed and trains the same. (templated)
    :param on_job_failure: after a search whose phase is Failed or Abnormal, ``retry`` creates another if the task has
        retries; ``fail`` fails the task without a retry. (templated)
    :param poll_interval: seconds between two polls. (templated)
    :param deferrable: wait in the triggerer instead of on a worker.
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: takes precedence over the connection's region. (templated)
    :param project_id: takes precedence over the connection's project id. (templated)
    """

    template_fields: Sequence[str] = (
        "body",
        "hyperparameters",
        "search_space",
        "objective",
        "algorithm",
        "policies",
        "stop_when",
        "max_failed_trials",
        "settle_seconds",
        "metric",
        "mode",
        "scope",
        "constraints",
        "top_k",
        "only_if_better_than",
        "on_not_better",
        "on_clear",
        "on_job_failure",
        "poll_interval",
        "modelarts_conn_id",
        "region",
        "project_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(
        ["body", "hyperparameters", "search_space", "objective", "algorithm", "policies", "constraints"], "json"
    )

    def __init__(
        self,
        *,
        body: Mapping[str, Any] | str,
        hyperparameters: Mapping[str, Any] | str | None = None,
        search_space: Mapping[str, Any] | str | None = None,
        objective: Mapping[str, Any] | str | None = None,
        algorithm: Mapping[str, Any] | str | None = None,
        policies: Mapping[str, Any] | str | None = None,
        stop_when: float | str | None = None,
        max_failed_trials: int | str = 0,
        settle_seconds: float | str = 120,
        metric: str | None = None,
        mode: str | None = None,
        scope: str = "best",
        constraints: Mapping[str, Mapping[str, float]] | str | None = None,
        top_k: int | str = 1,
        only_if_better_than: float | str | None = None,
        on_not_better: str = "skip",
        wait_for_completion: bool = True,
        cancel_on_kill: bool = True,
        on_clear: str = "restart",
        on_job_failure: str = "retry",
        poll_interval: float | str = 30,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.hyperparameters = hyperparameters
        self._hyperparameters_given = hyperparameters is not None
        self.search_space = search_space
        self.objective = objective
        self.algorithm = algorithm
        self.policies = policies
        self.stop_when = stop_when
        self.max_failed_trials = max_failed_trials
        self.settle_seconds = settle_seconds
        self.metric = metric
        self.mode = mode
        self.scope = scope
        self.constraints = constraints
        self.top_k = top_k
        self.only_if_better_than = only_if_better_than
        self.on_not_better = on_not_better
        self.wait_for_completion = wait_for_completion
        self.cancel_on_kill = cancel_on_kill
        self.on_clear = on_clear
        self.on_job_failure = on_job_failure
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id

    def job_body(self) -> dict[str, JSON]:
        """Return the body of CreateTrainingJob with the search in it; validates all arguments before any request."""
        from airflow_provider_modelarts.core.job_body import with_search
        from airflow_provider_modelarts.core.selection import check_objective

        self._policy()
        self._goal()
        body = with_search(
            super().job_body(),
            search_space=self.search_space,
            objective=self.objective,
            algorithm=self.algorithm,
            policies=self.policies,
        )
        check_objective(body, self.selection_options())
        return body

    def make_poller(self, training_job_id: str) -> Poller:
        """Return a poller of the search."""
        from airflow_provider_modelarts.api.polling import SearchPoller

        return SearchPoller(training_job_id, self._policy(), self._goal())

    def make_trigger(self, **shared: Any) -> BaseTrigger:
        """Return the trigger that waits for the search."""
        from airflow_provider_modelarts.triggers.modelarts import ModelArtsHyperparameterSearchTrigger

        policy = self._policy()
        return ModelArtsHyperparameterSearchTrigger(
            **shared,
            max_failed_trials=policy.max_failed_trials,
            settle_seconds=policy.settle_seconds,
            stop_when=self._goal(),
        )

    def result(self, context: Context, summary: dict[str, JSON]) -> dict[str, JSON]:
        """Return the config of the best trial, then stop a search that has reached ``stop_when``.

        In this order: after a failed call, a retry can adopt a running search, but not a stopped one.
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
            self._stop_or_warn()

    def _goal(self) -> float | None:
        from airflow_provider_modelarts.core import coerce

        return coerce.optional(coerce.number, "stop_when", self.stop_when)

    def _policy(self) -> WaitPolicy:
        from airflow_provider_modelarts.core.progress import read_policy

        return read_policy(
            expected_trials=None,
            max_failed_trials=self.max_failed_trials,
            accept_stopped=False,
            settle_seconds=self.settle_seconds,
        )
