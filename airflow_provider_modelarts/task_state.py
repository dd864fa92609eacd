"""Airflow's state of a task whose process is told to end: whether a user ended the task, or only the process ends.

A signal alone proves nothing: workers are restarted, heartbeats are missed, triggerers hang and are replaced. So a
worker or trigger that is told to end asks Airflow for the task as it is now, and :func:`judge` decides.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from airflow.sdk.execution_time.comms import ToSupervisor

JOB_ID_KEY = "training_job_id"  # of the XCom that names the job of the task's current try

_ENDED_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
_CLEARED_STATE = "restarting"  # of a task that is cleared while it runs; a retry never has it
_STARTING_STATES = frozenset({None, "scheduled", "queued"})  # the XComs are still those of the try before

WORKER_SECONDS = 3.5  # a worker is killed 5 seconds after its signal
TRIGGER_SECONDS = 60.0  # the first question of a fresh triggerer takes ten seconds, more on a busy machine
_PAUSE_SECONDS = 0.5


class Ending(Enum):
    """Judgement of a task whose process is told to end."""

    ENDED = auto()  # the task was marked, or its run was ended or deleted, or it has another job
    CLEARED = auto()  # the task begins anew
    INTERRUPTED = auto()  # only the process ends; the try is still the task's own
    STARTING = auto()  # a later try is about to start, after a clear, a retry or a restart of the scheduler
    TAKEN_OVER = auto()  # another process has the job of this one: a later try, or another triggerer
    UNKNOWN = auto()  # Airflow does not answer, or a later try has no job yet


_UNSETTLED = frozenset({Ending.STARTING, Ending.UNKNOWN})


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task instance as Airflow has it now.

    :param exists: False if there is no such task instance any more.
    :param is_live: whether the row of this try is still there; None in a trigger, which cannot ask for it.
    :param owner: the job in the XCom ``training_job_id``.
    :param max_tries: changed by a clear; None where it cannot be asked.
    """

    state: str | None
    exists: bool = True
    is_live: bool | None = None
    owner: str | None = None
    max_tries: int | None = None


@dataclass(frozen=True, slots=True)
class TaskKey:
    """Task instance of a try, as its process knows it.

    :param ti_id: id of the try's row; from Airflow 3 on.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    try_number: int
    ti_id: Any = None

    @classmethod
    def of(cls, ti: Any) -> TaskKey:
        """Return the key of a task instance, on a worker or in a trigger."""
        map_index = -1 if ti.map_index is None else ti.map_index
        return cls(ti.dag_id, ti.task_id, ti.run_id, map_index, ti.try_number, getattr(ti, "id", None))


def judge(facts: TaskFacts, job_id: str | None, max_tries: int | None) -> Ending:
    """Decide whether the task has ended.

    :param job_id: the job of the process that asks; None while its creation is not answered.
    :param max_tries: of the task when that process began.
    """
    if not facts.exists:
        return Ending.ENDED
    if facts.state == _CLEARED_STATE or (None not in {facts.max_tries, max_tries} and facts.max_tries != max_tries):
        return Ending.CLEARED
    has_ended = facts.state in _ENDED_STATES
    if has_ended and facts.is_live is not False:
        return Ending.ENDED
    if facts.is_live and facts.state not in _STARTING_STATES:
        return Ending.INTERRUPTED
    if facts.state in _STARTING_STATES:
        return Ending.STARTING
    if facts.owner is None:
        return Ending.ENDED if has_ended else Ending.UNKNOWN
    return Ending.TAKEN_OVER if facts.owner == (job_id or facts.owner) else Ending.ENDED


def learn_ending(ti: Any, job_id: str | None, max_tries: int | None) -> Ending:
    """Ask Airflow, on a worker, until the ending is known or the time is up. An error means that it is unknown.

    Blocks: call it in a thread, never in a signal handler.
    """
    asked = ThreadPoolExecutor(1, "modelarts-ask").submit(_ask_until_known, TaskKey.of(ti), job_id, max_tries)
    done, _ = wait([asked], timeout=WORKER_SECONDS)
    return asked.result() if done and not asked.exception() else Ending.UNKNOWN


def _ask_until_known(key: TaskKey, job_id: str | None, max_tries: int | None) -> Ending:
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

    ask = _ask_supervisor if AIRFLOW_V_3_0_PLUS else _ask_database
    deadline = time.monotonic() + WORKER_SECONDS - 2 * _PAUSE_SECONDS
    while (ending := judge(ask(key), job_id, max_tries)) in _UNSETTLED and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return ending


def learn_ending_at_once(ti: Any, job_id: str | None) -> Ending:
    """Ask Airflow once, on a worker of Airflow 3; an error means that the ending is unknown."""
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        return judge(_ask_supervisor(TaskKey.of(ti)), job_id, None)
    except (AirflowRuntimeError, OSError, EOFError):
        return Ending.UNKNOWN


def must_ask_in_handler() -> bool:
    """Return whether only the signal handler itself may ask: on Airflow 3.0 and 3.1, which have no lock for questions.

    Two threads that ask at once get each other's answers there.
    """
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_2_PLUS

    return AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_2_PLUS


def has_interrupted_question(frame: FrameType | None) -> bool:
    """Return whether a frame is within a question to Airflow's supervisor."""
    while frame is not None:
        if frame.f_code.co_name == "send" and frame.f_globals.get("__name__") == "airflow.sdk.execution_time.comms":
            return True
        frame = frame.f_back
    return False


async def learn_ending_in_trigger(ti: Any, job_id: str, max_tries: int | None) -> Ending:
    """Ask Airflow, in a triggerer, until the ending is known or the time is up. An error means that it is unknown.

    A question that takes too long is not cancelled: Airflow may answer questions in their order.
    """
    asked = asyncio.ensure_future(_ask_until_known_in_trigger(ti, job_id, max_tries))
    done, _ = await asyncio.wait({asked}, timeout=TRIGGER_SECONDS)
    return asked.result() if done and not asked.exception() else Ending.UNKNOWN


async def _ask_until_known_in_trigger(ti: Any, job_id: str, max_tries: int | None) -> Ending:
    key, deadline = TaskKey.of(ti), time.monotonic() + TRIGGER_SECONDS - 2 * _PAUSE_SECONDS
    while (ending := judge(await _ask_in_trigger(key), job_id, max_tries)) in _UNSETTLED:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    return ending


def _ask_supervisor(key: TaskKey) -> TaskFacts:
    """Ask the supervisor of a worker of Airflow 3."""
    from airflow.sdk.execution_time import task_runner

    send: Any = task_runner.SUPERVISOR_COMMS.send
    state, exists = _state_in(send(_states_of(key)), key)
    return TaskFacts(state, exists, _is_live(send, key), _owner_in(send(_owner_of(key))))


async def _ask_in_trigger(key: TaskKey) -> TaskFacts:
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

    if not AIRFLOW_V_3_0_PLUS:
        from asgiref.sync import sync_to_async

        return replace(await sync_to_async(_ask_database)(key), is_live=None)
    from airflow.sdk.execution_time import task_runner

    asend: Any = task_runner.SUPERVISOR_COMMS.asend
    state, exists = _state_in(await asend(_states_of(key)), key)
    return TaskFacts(state, exists, owner=_owner_in(await asend(_owner_of(key))))


def _states_of(key: TaskKey) -> ToSupervisor:
    from airflow.sdk.execution_time.comms import GetTaskStates

    map_index = key.map_index if key.map_index >= 0 else None
    return GetTaskStates(dag_id=key.dag_id, task_ids=[key.task_id], run_ids=[key.run_id], map_index=map_index)


def _owner_of(key: TaskKey) -> ToSupervisor:
    from airflow.sdk.execution_time.comms import GetXCom

    map_index = key.map_index if key.map_index >= 0 else None
    return GetXCom(key=JOB_ID_KEY, dag_id=key.dag_id, run_id=key.run_id, task_id=key.task_id, map_index=map_index)


def _state_in(answer: Any, key: TaskKey) -> tuple[str | None, bool]:
    """Return the state of a task instance, and whether there is one."""
    states = answer.task_states.get(key.run_id, {})
    name = key.task_id if key.map_index < 0 else f"{key.task_id}_{key.map_index}"
    return states.get(name), name in states


def _owner_in(answer: Any) -> str | None:
    return answer.value if isinstance(answer.value, str) else None


def _is_live(send: Any, key: TaskKey) -> bool:
    """Return whether the row of a try is still there: a retry, a clear and a deletion remove it.

    Airflow has no question for it; the assets of a row can be asked for with any row.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.comms import ValidateInletsAndOutlets

    try:
        send(ValidateInletsAndOutlets(ti_id=key.ti_id))
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == 404:
            return False
        raise
    return True


def _ask_database(key: TaskKey) -> TaskFacts:
    """Read the metadata database, which workers and triggerers of Airflow 2.11 reach."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XCom
    from airflow.utils.session import create_session

    names = {"dag_id": key.dag_id, "task_id": key.task_id, "run_id": key.run_id, "map_index": key.map_index}
    with create_session() as session:
        columns = TaskInstance.state, TaskInstance.try_number, TaskInstance.max_tries
        row = session.query(*columns).filter_by(**names).one_or_none()
        if row is None:
            return TaskFacts(None, exists=False)
        owner = XCom.get_one(key=JOB_ID_KEY, session=session, **names)
    state, try_number, max_tries = row
    return TaskFacts(state, True, try_number == key.try_number, owner if isinstance(owner, str) else None, max_tries)
