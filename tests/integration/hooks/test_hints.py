"""Hints of errors about the connection, in every mode."""

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


def answered(cls):
    """Return an error that the platform answered."""
    return cls("no.", status=400, code="C.1", request="GET /x", request_id="r")


@pytest.mark.parametrize(
    ("error", "settings", "advice"),
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
def test_advice(error, settings, advice):
    """It follows the platform's message."""
    told = with_connection_hint(answered(error), dataclasses.replace(KEY, **settings), "mine")

    assert type(told) is error
    assert str(told) == f"GET /x: HTTP 400 C.1: no. {advice} (request id r)"


@pytest.mark.parametrize("error", [answered(ModelArtsPermissionError), ModelArtsTransportError("no answer")])
def test_error_that_the_connection_does_not_explain_stays_as_it_is(error):
    """Advice that is wrong is worse than none."""
    assert with_connection_hint(error, KEY, "mine") is error


def test_waits_that_share_an_error_are_advised_once_each(modelarts_emulator, connect):
    """They sign in together: what one adds to the refusal must not reach the others."""
    connect(modelarts_emulator, auth="password", domain_name="nobody")
    waits = [ModelArtsTrainingJobTrigger(training_job_id="job", poll_interval=0) for _ in range(4)]

    async def all_end():
        return await asyncio.gather(*(anext(wait.run()) for wait in waits))

    for event in asyncio.run(all_end()):
        assert event.payload["error"]["facts"]["message"].count("Check login, password and domain_name") == 1


def of_hook():
    """Return what the hook raises."""
    with pytest.raises(ModelArtsNotFoundError) as raised:
        ModelArtsHook().get_training_job("nowhere")
    return raised.value


def of_trigger():
    """Return what a deferred wait reports."""
    return error_from_dict(fire(ModelArtsTrainingJobTrigger(training_job_id="nowhere", poll_interval=0))["error"])


@pytest.mark.parametrize("error_of", [of_hook, of_trigger])
def test_missing_job_says_where_was_looked(connected, error_of):
    """The connection names no project: its id was looked up on the way."""
    where = f"{connected.endpoint}, project {connected.project_id} (connection 'modelarts_default')"

    error = error_of()

    assert type(error) is ModelArtsNotFoundError
    assert str(error).count(f"Searched in {where}.") == 1
