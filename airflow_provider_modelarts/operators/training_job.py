"""Creating a training job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_modelarts.operators.job import JOB_FIELDS, TrainingJobBaseOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_modelarts.api.polling import Poller
    from airflow_provider_modelarts.core.json_values import JSON


class ModelArtsTrainingJobOperator(TrainingJobBaseOperator):
    """Creates a training job, with given hyperparameters, and waits until it is Completed.

    Returns a summary: id, name, phase, duration in seconds, outputs. The error of a job that failed has its last log
    lines and error events. For all arguments see
    :class:`~airflow_provider_modelarts.operators.job.TrainingJobBaseOperator`.
    """

    template_fields: Sequence[str] = JOB_FIELDS

    def make_poller(self, training_job_id: str) -> Poller:
        """Return what looks at the job."""
        from airflow_provider_modelarts.api.polling import JobPoller

        return JobPoller(training_job_id)

    def make_trigger(self, **shared: Any) -> BaseTrigger:
        """Return the trigger that takes over."""
        from airflow_provider_modelarts.triggers.modelarts import ModelArtsTrainingJobTrigger

        return ModelArtsTrainingJobTrigger(**shared)

    def result(self, context: Context, summary: dict[str, JSON]) -> dict[str, JSON]:
        """Return the summary of the job."""
        self.update_outlet_events(context, {"training_job": summary})
        return summary
