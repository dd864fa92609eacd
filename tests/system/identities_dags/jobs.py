"""DAGs for the checks of job identities. The id of a DAG begins with the id of its connection."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsDeleteTrainingJobOperator,
    ModelArtsHyperparameterSearchOperator,
    ModelArtsStopTrainingJobOperator,
    ModelArtsStopTrialOperator,
    ModelArtsTrainingJobOperator,
)

REQUESTED = {"x": "{{ dag_run.conf.get('x', 1) }}"}


def job_body(dag_id: str, script: str = "wait.py", **metadata: str) -> dict[str, Any]:
    """Return the body of a job, whose script runs until the gate file of the DAG exists."""
    parameters = [{"name": "gate", "value": dag_id}, {"name": "x", "value": "0"}]
    code = {"code_dir": "/demo-bucket/faults/", "boot_file": f"/demo-bucket/faults/{script}"}
    return {"metadata": metadata, "algorithm": {**code, "parameters": parameters}}


def create_dag(dag_id: str, check: str, *, workspace_id: str = "", **arguments: Any) -> None:
    """Create a DAG with one task, which trains with the ``x`` of the run's conf."""
    body = job_body(dag_id, **({"workspace_id": workspace_id} if workspace_id else {}))
    with DAG(dag_id=dag_id, schedule=None):
        ModelArtsTrainingJobOperator(
            task_id="train", body=body, hyperparameters=REQUESTED, modelarts_conn_id=check, **arguments
        )


create_dag("recreated_run", "recreated_run")
create_dag("recreated_run_refused", "recreated_run")
create_dag("workspace", "workspace", workspace_id="w1")
create_dag("edited_description", "edited_description")
create_dag("edited_description_unlisted", "edited_description")
create_dag("recreated_run_at_work", "recreated_run_at_work", deferrable=True)
create_dag("recreated_run_stopped", "recreated_run_at_work", deferrable=True)
create_dag("two_deployments", "two_deployments")
create_dag("restart_after_outage", "restart_after_outage", retries=1)
create_dag("resume_after_outage", "resume_after_outage", on_clear="resume", deferrable=True, retries=1)

with DAG(dag_id="failed_trials", schedule=None):
    ModelArtsHyperparameterSearchOperator(
        task_id="search",
        body=job_body("failed_trials", "fail_once.py"),
        search_space={"x": [1, 2, 3]},
        objective={"metric": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"},
        algorithm={"name": "tpe_search", "num_samples": 3},
        settle_seconds=0,
        modelarts_conn_id="failed_trials",
    )

with DAG(dag_id="lagging_listing", schedule=None):
    ModelArtsTrainingJobOperator.partial(
        task_id="train", body=job_body("lagging_listing"), modelarts_conn_id="lagging_listing"
    ).expand(hyperparameters=[{"x": number} for number in range(3)])

with DAG(dag_id="clean_log", schedule=None):
    given = {"training_job_id": "{{ dag_run.conf['search'] }}", "modelarts_conn_id": "clean_log"}
    (
        ModelArtsTrainingJobOperator(task_id="train", body=job_body("clean_log"), modelarts_conn_id="clean_log")
        >> ModelArtsStopTrialOperator(task_id="stop_trial", trial_id="{{ dag_run.conf['trial'] }}", **given)
        >> ModelArtsStopTrainingJobOperator(task_id="stop", **given)
        >> ModelArtsDeleteTrainingJobOperator(task_id="delete", **given)
    )
