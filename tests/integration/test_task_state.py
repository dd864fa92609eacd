"""Questions to Airflow about a task, answered by a stand-in for the supervisor of Airflow 3."""

from __future__ import annotations

import asyncio
import threading

import pytest
from integration.task_runs import TaskInstance

from airflow_provider_modelarts import task_state
from airflow_provider_modelarts.task_state import Ending, learn_ending, learn_ending_at_once, learn_ending_in_trigger

comms = pytest.importorskip("airflow.sdk.execution_time.comms", reason="Airflow 2.11 has a database instead")

TI_ID = "01a22dd1-dede-7e75-ad0e-da4dda5dbdff"
MINE = "job-1"


class Supervisor:
    """Stand-in for the supervisor.

    :param states: of task instances by their names in Airflow's answer; an exception is raised.
    :param live: HTTP status of the question for the assets of the row.
    """

    def __init__(self, states, owner=MINE, live=200):
        self.states = states
        self.owner = owner
        self.live = live
        self.questions = []

    def send(self, question):
        """Answer a question."""
        self.questions.append(question)
        match question:
            case comms.GetTaskStates():
                if isinstance(self.states, Exception):
                    raise self.states
                return comms.TaskStatesResult(task_states={"run": self.states} if self.states else {})
            case comms.GetXCom():
                return comms.XComResult(key=question.key, value=self.owner)
            case comms.ValidateInletsAndOutlets() if self.live == 200:
                return comms.InactiveAssetsResult(inactive_assets=[])
        raise api_error(self.live)

    async def asend(self, question):
        """Answer a question of a trigger."""
        return self.send(question)


def api_error(status):
    """Return the error of a call that Airflow's server refuses."""
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType

    detail = {"status_code": status, "message": "refused"}
    return AirflowRuntimeError(comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


@pytest.fixture(name="supervised")
def _supervised(monkeypatch):
    """Return a function that installs a supervisor."""
    from airflow.sdk.execution_time import task_runner

    def install(*arguments, **options):
        supervisor = Supervisor(*arguments, **options)
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        return supervisor

    monkeypatch.setattr(task_state, "WORKER_SECONDS", 0.3)
    monkeypatch.setattr(task_state, "TRIGGER_SECONDS", 0.3)
    monkeypatch.setattr(task_state, "_PAUSE_SECONDS", 0.05)
    yield install
    for thread in threading.enumerate():
        if thread.name.startswith("modelarts-ask"):
            thread.join()  # or it asks the supervisor of the next test


def ti(**changes):
    """Return a task instance."""
    return TaskInstance(id=TI_ID, **changes)


ON_A_WORKER = {
    "marked failed": ({"task": "failed"}, MINE, 200, Ending.ENDED),
    "run deleted": ({}, MINE, 404, Ending.ENDED),
    "task removed": ({"other": "running"}, MINE, 404, Ending.ENDED),
    "cleared": ({"task": "restarting"}, MINE, 404, Ending.CLEARED),
    "evicted": ({"task": "running"}, MINE, 200, Ending.INTERRUPTED),
    "zombie whose retry succeeded": ({"task": "success"}, MINE, 404, Ending.TAKEN_OVER),
    "scheduler restarted": ({"task": None}, MINE, 404, Ending.STARTING),
    "zombie": ({"task": "running"}, MINE, 404, Ending.TAKEN_OVER),
    "zombie of a task with another job": ({"task": "running"}, "job-2", 404, Ending.ENDED),
    "zombie of a task without a job": ({"task": "running"}, None, 404, Ending.UNKNOWN),
    "server away": (api_error(None), MINE, 200, Ending.UNKNOWN),
    "server fails": ({"task": "running"}, MINE, 500, Ending.UNKNOWN),
}


@pytest.mark.parametrize(("states", "owner", "live", "ending"), ON_A_WORKER.values(), ids=ON_A_WORKER)
def test_ending_on_a_worker(supervised, states, owner, live, ending):
    """A worker asks for the state of its task, for the row of its try, and for the job of the task."""
    supervised(states, owner, live)

    assert learn_ending(ti(), MINE, 2) is ending
    assert learn_ending_at_once(ti(), MINE) is ending


@pytest.mark.parametrize(("map_index", "name"), [(-1, "task"), (0, "task_0"), (12, "task_12")])
def test_ending_of_a_mapped_task(supervised, map_index, name):
    """Only the state of the own map index counts."""
    states = {"task_3": "success", "task": "success"} | {name: "running"}
    supervisor = supervised(states)

    assert learn_ending(ti(map_index=map_index), MINE, 2) is Ending.INTERRUPTED
    asked = [question.map_index for question in supervisor.questions if hasattr(question, "map_index")]
    assert set(asked) == {map_index if map_index >= 0 else None}


def test_ending_that_is_not_settled_is_asked_again(supervised):
    """The retry is queued: its XComs are still those of the try before."""
    supervisor = supervised({"task": "queued"}, live=404)

    assert learn_ending(ti(), MINE, 2) is Ending.STARTING
    assert len(supervisor.questions) > 3


IN_A_TRIGGER = {
    "marked failed": ({"task": "failed"}, MINE, Ending.ENDED),
    "run deleted": ({}, MINE, Ending.ENDED),
    "cleared": ({"task": "deferred"}, "job-2", Ending.ENDED),
    "taken over": ({"task": "deferred"}, MINE, Ending.TAKEN_OVER),
    "scheduled": ({"task": "scheduled"}, MINE, Ending.STARTING),
    "server away": (api_error(None), MINE, Ending.UNKNOWN),
}


@pytest.mark.parametrize(("states", "owner", "ending"), IN_A_TRIGGER.values(), ids=IN_A_TRIGGER)
def test_ending_in_a_trigger(supervised, states, owner, ending):
    """A trigger asks for the state of its task, and for the job of the task."""
    supervised(states, owner)

    assert asyncio.run(learn_ending_in_trigger(ti(), MINE, 2)) is ending


def test_ending_in_a_trigger_without_an_answer(supervised):
    """The question is not cancelled, and the ending is unknown."""
    supervisor, answered = supervised({"task": "failed"}), []

    async def asend(question):
        await asyncio.sleep(0.6)
        answered.append(question)
        return supervisor.send(question)

    async def learn_and_wait():
        ending = await learn_ending_in_trigger(ti(), MINE, 2)
        await asyncio.sleep(0.5)
        return ending

    supervisor.asend = asend

    assert asyncio.run(learn_and_wait()) is Ending.UNKNOWN
    assert answered


def test_ending_in_a_trigger_without_a_task():
    """A trigger that belongs to no task cannot ask."""
    assert asyncio.run(learn_ending_in_trigger(None, MINE, 2)) is Ending.UNKNOWN
