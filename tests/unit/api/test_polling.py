"""Polling of a job, driven by hand."""

from __future__ import annotations

import pytest
from unit.builders import converse, job, search, trial

from airflow_provider_modelarts.api.polling import JobPoller, SearchPoller
from airflow_provider_modelarts.core.jobs import Algorithm
from airflow_provider_modelarts.core.progress import State, WaitPolicy
from airflow_provider_modelarts.core.trials import TrialPage
from airflow_provider_modelarts.exceptions import ModelArtsNotFoundError, ModelArtsServerError

JOB = "/v2/{project_id}/training-jobs/job-1"
TRIALS = f"{JOB}/autosearch-trials"
ALGORITHM = "/v2/{project_id}/algorithms/alg-1"
STARTED = 1_700_000_000.0
OUT_OF_TIME = (
    "did not end within the timeout or execution_timeout of its task. A sensor leaves it running, an operator stops it "
    "unless cancel_on_kill is False."
)
FROM_ALGORITHM = {"search": None, "algorithm_id": "alg-1"}


def poll_once(poller, *responses, now=STARTED, requests=None):
    """Return the result of one poll with these responses; its requests are appended to ``requests``."""
    return converse(poller.poll(lambda: now), responses, [] if requests is None else requests)


def table(*trials):
    """Return a listing of one page."""
    return TrialPage(trials, len(trials))


def search_poller(**fields):
    """Return a poller of the search of job-1 with the default policy."""
    return SearchPoller("job-1", WaitPolicy(), **fields)


def test_search_poller_of_a_running_search():
    """A running search is waiting, with a summary and a log line."""
    result = poll_once(search_poller(), job("Running", 2), table(trial("a"), trial("b", "RUNNING")))

    assert (result.state, result.message) == (State.WAITING, "training job job-1 is Running")
    assert result.summary["trial_counts"] == {"RUNNING": 1, "TERMINATED": 1}
    assert result.log_line == "Training job job-1 is Running: 1/2 trials ended (1 RUNNING, 1 TERMINATED)"


def test_search_poller_of_an_ended_search():
    """A search is done when all expected trials have ended."""
    result = poll_once(search_poller(), job("Running", 2), table(trial("a"), trial("b")))

    assert (result.state, result.message) == (State.DONE, "all 2 trials of training job job-1 have ended")


def test_search_poller_applies_its_policy():
    """A trial in ERROR fails the search unless the policy tolerates it."""
    responses = job("Completed", 2), table(trial("a"), trial("b", "ERROR"))

    states = [
        poll_once(SearchPoller("job-1", WaitPolicy(max_failed_trials=allowed)), *responses).state for allowed in (0, 1)
    ]

    assert states == [State.FAILED, State.DONE]


@pytest.mark.parametrize(("now", "state"), [(STARTED + 119, State.WAITING), (STARTED + 120, State.FAILED)])
def test_search_poller_waits_for_a_lagging_listing(now, state):
    """A listing that lags behind the end of its job is waited for, for two minutes by the clock."""
    result = poll_once(search_poller(), job("Completed", 1, ended_at=STARTED), table(trial("a", "RUNNING")), now=now)

    assert result.state is state


def test_search_poller_reads_the_clock_after_the_responses():
    """The clock is read after the last response, because retries may take a while."""
    times = []
    flow = search_poller().poll(lambda: times.append("read") or STARTED)

    next(flow)
    flow.send(job("Running", 1))
    before = list(times)
    with pytest.raises(StopIteration):
        flow.send(table(trial()))

    assert (before, times) == ([], ["read"])


def test_search_poller_requests_an_algorithm_once():
    """Only the first poll requests the algorithm that holds the settings of the search."""
    poller, requests = search_poller(), []

    for number in range(3):
        algorithm = [Algorithm("alg-1", "tuned", search(2, acc="max"), {})] if number == 0 else []
        result = poll_once(
            poller, job("Running", **FROM_ALGORITHM), *algorithm, table(trial(best=0.5)), requests=requests
        )

    assert [request.path for request in requests] == [JOB, ALGORITHM, TRIALS, JOB, TRIALS, JOB, TRIALS]
    assert result.summary["expected_trials"] == 2


def test_search_poller_requests_a_missing_algorithm_once():
    """A missing algorithm is not requested again."""
    poller, requests = search_poller(), []
    gone = ModelArtsNotFoundError("gone", status=400, code="c")

    poll_once(poller, job("Running", **FROM_ALGORITHM), gone, table(trial()))
    poll_once(poller, job("Running", **FROM_ALGORITHM), table(trial()), requests=requests)

    assert [request.path for request in requests] == [JOB, TRIALS]


def test_search_poller_requests_no_algorithm_of_a_starting_job():
    """The algorithm is requested once the job has begun, and so may have trials."""
    poller, starting, running = search_poller(), [], []

    poll_once(poller, job("Pending", **FROM_ALGORITHM), requests=starting)
    algorithm = Algorithm("alg-1", "tuned", search(2), {})
    poll_once(poller, job("Running", **FROM_ALGORITHM), algorithm, table(trial()), requests=running)

    assert [request.path for request in starting] == [JOB]
    assert [request.path for request in running] == [JOB, ALGORITHM, TRIALS]


def test_search_poller_outcome_does_not_depend_on_memory():
    """An old and a fresh poller return the same outcome for the same responses."""
    old, responses = search_poller(), (job("Running", 2), table(trial("a"), trial("b", "RUNNING")))
    for _ in range(3):
        result = poll_once(old, *responses)

    fresh = poll_once(search_poller(), *responses)

    assert (result.state, result.message, result.summary) == (fresh.state, fresh.message, fresh.summary)


def test_search_poller_after_an_error():
    """The error of a request is raised, and the next poll succeeds."""
    poller = search_poller()
    with pytest.raises(ModelArtsServerError):
        poll_once(poller, ModelArtsServerError("oops", status=500, code="c"))

    assert poll_once(poller, job("Running", 1), table(trial())).state is State.DONE


def test_search_poller_logs_a_change_once():
    """Each change is logged once; an unchanged state is logged again after ten minutes."""
    poller, running = search_poller(), "Training job job-1 is Running: 0/2 trials ended (1 RUNNING)"
    polls = [
        (0, job("Pending", 2), []),
        (30, job("Pending", 2), []),
        (60, job("Running", 2), [table(trial("a", "RUNNING"))]),
        (90, job("Running", 2), [table(trial("a", "RUNNING"))]),
        (660, job("Running", 2), [table(trial("a", "RUNNING"))]),
    ]

    log_lines = [poll_once(poller, some_job, *rest, now=STARTED + later).log_line for later, some_job, rest in polls]

    assert log_lines == ["Training job job-1 is Pending", None, running, None, f"Still waiting: {running}"]


def test_search_poller_timeout_message():
    """The message of a timeout holds the last state."""
    poller = search_poller()
    poll_once(poller, job("Pending"))

    assert poller.timeout_message() == (
        f"The search of training job job-1 {OUT_OF_TIME} Last seen: Training job job-1 is Pending"
    )


def test_search_poller_timeout_message_before_the_first_poll():
    """The message of a timeout without a poll states that the status was never read."""
    assert search_poller().timeout_message() == (
        f"The search of training job job-1 {OUT_OF_TIME} The status was never read."
    )


def test_search_poller_shares_no_memory():
    """A poller does not share the memory of its log lines with another."""
    poll_once(search_poller(), job("Pending"))

    assert poll_once(search_poller(), job("Pending")).log_line == "Training job job-1 is Pending"


@pytest.mark.parametrize(
    ("objective", "best", "threshold", "state"),
    [
        ("max", 0.9, 0.8, State.DONE),
        ("max", 0.9, 0.9, State.DONE),
        ("max", 0.9, 0.91, State.WAITING),
        ("min", 0.1, 0.2, State.DONE),
        ("min", 0.1, 0.1, State.DONE),
        ("min", 0.1, 0.05, State.WAITING),
        ("max", 0.0, 0.0, State.DONE),
        ("max", None, 0.5, State.WAITING),
    ],
)
def test_search_poller_with_stop_when(objective, best, threshold, state):
    """A search is done once a trial has reached ``stop_when``, even if other trials still run."""
    running = job(search=search(8, acc=objective))

    result = poll_once(
        search_poller(stop_when=threshold), running, table(trial("a", best=best), trial("b", "RUNNING", best=0.5))
    )

    assert result.state is state


def test_search_poller_without_stop_when():
    """A search without ``stop_when`` is done only at its end."""
    running = job(search=search(8, acc="max"))

    assert poll_once(search_poller(), running, table(trial("a", best=1.0))).state is State.WAITING


def test_search_poller_with_stop_when_but_without_objective():
    """No value ends a search early if its objective is unknown."""
    running = job(search=search(8))

    assert poll_once(search_poller(stop_when=0.5), running, table(trial("a", best=0.9))).state is State.WAITING


def test_search_poller_with_stop_when_and_a_failed_trial():
    """A failed trial fails the search, even if another trial has reached ``stop_when``."""
    running = job(search=search(8, acc="max"))

    result = poll_once(search_poller(stop_when=0.5), running, table(trial("a", best=0.9), trial("b", "ERROR")))

    assert result.state is State.FAILED


@pytest.mark.parametrize(
    ("phase", "accept_stopped", "state"),
    [
        ("Creating", False, State.WAITING),
        ("Pending", False, State.WAITING),
        ("Running", False, State.WAITING),
        ("Terminating", False, State.WAITING),
        ("Hibernating", False, State.WAITING),
        ("Completed", False, State.DONE),
        ("Failed", False, State.FAILED),
        ("Abnormal", False, State.FAILED),
        ("Terminated", False, State.FAILED),
        ("Terminated", True, State.DONE),
        ("Failed", True, State.FAILED),
        ("Terminating", True, State.WAITING),
    ],
)
def test_job_poller(phase, accept_stopped, state):
    """One request determines whether a training job is waiting, done or failed."""
    requests = []

    result = poll_once(JobPoller("job-1", accept_stopped), job(phase), requests=requests)

    assert (result.state, [request.path for request in requests]) == (state, [JOB])


def test_job_poller_of_a_failed_job():
    """The message holds the platform's reason."""
    result = poll_once(JobPoller("job-1"), job("Failed", message="worker-0: out of memory (exit code 137)"))

    assert result.message == "training job job-1 is Failed: worker-0: out of memory (exit code 137)"


def test_job_poller_logs_a_change_once():
    """Each phase is logged once, and an unchanged phase again after ten minutes."""
    poller, polls = JobPoller("job-1"), [(0, "Running"), (30, "Running"), (600, "Running"), (630, "Completed")]

    log_lines = [poll_once(poller, job(phase), now=STARTED + later).log_line for later, phase in polls]

    assert log_lines == [
        "Training job job-1 is Running",
        None,
        "Still waiting: Training job job-1 is Running",
        "Training job job-1 is Completed",
    ]


def test_job_poller_timeout_message():
    """The message of a timeout holds the last state, or that there was none."""
    poller = JobPoller("job-1")
    before_the_first_poll = poller.timeout_message()
    poll_once(poller, job("Running"))

    assert before_the_first_poll == f"Training job job-1 {OUT_OF_TIME} The status was never read."
    assert poller.timeout_message() == f"Training job job-1 {OUT_OF_TIME} Last seen: Training job job-1 is Running"
