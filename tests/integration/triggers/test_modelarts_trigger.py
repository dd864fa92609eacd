"""The search trigger by itself; with its sensor it is tested in ``tests/sensors``."""

from __future__ import annotations

import asyncio
import inspect
import logging
import queue
import threading
import time

import pytest
from integration.emulated import settings_of
from integration.task_runs import fire

from airflow_provider_modelarts.client import ModelArtsClient
from airflow_provider_modelarts.triggers.modelarts import (
    ModelArtsHyperparameterSearchTrigger,
    ModelArtsTrainingJobTrigger,
)

ARGUMENTS = {
    "training_job_id": "job",
    "modelarts_conn_id": "other",
    "region": "cn-north-4",
    "project_id": "p",
    "poll_interval": 7.0,
    "deadline": 1_800_000_000.0,
    "expected_trials": 3,
    "max_failed_trials": 1,
    "accept_stopped": True,
    "settle_seconds": 9.0,
    "ignore_errors": True,
    "stop_on_kill": True,
    "stop_when": 0.9,
}


def test_serialized_arguments_make_an_equal_trigger():
    """Every argument survives the way through the metadata database."""
    path, arguments = ModelArtsHyperparameterSearchTrigger(**ARGUMENTS).serialize()

    assert path == "airflow_provider_modelarts.triggers.modelarts.ModelArtsHyperparameterSearchTrigger"
    assert arguments == ARGUMENTS


@pytest.mark.parametrize("trigger", [ModelArtsHyperparameterSearchTrigger, ModelArtsTrainingJobTrigger])
def test_every_argument_is_stored(trigger):
    """An argument that is not stored would silently fall back to its default."""
    parameters = [*inspect.signature(trigger).parameters, *inspect.signature(trigger.__base__).parameters]

    _, stored = trigger(training_job_id="job").serialize()

    assert set(stored) == {*parameters} - {"own", "shared"}


def test_missing_connection_ends_in_an_error_event(monkeypatch):
    """A trigger that raises leaves its task with no explanation, so it reports instead."""
    monkeypatch.delenv("AIRFLOW_CONN_NOWHERE", raising=False)

    event = fire(
        ModelArtsHyperparameterSearchTrigger(training_job_id="job", modelarts_conn_id="nowhere", poll_interval=0)
    )

    assert event["status"] == "error"
    assert "waiting for training job job broke off" in event["error"]["facts"]["message"]


def test_passed_deadline_ends_after_one_look(connected):
    """A triggerer that was down past the deadline still looks once: the search may be over."""
    job_id = connected.job_id("pending-forever")

    event = fire(ModelArtsHyperparameterSearchTrigger(training_job_id=job_id, deadline=time.time() - 60))

    assert event["status"] == "timeout"
    assert sum(request.path.endswith(job_id) for request in connected.requests) == 1


def test_search_that_ended_past_the_deadline_is_done(connected):
    """What is over is over, however late somebody looks."""
    job_id = connected.job_id("documented")

    event = fire(ModelArtsHyperparameterSearchTrigger(training_job_id=job_id, deadline=time.time() - 60))

    assert event["status"] == "done"


def test_cancelled_trigger_fires_nothing(connected):
    """A restart of the triggerer cancels it; it just goes on elsewhere."""
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


def test_waits_that_start_together_do_not_look_together(connected):
    """A hundred wait with an interval of an hour; by the third look of one that starts last, few of them have looked.

    Calls are made first come, first served: had all looked at once, all would have been before that third look.
    """
    many, hasty = connected.job_id("pending-forever"), connected.add_running_search(num_samples=8, terminated=3)
    waits = [ModelArtsHyperparameterSearchTrigger(training_job_id=many, poll_interval=3600) for _ in range(100)]
    waits.append(ModelArtsHyperparameterSearchTrigger(training_job_id=hasty, poll_interval=0.01))

    def looks(job_id):
        return sum(request.path.endswith(job_id) for request in connected.requests)

    async def looks_by_then():
        running = [asyncio.ensure_future(anext(wait.run())) for wait in waits]
        while looks(hasty) < 3:  # noqa: ASYNC110 - the emulator is on another thread
            await asyncio.sleep(0.01)
        for wait in running:
            wait.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return looks(many)

    assert asyncio.run(looks_by_then()) < 50


def test_first_look_does_not_wait_beyond_the_deadline(connected):
    """An interval of an hour, a deadline in a moment."""
    wait = ModelArtsHyperparameterSearchTrigger(
        training_job_id=connected.job_id("pending-forever"), poll_interval=3600, deadline=time.time() + 0.1
    )

    assert fire(wait)["status"] == "timeout"


def test_job_of_a_killed_task_is_stopped_in_time(connected):
    """Airflow gives it 30 seconds; the platform asks it, and a look just before, to come again in a minute."""
    job_id = connected.add_running_search(num_samples=2, terminated=1)
    connected.respond_next(job_id, times=2, status=429, headers={"Retry-After": "60"}, body=b"{}")
    wait = ModelArtsHyperparameterSearchTrigger(training_job_id=job_id, poll_interval=0, stop_on_kill=True)

    async def kill():
        looking = asyncio.ensure_future(anext(wait.run()))
        while not any(request.path.endswith(job_id) for request in connected.requests):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.wait_for(wait.on_kill(), 10)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    asyncio.run(kill())

    assert [request.path.endswith("/actions") for request in connected.requests].count(True) == 2
    assert ModelArtsClient(settings_of(connected)).get_training_job(job_id).phase in {"Terminating", "Terminated"}


def test_line_of_log_that_is_not_taken_holds_up_nobody(connected):
    """Airflow's supervisor reads no lines while it sends triggers, and a loop that waits for it takes no triggers."""
    told = threading.Event()
    written = queue.SimpleQueue()

    class Supervisor(logging.Logger):
        """Takes a line only when the event of the trigger is known."""

        def log(self, *line, **options):
            written.put(told.wait(30))

    async def wait():
        trigger = ModelArtsHyperparameterSearchTrigger(training_job_id=connected.job_id("documented"), poll_interval=0)
        trigger._log = Supervisor("trigger")
        await anext(trigger.run())
        told.set()

    asyncio.run(wait())

    assert written.get(timeout=60)
