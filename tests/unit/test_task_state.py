"""Judgement of a task whose process is told to end, without Airflow."""

from __future__ import annotations

import sys

import pytest

from airflow_provider_modelarts.task_state import Ending, TaskFacts, has_interrupted_question, judge

ENDED, INTERRUPTED, TAKEN_OVER, UNKNOWN = Ending.ENDED, Ending.INTERRUPTED, Ending.TAKEN_OVER, Ending.UNKNOWN

#: What Airflow answers to a worker whose job is ``mine``.
ON_A_WORKER = {
    "marked failed": (TaskFacts("failed", is_live=True, owner="mine"), ENDED),
    "marked success": (TaskFacts("success", is_live=True, owner="mine"), ENDED),
    "end of the run by dagrun_timeout": (TaskFacts("skipped", is_live=True), ENDED),
    "removed": (TaskFacts("removed", is_live=True), ENDED),
    "run deleted": (TaskFacts(None, exists=False), ENDED),
    "cleared": (TaskFacts("restarting", owner="mine"), ENDED),
    "cleared and not scheduled yet": (TaskFacts(None), ENDED),
    "cleared and running again": (TaskFacts("running", owner="other"), ENDED),
    "cleared and deferred again": (TaskFacts("deferred", owner="other"), ENDED),
    "eviction": (TaskFacts("running", is_live=True, owner="mine"), INTERRUPTED),
    "eviction during the creation": (TaskFacts("running", is_live=True), INTERRUPTED),
    "zombie whose retry adopted the job": (TaskFacts("running", owner="mine"), TAKEN_OVER),
    "zombie whose retry deferred": (TaskFacts("deferred", owner="mine"), TAKEN_OVER),
    "zombie whose retry waits": (TaskFacts("up_for_retry", owner="mine"), TAKEN_OVER),
    "zombie whose retry is queued": (TaskFacts("queued", owner="mine"), UNKNOWN),
    "zombie whose retry has no job yet": (TaskFacts("running"), UNKNOWN),
}


@pytest.mark.parametrize(("facts", "ending"), ON_A_WORKER.values(), ids=ON_A_WORKER)
def test_judgement_on_a_worker(facts, ending):
    """A worker stops its job only if the task was ended, or has another job."""
    assert judge(facts, "mine", 2) is ending


IN_A_TRIGGER = {
    "marked failed": (TaskFacts("failed", owner="mine"), ENDED),
    "run deleted": (TaskFacts(None, exists=False), ENDED),
    "cleared": (TaskFacts("scheduled", owner="mine"), UNKNOWN),
    "cleared on 2.11": (TaskFacts("scheduled", owner="mine", max_tries=5), ENDED),
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
        (TaskFacts("failed", is_live=True), ENDED),
        (TaskFacts("running", owner="other"), TAKEN_OVER),
        (TaskFacts("running"), UNKNOWN),
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
