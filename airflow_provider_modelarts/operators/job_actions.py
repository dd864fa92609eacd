"""Actions on an existing training job: stop it, delete it, stop one of its trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_modelarts.operators.base import ModelArtsBaseOperator
from airflow_provider_modelarts.task_exceptions import as_task_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context


class JobActionBaseOperator(ModelArtsBaseOperator):
    """Base of the operators that act once on a training job."""

    template_fields: Sequence[str] = ("training_job_id", "modelarts_conn_id", "region", "project_id")
    ui_color = "#f6dfd0"
    operator_extra_links: Sequence[BaseOperatorLink] = ()

    def __init__(
        self,
        *,
        training_job_id: str,
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.training_job_id = training_job_id
        self.modelarts_conn_id = modelarts_conn_id
        self.region = region
        self.project_id = project_id

    def act(self) -> str:
        """Act on the job, and return a line for the task log."""
        raise NotImplementedError

    def execute(self, context: Context) -> None:
        """Act on the job."""
        with as_task_errors():
            self.log.info(self.act())


class ModelArtsStopTrainingJobOperator(JobActionBaseOperator):
    """Stop a training job; does nothing if the job has ended or no longer exists.

    :param training_job_id: id of the job. (templated)
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: takes precedence over the connection's region. (templated)
    :param project_id: takes precedence over the connection's project id. (templated)
    """

    def act(self) -> str:
        """Stop the job."""
        is_stopping = self.hook.stop_training_job(self.training_job_id)
        outcome = "is being stopped" if is_stopping else "has already ended or no longer exists"
        return f"Training job {self.training_job_id} {outcome}"


class ModelArtsDeleteTrainingJobOperator(JobActionBaseOperator):
    """Delete a training job; does nothing if the job no longer exists.

    :param training_job_id: id of the job. (templated)
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: takes precedence over the connection's region. (templated)
    :param project_id: takes precedence over the connection's project id. (templated)
    """

    def act(self) -> str:
        """Delete the job."""
        is_deleting = self.hook.delete_training_job(self.training_job_id)
        return f"Training job {self.training_job_id} {'is being deleted' if is_deleting else 'no longer exists'}"


class ModelArtsStopTrialOperator(JobActionBaseOperator):
    """Stop one trial of a running search early; the search continues with its other trials.

    Does nothing if the trial has ended.

    :param training_job_id: id of the search job. (templated)
    :param trial_id: id of the trial. (templated)
    :param modelarts_conn_id: id of the connection. (templated)
    :param region: takes precedence over the connection's region. (templated)
    :param project_id: takes precedence over the connection's project id. (templated)
    """

    template_fields: Sequence[str] = ("training_job_id", "trial_id", "modelarts_conn_id", "region", "project_id")

    def __init__(
        self,
        *,
        training_job_id: str,
        trial_id: str,
        modelarts_conn_id: str = "modelarts_default",
        region: str | None = None,
        project_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            training_job_id=training_job_id,
            modelarts_conn_id=modelarts_conn_id,
            region=region,
            project_id=project_id,
            **kwargs,
        )
        self.trial_id = trial_id

    def act(self) -> str:
        """Stop the trial, unless it has ended."""
        from airflow_provider_modelarts.api.flows import stop_running_trial

        is_stopping = self.hook.run(stop_running_trial(self.training_job_id, self.trial_id))
        outcome = "is being stopped" if is_stopping else "has already ended"
        return f"Trial {self.trial_id} of training job {self.training_job_id} {outcome}"
