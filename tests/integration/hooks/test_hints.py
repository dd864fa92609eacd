"""Hints of errors about the connection, from hook and triggers."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from integration.task_runs import fire

from airflow_provider_modelarts.api.credentials import MetadataLogin, PasswordLogin
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsNotFoundError,
    ModelArtsPermissionError,
    ModelArtsTransportError,
    error_from_dict,
)
from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook, with_connection_hint
from airflow_provider_modelarts.triggers.modelarts import ModelArtsTrainingJobTrigger

KEY = Settings(credentials=AccessKey("AK", "SK"), region="cn-north-4", project_id="p1")


def api_error(cls):
    """Return an error of the API."""
    return cls("no.", status=400, code="C.1", request="GET /x", request_id="r")


@pytest.mark.parametrize(
    ("error", "settings", "hint"),
    [
        (
            ModelArtsAuthenticationError,
            {},
            "Check login and password of connection 'mine', and this machine's clock; five bad signatures lock a key.",
        ),
        (
            ModelArtsAuthenticationError,
            {"credentials": PasswordLogin("user", "password", "account")},
            "Check login, password and domain_name of connection 'mine'.",
        ),
        (
            ModelArtsAuthenticationError,
            {"credentials": MetadataLogin()},
            "Check the agency of this server, which connection 'mine' uses.",
        ),
        (ModelArtsNotFoundError, {}, "Searched in region cn-north-4, project p1 (connection 'mine')."),
        (ModelArtsNotFoundError, {"project_id": None}, "Searched in region cn-north-4 (connection 'mine')."),
        (
            ModelArtsNotFoundError,
            {"endpoint": "https://host.example.com"},
            "Searched in https://host.example.com, project p1 (connection 'mine').",
        ),
    ],
)
def test_hint_of_an_error(error, settings, hint):
    """The hint follows the platform's message."""
    hinted = with_connection_hint(api_error(error), dataclasses.replace(KEY, **settings), "mine")

    assert type(hinted) is error
    assert str(hinted) == f"GET /x: HTTP 400 C.1: no. {hint} (request id r)"


@pytest.mark.parametrize("error", [api_error(ModelArtsPermissionError), ModelArtsTransportError("no response")])
def test_error_unrelated_to_the_connection_has_no_hint(error):
    """An error that the connection does not explain is returned unchanged."""
    assert with_connection_hint(error, KEY, "mine") is error


def test_waits_that_share_an_error_have_one_hint_each(modelarts_emulator, connect):
    """Waits that log in together share the refusal, but each adds the hint to its own event only."""
    connect(modelarts_emulator, auth="password", domain_name="nobody")
    waits = [ModelArtsTrainingJobTrigger(training_job_id="job", poll_interval=0) for _ in range(4)]

    async def run_all():
        return await asyncio.gather(*(anext(wait.run()) for wait in waits))

    for event in asyncio.run(run_all()):
        assert event.payload["error"]["facts"]["message"].count("Check login, password and domain_name") == 1


def hook_error():
    """Return the error that the hook raises."""
    with pytest.raises(ModelArtsNotFoundError) as raised:
        ModelArtsHook().get_training_job("nowhere")
    return raised.value


def trigger_error():
    """Return the error in the event of the trigger."""
    return error_from_dict(fire(ModelArtsTrainingJobTrigger(training_job_id="nowhere", poll_interval=0))["error"])


@pytest.mark.parametrize("error_of", [hook_error, trigger_error])
def test_missing_job_error_names_endpoint_project_and_connection(connected, error_of):
    """The error names the endpoint, the connection, and the project id that was looked up."""
    where = f"{connected.endpoint}, project {connected.project_id} (connection 'modelarts_default')"

    error = error_of()

    assert type(error) is ModelArtsNotFoundError
    assert str(error).count(f"Searched in {where}.") == 1
