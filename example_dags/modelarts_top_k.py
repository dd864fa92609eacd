"""Wait for a hyperparameter search, and retrain with each of its three best configs in a mapped task.

Trigger the DAG with the id of a search job: ``{"training_job_id": "5b60a667-1438-4eb5-9705-85b860e623dc"}``.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator, ModelArtsTrainingJobOperator
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor

with DAG(
    dag_id="modelarts_top_k",
    schedule=None,
    params={
        "training_job_id": Param(type="string", description="Id of the search job"),
        "bucket": Param("demo-bucket", type="string", description="OBS bucket with the training script"),
    },
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
    def configs(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the config of each trial: Airflow maps over the return value of a task, not over its other XComs."""
        return [trial["config"] for trial in trials]

    retrain = ModelArtsTrainingJobOperator.partial(
        task_id="retrain",
        body="training/job.json",
        retries=2,
        deferrable=True,
    ).expand(hyperparameters=configs(best_trials.output["top_trials"]))

    wait_for_search >> best_trials
