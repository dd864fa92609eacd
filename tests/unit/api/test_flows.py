"""Flows of several calls, driven by hand."""

from __future__ import annotations

from dataclasses import replace

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
from airflow_provider_modelarts.core.jobs import Algorithm, JobEvent, JobPhase, SearchSettings
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


def paths(requests):
    """Return the paths of requests."""
    return [request.path for request in requests]


def listed(snapshot):
    """Return the ids of the trials in a snapshot."""
    return [trial.trial_id for trial in snapshot.listing.trials]


def api_error(cls, status):
    """Return an error of the API."""
    return cls("no", status=status, code="c")


@pytest.mark.parametrize("phase", ["Creating", "Pending"])
def test_polling_snapshot_of_a_starting_job(phase):
    """A job that has not begun has no trials, so one request is enough."""
    requests = []

    snapshot = converse(snapshot_for_polling("job-1"), [job(phase)], requests)

    assert paths(requests) == [JOB]
    assert (snapshot.job.phase_text, listed(snapshot)) == (phase, [])


@pytest.mark.parametrize("phase", ["Running", "Terminating", "Completed", "Failed", "Terminated", "Hibernating"])
def test_polling_snapshot_of_a_job_that_has_begun(phase):
    """In any later phase, a second request reads up to fifty trials."""
    requests = []

    snapshot = converse(snapshot_for_polling("job-1"), [job(phase, 3), page(rows(2), 3)], requests)

    assert paths(requests) == [JOB, TRIALS]
    assert dict(requests[1].query) == {"limit": "50", "offset": "0"}
    assert (listed(snapshot), snapshot.listing.total) == (rows(2), 3)


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
def test_search_settings_of_the_algorithm(flow):
    """A job without search settings has those of its algorithm."""
    requests = []
    replies = [
        job("Completed", search=None, algorithm_id="alg-1"),
        Algorithm("alg-1", "tuned", search(8, acc="max"), {}),
        page(rows(1), 1),
    ]

    snapshot = converse(flow("job-1"), replies, requests)

    assert paths(requests) == [JOB, ALGORITHM, TRIALS]
    assert snapshot.job.search == search(8, acc="max")


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
@pytest.mark.parametrize(
    "reply",
    [
        api_error(ModelArtsNotFoundError, 400),
        api_error(ModelArtsPermissionError, 403),
        Algorithm("alg-1", "untuned", None, {}),
    ],
)
def test_search_settings_of_an_unusable_algorithm(flow, reply):
    """An algorithm that is deleted, forbidden or without a search leaves the settings unknown."""
    snapshot = converse(
        flow("job-1"), [job("Completed", search=None, algorithm_id="alg-1"), reply, page(rows(1), 1)], []
    )

    assert (snapshot.job.search, listed(snapshot)) == (SearchSettings(), ["t0"])


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
def test_search_settings_of_a_job_without_algorithm(flow):
    """A job without an algorithm costs no request for one."""
    requests = []

    snapshot = converse(flow("job-1"), [job("Completed", search=None), page(rows(1), 1)], requests)

    assert paths(requests) == [JOB, TRIALS]
    assert snapshot.job.search == SearchSettings()


@pytest.mark.parametrize("known", [search(8, acc="max"), SearchSettings()])
def test_search_settings_that_are_known(known):
    """Settings from an earlier snapshot, even empty ones, save the request for the algorithm."""
    requests = []

    snapshot = converse(
        snapshot_for_polling("job-1", known), [job("Running", search=None, algorithm_id="alg-1"), page([], 0)], requests
    )

    assert paths(requests) == [JOB, TRIALS]
    assert snapshot.job.search == known


def test_search_settings_of_the_job_take_precedence():
    """The job's own settings take precedence over known ones."""
    snapshot = converse(snapshot_for_polling("job-1", search(5)), [job("Running", 8), page([], 0)], [])

    assert snapshot.job.search == search(8)


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
@pytest.mark.parametrize("error", [api_error(ModelArtsServerError, 500), api_error(ModelArtsAuthenticationError, 401)])
def test_search_settings_that_cannot_be_read(flow, error):
    """Any other error of the request for the algorithm fails the snapshot, which would lack facts."""
    with pytest.raises(type(error)):
        converse(flow("job-1"), [job("Completed", search=None, algorithm_id="alg-1"), error], [])


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
def test_snapshot_of_a_missing_job(flow):
    """A job that does not exist raises an error, and its trials are not requested."""
    requests = []

    with pytest.raises(ModelArtsNotFoundError):
        converse(flow("job-1"), [api_error(ModelArtsNotFoundError, 400)], requests)

    assert paths(requests) == [JOB]


@pytest.mark.parametrize("flow", [snapshot_for_polling, snapshot_for_ranking])
def test_snapshot_with_a_job_id_that_changes_the_path(flow):
    """An invalid id is refused before any request."""
    requests = []

    with pytest.raises(ModelArtsConfigurationError, match="training_job_id"):
        converse(flow("a/b"), [], requests)

    assert requests == []


@pytest.mark.parametrize("phase", ["Running", "Terminating", "Hibernating"])
def test_ranking_snapshot_of_an_active_job(phase):
    """The snapshot of an active job holds the trials that are listed so far."""
    assert listed(converse(snapshot_for_ranking("job-1"), [job(phase), page(rows(3), 8)], [])) == rows(3)


@pytest.mark.parametrize("phase", ["Completed", "Failed", "Abnormal", "Terminated"])
def test_ranking_snapshot_of_an_incomplete_listing(phase):
    """An incomplete listing of a job that has ended is an error, because the best trial may be missing."""
    short = page(rows(3), 8)

    with pytest.raises(ModelArtsProtocolError, match="reports 8 trials but lists only 3"):
        converse(snapshot_for_ranking("job-1"), [job(phase), *[short, page([], 8)] * 3], [])


def test_polling_snapshot_of_an_incomplete_listing():
    """An incomplete listing of a job that has ended is allowed while polling, because the table may still settle."""
    snapshot = converse(snapshot_for_polling("job-1"), [job("Completed"), page(rows(3), 8)], [])

    assert (listed(snapshot), snapshot.listing.total) == (rows(3), 8)


def test_list_trials_over_several_pages():
    """The pages are requested one after another, and joined."""
    requests = []

    listing = converse(
        read_listing("job-1", page_size=2), [page(["a", "b"], 5), page(["c", "d"], 5), page(["e"], 5)], requests
    )

    assert [trial.trial_id for trial in listing.trials] == ["a", "b", "c", "d", "e"]
    assert listing.total == 5
    assert [dict(request.query) for request in requests] == [
        {"limit": "2", "offset": "0"},
        {"limit": "2", "offset": "1"},
        {"limit": "2", "offset": "2"},
    ]


def test_list_trials_total_of_the_last_page():
    """The latest total counts when the table grows between two pages."""
    listing = converse(read_listing("job-1", page_size=2), [page(["a", "b"], 3), page(["c", "d"], 4)], [])

    assert listing.total == 4


@pytest.mark.parametrize("page_size", [0, 51])
def test_list_trials_with_an_invalid_page_size(page_size):
    """A page size beyond the platform's limits is an error before any request."""
    requests = []

    with pytest.raises(ModelArtsConfigurationError, match="page_size"):
        converse(read_listing("job-1", page_size=page_size), [], requests)

    assert requests == []


def test_list_trials_that_fails_between_two_pages():
    """An error between two pages is raised, even if a partial listing is allowed."""
    with pytest.raises(ModelArtsServerError):
        converse(
            read_listing("job-1", page_size=2, partial=True),
            [page(["a", "b"], 5), api_error(ModelArtsServerError, 500)],
            [],
        )


LOG = f"{JOB}/tasks/worker-0/logs/preview"
GONE = ModelArtsNotFoundError("gone", status=400, code="ModelArts.2775")
ENDED = ModelArtsApiError("not allowed to terminate", status=409, code="ModelArts.2796")
DENIED = ModelArtsPermissionError("denied", status=403, code="ModelArts.0108")
BROKEN = ModelArtsServerError("oops", status=500, code="ModelArts.2950")


def run(flow, *responses):
    """Return the result of a flow, and its requests as methods and paths."""
    requests = []
    result = converse(flow, responses, requests)
    return result, [(request.method, request.path) for request in requests]


@pytest.mark.parametrize(("response", "was_running"), [(job("Terminating"), True), (ENDED, False), (GONE, False)])
def test_stopping_a_job(response, was_running):
    """Stopping does nothing if the job has ended or no longer exists."""
    assert run(stop_job("job-1"), response) == (was_running, [("POST", f"{JOB}/actions")])


@pytest.mark.parametrize("error", [DENIED, BROKEN])
def test_stopping_a_job_that_may_still_run(error):
    """Any other error is raised, because the job may still run."""
    with pytest.raises(type(error)):
        run(stop_job("job-1"), error)


@pytest.mark.parametrize(("response", "was_there"), [(None, True), (GONE, False)])
def test_deleting_a_job(response, was_there):
    """Deleting does nothing if the job no longer exists."""
    assert run(delete_job("job-1"), response) == (was_there, [("DELETE", JOB)])


@pytest.mark.parametrize(
    ("status", "stopped"),
    [("RUNNING", True), ("PENDING", True), ("PAUSED", True), ("TERMINATED", False), ("ERROR", False)],
)
def test_stopping_a_trial(status, stopped):
    """Only an unfinished trial is stopped, because the platform's response for another is undocumented."""
    listing = TrialPage(trials(status), 1, 50)
    responses = [listing, "t0"] if stopped else [listing]
    result, requests = run(stop_running_trial("job-1", "t0"), *responses)

    assert result is stopped
    assert requests[1:] == ([("POST", f"{JOB}/autosearch-trial-earlystop/t0")] if stopped else [])


def test_stopping_an_unknown_trial():
    """An id that the search does not list is an error."""
    with pytest.raises(ModelArtsConfigurationError, match="training job job-1 lists no trial 't7'"):
        run(stop_running_trial("job-1", "t7"), TrialPage(trials("RUNNING"), 1, 50))


def test_stopping_a_trial_whose_id_changes_the_path():
    """A listed id that would change the path enters no request."""
    listing = TrialPage([trial("../x", "RUNNING")], 1, 50)
    requests = []

    with pytest.raises(ModelArtsConfigurationError, match=r"^trial_id must be 1 to 64 letters"):
        converse(stop_running_trial("job-1", "../x"), [listing], requests)

    assert [request.path for request in requests] == [f"{JOB}/autosearch-trials"]


@pytest.mark.parametrize("code", ["ModelArts.2776", "ModelArts.2818"])
def test_log_that_does_not_exist_yet(code):
    """A log that does not exist yet is an empty text."""
    assert run(read_log("job-1", "worker-0"), ModelArtsApiError("none", status=400, code=code))[0] == ""


def test_log_that_cannot_be_read():
    """Any other error of reading a log is raised."""
    with pytest.raises(ModelArtsPermissionError):
        run(read_log("job-1", "worker-0"), DENIED)


def event(number):
    """Return an error event."""
    return JobEvent(f"2026-01-01T00:00:0{number}", "Error", f"error {number}", "Job")


FAILED = job("Failed", tasks=("worker-0", "worker-1"))
PLATFORM = "The platform failed: it reports no exit code of the training script."


def test_explanation_is_the_last_events_and_lines():
    """The explanation holds events, then twenty log lines of up to 300 characters, oldest first."""
    log = "\n".join([*(f"line {number}" for number in range(30)), "x" * 1000])

    explanation, requests = run(explain_failure("job-1"), [event(2), event(1)], FAILED, log)

    assert requests == [("GET", f"{JOB}/events"), ("GET", JOB), ("GET", LOG)]
    assert explanation.splitlines() == [
        "2026-01-01T00:00:01 Job: error 1",
        "2026-01-01T00:00:02 Job: error 2",
        PLATFORM,
        *(f"worker-0: line {number}" for number in range(11, 30)),
        f"worker-0: {'x' * 287}...",
    ]


def test_explanation_of_a_job_without_tasks():
    """The explanation of a job without tasks holds no log."""
    assert run(explain_failure("job-1"), [], job("Abnormal"))[0] == PLATFORM


def test_explanation_of_a_failed_script():
    """The exit code tells a fault of the script from one of the platform."""
    failed = replace(FAILED, exit_code=137)

    assert run(explain_failure("job-1"), [], failed, "out of memory")[0].splitlines() == [
        "The training script failed with exit code 137. Its last lines:",
        "worker-0: out of memory",
    ]


def test_explanation_of_a_job_that_has_not_failed():
    """The last lines of a search whose trials failed say why; the job itself did not."""
    assert run(explain_failure("job-1"), [], replace(FAILED, phase=JobPhase.RUNNING), "oops")[0] == "worker-0: oops"


@pytest.mark.parametrize(
    ("responses", "explanation"),
    [
        ([GONE, GONE], ["(its events cannot be read: {GONE})", "(its log cannot be read: {GONE})"]),
        (
            [DENIED, FAILED, "out of memory"],
            ["(its events cannot be read: {DENIED})", PLATFORM, "worker-0: out of memory"],
        ),
        ([[event(1)], FAILED, BROKEN], ["2026-01-01T00:00:01 Job: error 1", "(its log cannot be read: {BROKEN})"]),
    ],
    ids=["all", "events", "log"],
)
def test_explanation_with_unreadable_parts(responses, explanation):
    """The explanation holds each readable part, and the error of each other part."""
    names = {"GONE": GONE, "DENIED": DENIED, "BROKEN": BROKEN}

    assert run(explain_failure("job-1"), *responses)[0].splitlines() == [line.format(**names) for line in explanation]
