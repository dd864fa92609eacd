"""Thirty searches on an emulator with faulty responses, for the end-to-end run."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.operators.modelarts import ModelArtsHyperparameterSearchOperator

BODY = {
    "algorithm": {
        "code_dir": "/demo-bucket/code/",
        "boot_file": "/demo-bucket/code/train.py",
        "parameters": [{"name": "learning_rate", "value": "0"}, {"name": "momentum", "value": "0"}],
    }
}

with DAG(dag_id="chaos", schedule=None):
    ModelArtsHyperparameterSearchOperator.partial(
        task_id="search",
        modelarts_conn_id="modelarts_chaos",
        body=BODY,
        search_space={"learning_rate": {"min": 0.0001, "max": 1.0}},
        objective={"metric": "acc", "mode": "max", "regex": r"\bacc: ([0-9.]+)"},
        algorithm={"name": "tpe_search", "num_samples": 3},
        poll_interval=1,
        retries=9,
        retry_delay=timedelta(seconds=1),
        deferrable=True,
    ).expand(hyperparameters=[{"momentum": number / 100} for number in range(30)])
