"""Stopping and deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_modelarts.operators.base import ModelArtsOperator
from airflow_provider_modelarts.task_exceptions import as_task_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

_FIELDS = ("training_job_id", "modelarts_conn_id", "region", "project_id")


class ModelArtsStopTrainingJobOperator(ModelArtsOperator):
    """Stops a training job. One that has ended, or is gone, is left as it is.

    :param training_job_id: id of the job. (templated)
    """

    template_fields: Sequence[str] = _FIELDS
    ui_color = "#f6dfd0"

    def __init__(self, *, training_job_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id

    def execute(self, context: Context) -> None:
        """Stop the job."""
        from airflow_provider_modelarts.core.job_ends import stop_job

        with as_task_errors():
            stopped = self.hook.run(stop_job(self.training_job_id))
        self.log.info("Training job %s %s", self.training_job_id, "is being stopped" if stopped else "had ended")


class ModelArtsDeleteTrainingJobOperator(ModelArtsOperator):
    """Deletes a training job. One that is gone already is no error.

    :param training_job_id: id of the job. (templated)
    """

    template_fields: Sequence[str] = _FIELDS
    ui_color = "#f6dfd0"

    def __init__(self, *, training_job_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id

    def execute(self, context: Context) -> None:
        """Delete the job."""
        from airflow_provider_modelarts.core.job_ends import delete_job

        with as_task_errors():
            deleted = self.hook.run(delete_job(self.training_job_id))
        self.log.info("Training job %s %s", self.training_job_id, "is being deleted" if deleted else "was gone")


class ModelArtsStopTrialOperator(ModelArtsOperator):
    """Stops one trial of a running search early. The search goes on with the others.

    :param training_job_id: id of the search job. (templated)
    :param trial_id: id of the trial. (templated)
    """

    template_fields: Sequence[str] = (*_FIELDS, "trial_id")
    ui_color = "#f6dfd0"

    def __init__(self, *, training_job_id: str, trial_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id
        self.trial_id = trial_id

    def execute(self, context: Context) -> None:
        """Stop the trial, unless it has ended."""
        from airflow_provider_modelarts.core.job_ends import stop_trial

        with as_task_errors():
            stopped = self.hook.run(stop_trial(self.training_job_id, self.trial_id))
        self.log.info(
            "Trial %s of training job %s %s",
            self.trial_id,
            self.training_job_id,
            "is being stopped" if stopped else "had ended",
        )
