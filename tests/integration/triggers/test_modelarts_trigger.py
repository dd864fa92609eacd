"""Triggers and their events, without a task. The tests of the sensors cover triggers with a task."""

from __future__ import annotations

import asyncio
import inspect
import logging
import queue
import re
import threading
import time

import pytest
from integration.emulated import settings_of
from integration.task_runs import TaskInstance, context_of, fire, prepared

from airflow_provider_modelarts.client import ModelArtsClient
from airflow_provider_modelarts.exceptions import ModelArtsNotFoundError, ModelArtsProtocolError, error_to_dict
from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsHyperparameterSearchOperator,
    ModelArtsTrainingJobOperator,
)
from airflow_provider_modelarts.sensors.modelarts import (
    ModelArtsHyperparameterSearchSensor,
    ModelArtsTrainingJobSensor,
)
from airflow_provider_modelarts.triggers.modelarts import (
    ModelArtsHyperparameterSearchTrigger,
    ModelArtsTrainingJobTrigger,
    TriggerOutcome,
)

ARGUMENTS = {
    "training_job_id": "job",
    "modelarts_conn_id": "other",
    "region": "cn-north-4",
    "project_id": "p",
    "poll_interval": 7.0,
    "deadline": 1_800_000_000.0,
    "ignore_errors": True,
    "stop_on_kill": True,
    "generation": 2,
    "expected_trials": 3,
    "max_failed_trials": 1,
    "accept_stopped": True,
    "settle_seconds": 9.0,
    "stop_when": 0.9,
}


OF_JOBS = {name: ARGUMENTS[name] for name in [*list(ARGUMENTS)[:9], "accept_stopped"]}
TRIGGERS = {ModelArtsHyperparameterSearchTrigger: ARGUMENTS, ModelArtsTrainingJobTrigger: OF_JOBS}
each_trigger = pytest.mark.parametrize(("trigger", "arguments"), TRIGGERS.items())


@each_trigger
def test_serialized_arguments_make_an_equal_trigger(trigger, arguments):
    """Every argument survives the metadata database. Stored rows outlive an upgrade: path and names stay."""
    path, stored = trigger(**arguments).serialize()

    assert path == f"airflow_provider_modelarts.triggers.modelarts.{trigger.__name__}"
    assert list(stored.items()) == list(arguments.items())


@each_trigger
def test_signature_shows_every_stored_argument(trigger, arguments):
    """Every argument is keyword-only and typed."""
    parameters = inspect.signature(trigger).parameters

    assert list(parameters) == list(arguments)
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert [name for name, parameter in parameters.items() if parameter.annotation is inspect.Parameter.empty] == []


@each_trigger
def test_docstring_describes_every_stored_argument(trigger, arguments):
    """Each argument has a ``:param``, in the order of the signature."""
    assert re.findall(r":param (\w+): \w", trigger.__doc__) == list(arguments)


def test_defaults_are_those_of_rows_that_are_stored_already():
    """A row of an earlier version may lack an argument that was added since."""
    assert ModelArtsHyperparameterSearchTrigger(training_job_id="job").serialize()[1] == {
        "training_job_id": "job",
        "modelarts_conn_id": "modelarts_default",
        "region": None,
        "project_id": None,
        "poll_interval": 30.0,
        "deadline": None,
        "ignore_errors": False,
        "stop_on_kill": False,
        "generation": None,
        "expected_trials": None,
        "max_failed_trials": 0,
        "accept_stopped": False,
        "settle_seconds": 120.0,
        "stop_when": None,
    }


GONE = ModelArtsNotFoundError("gone", status=400, code="ModelArts.2775")
OUTCOMES = {
    "done": (
        TriggerOutcome("job", "done", "all 2 trials have ended", {"trials": 2}),
        {"training_job_id": "job", "status": "done", "message": "all 2 trials have ended", "summary": {"trials": 2}},
    ),
    "failed": (
        TriggerOutcome("job", "failed", "training job job is Failed", {"trials": 2}),
        {
            "training_job_id": "job",
            "status": "failed",
            "message": "training job job is Failed",
            "summary": {"trials": 2},
        },
    ),
    "timeout": (
        TriggerOutcome("job", "timeout", "it did not end"),
        {"training_job_id": "job", "status": "timeout", "message": "it did not end"},
    ),
    "error": (
        TriggerOutcome("job", "error", error=error_to_dict(GONE)),
        {"training_job_id": "job", "status": "error", "error": error_to_dict(GONE)},
    ),
}


@pytest.mark.parametrize(("outcome", "event"), OUTCOMES.values(), ids=OUTCOMES)
def test_event_is_read_as_the_outcome_that_was_sent(outcome, event):
    """Events that are stored outlive an upgrade: their shape stays, and what a later version adds is ignored."""
    assert outcome.to_event() == event
    assert TriggerOutcome.from_event({**event, "added": 1}, "job") == outcome


UNREADABLE = {
    "no event": None,
    "empty": {},
    "text": "done",
    "no status": {"training_job_id": "job", "message": "m", "summary": {}},
    "waiting": {"training_job_id": "job", "status": "waiting", "message": "m", "summary": {}},
    "done without summary": {"training_job_id": "job", "status": "done", "message": "m"},
    "done with a text for a summary": {"training_job_id": "job", "status": "done", "message": "m", "summary": "s"},
    "failed without message": {"training_job_id": "job", "status": "failed", "summary": {}},
    "error without error": {"training_job_id": "job", "status": "error", "error": None},
}
TASKS = {
    "search sensor": lambda: ModelArtsHyperparameterSearchSensor(task_id="task", training_job_id="job"),
    "job sensor": lambda: ModelArtsTrainingJobSensor(task_id="task", training_job_id="job"),
    "search operator": lambda: ModelArtsHyperparameterSearchOperator(task_id="task", body={}),
    "job operator": lambda: ModelArtsTrainingJobOperator(task_id="task", body={}),
}


@pytest.mark.parametrize("event", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_task_never_succeeds_on_an_unreadable_event(make, event):
    """The task fails, names its job, and may be retried."""
    context = context_of(TaskInstance(xcom={"training_job_id": "job"}))

    with pytest.raises(ModelArtsProtocolError, match="the trigger of training job job ended without"):
        prepared(make(), context).resume_execution("execute_complete", {"event": event}, context)


def test_missing_connection_ends_in_an_error_event(monkeypatch):
    """A trigger that raises leaves its task without an explanation."""
    monkeypatch.delenv("AIRFLOW_CONN_NOWHERE", raising=False)

    event = fire(
        ModelArtsHyperparameterSearchTrigger(training_job_id="job", modelarts_conn_id="nowhere", poll_interval=0)
    )

    assert event["status"] == "error"
    assert "the wait for training job job failed" in event["error"]["facts"]["message"]


def test_passed_deadline_ends_after_one_poll(connected):
    """A triggerer that was down past the deadline still polls once: the search may have ended."""
    job_id = connected.job_id("pending-forever")

    event = fire(ModelArtsHyperparameterSearchTrigger(training_job_id=job_id, deadline=time.time() - 60))

    assert event["status"] == "timeout"
    assert sum(request.path.endswith(job_id) for request in connected.requests) == 1


def test_search_that_ended_past_the_deadline_is_done(connected):
    """The search has ended, however late the poll."""
    job_id = connected.job_id("documented")

    event = fire(ModelArtsHyperparameterSearchTrigger(training_job_id=job_id, deadline=time.time() - 60))

    assert event["status"] == "done"


def test_cancelled_trigger_fires_nothing(connected):
    """A restart of the triggerer cancels the trigger; another triggerer continues the wait."""
    trigger = ModelArtsHyperparameterSearchTrigger(
        training_job_id=connected.job_id("pending-forever"), poll_interval=0.01
    )

    async def cancel():
        task = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_waits_that_start_together_do_not_poll_together(connected):
    """Of a hundred waits with an interval of an hour, few have polled by the third poll of a wait that starts last.

    Calls are served in order: if all waits had polled at once, all would have been served before that third poll.
    """
    many, hasty = connected.job_id("pending-forever"), connected.add_running_search(num_samples=8, terminated=3)
    waits = [ModelArtsHyperparameterSearchTrigger(training_job_id=many, poll_interval=3600) for _ in range(100)]
    waits.append(ModelArtsHyperparameterSearchTrigger(training_job_id=hasty, poll_interval=0.01))

    def polls(job_id):
        return sum(request.path.endswith(job_id) for request in connected.requests)

    async def polls_by_then():
        running = [asyncio.ensure_future(anext(wait.run())) for wait in waits]
        while polls(hasty) < 3:  # noqa: ASYNC110 - the emulator is on another thread
            await asyncio.sleep(0.01)
        for wait in running:
            wait.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return polls(many)

    assert asyncio.run(polls_by_then()) < 50


def test_first_poll_does_not_wait_beyond_the_deadline(connected):
    """The interval is an hour, and the deadline comes in a tenth of a second."""
    wait = ModelArtsHyperparameterSearchTrigger(
        training_job_id=connected.job_id("pending-forever"), poll_interval=3600, deadline=time.time() + 0.1
    )

    assert fire(wait)["status"] == "timeout"


def test_job_of_a_killed_task_is_stopped_in_time(connected, task_is):
    """Airflow allows 30 seconds, while the platform throttles the poll and the stop for a minute."""
    task_is("failed")
    job_id = connected.add_running_search(num_samples=2, terminated=1)
    connected.respond_next(job_id, times=2, status=429, headers={"Retry-After": "60"}, body=b"{}")
    wait = ModelArtsHyperparameterSearchTrigger(training_job_id=job_id, poll_interval=0, stop_on_kill=True)
    wait.task_instance = TaskInstance()

    async def kill():
        polling = asyncio.ensure_future(anext(wait.run()))
        while not any(request.path.endswith(job_id) for request in connected.requests):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.wait_for(wait.on_kill(), 10)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)

    asyncio.run(kill())

    assert [request.path.endswith("/actions") for request in connected.requests].count(True) >= 2
    assert ModelArtsClient(settings_of(connected)).get_training_job(job_id).phase in {"Terminating", "Terminated"}


def test_blocked_log_does_not_block_the_event_loop(connected):
    """Airflow's supervisor reads no log while it sends triggers: an event loop that waits for the log deadlocks."""
    fired = threading.Event()
    written = queue.SimpleQueue()

    class Supervisor(logging.Logger):
        """Logger that blocks until the trigger has fired."""

        def log(self, *line, **options):
            written.put(fired.wait(30))

    async def wait():
        trigger = ModelArtsHyperparameterSearchTrigger(training_job_id=connected.job_id("documented"), poll_interval=0)
        trigger._log = Supervisor("trigger")
        await anext(trigger.run())
        fired.set()

    asyncio.run(wait())

    assert written.get(timeout=60)
