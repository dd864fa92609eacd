"""Airflow's own state of a task whose trigger was cancelled."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS


async def is_still_deferred(task_instance: Any) -> bool:
    """Return whether a task still waits for its trigger: the triggerer shuts down, and the task was not ended.

    Before Airflow 3.3 a trigger is cancelled in both cases. On 2.11 the database distinguishes them. On 3.0 to 3.2 no
    safe call does, and the result is always True: the job of a deferred task that is ended keeps running.
    """
    if AIRFLOW_V_3_0_PLUS or task_instance is None:
        return True
    from asgiref.sync import sync_to_async

    return await sync_to_async(_is_deferred_in_database)(task_instance)


def _is_deferred_in_database(task_instance: Any) -> bool:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState

    with create_session() as session:
        state = (
            session.query(TaskInstance.state)
            .filter_by(
                dag_id=task_instance.dag_id,
                task_id=task_instance.task_id,
                run_id=task_instance.run_id,
                map_index=task_instance.map_index,
            )
            .scalar()
        )
    return bool(state == TaskInstanceState.DEFERRED)
