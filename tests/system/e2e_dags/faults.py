"""DAGs whose tasks the end-to-end run ends, clears, kills and lets run out of time. They are no examples."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.operators.modelarts import ModelArtsTrainingJobOperator


def make_dag(dag_id: str, **arguments: Any) -> None:
    """Make a DAG with one task, whose training job goes on until it is let end."""
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
    make_dag(f"end_{way}", deferrable=deferrable, retries=0)
    make_dag(f"clear_{way}", deferrable=deferrable)
    make_dag(f"time_out_{way}", deferrable=deferrable, retries=0, execution_timeout=timedelta(seconds=10))
make_dag("kill_worker", deferrable=False)
make_dag("restart_triggerer", deferrable=True)
