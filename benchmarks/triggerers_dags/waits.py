"""DAGs of deferred sensors: one that the scheduler runs, and one for copied deferrals."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor

for dag_id, waits in (("scheduled", 20), ("copied", 500)):
    with DAG(dag_id=dag_id, schedule=None, max_active_tasks=waits):
        ModelArtsHyperparameterSearchSensor.partial(task_id="wait", deferrable=True, poke_interval=30).expand(
            training_job_id=[f"search-{number:06}" for number in range(waits)]
        )
