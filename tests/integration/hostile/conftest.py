"""Both clients, and a server that sends raw bytes."""

from __future__ import annotations

import dataclasses

import pytest
from integration.emulated import settings_of
from integration.hostile.raw_server import serving

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.exceptions import ModelArtsError
from modelarts_emulator import running


@pytest.fixture(name="platform", scope="module")
def _platform():
    """Emulator shared by the tests of a file; each test queues only the responses that it consumes."""
    with running(scenarios=["documented"]) as emulator:
        yield emulator


@pytest.fixture(name="settings")
def _settings(platform):
    """Settings of the emulator. No test here uses TLS, whose certificates take long to load."""
    return settings_of(platform, verify=False)


@pytest.fixture(name="fetch")
def _fetch(settings, call):
    """Return a function that sends one request to a raw server, without retries, and returns the value or the error."""

    def fetch(raw_response):
        with serving(raw_response) as endpoint:
            there = dataclasses.replace(settings, endpoint=endpoint, retry=RetryPolicy(total=0))
            try:
                return call(there, "request", "GET", "/v2/x")
            except ModelArtsError as error:
                return error

    return fetch
