"""What takes several calls, driven by hand."""

from __future__ import annotations

import pytest
from unit.builders import converse, job, page, search

from airflow_provider_modelarts.api.flows import read_listing, snapshot_for_polling, snapshot_for_ranking
from airflow_provider_modelarts.core.jobs import Algorithm, SearchSettings
from airflow_provider_modelarts.exceptions import (
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
    """Without an algorithm there is nobody to ask."""
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
    """What the job itself says now counts."""
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
