"""Retrain whenever a search has found a better config: two DAGs that know each other only by an asset.

The search tells the asset what it found. Each of its events carries the record of the best trial in ``extra``, and
starts the DAG that is scheduled on it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, Param, task

from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsHyperparameterSearchOperator,
    ModelArtsTrainingJobOperator,
)

# a name, and no URI: for that, Airflow would load all providers to ask who knows its scheme
BEST_CONFIG = Asset("modelarts-best-config")
BUCKET = Param("demo-bucket", type="string", description="OBS bucket with the training script")

with DAG(
    dag_id="modelarts_asset_search",
    schedule=None,
    params={"bucket": BUCKET},
    doc_md=__doc__,
    tags=["modelarts", "example"],
) as search_dag:
    ModelArtsHyperparameterSearchOperator(
        task_id="search",
        body="training/job.json",
        search_space={"learning_rate": {"min": 0.0001, "max": 1.0}},
        objective={"metric": "acc", "mode": "max", "regex": r"\bacc: ([0-9.]+)"},
        algorithm={"name": "tpe_search", "num_samples": 4, "seed": 1},
        outlets=[BEST_CONFIG],
        retries=2,
        deferrable=True,
    )

with DAG(
    dag_id="modelarts_asset_retrain",
    schedule=[BEST_CONFIG],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),  # Airflow 2.11 wants one
    params={"bucket": BUCKET},
    doc_md=__doc__,
    tags=["modelarts", "example"],
) as retrain_dag:

    @task
    def newest_config(triggering_asset_events: Any = None, triggering_dataset_events: Any = None) -> dict[str, Any]:
        """Return the config that the newest event carries; Airflow 2.11 calls assets datasets."""
        (events,) = (triggering_asset_events or triggering_dataset_events).values()
        return events[-1].extra["best_trial"]["config"]

    ModelArtsTrainingJobOperator(
        task_id="retrain",
        body="training/job.json",
        hyperparameters=newest_config(),
        retries=2,
        deferrable=True,
    )
