"""Faults of responses, observed without the provider's client."""

from __future__ import annotations

import gzip
import http.client
import itertools
import threading
import time
import zlib

import pytest
from integration.emulator.wire import column, get_job, get_trials, outcome, send

from modelarts_emulator import FAULTS

JOBS = "/v2/{p}/training-jobs"
PROJECTS = "/v3/projects"


def job_path(emulator, scenario="documented"):
    """Return the path of the job of a scenario."""
    return f"{JOBS}/{emulator.job_id(scenario)}"


def pending_request(emulator):
    """Send the same request twice; return the connection on which the second response is pending."""
    headers = {}
    send(emulator, "GET", PROJECTS, change=lambda request: headers.update(request.header_params))
    connection = http.client.HTTPConnection(emulator.endpoint.removeprefix("http://"), timeout=60)
    connection.request("GET", PROJECTS, headers=headers)
    return connection


REFUSALS = {
    "429": (429, "APIGW.0308"),
    "429 with Retry-After": (429, "APIGW.0308"),
    "500": (500, "ModelArts.2950"),
    "503": (503, "ModelArts.4302"),
    "clock skew": (401, "APIGW.0301"),
    "no such API": (404, "APIGW.0101"),
    "no such method": (405, "ModelArts.2803"),
}


@pytest.mark.parametrize(("fault", "refusal"), REFUSALS.items())
def test_refusal_has_its_status_and_code(modelarts_emulator, fault, refusal):
    """One response is refused in the platform's format; the next one is good."""
    path = f"{job_path(modelarts_emulator)}/autosearch-trials"
    modelarts_emulator.respond_next("/training-jobs/", fault=fault)

    responses = [send(modelarts_emulator, "GET", path) for _ in range(2)]

    assert responses[0].refusal == refusal
    assert responses[0].json["error_msg"]
    assert responses[1].status == 200
    assert modelarts_emulator.fault_counts == {fault: 1}


def test_retry_after_is_fault_seconds(modelarts_emulator_factory):
    """The header holds whole seconds; the fault without it sends no such header."""
    with modelarts_emulator_factory(fault_seconds=7) as emulator:
        emulator.respond_next(PROJECTS, fault="429 with Retry-After")
        emulator.respond_next(PROJECTS, fault="429")
        responses = [send(emulator, "GET", PROJECTS) for _ in range(2)]

    assert [response.headers.get("retry-after") for response in responses] == ["7", None]


FOREIGN = {
    "502": (502, "text/html", b"<html>502 Bad Gateway</html>"),
    "504": (504, "text/html", b"<html>504 Gateway Time-out</html>"),
    "HTML": (200, "text/html", b"<html>Welcome</html>"),
    "wrong shape": (200, "application/json", b'["a list"]'),
    "redirect": (302, "application/json", b""),
}


@pytest.mark.parametrize(("fault", "expected"), FOREIGN.items())
def test_foreign_response_has_its_own_status_type_and_body(modelarts_emulator, fault, expected):
    """Only the redirect has a location."""
    modelarts_emulator.respond_next(PROJECTS, fault=fault)

    response = send(modelarts_emulator, "GET", PROJECTS)

    assert (response.status, response.headers["content-type"], response.body) == expected
    assert response.headers.get("location") == ("https://elsewhere.invalid/" if fault == "redirect" else None)


BROKEN = {
    "closed": http.client.RemoteDisconnected,
    "silence": http.client.RemoteDisconnected,
    "reset": ConnectionResetError,
    "cut body": http.client.IncompleteRead,
    "headers then silence": http.client.IncompleteRead,
    "no HTTP": http.client.BadStatusLine,
}


@pytest.mark.parametrize(("fault", "error"), BROKEN.items())
def test_broken_connection_raises_its_own_error(modelarts_emulator_factory, fault, error):
    """The next request gets a response."""
    with modelarts_emulator_factory(fault_seconds=0.05) as emulator:
        emulator.respond_next(PROJECTS, fault=fault)

        with pytest.raises(error) as raised:
            send(emulator, "GET", PROJECTS)

        assert type(raised.value) is error
        assert send(emulator, "GET", PROJECTS).status == 200


@pytest.mark.parametrize(("fault", "share"), [("cut body", 0.5), ("headers then silence", 0.0)])
def test_broken_response_announces_its_whole_body(modelarts_emulator_factory, fault, share):
    """Content-Length is that of the whole body, and only a part arrives."""
    with modelarts_emulator_factory(fault_seconds=0.05) as emulator:
        whole = send(emulator, "GET", PROJECTS).body
        emulator.respond_next(PROJECTS, fault=fault)

        with pytest.raises(http.client.IncompleteRead) as raised:
            send(emulator, "GET", PROJECTS)

    assert raised.value.partial == whole[: int(len(whole) * share)]
    assert len(raised.value.partial) + raised.value.expected == len(whole)


@pytest.mark.parametrize("fault", ["silence", "headers then silence", "slow bytes"])
def test_slow_fault_takes_fault_seconds(modelarts_emulator_factory, fault):
    """The response takes at least ``fault_seconds``."""
    with modelarts_emulator_factory(fault_seconds=0.06) as emulator:
        emulator.respond_next(PROJECTS, fault=fault)
        before = time.monotonic()
        outcome(emulator, PROJECTS)

        assert time.monotonic() - before >= 0.055


def test_slow_bytes_arrive_in_pieces_and_completely(modelarts_emulator_factory):
    """Twelve writes are spread over ``fault_seconds``; the number of reads depends on the machine."""
    with modelarts_emulator_factory(fault_seconds=1.2) as emulator:
        whole = send(emulator, "GET", PROJECTS).body
        emulator.respond_next(PROJECTS, fault="slow bytes", after=1)
        connection = pending_request(emulator)
        response = connection.getresponse()
        pieces = list(itertools.takewhile(bool, iter(response.read1, None)))
        connection.close()

    assert b"".join(pieces) == whole
    assert 2 <= len(pieces) <= 12


UNPACKED = {"broken gzip": zlib.error, "cut gzip": EOFError}


def test_gzip_holds_the_right_body(modelarts_emulator):
    """The unpacked body is that of the plain response."""
    plain = send(modelarts_emulator, "GET", PROJECTS)
    modelarts_emulator.respond_next(PROJECTS, fault="gzip")

    response = send(modelarts_emulator, "GET", PROJECTS)

    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(response.body) == plain.body


@pytest.mark.parametrize(("fault", "error"), UNPACKED.items())
def test_broken_gzip_cannot_be_unpacked(modelarts_emulator, fault, error):
    """The body is as long as its Content-Length."""
    modelarts_emulator.respond_next(PROJECTS, fault=fault)

    response = send(modelarts_emulator, "GET", PROJECTS)

    assert (response.status, response.headers["content-encoding"]) == (200, "gzip")
    assert int(response.headers["content-length"]) == len(response.body)
    with pytest.raises(error):
        gzip.decompress(response.body)


IDS = ["ae544174", "ae548666", "ae54c0ea", "ae5503c0", "bef46590", "bef578f4", "bef5c584", "bef60684"]
PAGES = {
    "rows reversed": (8, IDS[::-1]),
    "rows repeated": (8, [trial_id for trial_id in IDS for _ in "12"]),
    "page shrinks": (7, IDS[:-1]),
    "page grows": (9, [*IDS, "f00000ff"]),
    "unknown status": (8, IDS),
}


@pytest.mark.parametrize(("fault", "expected"), PAGES.items())
def test_page_of_trials_is_changed(modelarts_emulator, fault, expected):
    """Total or rows of one page change; the next page is unchanged."""
    job_id = modelarts_emulator.job_id("documented")
    modelarts_emulator.respond_next(job_id, fault=fault)

    page, after = (get_trials(modelarts_emulator, job_id) for _ in range(2))

    assert (page["total"], column(page, "trial_id")) == expected
    assert set(column(page, "status")) == ({"EVAPORATED"} if fault == "unknown status" else {"TERMINATED"})
    assert (after["total"], column(after, "trial_id")) == (8, IDS)


def test_unknown_phase_is_not_documented(modelarts_emulator):
    """The rest of the job is unchanged."""
    job_id = modelarts_emulator.job_id("documented")
    modelarts_emulator.respond_next(job_id, fault="unknown phase")

    strange, job = (get_job(modelarts_emulator, job_id) for _ in range(2))

    assert strange["status"].pop("phase") == "Hibernating"
    assert job["status"].pop("phase") == "Completed"
    assert strange["algorithm"] == job["algorithm"]


def test_fault_waits_for_a_response_that_it_applies_to(modelarts_emulator):
    """A response without trials cannot be reversed."""
    job_id = modelarts_emulator.job_id("documented")
    modelarts_emulator.respond_next("/training-jobs", fault="rows reversed")

    assert get_job(modelarts_emulator, job_id)["status"]["phase"] == "Completed"
    assert column(get_trials(modelarts_emulator, job_id), "trial_id") == IDS[::-1]


@pytest.mark.parametrize(("name", "fault"), FAULTS.items())
@pytest.mark.parametrize("executes", [False, True])
def test_fault_decides_whether_the_request_is_executed(modelarts_emulator_factory, name, fault, executes):
    """Refusals never execute the request, changed responses always; for all others, ``executes`` decides."""
    with modelarts_emulator_factory(scenarios=["tie"], fault_seconds=0.01) as emulator:
        path = job_path(emulator, "tie")
        emulator.respond_next("/training-jobs/", fault=name, method="DELETE", executes=executes)
        outcome(emulator, path, "DELETE")
        happened, gone = sum(emulator.fault_counts.values()), send(emulator, "GET", path).status == 400

    assert happened == (fault.where == "")
    assert gone is (True if not happened else executes if fault.executes is None else fault.executes)


def test_unknown_fault_is_an_error(modelarts_emulator, modelarts_emulator_factory):
    """The error lists the known names."""
    message = r"no fault 'no-such-fault'; there are '429', .*'cut body'"

    with pytest.raises(ValueError, match=message):
        modelarts_emulator.respond_next(PROJECTS, fault="no-such-fault")
    with pytest.raises(ValueError, match=message), modelarts_emulator_factory(faults=["no-such-fault"]):
        pass


@pytest.mark.parametrize("fault", ["silence", "headers then silence", "slow bytes"])
def test_slow_fault_holds_up_neither_other_requests_nor_the_end(modelarts_emulator_factory, fault):
    """Another request gets a response, and the emulator stops while the slow response is pending."""
    arrived = threading.Semaphore(0)
    before = time.monotonic()
    with modelarts_emulator_factory(fault_seconds=3600, on_request=lambda request: arrived.release()) as emulator:
        emulator.respond_next(PROJECTS, fault=fault, after=1)
        connection = pending_request(emulator)
        assert all(arrived.acquire(timeout=60) for _ in range(2))
        assert send(emulator, "GET", PROJECTS).status == 200
    connection.close()

    assert time.monotonic() - before < 60
