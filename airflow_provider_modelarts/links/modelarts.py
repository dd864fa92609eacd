"""The link from a task to its job's page in the ModelArts console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

    from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook


class ModelArtsTrainingJobLink(BaseOperatorLink):
    """Leads to the job's page in the console. It works while the task still waits.

    The address is best effort: no document states it. The connection's ``console_url`` replaces its first part.
    """

    name = "ModelArts training job"
    key = "modelarts_training_job_link"
    xcom_key = key  # Airflow 3 reads the address from here

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address that the task left; Airflow 2.11 asks for it."""
        return XCom.get_value(ti_key=ti_key, key=self.key) or ""

    @classmethod
    def push(cls, context: Context, hook: ModelArtsHook, training_job_id: str) -> None:
        """Leave the address where the link looks for it."""
        url = hook.get_conn().settings.job_url(training_job_id)
        context["ti"].xcom_push(key=cls.key, value=url)
