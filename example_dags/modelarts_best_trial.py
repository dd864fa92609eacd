"""Wait for a hyperparameter search, select its best trial, and pass its config to a downstream task.

Trigger the DAG with the id of a search job: ``{"training_job_id": "5b60a667-1438-4eb5-9705-85b860e623dc"}``.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor

with DAG(
    dag_id="modelarts_best_trial",
    schedule=None,
    params={"training_job_id": Param(type="string", description="Id of the search job")},
    doc_md=__doc__,
    tags=["modelarts", "example"],
) as dag:
    wait_for_search = ModelArtsHyperparameterSearchSensor(
        task_id="wait_for_search",
        training_job_id="{{ params.training_job_id }}",
        poke_interval=30,
        timeout=24 * 60 * 60,
        deferrable=True,
    )

    best_trial = ModelArtsBestTrialOperator(
        task_id="best_trial",
        training_job_id="{{ params.training_job_id }}",
    )

    @task
    def retrain(config: dict[str, Any]) -> dict[str, Any]:
        """Placeholder for your training: receives the best hyperparameters with their types."""
        print(f"Retraining with {config}")
        return config

    wait_for_search >> best_trial
    retrain(best_trial.output)
