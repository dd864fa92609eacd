"""Handing a wait over from a worker to the triggerer."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.triggers.base import BaseTrigger

#: How much longer than the trigger's own deadline Airflow waits for it, should the triggerer be gone.
_BACKSTOP = timedelta(minutes=5)


class _Waiting(Protocol):
    modelarts_conn_id: str
    region: str | None
    project_id: str | None

    def defer(self, *, trigger: BaseTrigger, method_name: str, timeout: timedelta | None) -> NoReturn: ...


def hand_over(
    task: _Waiting, make_trigger: Callable[..., BaseTrigger], *, seconds: float | None, **arguments: Any
) -> NoReturn:
    """Defer a task, to go on with its ``execute_complete``.

    :param make_trigger: makes the trigger from the arguments that all triggers have.
    :param seconds: how long to wait at most; without end when None.
    :param arguments: further arguments of the trigger.
    """
    task.defer(
        trigger=make_trigger(
            modelarts_conn_id=task.modelarts_conn_id,
            region=task.region,
            project_id=task.project_id,
            deadline=None if seconds is None else time.time() + seconds,
            **arguments,
        ),
        method_name="execute_complete",
        timeout=None if seconds is None else timedelta(seconds=seconds) + _BACKSTOP,
    )
