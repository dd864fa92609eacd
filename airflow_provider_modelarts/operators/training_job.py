"""Creation of a training job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_modelarts.operators.job import TrainingJobBaseOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_modelarts.api.polling import Poller
    from airflow_provider_modelarts.core.json_values import JSON


class ModelArtsTrainingJobOperator(TrainingJobBaseOperator):
    """Create a training job, optionally with given hyperparameters, and wait until it is Completed.

    Returns a summary: id, name, phase, duration in seconds, outputs. The error of a failed job holds its last log
    lines and error events.

    One task creates one job: a retry adopts the job of an earlier try if that job is running or Completed, and creates
    a new job if it failed or was stopped. Clearing the task creates a new job and stops the earlier one. The job is
    stopped when the task is ended, but not when only its worker or triggerer is. ``on_clear``, ``on_job_failure`` and
    ``cancel_on_kill`` change this.

    XCom ``training_job_id`` is pushed before the wait begins. The events of asset outlets carry the summary as
    ``extra["training_job"]``.

    :param body: body of CreateTrainingJob: a mapping, JSON text, or the name of a ``.json`` file beside the DAG; the
        name in it is replaced. (templated)
    :param hyperparameters: values for ``algorithm.parameters`` of the body, such as the config of the best trial; a
        mapping or JSON text. An empty rendered value raises an error; ``{}`` sets none. (templated)
    :param wait_for_completion: wait for the end of the job; if False, return once the job is created.
    :param cancel_on_kill: stop the job when the task is ended or exceeds its ``execution_timeout``, when its last try
        dies, and after a clear. If False, leave it running.
    :param on_clear: after a clear of the task, ``restart`` stops the earlier job and creates another; ``resume``
        adopts it if it is active or Completed and trains the same. (templated)
    :param on_job_failure: after a job whose phase is Failed or Abnormal, ``retry`` creates another if the task has
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
        "on_clear",
        "on_job_failure",
        "poll_interval",
        "modelarts_conn_id",
        "region",
        "project_id",
    )

    def __init__(
        self,
        *,
        body: Mapping[str, Any] | str,
        hyperparameters: Mapping[str, Any] | str | None = None,
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
        self.wait_for_completion = wait_for_completion
        self.cancel_on_kill = cancel_on_kill
        self.on_clear = on_clear
        self.on_job_failure = on_job_failure
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id

    def make_poller(self, training_job_id: str) -> Poller:
        """Return a poller of the job."""
        from airflow_provider_modelarts.api.polling import JobPoller

        return JobPoller(training_job_id)

    def make_trigger(self, **shared: Any) -> BaseTrigger:
        """Return the trigger that waits for the job."""
        from airflow_provider_modelarts.triggers.modelarts import ModelArtsTrainingJobTrigger

        return ModelArtsTrainingJobTrigger(**shared)

    def result(self, context: Context, summary: dict[str, JSON]) -> dict[str, JSON]:
        """Return the summary of the job."""
        self.update_outlet_events(context, {"training_job": summary})
        return summary
