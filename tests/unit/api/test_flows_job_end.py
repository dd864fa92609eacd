"""Stopping, deleting and explaining, driven by hand."""

from __future__ import annotations

import pytest
from unit.builders import converse, job, trial, trials

from airflow_provider_modelarts.api.flows import delete_job, explain_failure, read_log, stop_job, stop_trial
from airflow_provider_modelarts.core.jobs import JobEvent
from airflow_provider_modelarts.core.trials import TrialPage
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsConfigurationError,
    ModelArtsNotFoundError,
    ModelArtsPermissionError,
    ModelArtsServerError,
)

JOB = "/v2/{project_id}/training-jobs/job-1"
LOG = f"{JOB}/tasks/worker-0/logs/preview"
GONE = ModelArtsNotFoundError("gone", status=400, code="ModelArts.2775")
ENDED = ModelArtsApiError("not allowed to terminate", status=409, code="ModelArts.2796")
DENIED = ModelArtsPermissionError("denied", status=403, code="ModelArts.0108")
BROKEN = ModelArtsServerError("oops", status=500, code="ModelArts.2950")


def asked(flow, *answers):
    """Return the result of a flow, and what it asked for as method and path."""
    requests = []
    result = converse(flow, answers, requests)
    return result, [(request.method, request.path) for request in requests]


@pytest.mark.parametrize(("answer", "was_running"), [(job("Terminating"), True), (ENDED, False), (GONE, False)])
def test_stopping_a_job(answer, was_running):
    """One that has ended, or is gone, needs no stopping: that is no error."""
    assert asked(stop_job("job-1"), answer) == (was_running, [("POST", f"{JOB}/actions")])


@pytest.mark.parametrize("error", [DENIED, BROKEN])
def test_stopping_a_job_that_may_go_on(error):
    """Whoever could not stop it must know."""
    with pytest.raises(type(error)):
        asked(stop_job("job-1"), error)


@pytest.mark.parametrize(("answer", "was_there"), [(None, True), (GONE, False)])
def test_deleting_a_job(answer, was_there):
    """One that is gone needs no deleting."""
    assert asked(delete_job("job-1"), answer) == (was_there, [("DELETE", JOB)])


@pytest.mark.parametrize(
    ("status", "stopped"),
    [("RUNNING", True), ("PENDING", True), ("PAUSED", True), ("TERMINATED", False), ("ERROR", False)],
)
def test_stopping_a_trial(status, stopped):
    """Only one that has not ended is asked to; what the platform answers for another is documented nowhere."""
    listing = TrialPage(trials(status), 1, 50)
    answers = [listing, "t0"] if stopped else [listing]
    result, requests = asked(stop_trial("job-1", "t0"), *answers)

    assert result is stopped
    assert requests[1:] == ([("POST", f"{JOB}/autosearch-trial-earlystop/t0")] if stopped else [])


def test_stopping_an_unknown_trial():
    """The search lists none of that id."""
    with pytest.raises(ModelArtsConfigurationError, match="training job job-1 lists no trial 't7'"):
        asked(stop_trial("job-1", "t7"), TrialPage(trials("RUNNING"), 1, 50))


def test_stopping_a_trial_whose_id_changes_the_path():
    """The platform may list such an id; no request is made with it."""
    listing = TrialPage([trial("../x", "RUNNING")], 1, 50)
    requests = []

    with pytest.raises(ModelArtsConfigurationError, match=r"^trial_id must be 1 to 64 letters"):
        converse(stop_trial("job-1", "../x"), [listing], requests)

    assert [request.path for request in requests] == [f"{JOB}/autosearch-trials"]


@pytest.mark.parametrize("code", ["ModelArts.2776", "ModelArts.2818"])
def test_log_that_is_not_there_yet(code):
    """It is an empty one."""
    assert asked(read_log("job-1", "worker-0"), ModelArtsApiError("none", status=400, code=code))[0] == ""


def test_log_that_cannot_be_read():
    """It is not an empty one."""
    with pytest.raises(ModelArtsPermissionError):
        asked(read_log("job-1", "worker-0"), DENIED)


def event(number):
    """Return an error event."""
    return JobEvent(f"2026-01-01T00:00:0{number}", "Error", f"error {number}", "Job")


FAILED = job("Failed", tasks=("worker-0", "worker-1"))


def test_explanation_is_the_last_events_and_lines():
    """Events, then twenty lines of the first task's log, oldest first, none of them longer than 300 characters."""
    log = "\n".join([*(f"line {number}" for number in range(30)), "x" * 1000])

    explanation, requests = asked(explain_failure("job-1"), [event(2), event(1)], FAILED, log)

    assert requests == [("GET", f"{JOB}/events"), ("GET", JOB), ("GET", LOG)]
    assert explanation.splitlines() == [
        "2026-01-01T00:00:01 Job: error 1",
        "2026-01-01T00:00:02 Job: error 2",
        *(f"worker-0: line {number}" for number in range(11, 30)),
        f"worker-0: {'x' * 287}...",
    ]


def test_explanation_of_a_job_without_tasks():
    """There is no log to read."""
    assert asked(explain_failure("job-1"), [], job("Abnormal"))[0] == ""


@pytest.mark.parametrize(
    ("answers", "explanation"),
    [
        ([GONE, GONE], ["(its events cannot be read: {GONE})", "(its log cannot be read: {GONE})"]),
        ([DENIED, FAILED, "out of memory"], ["(its events cannot be read: {DENIED})", "worker-0: out of memory"]),
        ([[event(1)], FAILED, BROKEN], ["2026-01-01T00:00:01 Job: error 1", "(its log cannot be read: {BROKEN})"]),
    ],
    ids=["all", "events", "log"],
)
def test_explanation_that_cannot_be_had(answers, explanation):
    """It tells what can be read, and why not the rest: a failure is never hidden by another one."""
    names = {"GONE": GONE, "DENIED": DENIED, "BROKEN": BROKEN}

    assert asked(explain_failure("job-1"), *answers)[0].splitlines() == [line.format(**names) for line in explanation]
