"""Servers that keep a client waiting, though each next byte comes in time."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest
from integration.clients.both_clients import with_async
from integration.hostile.raw_server import HEAD, speaking

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.exceptions import ModelArtsTransportError

LONG = 10.0  # seconds after which the servers here give in


@pytest.fixture(name="impatient")
def _impatient(settings):
    """Settings of a client that tries once, and does not wait long for anything."""
    once = RetryPolicy(total=0)
    return dataclasses.replace(settings, project_id="p", connect_timeout=0.1, read_timeout=0.1, retry=once)


def test_proxy_that_says_nothing_is_no_answer(impatient, call):
    """The proxy accepts a connection, and never sends a response to CONNECT."""
    enough = threading.Event()

    def silent():
        enough.wait(LONG)
        return []

    with speaking(silent) as proxy:
        there = dataclasses.replace(impatient, endpoint="https://host.invalid", proxies={"https": proxy})
        began = time.monotonic()
        with pytest.raises(ModelArtsTransportError, match="no response: "):
            call(there, "get_training_job", "x")
        enough.set()

    assert time.monotonic() - began < LONG / 2


def test_answer_that_comes_drop_by_drop_is_given_up(impatient):
    """Each drop comes in time; a wait would hang on it for hours, whatever its deadline."""
    drops = int(LONG / 0.02)

    def dripping():
        yield HEAD + b"Content-Length: %d\r\n\r\n" % drops
        for _ in range(drops - 2):
            yield b" "
            time.sleep(0.02)
        yield b"{}"

    with speaking(dripping) as endpoint, pytest.raises(ModelArtsTransportError, match="no response: "):
        with_async(dataclasses.replace(impatient, endpoint=endpoint), "request", "GET", "/v2/x")
