"""Judgement of a task whose process is told to end, without Airflow."""

from __future__ import annotations

import sys

import pytest

from airflow_provider_modelarts.task_state import Ending, TaskFacts, has_interrupted_question, judge

ENDED, CLEARED, INTERRUPTED = Ending.ENDED, Ending.CLEARED, Ending.INTERRUPTED
STARTING, TAKEN_OVER, UNKNOWN = Ending.STARTING, Ending.TAKEN_OVER, Ending.UNKNOWN


def live(state, **facts):
    """Return what Airflow answers to a worker whose row is still there."""
    return TaskFacts(state, is_live=True, **facts)


def gone(state, **facts):
    """Return what Airflow answers to a worker whose row is not there any more."""
    return TaskFacts(state, is_live=False, **facts)


#: What Airflow answers to a worker whose job is ``mine``.
ON_A_WORKER = {
    "marked failed": (live("failed", owner="mine"), ENDED),
    "marked success": (live("success", owner="mine"), ENDED),
    "end of the run by dagrun_timeout": (live("skipped"), ENDED),
    "removed": (live("removed"), ENDED),
    "run deleted": (TaskFacts(None, exists=False, is_live=False), ENDED),
    "cleared": (gone("restarting", owner="mine"), CLEARED),
    "cleared on 2.11": (live("restarting", owner="mine", max_tries=2), CLEARED),
    "cleared and running again": (gone("running", owner="other"), ENDED),
    "cleared and deferred again": (gone("deferred", owner="other"), ENDED),
    "cleared and failed again without a job": (gone("failed"), ENDED),
    "eviction": (live("running", owner="mine"), INTERRUPTED),
    "eviction during the creation": (live("running"), INTERRUPTED),
    "scheduler restarted": (gone(None, owner="mine"), STARTING),
    "scheduler restarted on 2.11": (live(None, owner="mine", max_tries=2), STARTING),
    "zombie whose retry adopted the job": (gone("running", owner="mine"), TAKEN_OVER),
    "zombie whose retry deferred": (gone("deferred", owner="mine"), TAKEN_OVER),
    "zombie whose retry succeeded": (gone("success", owner="mine"), TAKEN_OVER),
    "zombie whose retry failed in an outage": (gone("failed", owner="mine"), TAKEN_OVER),
    "zombie whose retry is to come": (gone("up_for_retry", owner="mine"), TAKEN_OVER),
    "zombie whose retry is queued": (gone("queued", owner="mine"), STARTING),
    "zombie whose retry has no job yet": (gone("running"), UNKNOWN),
}


@pytest.mark.parametrize(("facts", "ending"), ON_A_WORKER.values(), ids=ON_A_WORKER)
def test_judgement_on_a_worker(facts, ending):
    """A worker stops its job only if the task was ended, or has another job."""
    assert judge(facts, "mine", 2) is ending


IN_A_TRIGGER = {
    "marked failed": (TaskFacts("failed", owner="mine"), ENDED),
    "run deleted": (TaskFacts(None, exists=False), ENDED),
    "cleared": (TaskFacts("scheduled", owner="mine"), STARTING),
    "cleared and not scheduled yet": (TaskFacts(None, owner="mine"), STARTING),
    "cleared on 2.11": (TaskFacts("scheduled", owner="mine", max_tries=5), CLEARED),
    "cleared and deferred again": (TaskFacts("deferred", owner="other"), ENDED),
    "run created again": (TaskFacts("deferred", owner="other", max_tries=2), ENDED),
    "taken over by another triggerer": (TaskFacts("deferred", owner="mine"), TAKEN_OVER),
    "shutdown on 2.11": (TaskFacts("deferred", owner="mine", max_tries=2), TAKEN_OVER),
    "resumed after another triggerer": (TaskFacts("running", owner="mine"), TAKEN_OVER),
}


@pytest.mark.parametrize(("facts", "ending"), IN_A_TRIGGER.values(), ids=IN_A_TRIGGER)
def test_judgement_in_a_trigger(facts, ending):
    """A trigger stops its job only if the task was ended, or has another job."""
    assert judge(facts, "mine", 2) is ending


@pytest.mark.parametrize(
    ("facts", "ending"),
    [
        (live("failed"), ENDED),
        (gone("running", owner="other"), TAKEN_OVER),
        (gone("success", owner="other"), TAKEN_OVER),
        (gone("running"), UNKNOWN),
    ],
)
def test_judgement_before_the_job_is_known(facts, ending):
    """A job that the retry has may be the one whose creation is not answered."""
    assert judge(facts, None, 2) is ending


@pytest.mark.parametrize(
    ("module", "function", "interrupted"),
    [
        ("airflow.sdk.execution_time.comms", "send", True),
        ("airflow.sdk.execution_time.comms", "other", False),
        ("smtplib", "send", False),
    ],
)
def test_interrupted_question(module, function, interrupted):
    """A signal handler is within a question if it has interrupted ``send`` of Airflow's messages."""
    scope = {"__name__": module, "handle": lambda: has_interrupted_question(sys._getframe())}
    exec(f"def inner(): return handle()\ndef {function}(): return inner()", scope)  # noqa: S102

    assert scope[function]() is interrupted


def test_judgement_of_a_task_that_resumes_its_job():
    """Without a generation, a clear stops no job: the next try may adopt it."""
    assert judge(TaskFacts("scheduled", owner="mine", max_tries=5), "mine", None) is STARTING
