"""Retrain in a second DAG after each search: two DAGs that share only an asset.

The search has the asset among its outlets. Each asset event carries the record of the best trial in ``extra``, and
triggers the DAG that is scheduled on the asset.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, Param, task

from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsHyperparameterSearchOperator,
    ModelArtsTrainingJobOperator,
)

# a name, not a URI: for a URI, Airflow loads all providers to find the handler of its scheme
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
    start_date=datetime(2026, 1, 1, tzinfo=UTC),  # required by Airflow 2.11
    params={"bucket": BUCKET},
    doc_md=__doc__,
    tags=["modelarts", "example"],
) as retrain_dag:

    @task
    def newest_config(triggering_asset_events: Any = None, triggering_dataset_events: Any = None) -> dict[str, Any]:
        """Return the config in the newest asset event; Airflow 2.11 calls assets datasets."""
        (events,) = (triggering_asset_events or triggering_dataset_events).values()
        return events[-1].extra["best_trial"]["config"]

    ModelArtsTrainingJobOperator(
        task_id="retrain",
        body="training/job.json",
        hyperparameters=newest_config(),
        retries=2,
        deferrable=True,
    )
