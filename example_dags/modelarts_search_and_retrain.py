"""Create a hyperparameter search, wait for it, and retrain with the config of its best trial.

The bucket holds the training script at ``code/train.py``; the body of both jobs is the file ``training/job.json``.
The retraining is skipped unless the best trial beats the baseline. A retry adopts the job of an earlier try.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsHyperparameterSearchOperator,
    ModelArtsTrainingJobOperator,
)

with DAG(
    dag_id="modelarts_search_and_retrain",
    schedule=None,
    params={
        "bucket": Param("demo-bucket", type="string", description="OBS bucket with the training script"),
        "baseline": Param(0.75, type="number", description="Accuracy that the best trial must beat"),
    },
    doc_md=__doc__,
    tags=["modelarts", "example"],
) as dag:
    search = ModelArtsHyperparameterSearchOperator(
        task_id="search",
        body="training/job.json",
        search_space={
            "learning_rate": {"min": 0.0001, "max": 1.0},
            "momentum": [0.0, 0.5, 0.9],
        },
        objective={"metric": "acc", "mode": "max", "regex": r"\bacc: ([0-9.]+)"},
        algorithm={"name": "tpe_search", "num_samples": 8, "seed": 1},
        only_if_better_than="{{ params.baseline }}",
        retries=2,
        deferrable=True,
    )

    retrain = ModelArtsTrainingJobOperator(
        task_id="retrain",
        body="training/job.json",
        hyperparameters=search.output,
        retries=2,
        deferrable=True,
    )
