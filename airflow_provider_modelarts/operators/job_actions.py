"""Stopping and deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_modelarts.operators.base import ModelArtsBaseOperator
from airflow_provider_modelarts.task_exceptions import as_task_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context


class _JobActionBaseOperator(ModelArtsBaseOperator):
    """Does one thing to a training job.

    :param training_job_id: id of the job. (templated)
    """

    template_fields: Sequence[str] = ("training_job_id", "modelarts_conn_id", "region", "project_id")
    ui_color = "#f6dfd0"

    def __init__(self, *, training_job_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id

    def act(self) -> str:
        """Do it, and return what to log."""
        raise NotImplementedError

    def execute(self, context: Context) -> None:
        """Do it."""
        with as_task_errors():
            self.log.info(self.act())


class ModelArtsStopTrainingJobOperator(_JobActionBaseOperator):
    """Stops a training job. One that has ended, or is gone, is left as it is.

    :param training_job_id: id of the job. (templated)
    """

    def act(self) -> str:
        """Stop the job."""
        stopped = self.hook.stop_training_job(self.training_job_id)
        return f"Training job {self.training_job_id} {'is being stopped' if stopped else 'had ended'}"


class ModelArtsDeleteTrainingJobOperator(_JobActionBaseOperator):
    """Deletes a training job. One that is gone already is no error.

    :param training_job_id: id of the job. (templated)
    """

    def act(self) -> str:
        """Delete the job."""
        deleted = self.hook.delete_training_job(self.training_job_id)
        return f"Training job {self.training_job_id} {'is being deleted' if deleted else 'was gone'}"


class ModelArtsStopTrialOperator(_JobActionBaseOperator):
    """Stops one trial of a running search early. The search goes on with the others.

    :param training_job_id: id of the search job. (templated)
    :param trial_id: id of the trial. (templated)
    """

    template_fields: Sequence[str] = (*_JobActionBaseOperator.template_fields, "trial_id")

    def __init__(self, *, trial_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trial_id = trial_id

    def act(self) -> str:
        """Stop the trial, unless it has ended."""
        from airflow_provider_modelarts.api.flows import stop_trial

        stopped = self.hook.run(stop_trial(self.training_job_id, self.trial_id))
        return f"Trial {self.trial_id} of {self.training_job_id} {'is being stopped' if stopped else 'had ended'}"
