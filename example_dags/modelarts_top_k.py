"""Wait for a hyperparameter search, and start one task for each of its three best trials.

Trigger it with the id of a search job: ``{"training_job_id": "5b60a667-1438-4eb5-9705-85b860e623dc"}``.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor

with DAG(
    dag_id="modelarts_top_k",
    schedule=None,
    params={"training_job_id": Param(type="string", description="Id of the search job")},
    doc_md=__doc__,
    tags=["modelarts", "example"],
) as dag:
    wait_for_search = ModelArtsHyperparameterSearchSensor(
        task_id="wait_for_search",
        training_job_id="{{ params.training_job_id }}",
        deferrable=True,
    )

    best_trials = ModelArtsBestTrialOperator(
        task_id="best_trials",
        training_job_id="{{ params.training_job_id }}",
        top_k=3,
    )

    @task
    def each_of(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what it is given: Airflow maps over the return value of a task, not over another XCom."""
        return trials

    @task
    def retrain(trial: dict[str, Any]) -> str:
        """Stand in for your training: it receives the record of one of the best trials."""
        print(f"Retraining with {trial['config']}, which reached {trial['metric']}={trial['value']}")
        return trial["trial_id"]

    wait_for_search >> best_trials
    retrain.expand(trial=each_of(best_trials.output["top_trials"]))
