"""Routes of the emulator: requests and their responses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from integration.emulator.wire import column, get_trials, send

DATA = Path(__file__).parents[2] / "data"
TRIALS = "/v2/{p}/training-jobs/{job}/autosearch-trials"
LARGE = [f"1a49{number:04x}" for number in range(120)]


def test_documented_trials_are_returned_unchanged(modelarts_emulator):
    """The response is the sample of the API reference."""
    sample = json.loads((DATA / "list_trials_documented.json").read_text(encoding="utf-8"))

    assert get_trials(modelarts_emulator, modelarts_emulator.job_id("documented")) == sample


REFUSED = {
    "unknown job": ("GET", "/v2/{p}/training-jobs/no-such-job", "", (400, "ModelArts.2775")),
    "trials of an unknown job": ("GET", "/v2/{p}/training-jobs/none/autosearch-trials", "", (400, "ModelArts.2775")),
    "unknown algorithm": ("GET", "/v2/{p}/algorithms/no-such-algorithm", "", (400, "ModelArts.2755")),
    "unknown path": ("GET", "/v2/{p}/nothing-here", "", (404, "APIGW.0101")),
    "root": ("GET", "/", "", (404, "APIGW.0101")),
    "other project": ("GET", "/v2/other/training-jobs/x", "", (404, "ModelArts.2786")),
    "other method": ("DELETE", "/v2/{p}/training-job-searches", "", (405, "ModelArts.2803")),
    "body that is not JSON": ("POST", "/v2/{p}/training-job-searches", "{", (400, "ModelArts.2787")),
    "body that is a list": ("POST", "/v2/{p}/training-job-searches", "[]", (400, "ModelArts.2787")),
    "search page too long": ("POST", "/v2/{p}/training-job-searches", '{"limit": 51}', (400, "ModelArts.2764")),
    "body too long": ("POST", "/v2/{p}/training-job-searches", "x" * (12 * 1024**2 + 1), (413, "APIGW.0201")),
}


@pytest.mark.parametrize(("method", "path", "body", "refusal"), REFUSED.values(), ids=REFUSED)
def test_invalid_request_is_refused(modelarts_emulator, method, path, body, refusal):
    """Status and code are those of the platform, with its advice or the gateway's request id."""
    response = send(modelarts_emulator, method, path, body=body)

    assert response.refusal == refusal
    assert response.json["error_msg"]
    assert response.json.get("error_solution") or response.json["request_id"] == response.headers["x-request-id"]


BAD_PAGES = [{"limit": "0"}, {"limit": "51"}, {"limit": "-1"}, {"limit": "ten"}, {"limit": ""}, {"offset": "-1"},
             {"offset": "x"}, {"offset": "1.5"}]  # fmt: skip


@pytest.mark.parametrize("query", BAD_PAGES, ids=str)
def test_page_out_of_range_is_refused(modelarts_emulator, query):
    """``limit`` is 1 to 50, and both are whole numbers."""
    path = TRIALS.replace("{job}", modelarts_emulator.job_id("large"))
    response = send(modelarts_emulator, "GET", path, list(query.items()))

    assert response.refusal == (400, "ModelArts.2764")
    assert next(iter(query)) in response.json["error_msg"]


PAGES = {
    "page": [
        ({}, LARGE[:50]),
        ({"limit": 50, "offset": 1}, LARGE[50:100]),
        ({"limit": 50, "offset": 2}, LARGE[100:]),
        ({"limit": 50, "offset": 3}, []),
        ({"limit": 7, "offset": 17}, LARGE[119:]),
    ],
    "row": [
        ({}, LARGE[:50]),
        ({"limit": 50, "offset": 1}, LARGE[1:51]),
        ({"limit": 50, "offset": 100}, LARGE[100:]),
        ({"limit": 50, "offset": 120}, []),
        ({"limit": 7, "offset": 17}, LARGE[17:24]),
    ],
}


@pytest.mark.parametrize(
    ("unit", "query", "ids"), [(unit, query, ids) for unit, pages in PAGES.items() for query, ids in pages]
)
def test_page_holds_the_rows_at_its_offset(modelarts_emulator_factory, unit, query, ids):
    """``offset`` counts pages or rows; the response repeats limit and offset, and counts its rows."""
    with modelarts_emulator_factory(offset_unit=unit, scenarios=["large"]) as emulator:
        page = get_trials(emulator, emulator.job_id("large"), **query)

    assert column(page, "trial_id") == ids
    assert page["total"] == 120
    assert page["count"] == len(ids)
    assert (page["limit"], page["offset"]) == (query.get("limit", 50), query.get("offset", 0))


def test_row_numbers_continue_over_pages(modelarts_emulator):
    """The column without a name numbers the rows of the whole table."""
    page = get_trials(modelarts_emulator, modelarts_emulator.job_id("large"), limit=50, offset=2)

    assert column(page, "") == [str(number) for number in range(100, 120)]


@pytest.mark.parametrize(("name", "found"), [("cn-north-4", 1), ("cn-north-1", 0), (None, 1)])
def test_iam_knows_the_project_of_the_region(modelarts_emulator, name, found):
    """IAM lists one project, which is named after the region."""
    query = [("name", name)] if name else []
    projects = send(modelarts_emulator, "GET", "/v3/projects", query).json["projects"]

    assert [project["id"] for project in projects] == [modelarts_emulator.project_id] * found


def test_every_response_has_its_own_request_id(modelarts_emulator):
    """Accepted, refused and canned responses have one."""
    modelarts_emulator.respond_next("/v3/projects", status=500)
    paths = ["/v3/projects", "/v3/projects", "/nowhere", "/v2/{p}/training-jobs/x", "/v2/other/training-jobs/x"]

    responses = [send(modelarts_emulator, "GET", path) for path in paths]

    assert len({response.headers["x-request-id"] for response in responses}) == 5
