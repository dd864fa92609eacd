"""Link from a task to its job's page in the ModelArts console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

    from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook


class ModelArtsTrainingJobLink(BaseOperatorLink):
    """Link to the job's console page, even while the task is deferred.

    The URL is undocumented, and so best effort. The connection's ``console_url`` replaces its base.
    """

    name = "ModelArts training job"
    key = "modelarts_training_job_link"
    xcom_key = key  # Airflow 3 reads the URL from this XCom

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL that the task pushed; called by Airflow 2.11."""
        return XCom.get_value(ti_key=ti_key, key=self.key) or ""

    @classmethod
    def push(cls, context: Context, hook: ModelArtsHook, training_job_id: str) -> None:
        """Push the URL of the link to XCom."""
        url = hook.get_conn().settings.job_url(training_job_id)
        context["ti"].xcom_push(key=cls.key, value=url)
