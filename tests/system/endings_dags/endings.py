"""DAGs for the checks of ended tasks: one task each, whose training script runs until its gate file exists."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.operators.modelarts import ModelArtsTrainingJobOperator


def render_slowly() -> str:
    """Return a value of a template after some seconds."""
    time.sleep(8)
    return "1"


def create_dag(dag_id: str, hyperparameter: str = "1", **arguments: Any) -> None:
    """Create a DAG with one task."""
    body = {
        "algorithm": {
            "code_dir": "/demo-bucket/faults/",
            "boot_file": "/demo-bucket/faults/wait.py",
            "parameters": [{"name": "gate", "value": dag_id}, {"name": "x", "value": hyperparameter}],
        }
    }
    with DAG(dag_id=dag_id, schedule=None, user_defined_macros={"render_slowly": render_slowly}):
        ModelArtsTrainingJobOperator(task_id="train", body=body, **arguments)


for check in ("evicted_worker", "rolling_restart", "late_zombie", "cleared_during_outage", "cleared_after_silent_stop"):
    create_dag(check, deferrable=False)
for check in ("resumed_worker", "killed_scheduler"):
    create_dag(check, deferrable=False, on_clear="resume" if check == "resumed_worker" else "restart")
create_dag("resumed_trigger", deferrable=True, on_clear="resume")
create_dag("ended_while_rendering", hyperparameter="{{ render_slowly() }}", deferrable=False, retries=0)
create_dag("late_success", deferrable=False, wait_for_completion=False)
for check in ("stalled_triggerer", "unloadable_trigger", "stop_under_faults_503", "stop_under_faults_429"):
    create_dag(check, deferrable=True)
for check in ("evicted_worker", "rolling_restart", "api_server_outage"):
    create_dag(f"{check}_last_try", deferrable=False, retries=0)
create_dag("unloadable_trigger_last_try", deferrable=True, retries=0)
create_dag("api_server_outage", deferrable=False, retry_delay=timedelta(seconds=20))  # no retry during the outage
create_dag("ended_during_creation", deferrable=False, modelarts_conn_id="modelarts_lagging")
