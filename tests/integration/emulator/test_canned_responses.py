"""Canned responses, the record of requests, and tables that grow while they are read."""

from __future__ import annotations

import http.client
import threading
import time

import pytest
from integration.emulator.wire import column, get_trials, send

from modelarts_emulator import SeenRequest

PROJECTS = "/v3/projects"


def test_canned_response_is_sent_unchanged(modelarts_emulator):
    """Status, headers and body are those of the test, and no signature is required."""
    headers = {"Content-Type": "text/html", "Retry-After": "7"}
    modelarts_emulator.respond_next("projects", status=503, body=b"<html>", headers=headers)

    response = send(modelarts_emulator, "GET", PROJECTS, secret="wrong")

    assert (response.status, response.body) == (503, b"<html>")
    assert (response.headers["content-type"], response.headers["retry-after"]) == ("text/html", "7")


def test_canned_response_is_for_its_path_only(modelarts_emulator):
    """Requests to other paths pass, and are not counted."""
    modelarts_emulator.respond_next("/training-jobs/", status=500)

    statuses = [send(modelarts_emulator, "GET", path).status for path in (PROJECTS, "/v2/{p}/training-jobs/x")]

    assert statuses == [200, 500]


COUNTS = {
    "once": ([{"status": 500}], [500, 200, 200, 200]),
    "twice": ([{"status": 500, "times": 2}], [500, 500, 200, 200]),
    "later": ([{"status": 500, "after": 2}], [200, 200, 500, 200]),
    "in order": ([{"status": 500}, {"status": 429, "times": 2}], [500, 429, 429, 200]),
    "out of order": ([{"status": 500, "after": 1}, {"status": 429}], [429, 500, 200, 200]),
}


@pytest.mark.parametrize(("canned", "statuses"), COUNTS.values(), ids=COUNTS)
def test_canned_responses_are_counted(modelarts_emulator, canned, statuses):
    """Each lets some requests pass and responds to some; the first in the queue that is due is sent."""
    for response in canned:
        modelarts_emulator.respond_next(PROJECTS, **response)

    assert [send(modelarts_emulator, "GET", PROJECTS).status for _ in range(4)] == statuses


def test_canned_response_may_be_a_dropped_connection(modelarts_emulator):
    """The caller gets no response; the next request gets one."""
    modelarts_emulator.respond_next(PROJECTS, drop=True)

    with pytest.raises(http.client.RemoteDisconnected):
        send(modelarts_emulator, "GET", PROJECTS)
    assert send(modelarts_emulator, "GET", PROJECTS).status == 200


def test_canned_response_may_be_late(modelarts_emulator):
    """Only this response is late."""
    modelarts_emulator.respond_next(PROJECTS, delay=0.05)

    before = time.monotonic()
    send(modelarts_emulator, "GET", PROJECTS)

    assert time.monotonic() - before >= 0.05


def test_emulator_stops_in_spite_of_a_late_response(modelarts_emulator_factory):
    """The end of the emulator does not wait for the response."""
    arrived = threading.Event()
    before = time.monotonic()
    with modelarts_emulator_factory(on_request=lambda request: arrived.set()) as emulator:
        emulator.respond_next(PROJECTS, delay=3600)
        connection = http.client.HTTPConnection(emulator.endpoint.removeprefix("http://"))
        connection.request("GET", PROJECTS)
        assert arrived.wait(60)
    connection.close()

    assert time.monotonic() - before < 60


def test_canned_response_does_not_advance_a_search(modelarts_emulator):
    """The request never reaches the job."""
    path = f"/v2/{{p}}/training-jobs/{modelarts_emulator.job_id('growing')}"
    modelarts_emulator.respond_next(path.rpartition("/")[2], status=500, times=5)

    responses = [send(modelarts_emulator, "GET", path) for _ in range(6)]

    assert responses[5].json["status"]["phase"] == "Creating"


def test_canned_response_may_be_for_one_method(modelarts_emulator):
    """Requests of another method to the same path pass."""
    modelarts_emulator.respond_next("/training-jobs/", method="DELETE", status=500)
    job = f"/v2/{{p}}/training-jobs/{modelarts_emulator.job_id('growing')}"

    assert [send(modelarts_emulator, method, job).status for method in ("GET", "DELETE")] == [200, 500]


def test_request_may_be_executed_before_its_response_is_lost(modelarts_emulator):
    """The job is deleted, and the response is an error."""
    modelarts_emulator.respond_next("/training-jobs/", method="DELETE", status=500, executes=True)
    job = f"/v2/{{p}}/training-jobs/{modelarts_emulator.job_id('growing')}"

    assert send(modelarts_emulator, "DELETE", job).status == 500
    assert send(modelarts_emulator, "GET", job).refusal == (400, "ModelArts.2775")


def test_refused_request_is_not_executed(modelarts_emulator):
    """A wrong signature is refused in spite of the canned response."""
    modelarts_emulator.respond_next("/training-jobs/", method="DELETE", status=500, executes=True)
    job = f"/v2/{{p}}/training-jobs/{modelarts_emulator.job_id('growing')}"

    assert send(modelarts_emulator, "DELETE", job, secret="wrong").refusal == (401, "APIGW.0301")
    assert send(modelarts_emulator, "GET", job).status == 200


def test_requests_are_recorded_in_their_order(modelarts_emulator):
    """The record holds method, path and query of accepted and refused requests."""
    send(modelarts_emulator, "GET", PROJECTS, [("name", "a b"), ("blank", "")])
    send(modelarts_emulator, "POST", "/nowhere", body="{}", secret="wrong")

    assert modelarts_emulator.requests == [
        SeenRequest("GET", "/v3/projects", {"name": "a b", "blank": ""}),
        SeenRequest("POST", "/nowhere", {}),
    ]


def test_table_may_grow_between_two_pages(modelarts_emulator):
    """The test adds a row before the response with the second page."""
    rows = [[f"t{number}", "TERMINATED", {}] for number in range(3)]
    job_id = modelarts_emulator.add_table(["trial_id", "status", "config"], rows)

    def grow(request):
        if request.query.get("offset") == "1":
            rows.append(["late", "RUNNING", {}])

    modelarts_emulator.on_request = grow
    first, second = (get_trials(modelarts_emulator, job_id, limit=2, offset=page) for page in range(2))

    assert (first["total"], column(first, "trial_id")) == (3, ["t0", "t1"])
    assert (second["total"], column(second, "trial_id")) == (4, ["t2", "late"])
