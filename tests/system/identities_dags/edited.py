"""DAG that is edited between two runs of ``airflow dags test``."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.operators.modelarts import ModelArtsTrainingJobOperator

X = 1
BODY = {
    "algorithm": {
        "code_dir": "/demo-bucket/faults/",
        "boot_file": "/demo-bucket/faults/wait.py",
        "parameters": [{"name": "gate", "value": "edited_dag_test"}, {"name": "x", "value": "0"}],
    }
}

with DAG(dag_id="edited_dag_test", schedule=None):
    ModelArtsTrainingJobOperator(
        task_id="train", body=BODY, hyperparameters={"x": X}, modelarts_conn_id="edited_dag_test"
    )
