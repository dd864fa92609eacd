"""Faults during the creation of a job and the wait for it. Each test counts the jobs that cost money."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout
from integration.task_runs import TaskInstance, context_of, fire, prepared, run_task

from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook
from airflow_provider_modelarts.operators.modelarts import ModelArtsTrainingJobOperator
from airflow_provider_modelarts.task_exceptions import ModelArtsTaskInterruptedError
from airflow_provider_modelarts.triggers.modelarts import ModelArtsTrainingJobTrigger

BOTH_MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])

#: A worker, as a process of its own that can be killed.
WORKER = """
import json, sys
from integration.task_runs import TaskInstance, context_of
from airflow_provider_modelarts.operators.modelarts import ModelArtsTrainingJobOperator
body = json.loads(sys.argv[1])
operator = ModelArtsTrainingJobOperator(task_id="train", body=body, poll_interval=0.05, deferrable=False)
operator.execute(context_of(TaskInstance()))
"""


def operator(body, **arguments):
    """Return an operator that polls often."""
    return ModelArtsTrainingJobOperator(
        task_id="train", body=body, **{"poll_interval": 0.05, "deferrable": False, **arguments}
    )


def train(body, ti=None, **arguments):
    """Run the operator as Airflow does."""
    return run_task(lambda: operator(body, **arguments), ti)


def exceed_timeout(task):
    """Let Airflow end a task that has exceeded its ``execution_timeout``."""
    try:
        raise AirflowTaskTimeout  # noqa: TRY301 - as Airflow does
    except AirflowTaskTimeout:
        task.on_kill()
        raise


def trigger_of(job_id, **arguments):
    """Return the trigger of a task that waits for a job."""
    trigger = ModelArtsTrainingJobTrigger(training_job_id=job_id, stop_on_kill=True, **arguments)
    trigger.task_instance = TaskInstance()
    return trigger


def jobs():
    """Return all created jobs, newest first."""
    return ModelArtsHook().search_training_jobs().jobs


def open_gate(cloud):
    """Let the jobs end that wait for the gate."""
    (cloud.root / "bucket" / "code" / "go").touch()


def phases(seconds=60):
    """Return the phases of all jobs once they have ended, newest first."""
    deadline = time.monotonic() + seconds
    while not all(job.phase.is_terminal for job in jobs()):
        assert time.monotonic() < deadline, "a job is still running"
        time.sleep(0.02)
    return [job.phase_text for job in jobs()]


LOST = {
    "500": {"status": 500, "body": b'{"error_code": "ModelArts.2950", "error_msg": "internal error"}'},
    "502 of a gateway": {"status": 502, "body": b"<html>"},
    "connection cut": {"drop": True},
    "timeout": {"delay": 1.5},
    "not JSON": {"status": 201, "body": b"{"},
}


@BOTH_MODES
@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_lost_response_to_a_creation_costs_no_second_job(cloud, connect, body, lost, deferrable):
    """The job was created, but the response was lost: the task finds the job by its name and adopts it."""
    connect(cloud, timeout="1,0.5")
    cloud.respond_next("/training-jobs", method="POST", executes=True, **lost)

    run = train(body(), deferrable=deferrable)

    assert run.state == "success", run.message
    assert [job.id for job in jobs()] == [run.value["training_job_id"]]


def kill_worker(cloud, body, when):
    """Run the task on a worker that is killed at a request, and return its exit code.

    The gate of its job opens when the worker has polled the job five times, or is dead.

    :param when: returns whether to kill the worker at a request, before the response.
    """
    worker = subprocess.Popen([sys.executable, "-c", WORKER, json.dumps(body)], cwd=Path(__file__).parents[2])

    def kill_or_open_gate(request):
        if when(request):
            os.kill(worker.pid, signal.SIGKILL)
        elif polls(cloud) == 5:
            open_gate(cloud)

    cloud.on_request = kill_or_open_gate
    try:
        return worker.wait(timeout=120)
    finally:
        cloud.on_request = None
        worker.kill()
        open_gate(cloud)


def polls(cloud):
    """Return the number of requests that have polled a job, including the current one."""
    return sum(request.method == "GET" and "/training-jobs/" in request.path for request in cloud.requests)


def is_completed(cloud):
    """Return whether the only job is Completed, read on the emulator's own thread."""
    return [job.document()["status"]["phase"] for job in cloud.project.jobs()] == ["Completed"]


KILLS = {
    "before the response to the creation": lambda cloud, request: request.path.endswith("/training-jobs"),
    "between creating and waiting": lambda cloud, request: polls(cloud) == 1,
    "in mid-wait": lambda cloud, request: polls(cloud) == 4,
    "after the job's end, before the result": lambda cloud, request: polls(cloud) > 0 and is_completed(cloud),
}


@pytest.mark.parametrize("when", KILLS.values(), ids=KILLS)
def test_worker_that_is_killed_costs_no_second_job(cloud, body, when):
    """The retry adopts the job of the first try, and returns its result."""
    cloud.respond_next("/training-jobs", method="POST", executes=True, delay=0.3, status=500)

    assert kill_worker(cloud, body(gate="go"), lambda request: when(cloud, request)) == -signal.SIGKILL
    run = train(body(gate="go"), TaskInstance(try_number=2))

    assert run.state == "success", run.message
    assert [job.id for job in jobs()] == [run.value["training_job_id"]]


def test_triggerer_that_is_restarted_neither_stops_nor_loses_the_job(cloud, body):
    """The trigger is cancelled in mid-wait and restored from its row; it waits for the end of the same job."""
    job_id = train(body(gate="go"), wait_for_completion=False).value["training_job_id"]
    trigger = ModelArtsTrainingJobTrigger(training_job_id=job_id, poll_interval=0.05, stop_on_kill=True)

    async def shut_down_in_mid_wait():
        waiting = asyncio.ensure_future(anext(trigger.run()))
        loop, third_poll = asyncio.get_running_loop(), asyncio.Event()
        cloud.on_request = lambda _: loop.call_soon_threadsafe(third_poll.set) if polls(cloud) == 3 else None
        await third_poll.wait()
        cloud.on_request = None
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(shut_down_in_mid_wait())
    open_gate(cloud)
    event = fire(trigger)

    assert (event["status"], event["training_job_id"]) == ("done", job_id)
    assert phases() == ["Completed"]


def test_task_that_is_ended_on_a_worker_stops_its_job(cloud, body, task_is):
    """Airflow calls on_kill: no running job is left behind."""
    task_is("failed", is_live=True)
    task = operator(body(sleep=30), wait_for_completion=False)
    task.execute(context_of(TaskInstance()))

    task.on_kill()

    assert phases() == ["Terminated"]


def test_task_that_is_ended_while_deferred_stops_its_job(cloud, body, task_is):
    """From Airflow 3.3 on, the triggerer calls the on_kill of the trigger."""
    job_id = train(body(sleep=30), wait_for_completion=False).value["training_job_id"]
    task_is("failed")

    asyncio.run(trigger_of(job_id).on_kill())

    assert phases() == ["Terminated"]


def test_deferred_task_that_exceeds_its_execution_timeout_stops_its_job(cloud, body):
    """Airflow does not apply execution_timeout while a task is deferred; the trigger does."""
    run = train(body(sleep=30), deferrable=True, execution_timeout=timedelta(seconds=0.3))

    assert isinstance(run.error, AirflowTaskTimeout)
    assert phases() == ["Terminated"]


def test_deferred_task_that_is_ended_before_it_resumes_stops_its_job(cloud, body):
    """Airflow 2.11 resumes a task past its execution_timeout in a new process, and calls on_kill at once."""
    first = train(body(sleep=30), wait_for_completion=False)

    first.ti.next_method = "execute_complete"
    resumed = prepared(operator(body(sleep=30)), context_of(first.ti))
    with suppress(AirflowTaskTimeout):
        exceed_timeout(resumed)

    assert phases() == ["Terminated"]


def test_failure_is_raised_even_if_the_job_cannot_be_stopped(cloud, connect, body, task_log):
    """The task fails with the error of the job; its log holds the error of the stop."""
    connect(cloud, retry_seconds=0)
    cloud.respond_next("/actions", status=503, body=b"{}")

    run = train(body(fail="gpu0"))

    assert "out of memory: gpu0" in run.message
    assert "Failed to stop training job " in task_log()


def test_try_that_airflow_executes_twice_costs_no_second_job(cloud, body):
    """Airflow 3 repeats a try if the task resumes before the scheduler has recorded its deferral."""
    first = train(body(sleep=0.3), wait_for_completion=False)

    again = train(body(sleep=0.3), replace(first.ti, xcom={}))

    assert [job.id for job in jobs()] == [first.value["training_job_id"]] == [again.value["training_job_id"]]


@pytest.mark.parametrize(("before", "since"), [(0, 3), (3, 1), (3, 0)])
def test_retries_that_were_edited_meanwhile_cost_no_second_job(cloud, body, before, since):
    """The DAG is edited between two tries: the second still finds the job of the first."""
    first = train(body(sleep=30), TaskInstance(max_tries=before), retries=before, wait_for_completion=False)

    second = train(body(sleep=30), first.ti.next_try(), retries=since, wait_for_completion=False)

    assert second.value["training_job_id"] == first.value["training_job_id"]
    assert [job.phase_text for job in jobs()] == ["Running"]


def test_retries_that_were_edited_after_a_clear_revive_no_old_job(cloud, body):
    """The retry of a cleared task adopts the job created after the clear, not the one before it."""
    train(body(), TaskInstance(max_tries=1), retries=1)
    cleared = TaskInstance(try_number=2, max_tries=2)
    begun = train(body(sleep=0.5), cleared, retries=1, wait_for_completion=False)

    retried = train(body(sleep=0.5), cleared.next_try(), retries=3)

    assert retried.value["training_job_id"] == begun.value["training_job_id"]
    assert len(jobs()) == 2


def test_deferred_task_whose_trigger_failed_stops_its_job(cloud, body):
    """Airflow resumes the task with an error of its own: no task would wait for the job any more."""
    context = context_of(train(body(sleep=30), wait_for_completion=False).ti)

    with pytest.raises(AirflowException):
        prepared(operator(body(sleep=30)), context).resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    assert phases() == ["Terminated"]


class Terminated(BaseException):
    """Error that Airflow 2.11 ends a task with, after on_kill."""


@pytest.mark.parametrize("error", [ModelArtsTaskInterruptedError, Terminated], ids=["continues", "is ended"])
def test_task_that_is_ended_during_the_creation_stops_the_job(cloud, body, error, task_is):
    """Airflow calls on_kill before the response to the creation; Airflow 3 then lets the task continue."""
    task_is("failed", is_live=True)
    task = operator(body(sleep=30))
    cloud.respond_next("/training-jobs", method="POST", executes=True, delay=0.3, status=500)
    cloud.on_request = lambda request: (
        signal.raise_signal(signal.SIGUSR1) if request.path.endswith("/training-jobs") else None
    )

    def end(*_):
        task.on_kill()
        if error is Terminated:
            raise Terminated

    before = signal.signal(signal.SIGUSR1, end)
    try:
        with pytest.raises(error):
            task.execute(context_of(TaskInstance()))
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert phases() == ["Terminated"]


@BOTH_MODES
def test_task_that_is_cleared_creates_a_new_job_and_stops_the_earlier_one(cloud, body, deferrable):
    """Two jobs; the first is stopped, even if no on_kill ran when the task was cleared."""
    train(body(sleep=30), wait_for_completion=False)

    run = train(body(), TaskInstance(try_number=2, max_tries=1), deferrable=deferrable)

    assert run.state == "success", run.message
    assert phases() == ["Completed", "Terminated"]


def test_two_deployments_with_the_same_dag_have_a_job_each(cloud, connect, body):
    """The connections differ in ``job_name_prefix``: neither deployment adopts or stops the job of the other."""
    made = {}
    for row, prefix in enumerate(("prod", "test")):
        connect(cloud, job_name_prefix=prefix)
        first = train(body(sleep=0.3), TaskInstance(run_row=row), wait_for_completion=False)
        made[prefix] = train(body(sleep=0.3), first.ti.next_try()).value["training_job_id"]

    assert [job.id for job in jobs()] == [made["test"], made["prod"]]
    assert phases() == ["Completed", "Completed"]
