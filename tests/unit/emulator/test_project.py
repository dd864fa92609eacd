"""Job searches: conditions, order and pages."""

from __future__ import annotations

import math

import pytest
from unit.emulator.calls import get_job, search_jobs

from modelarts_emulator import Emulator
from modelarts_emulator.errors import Refusal


@pytest.fixture(name="emulator")
def _emulator():
    """Emulator that holds all scenarios and is not served."""
    return Emulator()


def names(response):
    """Return the names of the jobs in a response."""
    return [job["metadata"]["name"] for job in response["items"]]


def condition(key, operator, *values):
    """Return a list with one condition."""
    return [{"key": key, "operator": operator, "value": list(values)}]


FILTERS = {
    "like": (condition("name", "like", "failing"), ["failing-job", "failing-trial"]),
    "in": (condition("name", "in", "tie", "nan", "none"), ["nan", "tie"]),
    "phase": (condition("phase", "in", "Creating"), ["abnormal-job", "growing"]),
    "not": (condition("phase", "not", "Completed", "Running"), ["abnormal-job", "growing", "stopped-job"]),
    "algorithm": (condition("algorithm_id", "like", "-"), ["algorithm-search"]),
    "time": (condition("create_time", "between", "2001-01-01T00:00:00Z", "2001-01-31T00:00:00Z"), []),
    "two conditions": (condition("name", "like", "job") + condition("phase", "in", "Running"), ["failing-job"]),
}


@pytest.mark.parametrize(("filters", "found"), FILTERS.values(), ids=FILTERS)
def test_job_search_finds_jobs_that_meet_all_conditions(emulator, filters, found):
    """A job search finds the jobs that meet all conditions, and ``total`` counts the found jobs."""
    response = search_jobs(emulator, filters=filters)

    assert sorted(names(response)) == found
    assert response["total"] == len(found)


def test_job_search_ignores_blank_conditions(emulator):
    """Blank conditions, as in the sample request of the API reference, are ignored."""
    response = search_jobs(emulator, filters=[*condition("name", "like", ""), *condition("phase", "in")])

    assert response["total"] == len(emulator.job_ids)


WORKSPACES = {
    "default": ({}, "0", ["none", "zero"]),
    "zero": ({"workspace_id": "0"}, "0", ["none", "zero"]),
    "other": ({"workspace_id": "team-a"}, "team-a", ["a"]),
    "blank": ({"workspace_id": "team-b"}, "team-b", []),
}


@pytest.mark.parametrize(("body", "workspace_id", "found"), WORKSPACES.values(), ids=WORKSPACES)
def test_job_search_lists_the_jobs_of_one_workspace(body, workspace_id, found):
    """A job whose metadata name no workspace is in the default one, and the response repeats the workspace id."""
    emulator = Emulator(scenarios=[])
    for name, metadata in {"none": {}, "zero": {"workspace_id": "0"}, "a": {"workspace_id": "team-a"}}.items():
        emulator.add_job(name, {"metadata": {"name": name, **metadata}})
    response = search_jobs(emulator, **body)

    assert sorted(names(response)) == found
    assert (response["total"], response["workspace_id"]) == (len(found), workspace_id)


@pytest.mark.parametrize(("seconds", "listed"), [(0, ["tie"]), (4.99, ["tie"]), (5, ["growing", "tie"])])
def test_job_search_lists_a_job_after_the_lag(seconds, listed):
    """The lag starts at the creation of the job."""
    now = 1_800_000_000.0
    emulator = Emulator(scenarios=["tie", "growing"], listing_lag=5, clock=lambda: now)
    now += seconds

    assert names(search_jobs(emulator)) == listed


def test_job_search_without_a_lag_lists_a_job_of_the_future():
    """The clock was set back after the creation of the job."""
    now = 1_800_000_000.0
    emulator = Emulator(scenarios=["growing"], clock=lambda: now)
    now -= 60

    assert names(search_jobs(emulator)) == ["growing"]


def test_job_search_with_an_infinite_lag_lists_no_job(emulator):
    """A lag that a test sets or removes applies at once, and a GET returns the job."""
    emulator.listing_lag = math.inf
    hidden = search_jobs(emulator)
    emulator.listing_lag = 0.0
    shown = search_jobs(emulator)

    assert get_job(emulator, emulator.job_id("tie"))["metadata"]["name"] == "tie"
    assert (hidden["total"], shown["total"]) == (0, len(emulator.job_ids))


def test_job_search_may_leave_descriptions_out():
    """The other metadata and the response to a GET stay the same."""
    emulator = Emulator(scenarios=[], lists_descriptions=False)
    job = {"metadata": {"name": "mine", "description": "a test"}, "status": {"phase": "Completed"}}
    emulator.add_job("mine", job)
    without = search_jobs(emulator)["items"]
    emulator.lists_descriptions = True

    assert without == [{**job, "metadata": {"name": "mine"}}]
    assert search_jobs(emulator)["items"] == [get_job(emulator, "mine")] == [job]


BAD_SEARCHES = {
    "key": ({"filters": condition("colour", "in", "red")}, "ModelArts.2807"),
    "operator": ({"filters": condition("name", "above", "x")}, "ModelArts.2808"),
    "value": ({"filters": condition("create_time", "between", "soon", "later")}, "ModelArts.2809"),
    "number of values": ({"filters": condition("create_time", "between", "2001-01-01")}, "ModelArts.2809"),
    "first year": ({"filters": condition("create_time", "between", "0001-01-01", "0001-01-01")}, "ModelArts.2809"),
    "sort": ({"sort_by": "colour"}, "ModelArts.2790"),
    "sort that is a list": ({"sort_by": ["name"]}, "ModelArts.2790"),
    "order": ({"order": "upwards"}, "ModelArts.2790"),
    "order that is an object": ({"order": {"name": "asc"}}, "ModelArts.2790"),
    "workspace with a slash": ({"workspace_id": "../team"}, "ModelArts.0104"),
    "workspace that is a number": ({"workspace_id": 0}, "ModelArts.0104"),
}


@pytest.mark.parametrize(("body", "code"), BAD_SEARCHES.values(), ids=BAD_SEARCHES)
def test_job_search_refuses_unknown_conditions(emulator, body, code):
    """An unknown condition is refused, never ignored in silence."""
    with pytest.raises(Refusal) as raised:
        search_jobs(emulator, **body)

    assert (raised.value.status, raised.value.code) == (400, code)


def test_job_search_pages_and_sorts():
    """Jobs are sorted newest first by default; of the jobs of one instant, the last added is the newest."""
    scenarios = ["documented", "pending-forever", "growing", "abnormal-job"]
    emulator = Emulator(scenarios=scenarios, clock=lambda: 1_800_000_000.0)
    newest, oldest = (names(search_jobs(emulator, order=order)) for order in ("desc", "asc"))
    second = names(search_jobs(emulator, limit=3, offset=1))

    assert oldest == scenarios
    assert newest == scenarios[::-1]
    assert second == ["documented"]


def test_job_search_is_not_a_tick(emulator):
    """A job search is not a tick, unlike the GET of a job."""
    for _ in range(3):
        search_jobs(emulator)

    assert get_job(emulator, emulator.job_id("growing"))["status"]["phase"] == "Creating"
