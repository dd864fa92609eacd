"""Both clients on the emulator."""

from __future__ import annotations

import dataclasses
import socket

import certifi
import pytest
from integration.emulated import requests_for, settings_of

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsNotFoundError,
    ModelArtsProtocolError,
    ModelArtsServerError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
)


def test_client_lists_every_trial_once(modelarts_emulator, call):
    """The search has 120 trials on three pages."""
    trials = call(settings_of(modelarts_emulator), "list_trials", modelarts_emulator.job_id("large"))

    assert len(trials) == 120
    assert len({trial.trial_id for trial in trials}) == 120


@pytest.mark.parametrize("grows", [False, True], ids=["still", "growing"])
@pytest.mark.parametrize("unit", ["page", "row"])
def test_client_reads_137_trials_in_both_units_of_offset(modelarts_emulator_factory, call, unit, grows):
    """Every trial is listed once, whether offset counts pages or rows, even if the table grows between two pages."""
    header, names = ["trial_id", "status", "config"], [f"t{number}" for number in range(137)]
    data = [[name, "TERMINATED", {}] for name in names[: 120 if grows else 137]]

    def grow(request):
        if grows and "offset" in request.query and request.query["offset"] != "0":
            data.extend([name, "TERMINATED", {}] for name in names[len(data) :][:17])

    with modelarts_emulator_factory(offset_unit=unit, on_request=grow) as emulator:
        trials = call(settings_of(emulator), "list_trials", emulator.add_table(header, data))

    assert [trial.trial_id for trial in trials] == names


@pytest.mark.parametrize("page_size", [0, 51])
def test_client_refuses_a_page_size_that_the_platform_refuses(modelarts_emulator, call, page_size):
    """No request is sent."""
    with pytest.raises(ModelArtsConfigurationError, match="page_size must be from 1 to 50"):
        call(settings_of(modelarts_emulator), "list_trials", "x", page_size=page_size)

    assert modelarts_emulator.requests == []


def test_client_calls_any_operation(modelarts_emulator, call):
    """``request`` signs and sends an operation that has no method of its own."""
    response = call(
        settings_of(modelarts_emulator), "request", "POST", "/v2/{project_id}/training-job-searches", body={"limit": 1}
    )

    assert response["count"] == 1


@pytest.mark.parametrize("path", ["v2/x", "//host/x", "/v2/../x", "/v2?x=1"])
def test_client_refuses_a_path_with_a_host_or_a_query(modelarts_emulator, call, path):
    """A path cannot change host or query."""
    with pytest.raises(ModelArtsConfigurationError, match="path must begin with one '/'"):
        call(settings_of(modelarts_emulator), "request", "GET", path)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_client_retries_after_a_transient_error(modelarts_emulator, call, status):
    """Two bad responses, then a good one: the call returns the good one."""
    job_id = modelarts_emulator.job_id("documented")
    modelarts_emulator.respond_next(job_id, status=status, body=b"{}", times=2)

    assert call(settings_of(modelarts_emulator), "get_training_job", job_id).id == job_id


def test_retry_after_beyond_the_total_time_ends_the_call(modelarts_emulator, call):
    """The call fails at once, without a retry."""
    job_id = modelarts_emulator.job_id("documented")
    modelarts_emulator.respond_next(job_id, status=429, body=b"{}", headers={"Retry-After": "3600"}, times=9)

    with pytest.raises(ModelArtsThrottledError):
        call(settings_of(modelarts_emulator), "get_training_job", job_id)

    assert requests_for(modelarts_emulator, job_id) == 1


ERRORS = {
    "not found": (400, b'{"error_code":"ModelArts.2775","error_msg":"not found"}', ModelArtsNotFoundError),
    "bad argument": (400, b'{"error_code":"ModelArts.0104","error_msg":"bad"}', ModelArtsApiError),
    "refused": (401, b'{"error_code":"APIGW.0301","error_msg":"ak not exist"}', ModelArtsAuthenticationError),
    "redirect": (302, b"", ModelArtsApiError),
    "html": (200, b"<html>Welcome</html>", ModelArtsProtocolError),
    "wrong shape": (200, b'["a list"]', ModelArtsProtocolError),
}


@pytest.mark.parametrize(("status", "body", "error"), ERRORS.values(), ids=ERRORS)
def test_client_does_not_retry_a_permanent_error(modelarts_emulator, call, status, body, error):
    """One request is sent, and the error has the matching class."""
    job_id = modelarts_emulator.job_id("documented")
    headers = {"Location": modelarts_emulator.endpoint + "/elsewhere"}
    modelarts_emulator.respond_next(job_id, status=status, body=body, headers=headers, times=9)

    with pytest.raises(error) as raised:
        call(settings_of(modelarts_emulator), "get_training_job", job_id)

    assert type(raised.value) is error
    assert requests_for(modelarts_emulator, job_id) == 1
    assert all("elsewhere" not in request.path for request in modelarts_emulator.requests)


def test_api_error_names_request_code_and_request_id(modelarts_emulator, call):
    """The message holds the facts that the platform's support requires."""
    with pytest.raises(ModelArtsNotFoundError) as raised:
        call(settings_of(modelarts_emulator), "get_training_job", "no-such-job")

    error = raised.value
    assert (error.status, error.code) == (400, "ModelArts.2775")
    assert error.request_id
    path = f"/v2/{modelarts_emulator.project_id}/training-jobs/no-such-job"
    assert str(error).startswith(f"GET {path}: HTTP 400 ModelArts.2775: ")
    assert error.request_id in str(error)


def test_server_error_is_raised_after_the_total_time(modelarts_emulator, call):
    """The retries of a call are bounded in time."""
    job_id = modelarts_emulator.job_id("documented")
    modelarts_emulator.respond_next(job_id, status=503, body=b"busy", times=1000)
    settings = settings_of(modelarts_emulator, retry=RetryPolicy(0.001, 0.01, total=0.05))

    with pytest.raises(ModelArtsServerError, match="HTTP 503"):
        call(settings, "get_training_job", job_id)

    assert 2 <= requests_for(modelarts_emulator, job_id) <= 60


def test_refused_connection_is_a_transport_error(modelarts_emulator, call):
    """The message names the request."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        once = RetryPolicy(total=0)
        settings = settings_of(modelarts_emulator, endpoint=endpoint, project_id="p", retry=once)

        with pytest.raises(ModelArtsTransportError, match=f"GET {endpoint}/v2/p/training-jobs/x: no response"):
            call(settings, "get_training_job", "x")


def test_tls_failure_is_not_retried(modelarts_emulator, call):
    """No retry can succeed on a server without TLS."""
    endpoint = modelarts_emulator.endpoint.replace("http://", "https://")
    settings = settings_of(modelarts_emulator, endpoint=endpoint, project_id="p", retry=RetryPolicy(total=3600))

    with pytest.raises(ModelArtsTransportError) as raised:
        call(settings, "get_training_job", "x")

    assert not raised.value.temporary


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("verify", "environment", "error", "message"),
    [
        ("/nowhere/own.pem", certifi.where(), ModelArtsConfigurationError, "authorities in /nowhere/own.pem cannot be"),
        (True, "/nowhere/all.pem", ModelArtsConfigurationError, "authorities in /nowhere/all.pem cannot be read"),
        (False, "/nowhere/all.pem", ModelArtsTransportError, "no response"),
    ],
    ids=["a bundle", "true", "false"],
)
def test_verify_takes_precedence_over_the_environment(
    modelarts_emulator, call, monkeypatch, variable, verify, environment, error, message
):
    """A bundle named by the environment applies only if ``verify`` is true. The server itself has no TLS."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, environment)
    endpoint = modelarts_emulator.endpoint.replace("http://", "https://")
    settings = settings_of(modelarts_emulator, endpoint=endpoint, project_id="p", verify=verify)

    with pytest.raises(error, match=message):
        call(settings, "get_training_job", "x")


def test_password_of_netrc_does_not_replace_the_signature(modelarts_emulator, call, monkeypatch, tmp_path):
    """A ~/.netrc entry for the host does not change the Authorization header."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    job_id = modelarts_emulator.job_id("documented")

    assert call(settings_of(modelarts_emulator), "get_training_job", job_id).id == job_id


def test_key_that_cannot_be_a_header_is_not_shown(modelarts_emulator, call):
    """HTTP libraries quote a header that they refuse, and the header holds the signature."""
    key = dataclasses.replace(settings_of(modelarts_emulator).credentials, access_key="line\nbreak")
    settings = settings_of(modelarts_emulator, credentials=key, project_id="p")

    with pytest.raises(ModelArtsConfigurationError) as raised:
        call(settings, "get_training_job", "x")

    assert "Signature" not in str(raised.value)
    assert raised.value.__cause__ is None
