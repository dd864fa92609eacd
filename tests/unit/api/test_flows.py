"""Flows of several calls, driven by hand."""

from __future__ import annotations

import pytest
from unit.builders import converse, job, page, search, trial, trials

from airflow_provider_modelarts.api.flows import (
    delete_job,
    explain_failure,
    read_listing,
    read_log,
    snapshot_for_polling,
    snapshot_for_ranking,
    stop_job,
    stop_running_trial,
)
from airflow_provider_modelarts.core.jobs import Algorithm, JobEvent, SearchSettings
from airflow_provider_modelarts.core.trials import TrialPage
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsNotFoundError,
    ModelArtsPermissionError,
    ModelArtsProtocolError,
    ModelArtsServerError,
)

JOB = "/v2/{project_id}/training-jobs/job-1"
TRIALS = f"{JOB}/autosearch-trials"
ALGORITHM = "/v2/{project_id}/algorithms/alg-1"


def rows(count):
    """Return the ids of some trials."""
    return [f"t{number}" for number in range(count)]


def paths(asked):
    """Return the paths that were asked for."""
    return [request.path for request in asked]


def listed(look):
    """Return the ids of the trials that a look found."""
    return [trial.trial_id for trial in look.listing.trials]


def refused(cls, status):
    """Return an error that the platform answered."""
    return cls("no", status=status, code="c")


@pytest.mark.parametrize("phase", ["Creating", "Pending"])
def test_look_at_a_job_that_starts(phase):
    """A job that has not begun has no trials, so that one request is enough."""
    asked = []

    look = converse(snapshot_for_polling("job-1"), [job(phase)], asked)

    assert paths(asked) == [JOB]
    assert (look.job.phase_text, listed(look)) == (phase, [])


@pytest.mark.parametrize("phase", ["Running", "Terminating", "Completed", "Failed", "Terminated", "Hibernating"])
def test_look_at_a_job_that_has_begun(phase):
    """The trials are read with the job in any later phase: one request more for up to fifty."""
    asked = []

    look = converse(snapshot_for_polling("job-1"), [job(phase, 3), page(rows(2), 3)], asked)

    assert paths(asked) == [JOB, TRIALS]
    assert dict(asked[1].query) == {"limit": "50", "offset": "0"}
    assert (listed(look), look.listing.total) == (rows(2), 3)


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
def test_search_settings_of_the_algorithm(flow):
    """A job that holds no settings of its search has those of the algorithm that it came from."""
    asked = []
    replies = [
        job("Completed", search=None, algorithm_id="alg-1"),
        Algorithm("alg-1", "tuned", search(8, acc="max"), {}),
        page(rows(1), 1),
    ]

    look = converse(flow("job-1"), replies, asked)

    assert paths(asked) == [JOB, ALGORITHM, TRIALS]
    assert look.job.search == search(8, acc="max")


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
@pytest.mark.parametrize(
    "reply",
    [
        refused(ModelArtsNotFoundError, 400),
        refused(ModelArtsPermissionError, 403),
        Algorithm("alg-1", "untuned", None, {}),
    ],
)
def test_search_settings_of_an_algorithm_that_does_not_tell(flow, reply):
    """An algorithm that is gone, not ours, or without a search leaves the settings unknown, no more than that."""
    look = converse(flow("job-1"), [job("Completed", search=None, algorithm_id="alg-1"), reply, page(rows(1), 1)], [])

    assert (look.job.search, listed(look)) == (SearchSettings(), ["t0"])


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
def test_search_settings_of_a_job_without_algorithm(flow):
    """Without an algorithm no request is made for its settings."""
    asked = []

    look = converse(flow("job-1"), [job("Completed", search=None), page(rows(1), 1)], asked)

    assert paths(asked) == [JOB, TRIALS]
    assert look.job.search == SearchSettings()


@pytest.mark.parametrize("known", [search(8, acc="max"), SearchSettings()])
def test_search_settings_that_are_known(known):
    """Settings from an earlier look, even empty ones, spare asking for the algorithm again."""
    asked = []

    look = converse(
        snapshot_for_polling("job-1", known), [job("Running", search=None, algorithm_id="alg-1"), page([], 0)], asked
    )

    assert paths(asked) == [JOB, TRIALS]
    assert look.job.search == known


def test_search_settings_of_the_job_go_before_known_ones():
    """The job's own settings take precedence."""
    look = converse(snapshot_for_polling("job-1", search(5)), [job("Running", 8), page([], 0)], [])

    assert look.job.search == search(8)


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
@pytest.mark.parametrize("error", [refused(ModelArtsServerError, 500), refused(ModelArtsAuthenticationError, 401)])
def test_search_settings_that_cannot_be_asked_for(flow, error):
    """A call for the algorithm that fails otherwise fails the look: nothing is decided on half of the facts."""
    with pytest.raises(type(error)):
        converse(flow("job-1"), [job("Completed", search=None, algorithm_id="alg-1"), error], [])


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
def test_job_that_is_gone(flow):
    """A job that does not exist is an error, and its trials are not asked for."""
    asked = []

    with pytest.raises(ModelArtsNotFoundError):
        converse(flow("job-1"), [refused(ModelArtsNotFoundError, 400)], asked)

    assert paths(asked) == [JOB]


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
def test_job_id_that_changes_the_path(flow):
    """A bad id is refused before anything is asked."""
    asked = []

    with pytest.raises(ModelArtsConfigurationError, match="training_job_id"):
        converse(flow("a/b"), [], asked)

    assert asked == []


@pytest.mark.parametrize("phase", ["Running", "Terminating", "Hibernating"])
def test_choose_from_a_job_at_work(phase):
    """Of a job still at work, the trials that it has so far are taken."""
    assert listed(converse(snapshot_for_ranking("job-1"), [job(phase), page(rows(3), 8)], [])) == rows(3)


@pytest.mark.parametrize("phase", ["Completed", "Failed", "Abnormal", "Terminated"])
def test_choose_from_a_part_of_a_job_that_ended(phase):
    """Of a job that ended, a part of the trials is an error: the best one may be missing."""
    short = page(rows(3), 8)

    with pytest.raises(ModelArtsProtocolError, match="reports 8 trials but lists only 3"):
        converse(snapshot_for_ranking("job-1"), [job(phase), *[short, page([], 8)] * 3], [])


def test_look_at_a_part_of_a_job_that_ended():
    """While waiting, a part of the trials is no error: the table may still settle, which is judged elsewhere."""
    look = converse(snapshot_for_polling("job-1"), [job("Completed"), page(rows(3), 8)], [])

    assert (listed(look), look.listing.total) == (rows(3), 8)


def test_list_trials_over_several_pages():
    """The pages are asked for one after another, and joined."""
    asked = []

    listing = converse(
        read_listing("job-1", page_size=2), [page(["a", "b"], 5), page(["c", "d"], 5), page(["e"], 5)], asked
    )

    assert [trial.trial_id for trial in listing.trials] == ["a", "b", "c", "d", "e"]
    assert listing.total == 5
    assert [dict(request.query) for request in asked] == [
        {"limit": "2", "offset": "0"},
        {"limit": "2", "offset": "1"},
        {"limit": "2", "offset": "2"},
    ]


def test_list_trials_total_of_the_last_page():
    """Of a table that grows meanwhile, the latest total counts."""
    listing = converse(read_listing("job-1", page_size=2), [page(["a", "b"], 3), page(["c", "d"], 4)], [])

    assert listing.total == 4


@pytest.mark.parametrize("page_size", [0, 51])
def test_list_trials_with_a_page_size_that_is_refused(page_size):
    """A page size that the platform would refuse is an error before anything is asked."""
    asked = []

    with pytest.raises(ModelArtsConfigurationError, match="page_size"):
        converse(read_listing("job-1", page_size=page_size), [], asked)

    assert asked == []


def test_list_trials_that_fails_between_two_pages():
    """An error between two pages is an error, not a part of the trials."""
    with pytest.raises(ModelArtsServerError):
        converse(
            read_listing("job-1", page_size=2, partial=True),
            [page(["a", "b"], 5), refused(ModelArtsServerError, 500)],
            [],
        )


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
    """The error is raised."""
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
    result, requests = asked(stop_running_trial("job-1", "t0"), *answers)

    assert result is stopped
    assert requests[1:] == ([("POST", f"{JOB}/autosearch-trial-earlystop/t0")] if stopped else [])


def test_stopping_an_unknown_trial():
    """The search lists none of that id."""
    with pytest.raises(ModelArtsConfigurationError, match="training job job-1 lists no trial 't7'"):
        asked(stop_running_trial("job-1", "t7"), TrialPage(trials("RUNNING"), 1, 50))


def test_stopping_a_trial_whose_id_changes_the_path():
    """The platform may list such an id; no request is made with it."""
    listing = TrialPage([trial("../x", "RUNNING")], 1, 50)
    requests = []

    with pytest.raises(ModelArtsConfigurationError, match=r"^trial_id must be 1 to 64 letters"):
        converse(stop_running_trial("job-1", "../x"), [listing], requests)

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
    """The explanation holds what can be read, and why the rest cannot: no failure hides another."""
    names = {"GONE": GONE, "DENIED": DENIED, "BROKEN": BROKEN}

    assert asked(explain_failure("job-1"), *answers)[0].splitlines() == [line.format(**names) for line in explanation]
