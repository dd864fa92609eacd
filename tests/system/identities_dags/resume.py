"""DAG whose task adopts its running job when it is cleared."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.operators.modelarts import ModelArtsTrainingJobOperator

BODY = {
    "algorithm": {
        "code_dir": "/demo-bucket/faults/",
        "boot_file": "/demo-bucket/faults/wait.py",
        "parameters": [{"name": "gate", "value": "resume_after_outage"}, {"name": "x", "value": "1"}],
    }
}

with DAG(dag_id="resume_after_outage", schedule=None):
    ModelArtsTrainingJobOperator(
        task_id="train",
        body=BODY,
        on_clear="resume",
        deferrable=True,
        retries=1,
        modelarts_conn_id="resume_after_outage",
    )
