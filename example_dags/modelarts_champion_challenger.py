"""Run a search, and retrain only if its best trial beats the current model.

The Airflow Variable ``modelarts_champion`` holds the accuracy of the current model, the champion. If the best trial of
a search is not better, the search task and its downstream tasks are skipped, and the champion stays.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, Variable, task

from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsHyperparameterSearchOperator,
    ModelArtsTrainingJobOperator,
)

with DAG(
    dag_id="modelarts_champion_challenger",
    schedule=None,
    max_active_runs=1,
    params={"bucket": Param("demo-bucket", type="string", description="OBS bucket with the training script")},
    doc_md=__doc__,
    tags=["modelarts", "example"],
) as dag:
    challenge = ModelArtsHyperparameterSearchOperator(
        task_id="challenge",
        body="training/job.json",
        search_space={"learning_rate": {"min": 0.0001, "max": 1.0}},
        objective={"metric": "acc", "mode": "max", "regex": r"\bacc: ([0-9.]+)"},
        algorithm={"name": "tpe_search", "num_samples": 4, "seed": 1},
        only_if_better_than="{{ var.value.get('modelarts_champion', '') }}",
        on_not_better="skip",
        retries=2,
        deferrable=True,
    )

    retrain = ModelArtsTrainingJobOperator(
        task_id="retrain",
        body="training/job.json",
        hyperparameters=challenge.output,
        retries=2,
        deferrable=True,
    )

    @task
    def crown(best_trial: dict[str, Any]) -> None:
        """Store the accuracy of the challenger as that of the champion, after its model is trained."""
        Variable.set("modelarts_champion", str(best_trial["value"]))
        print(f"The new champion has {best_trial['metric']}={best_trial['value']}")

    retrain >> crown(challenge.output["best_trial"])
