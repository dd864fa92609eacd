"""Both clients, and a server that sends whatever a test wants."""

from __future__ import annotations

import dataclasses

import pytest
from integration.emulated import settings_of
from integration.hostile.raw_server import speaking

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.exceptions import ModelArtsError
from modelarts_emulator import running


@pytest.fixture(name="platform", scope="module")
def _platform():
    """A local ModelArts for all tests of a file: each of them queues just the answers that it takes."""
    with running(scenarios=["documented"]) as emulator:
        yield emulator


@pytest.fixture(name="settings")
def _settings(platform):
    """Settings that lead there. No test here speaks TLS, whose certificates take long to load."""
    return settings_of(platform, verify=False)


@pytest.fixture(name="hear")
def _hear(settings, call):
    """Makes one request to a server with a speech, without trying again; returns the value or the error."""

    def hear(speech):
        with speaking(speech) as endpoint:
            there = dataclasses.replace(settings, endpoint=endpoint, retry=RetryPolicy(total=0))
            try:
                return call(there, "request", "GET", "/v2/x")
            except ModelArtsError as error:
                return error

    return hear
