"""Both clients with every fault: their retries and their errors."""

from __future__ import annotations

import dataclasses
import re
import time

import pytest
from integration.emulated import requests_for, settings_of
from integration.emulator.bench import Bench, until

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsError,
    ModelArtsProtocolError,
    ModelArtsServerError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
)
from modelarts_emulator import FAULTS

#: Seconds of each fault that delays the response, and the read timeout of the clients. On a busy machine a good
#: response may time out as well; the clients then retry once more.
FAULT_SECONDS = {"silence": 3600, "headers then silence": 3600, "slow bytes": 0.3}
READ_TIMEOUT = 0.2


@pytest.fixture(name="cloud")
def _cloud(modelarts_emulator_factory):
    """Emulator with two scenarios."""
    with modelarts_emulator_factory(scenarios=["documented", "tie"]) as emulator:
        yield emulator


def settings(emulator, fault="", *, total=60.0):
    """Return settings with quick retries, and with a short read timeout if the fault delays the response."""
    emulator.fault_seconds = FAULT_SECONDS.get(fault, 0)
    retry = RetryPolicy(0.002, 0.02, total)
    return settings_of(emulator, retry=retry, read_timeout=READ_TIMEOUT if fault in FAULT_SECONDS else 30.0)


TRANSIENT = [
    "429", "429 with Retry-After", "500", "502", "503", "504", "closed", "reset", "silence", "headers then silence",
    "cut body", "broken gzip", "cut gzip", "no HTTP",
]  # fmt: skip
HARMLESS = ["gzip", "slow bytes"]
LOST = ["500", "502", "503", "504", "closed", "silence", "no HTTP", "HTML", "wrong shape"]
BROKEN_OFF = ["reset", "headers then silence", "cut body", "broken gzip", "cut gzip"]


@pytest.mark.parametrize("fault", [*TRANSIENT, *HARMLESS])
def test_call_succeeds_after_a_transient_fault(cloud, call, fault):
    """One bad response, then a good one: the call returns the good one, without an extra request."""
    job_id = cloud.job_id("documented")
    cloud.respond_next(job_id, fault=fault)

    assert call(settings(cloud, fault), "get_training_job", job_id).id == job_id

    sent = requests_for(cloud, job_id)
    assert cloud.fault_counts == {fault: 1}
    assert fault in HARMLESS or sent >= 2
    assert fault in FAULT_SECONDS or sent == (1 if fault in HARMLESS else 2)


@pytest.mark.parametrize("fault", HARMLESS)
def test_call_accepts_compressed_and_slow_responses(cloud, call, fault):
    """The responses are complete, so that no request is retried."""
    job_id = cloud.job_id("documented")
    cloud.respond_next("/", fault=fault, times=1000)

    assert len(call(settings(cloud, fault), "list_trials", job_id)) == 8

    assert fault in FAULT_SECONDS or requests_for(cloud, job_id) == 1


_NETWORK = "Check network, endpoint and proxy."
_CLOCK = "The clock of this machine differs from the platform's by more than 15 minutes: correct it"
_RETIRED = "ModelArts in this region does not offer the operation; it may have been retired"

# Class of the error, and parts of its message. Both clients raise the same, except for the reason given by their HTTP
# library.
ERRORS = {
    "429": (ModelArtsThrottledError, ["HTTP 429 APIGW.0308: The throttling threshold has been reached (request id "]),
    "429 with Retry-After": (ModelArtsThrottledError, ["HTTP 429 APIGW.0308: ", "policy user over ratelimit"]),
    "500": (ModelArtsServerError, ["HTTP 500 ModelArts.2950: Internal error. (request id "]),
    "502": (ModelArtsServerError, ["HTTP 502 502: '<html>502 Bad Gateway</html>' (request id "]),
    "503": (ModelArtsServerError, ["HTTP 503 ModelArts.4302: The service is unavailable. (request id "]),
    "504": (ModelArtsServerError, ["HTTP 504 504: '<html>504 Gateway Time-out</html>' (request id "]),
    "closed": (ModelArtsTransportError, ["no response: ", "isconnected", _NETWORK]),
    "reset": (ModelArtsTransportError, ["no response: ", "Connection reset by peer", _NETWORK]),
    "silence": (ModelArtsTransportError, ["no response: ", "Timeout", _NETWORK]),
    "headers then silence": (ModelArtsTransportError, ["no response: ", "ime", "out", _NETWORK]),
    "cut body": (ModelArtsTransportError, ["no response: ", _NETWORK]),
    "broken gzip": (ModelArtsTransportError, ["no response: ", "gzip", _NETWORK]),
    "cut gzip": (ModelArtsTransportError, ["the response is truncated after ", _NETWORK]),
    "no HTTP": (ModelArtsTransportError, ["no response: ", "SSH-2.0-OpenSSH_9.6", _NETWORK]),
    "HTML": (
        ModelArtsProtocolError,
        ["the response is not JSON (text/html): '<html>Welcome</html>'. Check the endpoint"],
    ),
    "redirect": (ModelArtsApiError, ["HTTP 302 302: redirect to 'https://elsewhere.invalid/', which is not followed"]),
    "clock skew": (
        ModelArtsAuthenticationError,
        [f"HTTP 401 APIGW.0301: Incorrect IAM authentication information: signature expired. {_CLOCK} (request id "],
    ),
    "no such API": (ModelArtsApiError, ["HTTP 404 APIGW.0101: ", f"in the environment. {_RETIRED} (request id "]),
    "no such method": (ModelArtsApiError, [f"HTTP 405 ModelArts.2803: Method not allowed. {_RETIRED} (request id "]),
}


@pytest.mark.parametrize(("fault", "expected"), ERRORS.items())
def test_call_with_a_permanent_fault_raises_its_error(cloud, call, fault, expected):
    """The error has the right class; its message is one line with the request, the fault and the remedy."""
    error, words = expected
    job_id = cloud.job_id("documented")
    cloud.respond_next(job_id, fault=fault, times=1000)
    before = time.monotonic()

    with pytest.raises(ModelArtsError) as raised:
        call(settings(cloud, fault, total=0.05), "list_trials", job_id)

    message = str(raised.value)
    assert type(raised.value) is error
    assert message.startswith("GET ")
    assert f"/v2/{cloud.project_id}/training-jobs/{job_id}/autosearch-trials" in message
    assert [word for word in words if word not in message] == []
    assert "\n" not in message
    assert FAULTS[fault].is_transient or requests_for(cloud, job_id) == 1
    assert time.monotonic() - before < 20


def test_every_fault_that_is_an_error_is_tested():
    """A new fault requires an entry in the table, or a test of its own."""
    others = "rows reversed, rows repeated, page shrinks, page grows, unknown status, unknown phase, wrong shape"

    assert {*ERRORS, *HARMLESS, *others.split(", ")} == set(FAULTS)


def test_response_of_another_shape_is_an_error(cloud, call):
    """The error names the request and the expected shape. A retry cannot succeed, and is not sent."""
    cloud.respond_next("/training-jobs/", fault="wrong shape", times=1000)

    with pytest.raises(ModelArtsProtocolError) as raised:
        call(settings(cloud), "list_trials", "x")

    assert re.fullmatch(
        r"GET /v2/\S+/training-jobs/x/autosearch-trials: "
        "the list of trials should be a JSON object, but is a list of 1",
        str(raised.value),
    )

    assert requests_for(cloud, "/training-jobs/") == 1


def test_endpoint_without_a_server_is_a_transport_error(modelarts_emulator_factory, call):
    """The emulator has stopped: the client gives up in time, and its error names the request."""
    with modelarts_emulator_factory(scenarios=[]) as emulator:
        stopped = dataclasses.replace(settings(emulator, total=0.05), project_id="p")

    with pytest.raises(ModelArtsTransportError) as raised:
        call(stopped, "get_training_job", "x")

    message = str(raised.value)
    assert message.startswith(f"GET {emulator.endpoint}/v2/p/training-jobs/x: no response: ")
    assert message.endswith(_NETWORK)
    assert raised.value.temporary


@pytest.mark.parametrize("status", [302, 307])
def test_redirect_is_not_followed_with_credentials(cloud, modelarts_emulator_factory, call, status):
    """The other host receives no request; the message names the target."""
    job_id = cloud.job_id("documented")
    with modelarts_emulator_factory(scenarios=[]) as elsewhere:
        target = f"{elsewhere.endpoint}/v2/p/training-jobs/{job_id}"
        cloud.respond_next(job_id, status=status, headers={"Location": target}, times=1000)

        with pytest.raises(ModelArtsApiError, match=f"redirect to '{target}', which is not followed"):
            call(settings(cloud), "get_training_job", job_id)

        assert elsewhere.requests == []
    assert requests_for(cloud, job_id) == 1


@pytest.mark.parametrize("target", ["http://[", "https://", "mailto:a@b"])
def test_redirect_to_an_unusable_address_is_the_same_error(cloud, call, target):
    """The target may be no address of the web at all."""
    job_id = cloud.job_id("documented")
    cloud.respond_next(job_id, status=302, headers={"Location": target})

    with pytest.raises(ModelArtsApiError, match="HTTP 302 302: redirect to"):
        call(settings(cloud), "get_training_job", job_id)


@pytest.mark.parametrize("minutes", [-20, 20])
def test_clock_skew_is_an_error_after_one_request(modelarts_emulator_factory, call, minutes):
    """The platform's clock is ahead or behind: a retry would be signed with the same wrong time."""
    with modelarts_emulator_factory(scenarios=[], clock=lambda: time.time() + 60 * minutes) as emulator:
        known = dataclasses.replace(settings(emulator), project_id=emulator.project_id)
        with pytest.raises(ModelArtsAuthenticationError, match=r"signature expired\. The clock of this machine"):
            call(known, "get_training_job", "x")

        assert len(emulator.requests) == 1


@pytest.mark.parametrize("minutes", [-14, 14])
def test_small_clock_skew_is_accepted(modelarts_emulator_factory, call, minutes):
    """The platform tolerates 15 minutes."""
    with modelarts_emulator_factory(scenarios=["tie"], clock=lambda: time.time() + 60 * minutes) as emulator:
        job_id = emulator.job_id("tie")

        assert call(settings(emulator), "get_training_job", job_id).id == job_id


def test_unknown_status_and_phase_are_kept_as_they_are(cloud, call):
    """An unknown status or phase is neither an error nor a success."""
    job_id = cloud.job_id("documented")
    cloud.respond_next(job_id, fault="unknown status", times=1000)
    cloud.respond_next(job_id, fault="unknown phase", times=1000)

    trials = call(settings(cloud), "list_trials", job_id)
    job = call(settings(cloud), "get_training_job", job_id)

    assert {(trial.status, trial.status_text) for trial in trials} == {("UNKNOWN", "EVAPORATED")}
    assert (job.phase, job.phase_text, job.phase.is_terminal) == ("Unknown", "Hibernating", False)


# Number of requests that a creation with a fault sends, and number of jobs that exist afterwards.
RETRIED = (2, 1)  # refused before it was executed, so that a retry is safe
REFUSED = (1, 0)
EXECUTED = (1, 1)
CREATIONS = {
    ("429", False): RETRIED,
    ("429 with Retry-After", False): RETRIED,
    ("clock skew", False): REFUSED,
    ("redirect", False): REFUSED,
    **{(name, executes): EXECUTED if executes else REFUSED for name in LOST for executes in (False, True)},
    **{(name, True): EXECUTED for name in BROKEN_OFF},
    **{(name, True): EXECUTED for name in HARMLESS},
}


def test_creation_that_may_have_been_executed_is_not_retried(modelarts_emulator_factory, call, tmp_path):
    """A second job costs money: only a throttled creation is sent again."""
    seen, results = {}, {}
    with modelarts_emulator_factory(scenarios=[], root=tmp_path) as emulator:
        bench = Bench(emulator)
        bench.write("")
        for number, (fault, executes) in enumerate(CREATIONS):
            emulator.requests.clear()
            emulator.respond_next("/training-jobs", method="POST", fault=fault, executes=executes)
            try:
                job = call(settings(emulator, fault), "create_training_job", bench.body(f"job-{number}", x=1))
                results[fault, executes] = job.name
            except ModelArtsError as error:
                results[fault, executes] = str(error)
            until(
                lambda done=number + 1: sum(emulator.fault_counts.values()) == done
            )  # the client may return before the fault
            names = [job.document()["metadata"]["name"] for job in emulator.project.jobs()]
            seen[fault, executes] = requests_for(emulator, "/training-jobs"), names.count(f"job-{number}")

    assert seen == CREATIONS
    assert all(text.startswith(("POST ", "job-", "a training job should be")) for text in results.values())
