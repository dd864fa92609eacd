"""The end of a process that waits for a job: what becomes of the job. Each test counts the jobs at work."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from dataclasses import replace

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from integration.task_runs import TaskInstance, context_of, run_task

from airflow_provider_modelarts import task_state
from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook
from airflow_provider_modelarts.operators import interruption
from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsHyperparameterSearchOperator,
    ModelArtsTrainingJobOperator,
)
from airflow_provider_modelarts.task_exceptions import (
    ModelArtsSearchFailedError,
    ModelArtsTaskInterruptedError,
    ModelArtsTrainingJobFailedError,
)
from airflow_provider_modelarts.triggers.modelarts import ModelArtsTrainingJobTrigger


def operator(body, **arguments):
    """Return an operator that polls often."""
    return ModelArtsTrainingJobOperator(
        task_id="train", body=body, **{"poll_interval": 0.05, "deferrable": False, **arguments}
    )


def search(body, ti=None, **arguments):
    """Run a search of three trials."""
    return run_task(
        lambda: ModelArtsHyperparameterSearchOperator(
            task_id="train",
            body=body,
            search_space={"learning_rate": {"min": 0.0, "max": 1.0}},
            objective={"metric": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"},
            algorithm={"name": "tpe_search", "num_samples": 3, "seed": 1},
            **{"poll_interval": 0.05, "deferrable": False, **arguments},
        ),
        ti,
    )


def phases():
    """Return the phases of all jobs, newest first."""
    return [job.phase_text for job in ModelArtsHook().search_training_jobs().jobs]


def settled():
    """Return the phases of all jobs once none is being stopped."""
    deadline = time.monotonic() + 30
    while "Terminating" in (found := phases()):
        assert time.monotonic() < deadline, "a job does not end"
        time.sleep(0.02)
    return found


def wait_until_told_to_end(cloud, task, ti):
    """Execute a task whose process gets a signal at the third poll of its job; return the error."""
    polls = iter(range(100))

    def tell(request):
        if request.method == "GET" and "/training-jobs/" in request.path and next(polls) == 2:
            signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: task.on_kill())
    cloud.on_request = tell
    try:
        with pytest.raises(ModelArtsTaskInterruptedError) as raised:
            task.execute(context_of(ti))
        return raised.value
    finally:
        cloud.on_request = None
        signal.signal(signal.SIGUSR1, before)


FIRST, LAST = 1, 3  # tries of a task with two retries
ON_A_WORKER = {
    "marked failed": (FIRST, {"state": "failed", "is_live": True}, "Terminated"),
    "cleared": (FIRST, {"state": "restarting"}, "Terminated"),
    "run deleted": (FIRST, {"state": None, "exists": False}, "Terminated"),
    "evicted": (FIRST, {"state": "running", "is_live": True}, "Running"),
    "evicted on the last try": (LAST, {"state": "running", "is_live": True}, "Terminated"),
    "scheduler restarted on the last try": (LAST, {"state": None, "is_live": False}, "Running"),
    "woken after the retry took over": (FIRST, {"state": "running", "is_live": False}, "Running"),
    "woken after the retry succeeded": (FIRST, {"state": "success", "is_live": False}, "Running"),
    "woken after a clear took over": (LAST, {"state": "running", "is_live": False}, "Running"),
}


@pytest.mark.parametrize(("try_number", "facts", "phase"), ON_A_WORKER.values(), ids=ON_A_WORKER)
def test_job_of_a_worker_that_is_told_to_end(cloud, body, task_is, try_number, facts, phase):
    """Only the end of the task stops its job, or the end of the last process that could take it up."""
    ti = TaskInstance(try_number=try_number, max_tries=2)
    task_is(owner=ti, **facts)

    wait_until_told_to_end(cloud, operator(body(sleep=30)), ti)

    assert settled() == [phase]


@pytest.mark.skipif(not AIRFLOW_V_3_0_PLUS, reason="Airflow 2.11 has a database instead")
@pytest.mark.parametrize(("state", "phase"), [("failed", "Terminated"), ("running", "Running")])
def test_job_of_a_worker_that_asks_in_its_handler(cloud, body, task_is, monkeypatch, state, phase):
    """On Airflow 3.0 and 3.1 no thread may ask; a handler that interrupts a question tries again."""
    ti = TaskInstance(max_tries=2)
    questions = iter([True, True, False])
    monkeypatch.setattr(interruption, "must_ask_in_handler", lambda: True)
    monkeypatch.setattr(interruption, "has_interrupted_question", lambda frame: next(questions))
    task, before = operator(body(sleep=30)), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    task_is(state, is_live=True)
    try:
        wait_until_told_to_end(cloud, task, ti)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert settled() == [phase]
    assert next(questions, "asked three times") == "asked three times"


@pytest.mark.parametrize(("try_number", "phase"), [(FIRST, "Running"), (LAST, "Terminated")])
def test_job_of_a_worker_that_cannot_ask(cloud, body, try_number, phase):
    """Without an answer of Airflow, the job goes on if a retry is left."""
    ti = TaskInstance(try_number=try_number, max_tries=2)

    wait_until_told_to_end(cloud, operator(body(sleep=30)), ti)

    assert settled() == [phase]


def test_job_of_a_worker_that_gets_no_answer_in_time(cloud, body, monkeypatch):
    """A worker is killed five seconds after its signal: it stops the job of a last try before."""
    monkeypatch.setattr(task_state, "WORKER_SECONDS", 0.2)
    answered = threading.Event()
    for name in ("_ask_supervisor", "_ask_database"):
        monkeypatch.setattr(task_state, name, lambda key: answered.wait(30))
    try:
        wait_until_told_to_end(cloud, operator(body(sleep=30)), TaskInstance())
    finally:
        answered.set()

    assert settled() == ["Terminated"]


@pytest.mark.parametrize("try_number", [FIRST, LAST])
def test_job_of_an_ended_task_that_may_not_stop_it(cloud, body, task_is, try_number):
    """``cancel_on_kill=False`` never stops a job."""
    ti = TaskInstance(try_number=try_number, max_tries=2)
    task_is("failed", is_live=True)

    wait_until_told_to_end(cloud, operator(body(sleep=30), cancel_on_kill=False), ti)

    assert settled() == ["Running"]


@pytest.mark.parametrize(("on_clear", "phase"), [("restart", "Terminated"), ("resume", "Running")])
def test_job_of_a_task_that_is_cleared_while_it_runs(cloud, body, task_is, on_clear, phase):
    """A task that resumes leaves the job to the next try."""
    ti = TaskInstance()
    task_is("restarting", owner=ti, is_live=False)

    wait_until_told_to_end(cloud, operator(body(sleep=30), on_clear=on_clear), ti)

    assert settled() == [phase]


def test_task_that_is_ended_before_it_executes_creates_no_job(cloud, body, task_is):
    """Airflow 3 executes a task even if it received SIGTERM while its templates were rendered."""
    task_is("failed", is_live=True)
    task = operator(body())
    task.on_kill()

    with pytest.raises(ModelArtsTaskInterruptedError, match="before it executed the task"):
        task.execute(context_of(TaskInstance()))

    assert phases() == []


def test_task_that_is_ended_before_the_creation_creates_no_job(cloud, body, task_is):
    """The signal arrives while the task searches for its job."""
    task_is("running", is_live=True)
    task = operator(body())
    cloud.on_request = lambda request: signal.raise_signal(signal.SIGUSR1)
    before = signal.signal(signal.SIGUSR1, lambda *_: task.on_kill())
    try:
        with pytest.raises(ModelArtsTaskInterruptedError, match="before it created a training job"):
            task.execute(context_of(TaskInstance()))
    finally:
        cloud.on_request = None
        signal.signal(signal.SIGUSR1, before)

    assert phases() == []


def test_task_that_is_ended_while_it_adopts_its_job_stops_it(cloud, body, task_is):
    """The signal arrives before the response to the look at the stored job."""
    ti = started(body(sleep=30))
    task_is("failed", is_live=True)
    task = operator(body(sleep=30))
    cloud.on_request = lambda request: signal.raise_signal(signal.SIGUSR1)
    before = signal.signal(signal.SIGUSR1, lambda *_: task.on_kill())
    try:
        with pytest.raises(ModelArtsTaskInterruptedError):
            task.execute(context_of(ti.next_try()))
    finally:
        cloud.on_request = None
        signal.signal(signal.SIGUSR1, before)

    assert settled() == ["Terminated"]


def test_retry_adopts_the_job_of_an_evicted_worker(cloud, body, task_is):
    """The log of the first try names the job, and the retry finds it."""
    ti = TaskInstance(max_tries=2)
    task_is("running", is_live=True)
    error = wait_until_told_to_end(cloud, operator(body(sleep=1)), ti)

    retried = run_task(lambda: operator(body(sleep=1)), ti.next_try())

    assert ti.xcom["training_job_id"] in str(error)
    assert retried.value["training_job_id"] == ti.xcom["training_job_id"]
    assert phases() == ["Completed"]


def started(body):
    """Return the task instance of a task whose job is at work."""
    ti = TaskInstance(max_tries=2)
    run_task(lambda: operator(body, wait_for_completion=False), ti)
    return ti


def trigger_of(ti, **arguments):
    """Return the trigger of a deferred task."""
    arguments = {"stop_on_kill": True, "generation": ti.max_tries, "poll_interval": 0.05, **arguments}
    trigger = ModelArtsTrainingJobTrigger(training_job_id=ti.xcom["training_job_id"], **arguments)
    trigger.task_instance = ti
    return trigger


IN_A_TRIGGER = {
    "marked failed": ({"state": "failed"}, "Terminated"),
    "cleared on 2.11": ({"state": "scheduled", "max_tries": 5}, "Terminated"),
    "run deleted": ({"state": None, "exists": False}, "Terminated"),
    "taken over by another triggerer": ({"state": "deferred"}, "Running"),
    "resumed by another triggerer": ({"state": "running"}, "Running"),
}


@pytest.mark.parametrize(("facts", "phase"), IN_A_TRIGGER.values(), ids=IN_A_TRIGGER)
def test_job_of_a_trigger_that_is_killed(cloud, body, task_is, facts, phase):
    """Airflow 3.3 also kills triggers that another triggerer has taken over."""
    ti = started(body(sleep=30))
    task_is(owner=ti, **facts)

    asyncio.run(trigger_of(ti).on_kill())

    assert settled() == [phase]


def test_job_of_a_run_that_was_created_again(cloud, body, task_is):
    """The task under the same id has another job: nobody waits for this one."""
    ti = started(body(sleep=30))
    task_is("deferred", owner=TaskInstance(xcom={"training_job_id": "other"}))

    asyncio.run(trigger_of(ti).on_kill())

    assert settled() == ["Terminated"]


def test_job_of_a_trigger_that_cannot_ask(cloud, body, task_log):
    """An error of Airflow is logged, and the job goes on."""
    asyncio.run(trigger_of(started(body(sleep=30))).on_kill())

    assert settled() == ["Running"]
    assert "keeps running: Airflow reports no end of its task" in task_log()


def test_job_of_a_killed_trigger_that_may_not_stop_it(cloud, body, task_is):
    """``cancel_on_kill=False`` never stops a job."""
    task_is("failed")

    asyncio.run(trigger_of(started(body(sleep=30)), stop_on_kill=False).on_kill())

    assert settled() == ["Running"]


@pytest.mark.parametrize("fault", [{"status": 503, "times": 2}, {"status": 429, "headers": {"Retry-After": "2"}}])
def test_stop_of_a_killed_trigger_survives_faults_and_cancels(cloud, body, task_is, fault):
    """Airflow cancels on_kill again at each of its rounds; the stop goes on."""
    ti = started(body(sleep=30))
    task_is("failed")
    cloud.respond_next("/actions", body=b"{}", **fault)

    async def kill_and_cancel():
        ending = asyncio.ensure_future(trigger_of(ti).on_kill())
        while not ending.done():
            await asyncio.wait({ending}, timeout=0.2)
            ending.cancel()

    asyncio.run(kill_and_cancel())

    assert settled() == ["Terminated"]


def test_stop_of_a_killed_trigger_that_fails_is_logged(cloud, connect, body, task_is, task_log):
    """The job runs on, and the log says so."""
    connect(cloud, retry_seconds=0)
    ti = started(body(sleep=30))
    task_is("failed")
    cloud.respond_next("/actions", status=503, body=b"{}")

    asyncio.run(trigger_of(ti).on_kill())

    assert f"Failed to stop training job {ti.xcom['training_job_id']}, whose task was ended" in task_log()
    assert settled() == ["Running"]


FAILED_TRIGGERS = {
    "timeout": (FIRST, "Trigger timeout", "Terminated"),
    "timeout on 2.11": (FIRST, "Trigger/execution timeout", "Terminated"),
    "failure": (FIRST, "Trigger failure", "Running"),
    "failure on the last try": (LAST, "Trigger failure", "Terminated"),
}


@pytest.mark.parametrize(("try_number", "error", "phase"), FAILED_TRIGGERS.values(), ids=FAILED_TRIGGERS)
def test_job_of_a_trigger_that_failed(cloud, body, try_number, error, phase):
    """A trigger that cannot be loaded leaves the job to the retry; a timeout stops it."""
    ti = replace(started(body(sleep=30)), try_number=try_number)

    with pytest.raises(AirflowException):
        operator(body(sleep=30)).resume_execution("__fail__", {"error": error}, context_of(ti))

    assert settled() == [phase]


def test_search_whose_trials_failed_is_not_run_again(cloud, body):
    """A retry finds the Completed search, and fails alike at once: the script is at fault."""
    tolerated = search(body(most=0.5), TaskInstance(max_tries=2), max_failed_trials=2)

    retried = search(body(most=0.5), tolerated.ti.next_try())

    assert tolerated.state == "success", tolerated.message
    assert isinstance(retried.error, ModelArtsSearchFailedError)
    assert "ended in ERROR" in retried.message
    assert "diverged" in retried.message
    assert phases() == ["Completed"]


def test_search_of_which_all_trials_failed_is_not_run_again(cloud, body):
    """The job is Failed too, and the script is at fault whenever the search is polled."""
    first = search(body(fail="always"), TaskInstance(max_tries=2))
    second = search(body(fail="always"), first.ti.next_try())

    assert isinstance(first.error, ModelArtsSearchFailedError)
    assert isinstance(second.error, ModelArtsSearchFailedError)
    assert len(phases()) == 1


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_search_that_was_stopped_at_its_goal_is_not_run_again(cloud, body, deferrable):
    """The process dies after the stop: the retry finds the stopped search, and the same best trial."""
    arguments = {"stop_when": 0.1, "deferrable": deferrable}
    first = search(body(sleep=0.2), TaskInstance(max_tries=2), **arguments)
    second = search(body(sleep=0.2), first.ti.next_try(), **arguments)

    assert (first.state, second.state) == ("success", "success"), second.message
    assert second.value == first.value
    assert settled() == ["Terminated"]


def test_resumed_job_is_adopted_by_a_retry(cloud, body):
    """A retry of the task that resumed adopts the job, even if the DAG says ``restart`` again."""
    ti = started(body(sleep=1))
    resumed = replace(ti, try_number=4, max_tries=5, xcom={})
    run_task(lambda: operator(body(sleep=1), on_clear="resume", wait_for_completion=False), resumed)

    retried = run_task(lambda: operator(body(sleep=1)), resumed.next_try())

    assert retried.state == "success", retried.message
    assert len(phases()) == (1 if AIRFLOW_V_3_0_PLUS else 2)  # Airflow 2.11 has no store for it


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_job_that_failed_is_followed_by_another(cloud, body, deferrable):
    """The error says that the script failed, and the retry creates a second job."""
    first = run_task(lambda: operator(body(fail="gpu0"), deferrable=deferrable), TaskInstance(max_tries=2))
    second = run_task(lambda: operator(body(fail="gpu0"), deferrable=deferrable), first.ti.next_try())

    assert type(second.error) is ModelArtsTrainingJobFailedError
    assert "The training script failed with exit code 1. Its last lines:" in second.message
    assert phases() == ["Failed", "Failed"]


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_job_that_failed_for_good_is_not_followed_by_another(cloud, body, deferrable):
    """With ``on_job_failure="fail"`` the task fails without a retry; a retry after a crash fails alike."""
    arguments = {"deferrable": deferrable, "on_job_failure": "fail"}
    first = run_task(lambda: operator(body(fail="gpu0"), **arguments), TaskInstance(max_tries=2))
    second = run_task(lambda: operator(body(fail="gpu0"), **arguments), first.ti.next_try())

    assert isinstance(first.error, ModelArtsSearchFailedError)
    assert isinstance(second.error, ModelArtsSearchFailedError)
    assert phases() == ["Failed"]


def test_job_that_failed_for_good_fails_a_task_that_does_not_wait(cloud, body):
    """A retry that finds the failed job does not return it as a success."""
    arguments = {"on_job_failure": "fail"}
    first = run_task(lambda: operator(body(fail="gpu0"), **arguments), TaskInstance(max_tries=2))
    second = run_task(lambda: operator(body(fail="gpu0"), wait_for_completion=False, **arguments), first.ti.next_try())

    assert isinstance(second.error, ModelArtsSearchFailedError)


def test_cleared_task_that_resumes_adopts_its_job(cloud, body):
    """After an outage that was longer than the retries, a clear takes the job up."""
    ti = started(body(sleep=1))

    run = run_task(lambda: operator(body(sleep=1), on_clear="resume"), replace(ti, try_number=4, max_tries=5, xcom={}))

    assert run.value["training_job_id"] == ti.xcom["training_job_id"]
    assert phases() == ["Completed"]


@pytest.mark.parametrize(("argument", "value"), [("on_clear", "adopt"), ("on_job_failure", "ignore")])
def test_unknown_word_is_named_before_any_request(cloud, body, argument, value):
    """The message names the argument, its values and the unknown one."""
    run = run_task(lambda: operator(body(), **{argument: value}))

    assert f"{argument} must be '" in run.message
    assert repr(value) in run.message
    assert cloud.requests == []
