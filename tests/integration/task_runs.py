"""Runs of a task as in Airflow, without a database: on a worker, rescheduled, or deferred to a triggerer."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import AirflowSkipException, TaskDeferred
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

#: Environment variable with the folder of the task state stores, which outlive a process.
STORES = "MODELARTS_TEST_STATE_STORES"

running: ContextVar[TaskInstance] = ContextVar("running")
MODES = ("poke", "reschedule", "deferrable")
#: A rescheduled sensor polls as in poke mode; ``sensors/test_mode_agreement.py`` holds all three modes together.
POLLERS = ("poke", "deferrable")


def mode_arguments(mode: str) -> dict[str, Any]:
    """Return the arguments of a sensor for one of the modes."""
    return {"deferrable": True} if mode == "deferrable" else {"mode": mode, "deferrable": False}


@dataclass
class TaskInstance:
    """Substitute for Airflow's task instance that keeps pushed XComs."""

    xcom: dict[str, Any] = field(default_factory=dict)
    try_number: int = 1
    max_tries: int = 0
    dag_id: str = "dag"
    task_id: str = "task"
    run_id: str = "run"
    map_index: int = -1
    rescheduled_first: datetime | None = None
    task: Any = None
    run_started: datetime = field(default_factory=lambda: datetime.now(UTC))
    run_cleared: int = 0
    run_row: int = 1
    id: str = "row"

    def next_try(self) -> TaskInstance:
        """Return the task instance of the next try, without the XComs of this one."""
        return replace(self, try_number=self.try_number + 1, xcom={})

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep a value as JSON, like the metadata database."""
        self.xcom[key] = json.loads(json.dumps(value, allow_nan=False))

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        """Return a pushed value."""
        return self.xcom.get(key)

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        """Return the time of the first reschedule, which Airflow 3 reads."""
        return self.rescheduled_first


@dataclass
class StateStore:
    """Substitute for the task state store of Airflow 3.3, in a file."""

    path: Path

    def get(self, key: str) -> Any:
        """Return a stored value, or None."""
        return self._read().get(key)

    def set(self, key: str, value: Any, *, retention: timedelta) -> None:
        """Store a value as JSON."""
        self.path.write_text(json.dumps({**self._read(), key: value}))

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self.path.read_text())) if self.path.exists() else {}


@dataclass
class Run:
    """Result of a task: ``success``, ``skipped`` or ``failed``, with the returned value or the error."""

    state: str
    value: Any = None
    error: BaseException | None = None
    ti: TaskInstance = field(default_factory=TaskInstance)
    outlet_events: dict[Any, Any] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """Text of the error."""
        return str(self.error)


def run_task(make: Callable[[], Any], ti: TaskInstance | None = None) -> Run:
    """Run a task to its end, with a new operator for each process that Airflow would start.

    :param make: returns the operator; called again after each reschedule and each deferral.
    :param ti: the task instance; a new one when None.
    """
    ti = ti or TaskInstance()
    running.set(ti)
    events: dict[Any, Any] = defaultdict(lambda: SimpleNamespace(extra={}))
    context = {**context_of(ti), "outlet_events": events}
    step = lambda: prepared(make(), context).execute(context)  # noqa: E731
    while True:
        try:
            return Run("success", json.loads(json.dumps(step(), allow_nan=False)), ti=ti, outlet_events=events)
        except AirflowRescheduleException:
            ti.rescheduled_first = ti.rescheduled_first or datetime.now(UTC)
            step = lambda: prepared(make(), context).execute(context)  # noqa: E731
        except TaskDeferred as deferred:
            event, method = fire(deferred.trigger), deferred.method_name
            step = lambda: prepared(make(), context).resume_execution(method, {"event": event}, context)  # noqa: E731, B023
        except AirflowSkipException as skip:
            return Run("skipped", error=skip, ti=ti, outlet_events=events)
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return Run("failed", error=error, ti=ti, outlet_events=events)


def context_of(ti: TaskInstance) -> dict[str, Any]:
    """Return the context of a task: with a state store on Airflow 3.3, with the row id of the run on 2.11."""
    run = SimpleNamespace(start_date=ti.run_started, clear_number=ti.run_cleared, logical_date=None)
    context = {"ti": ti, "task_instance": ti, "dag_run": run}
    if AIRFLOW_V_3_0_PLUS:
        name = f"{ti.dag_id}.{ti.run_id}.{ti.run_row}.{ti.task_id}.{ti.map_index}"
        context["task_state_store"] = StateStore(Path(os.environ[STORES]) / name)
    else:
        run.id = ti.run_row
    return context


def prepared(operator: Any, context: Any) -> Any:
    """Prepare an operator for its execution or resumption, as Airflow does, and return it."""
    context["ti"].task = operator
    operator.pre_execute(context)
    return operator


def fire(trigger: Any) -> Any:
    """Run a trigger from its stored arguments, as the triggerer does, and return its event as stored."""
    path, arguments = json.loads(json.dumps(trigger.serialize(), allow_nan=False))
    module, _, name = path.rpartition(".")
    restored = getattr(importlib.import_module(module), name)(**arguments)

    async def first_event() -> Any:
        events = restored.run()
        try:
            return (await anext(events)).payload
        finally:
            await events.aclose()

    return json.loads(json.dumps(asyncio.run(first_event()), allow_nan=False))
