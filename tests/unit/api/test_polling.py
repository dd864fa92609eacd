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
    "did not end within the timeout or execution_timeout of its task. A sensor leaves it running, an operator stops it."
)
FROM_ALGORITHM = {"search": None, "algorithm_id": "alg-1"}


def glance(watch, *answers, now=STARTED, asked=None):
    """Return what a watch says to these answers, and note the requests in ``asked``."""
    return converse(watch.poll(lambda: now), answers, [] if asked is None else asked)


def table(*trials):
    """Return the only page of a listing."""
    return TrialPage(trials, len(trials))


def search_watch(**fields):
    """Return a watch on the search of job-1 with the default policy."""
    return SearchPoller("job-1", WaitPolicy(), **fields)


def test_search_watch_while_a_search_runs():
    """A poll of a running search returns that it waits, with a summary and a line for the log."""
    seen = glance(search_watch(), job("Running", 2), table(trial("a"), trial("b", "RUNNING")))

    assert (seen.state, seen.message) == (State.WAITING, "training job job-1 is Running")
    assert seen.summary["trial_counts"] == {"RUNNING": 1, "TERMINATED": 1}
    assert seen.log_line == "Training job job-1 is Running: 1/2 trials ended (1 RUNNING, 1 TERMINATED)"


def test_search_watch_at_the_end():
    """When all expected trials have ended, the search is done."""
    seen = glance(search_watch(), job("Running", 2), table(trial("a"), trial("b")))

    assert (seen.state, seen.message) == (State.DONE, "all 2 trials of training job job-1 have ended")


def test_search_watch_judges_by_its_policy():
    """What the task tolerates decides: one trial in ERROR fails the search, unless it is allowed."""
    answers = job("Completed", 2), table(trial("a"), trial("b", "ERROR"))

    states = [
        glance(SearchPoller("job-1", WaitPolicy(max_failed_trials=allowed)), *answers).state for allowed in (0, 1)
    ]

    assert states == [State.FAILED, State.DONE]


@pytest.mark.parametrize(("now", "state"), [(STARTED + 119, State.WAITING), (STARTED + 120, State.FAILED)])
def test_search_watch_takes_the_time_from_the_clock(now, state):
    """A table that lags behind the end of its job is waited for, for two minutes by the clock."""
    seen = glance(search_watch(), job("Completed", 1, ended_at=STARTED), table(trial("a", "RUNNING")), now=now)

    assert seen.state is state


def test_search_watch_asks_the_clock_after_the_reading():
    """Reading may take a while with retries: the time that counts is that of the judgement."""
    times = []
    flow = search_watch().poll(lambda: times.append("asked") or STARTED)

    next(flow)
    flow.send(job("Running", 1))
    before = list(times)
    with pytest.raises(StopIteration):
        flow.send(table(trial()))

    assert (before, times) == ([], ["asked"])


def test_search_watch_asks_for_an_algorithm_once():
    """The settings of a search that a managed algorithm holds are looked up at the first look only."""
    watch, asked = search_watch(), []

    for look in range(3):
        algorithm = [Algorithm("alg-1", "tuned", search(2, acc="max"), {})] if look == 0 else []
        seen = glance(watch, job("Running", **FROM_ALGORITHM), *algorithm, table(trial(best=0.5)), asked=asked)

    assert [request.path for request in asked] == [JOB, ALGORITHM, TRIALS, JOB, TRIALS, JOB, TRIALS]
    assert seen.summary["expected_trials"] == 2


def test_search_watch_asks_for_an_algorithm_that_is_gone_once():
    """Unknown settings are remembered too."""
    watch, asked = search_watch(), []
    gone = ModelArtsNotFoundError("gone", status=400, code="c")

    glance(watch, job("Running", **FROM_ALGORITHM), gone, table(trial()))
    glance(watch, job("Running", **FROM_ALGORITHM), table(trial()), asked=asked)

    assert [request.path for request in asked] == [JOB, TRIALS]


def test_search_watch_asks_for_an_algorithm_when_the_job_has_begun():
    """A job that only starts needs no settings: they are looked up when there can be trials."""
    watch, starting, running = search_watch(), [], []

    glance(watch, job("Pending", **FROM_ALGORITHM), asked=starting)
    algorithm = Algorithm("alg-1", "tuned", search(2), {})
    glance(watch, job("Running", **FROM_ALGORITHM), algorithm, table(trial()), asked=running)

    assert [request.path for request in starting] == [JOB]
    assert [request.path for request in running] == [JOB, ALGORITHM, TRIALS]


def test_search_watch_forgets_nothing_of_the_outcome():
    """A watch that has looked often and a new one come to the same outcome: no decision needs memory."""
    old, answers = search_watch(), (job("Running", 2), table(trial("a"), trial("b", "RUNNING")))
    for _ in range(3):
        seen = glance(old, *answers)

    fresh = glance(search_watch(), *answers)

    assert (seen.state, seen.message, seen.summary) == (fresh.state, fresh.message, fresh.summary)


def test_search_watch_after_a_look_that_failed():
    """An error of a call comes through, and the next look works."""
    watch = search_watch()
    with pytest.raises(ModelArtsServerError):
        glance(watch, ModelArtsServerError("oops", status=500, code="c"))

    assert glance(watch, job("Running", 1), table(trial())).state is State.DONE


def test_search_watch_says_a_change_once():
    """Each change is logged once; an unchanged state is repeated after ten minutes."""
    watch, running = search_watch(), "Training job job-1 is Running: 0/2 trials ended (1 RUNNING)"
    looks = [
        (0, job("Pending", 2), []),
        (30, job("Pending", 2), []),
        (60, job("Running", 2), [table(trial("a", "RUNNING"))]),
        (90, job("Running", 2), [table(trial("a", "RUNNING"))]),
        (660, job("Running", 2), [table(trial("a", "RUNNING"))]),
    ]

    news = [glance(watch, some_job, *rest, now=STARTED + later).log_line for later, some_job, rest in looks]

    assert news == ["Training job job-1 is Pending", None, running, None, f"Still waiting: {running}"]


def test_search_watch_when_time_is_up():
    """The message of a timeout holds the state that was seen last."""
    watch = search_watch()
    glance(watch, job("Pending"))

    assert watch.timeout_message() == (
        f"The search of training job job-1 {OUT_OF_TIME} Last seen: Training job job-1 is Pending"
    )


def test_search_watch_when_time_is_up_before_the_first_look():
    """The message of a timeout states that nothing was seen."""
    assert search_watch().timeout_message() == (
        f"The search of training job job-1 {OUT_OF_TIME} The status was never read."
    )


def test_search_watch_is_not_shared():
    """Two watches do not share what they remember."""
    glance(search_watch(), job("Pending"))

    assert glance(search_watch(), job("Pending")).log_line == "Training job job-1 is Pending"


@pytest.mark.parametrize(
    ("objective", "best", "bar", "state"),
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
def test_search_watch_that_may_stop_early(objective, best, bar, state):
    """A search that has reached the value asked for is done, though trials still run."""
    running = job(search=search(8, acc=objective))

    seen = glance(search_watch(stop_when=bar), running, table(trial("a", best=best), trial("b", "RUNNING", best=0.5)))

    assert seen.state is state


def test_search_watch_that_may_not_stop_early():
    """Without such a value a search is over at its end, however good it is."""
    running = job(search=search(8, acc="max"))

    assert glance(search_watch(), running, table(trial("a", best=1.0))).state is State.WAITING


def test_search_watch_that_cannot_tell_what_is_better():
    """Without an objective of the search, no value ends it early."""
    running = job(search=search(8))

    assert glance(search_watch(stop_when=0.5), running, table(trial("a", best=0.9))).state is State.WAITING


def test_search_watch_that_may_stop_early_still_fails():
    """A failed trial fails the search as ever, whatever another one has reached."""
    running = job(search=search(8, acc="max"))

    seen = glance(search_watch(stop_when=0.5), running, table(trial("a", best=0.9), trial("b", "ERROR")))

    assert seen.state is State.FAILED


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
def test_job_watch(phase, accept_stopped, state):
    """One request is enough to know whether a training job waits, is done or failed."""
    asked = []

    seen = glance(JobPoller("job-1", accept_stopped), job(phase), asked=asked)

    assert (seen.state, [request.path for request in asked]) == (state, [JOB])


def test_job_watch_says_why_a_job_failed():
    """The message holds the platform's reason."""
    seen = glance(JobPoller("job-1"), job("Failed", message="worker-0: out of memory (exit code 137)"))

    assert seen.message == "training job job-1 is Failed: worker-0: out of memory (exit code 137)"


def test_job_watch_says_a_change_once():
    """Each phase is logged once, and repeated after ten minutes."""
    watch, looks = JobPoller("job-1"), [(0, "Running"), (30, "Running"), (600, "Running"), (630, "Completed")]

    news = [glance(watch, job(phase), now=STARTED + later).log_line for later, phase in looks]

    assert news == [
        "Training job job-1 is Running",
        None,
        "Still waiting: Training job job-1 is Running",
        "Training job job-1 is Completed",
    ]


def test_job_watch_when_time_is_up():
    """The message of a timeout holds the state that was seen last."""
    watch = JobPoller("job-1")
    unseen = watch.timeout_message()
    glance(watch, job("Running"))

    assert unseen == f"Training job job-1 {OUT_OF_TIME} The status was never read."
    assert watch.timeout_message() == f"Training job job-1 {OUT_OF_TIME} Last seen: Training job job-1 is Running"
