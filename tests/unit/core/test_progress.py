"""Assessment of a search: its rules, in their order of precedence."""

from __future__ import annotations

import pytest
from unit.builders import job, trial, trials

from airflow_provider_modelarts.core.progress import Listing, State, WaitPolicy, assess, count_by_status

NOW = 1_700_000_000.0
DONE, FAILED, WAITING = State.DONE, State.FAILED, State.WAITING

EIGHT = ["TERMINATED"] * 8
THREE = ["TERMINATED"] * 3
ONE_FAILED = ["TERMINATED"] * 7 + ["ERROR"]


def progress_of(phase, statuses=(), num_samples=8, *, total=None, ended_at=None, message="", now=NOW, **policy):
    """Return the assessment of a job and its trials."""
    listed = trials(*statuses)
    return assess(
        job(phase, num_samples, ended_at=ended_at, message=message),
        Listing(listed, len(listed) if total is None else total),
        WaitPolicy(**policy),
        now,
    )


@pytest.mark.parametrize(
    ("phase", "statuses", "policy"),
    [
        ("Failed", [], {}),
        ("Abnormal", [], {}),
        ("Failed", EIGHT, {}),
        ("Abnormal", EIGHT, {}),
        ("Failed", ONE_FAILED, {}),
        ("Failed", ONE_FAILED, {"max_failed_trials": 1}),
        ("Failed", EIGHT, {"accept_stopped": True}),
        ("Failed", EIGHT, {"expected_trials": 1}),
        ("failed", EIGHT, {}),
    ],
)
def test_failed_job(phase, statuses, policy):
    """A job in Failed or Abnormal fails the search, even if all of its trials are TERMINATED."""
    assert progress_of(phase, statuses, **policy).state is FAILED


def test_failed_job_message():
    """The message of a failed job holds the platform's reason."""
    progress = progress_of("Failed", EIGHT, message="worker-0: OOM (exit code 137)")

    assert progress.message == "training job job-1 is Failed: worker-0: OOM (exit code 137)"


def test_failed_job_message_without_a_reason():
    """The message of a job that failed without a reason states that there is none."""
    assert progress_of("Abnormal").message == "training job job-1 is Abnormal, and the platform gives no reason"


def test_failed_job_with_failed_trials():
    """The reason of a failed job takes precedence over its trials in ERROR."""
    assert progress_of("Failed", ["ERROR"], message="disk full").message == "training job job-1 is Failed: disk full"


@pytest.mark.parametrize(
    ("phase", "statuses", "max_failed", "state"),
    [
        ("Running", ["ERROR", "RUNNING"], 0, FAILED),
        ("Running", ["RUNNING", "RUNNING", "ERROR"], 0, FAILED),
        ("Running", ["ERROR", "RUNNING"], 1, WAITING),
        ("Running", ["ERROR", "ERROR", "RUNNING"], 1, FAILED),
        ("Running", ONE_FAILED, 0, FAILED),
        ("Running", ONE_FAILED, 1, DONE),
        ("Running", ["error", *EIGHT], 0, FAILED),
        ("Completed", ONE_FAILED, 0, FAILED),
        ("Completed", ONE_FAILED, 1, DONE),
        ("Completed", ["ERROR"] * 8, 8, DONE),
        ("Terminating", ["ERROR"], 0, FAILED),
        ("Hibernating", ["ERROR"], 0, FAILED),
    ],
)
def test_failed_trials(phase, statuses, max_failed, state):
    """More trials in ERROR than allowed fail the search at once; up to that number they count as ended."""
    assert progress_of(phase, statuses, max_failed_trials=max_failed).state is state


def test_failed_trials_message():
    """The message names the trials in ERROR and the allowed number."""
    message = progress_of("Running", ["RUNNING", "ERROR", "ERROR"], max_failed_trials=1).message

    assert message == (
        "2 of 3 trials of training job job-1 ended in ERROR: t1 (ERROR), t2 (ERROR); max_failed_trials is 1"
    )


def test_failed_trials_message_of_many():
    """The message names only some of many trials and counts the others."""
    message = progress_of("Running", ["ERROR"] * 7).message

    assert "t4 (ERROR) and 2 more;" in message
    assert "t5" not in message


def test_failed_trials_of_a_stopped_job():
    """Too many trials in ERROR fail a stopped job, even if stopping is accepted."""
    progress = progress_of("Terminated", ["TERMINATED", "ERROR"], accept_stopped=True)

    assert progress.state is FAILED
    assert "ended in ERROR: t1" in progress.message


@pytest.mark.parametrize(
    ("statuses", "policy", "state"),
    [
        (EIGHT, {}, FAILED),
        (THREE, {}, FAILED),
        ([], {}, FAILED),
        (EIGHT, {"accept_stopped": True}, DONE),
        (["TERMINATED", "RUNNING", "PENDING"], {"accept_stopped": True}, DONE),
        (["RUNNING", "PENDING"], {"accept_stopped": True}, FAILED),
        ([], {"accept_stopped": True}, FAILED),
        (["STOPPED"], {"accept_stopped": True}, FAILED),
        (["ERROR"], {"accept_stopped": True, "max_failed_trials": 1}, FAILED),
        (["TERMINATED", "ERROR"], {"accept_stopped": True, "max_failed_trials": 1}, DONE),
    ],
)
def test_stopped_job(statuses, policy, state):
    """A stopped job fails the search, unless stopping is accepted and at least one trial is TERMINATED."""
    assert progress_of("Terminated", statuses, **policy).state is state


def test_stopped_job_message():
    """The message names the ways to use the trials of a stopped job."""
    message = progress_of("Terminated", EIGHT).message

    assert "set accept_stopped=True on a sensor, or run ModelArtsBestTrialOperator" in message


@pytest.mark.parametrize(
    ("phase", "statuses", "num_samples", "expected_trials", "state"),
    [
        ("Running", EIGHT, 8, None, DONE),
        ("Running", THREE, 8, None, WAITING),
        ("Running", THREE, 3, None, DONE),
        ("Running", EIGHT, None, None, WAITING),
        ("Running", THREE, None, None, WAITING),
        ("Running", THREE, 8, 3, DONE),
        ("Running", EIGHT, 8, 9, WAITING),
        ("Running", THREE, None, 3, DONE),
        ("Running", [*EIGHT, "TERMINATED"], 8, None, DONE),
        ("Running", ["TERMINATED"] * 7 + ["RUNNING"], 8, None, WAITING),
        ("Running", ["TERMINATED"] * 7 + ["PENDING"], 8, None, WAITING),
        ("Running", ["TERMINATED"] * 7 + ["PAUSED"], 8, None, WAITING),
        ("Running", ["PENDING"] + ["TERMINATED"] * 8, 8, None, WAITING),
        ("Running", [], 8, None, WAITING),
        ("Running", [], None, None, WAITING),
        ("Running", ["terminated"] * 8, 8, None, DONE),
        ("Terminating", EIGHT, 8, None, DONE),
        ("Terminating", THREE, 8, None, WAITING),
        ("Completed", EIGHT, 8, None, DONE),
        ("Completed", THREE, 8, None, DONE),
        ("Completed", EIGHT, None, None, DONE),
        ("Completed", THREE, 8, 8, DONE),
    ],
)
def test_ended_trials(phase, statuses, num_samples, expected_trials, state):
    """A search is done if all listed trials have ended, and the job is Completed or lists the expected number."""
    assert progress_of(phase, statuses, num_samples, expected_trials=expected_trials).state is state


def test_ended_trials_of_unknown_settings():
    """A search with unknown settings is done when its job is Completed."""
    listing = Listing(trials(*EIGHT), 8)

    states = [assess(job(phase, search=None), listing, WaitPolicy(), NOW).state for phase in ("Running", "Completed")]

    assert states == [WAITING, DONE]


def test_ended_trials_with_others_not_listed_yet():
    """A search is not done while the platform promises more trials than it lists."""
    assert progress_of("Running", EIGHT, num_samples=8, total=10).state is WAITING


@pytest.mark.parametrize("policy", [{}, {"settle_seconds": 0}, {"settle_seconds": 10**9}])
def test_completed_job_without_trials(policy):
    """A job that completed without trials has no search and fails at once."""
    progress = progress_of("Completed", [], None, ended_at=NOW, **policy)

    assert progress.state is FAILED
    assert "no hyperparameter search" in progress.message


@pytest.mark.parametrize(
    ("since_end", "settle_seconds", "state"),
    [
        (-5, 120, WAITING),
        (0, 120, WAITING),
        (119.9, 120, WAITING),
        (120, 120, FAILED),
        (10_000, 120, FAILED),
        (0, 0, FAILED),
        (10, 5, FAILED),
        (10, 20, WAITING),
    ],
)
@pytest.mark.parametrize(
    ("statuses", "total"),
    [(["TERMINATED", "RUNNING"], 2), (["PENDING"], 1), (["STOPPED"], 1), (["TERMINATED"], 2), ([], 2)],
)
def test_lagging_trials(statuses, total, since_end, settle_seconds, state):
    """The trial table may lag behind a Completed job for ``settle_seconds``, and no longer."""
    progress = progress_of("Completed", statuses, total=total, ended_at=NOW - since_end, settle_seconds=settle_seconds)

    assert progress.state is state


@pytest.mark.parametrize(
    ("since_end", "state"),
    [(119, WAITING), (120, FAILED)],
)
def test_lagging_trials_by_default(since_end, state):
    """The default of ``settle_seconds`` is two minutes."""
    assert progress_of("Completed", ["RUNNING"], ended_at=NOW - since_end).state is state


def test_lagging_trials_of_a_job_without_an_end_time():
    """A Completed job without an end time has no time to settle."""
    assert progress_of("Completed", ["RUNNING"], ended_at=None).state is FAILED


def test_lagging_trials_message():
    """The message names the trials that never ended."""
    message = progress_of("Completed", ["TERMINATED", "RUNNING"], ended_at=NOW - 500).message

    assert message == "training job job-1 is Completed, but its trials never ended: t1 (RUNNING)"


def test_lagging_trials_message_of_trials_not_listed():
    """The message counts the promised trials that were never listed."""
    message = progress_of("Completed", THREE, total=8, ended_at=NOW - 500).message

    assert message == "training job job-1 is Completed, but its trials never ended: 5 of 8 not listed"


@pytest.mark.parametrize("phase", ["Creating", "Pending", "Running", "Terminating", "Hibernating"])
def test_search_without_trials_yet(phase):
    """A job that has not ended and lists no trials is waiting."""
    assert progress_of(phase, []).state is WAITING


@pytest.mark.parametrize(("statuses", "num_samples"), [(THREE, 8), (EIGHT, None), (["RUNNING"] * 8, 8)])
def test_unknown_phase(statuses, num_samples):
    """An unknown phase is never the end of a job."""
    progress = progress_of("Hibernating", statuses, num_samples)

    assert (progress.state, progress.message) == (WAITING, "training job job-1 is Hibernating")


@pytest.mark.parametrize(
    ("phase", "done", "state"),
    [
        ("Running", True, DONE),
        ("Running", False, WAITING),
        ("Running", None, WAITING),
        ("Completed", True, DONE),
        ("Completed", False, FAILED),
    ],
)
def test_unknown_status(phase, done, state):
    """A trial of unknown status has ended only if its done flag is true."""
    listing = Listing([*trials("TERMINATED"), trial("t1", "STOPPED", done=done)], 2)

    assert assess(job(phase, 2), listing, WaitPolicy(), NOW).state is state


def test_progress_counts():
    """The progress counts the trials per status, and the ended, listed and expected trials."""
    progress = progress_of(
        "Running", ["TERMINATED", "TERMINATED", "RUNNING", "ERROR", "STOPPED"], 8, max_failed_trials=1
    )

    assert progress.counts == {"ERROR": 1, "RUNNING": 1, "STOPPED": 1, "TERMINATED": 2}
    assert (progress.ended, progress.listed, progress.expected) == (3, 5, 8)


@pytest.mark.parametrize(("num_samples", "expected_trials", "expected"), [(8, None, 8), (8, 3, 3), (None, None, None)])
def test_progress_expected(num_samples, expected_trials, expected):
    """The expected number of trials is the caller's, else the search's own, else unknown."""
    assert progress_of("Running", [], num_samples, expected_trials=expected_trials).expected == expected


def test_count_by_status_of_no_trials():
    """The counts of no trials are empty."""
    assert count_by_status([]) == {}
