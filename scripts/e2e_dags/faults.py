"""DAGs whose tasks the end-to-end run ends, clears, kills and lets run out of time. They are no examples."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.operators.modelarts import ModelArtsTrainingJobOperator


def make_dag(dag_id: str, *, seconds: int, **arguments: Any) -> None:
    """Make a DAG with one task, whose training job sleeps for some seconds."""
    body = {
        "algorithm": {
            "code_dir": "/demo-bucket/faults/",
            "boot_file": "/demo-bucket/faults/sleep.py",
            "parameters": [{"name": "seconds", "value": str(seconds)}],
        }
    }
    with DAG(dag_id=dag_id, schedule=None):
        ModelArtsTrainingJobOperator(task_id="train", body=body, **arguments)


for way, deferrable in (("sync", False), ("deferred", True)):
    make_dag(f"end_{way}", seconds=600, deferrable=deferrable, retries=0)
    make_dag(f"clear_{way}", seconds=20, deferrable=deferrable)
    make_dag(f"time_out_{way}", seconds=600, deferrable=deferrable, retries=0, execution_timeout=timedelta(seconds=10))
make_dag("kill_worker", seconds=15, deferrable=False)
make_dag("restart_triggerer", seconds=45, deferrable=True)
