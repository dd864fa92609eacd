"""DAGs for the failure checks of the end-to-end run: ended, cleared, killed and timed-out tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.operators.modelarts import ModelArtsTrainingJobOperator


def create_dag(dag_id: str, **arguments: Any) -> None:
    """Create a DAG with one task, whose training script runs until its gate file exists."""
    body = {
        "algorithm": {
            "code_dir": "/demo-bucket/faults/",
            "boot_file": "/demo-bucket/faults/wait.py",
            "parameters": [{"name": "gate", "value": dag_id}],
        }
    }
    with DAG(dag_id=dag_id, schedule=None):
        ModelArtsTrainingJobOperator(task_id="train", body=body, **arguments)


for way, deferrable in (("sync", False), ("deferred", True)):
    create_dag(f"end_{way}", deferrable=deferrable, retries=0)
    create_dag(f"clear_{way}", deferrable=deferrable)
    create_dag(f"time_out_{way}", deferrable=deferrable, retries=0, execution_timeout=timedelta(seconds=10))
create_dag("kill_worker", deferrable=False)
create_dag("restart_triggerer", deferrable=True)
