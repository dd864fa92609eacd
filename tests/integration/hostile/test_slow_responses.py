"""Slow servers, which send nothing or one byte at a time."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest
from integration.clients.both_clients import with_async
from integration.hostile.raw_server import HEAD, serving

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.exceptions import ModelArtsTransportError

LONG = 10.0  # seconds after which the servers complete their responses


@pytest.fixture(name="impatient")
def _impatient(settings):
    """Settings without retries and with short timeouts."""
    once = RetryPolicy(total=0)
    return dataclasses.replace(settings, project_id="p", connect_timeout=0.1, read_timeout=0.1, retry=once)


def test_silent_proxy_is_a_transport_error(impatient, call):
    """A proxy that accepts a connection but never responds to CONNECT is a transport error after the timeout."""
    done = threading.Event()

    def silent():
        done.wait(LONG)
        return []

    with serving(silent) as proxy:
        there = dataclasses.replace(impatient, endpoint="https://host.invalid", proxies={"https": proxy})
        began = time.monotonic()
        with pytest.raises(ModelArtsTransportError, match="no response: "):
            call(there, "get_training_job", "x")
        done.set()

    assert time.monotonic() - began < LONG / 2


def test_trickling_response_is_a_transport_error(impatient):
    """A response that trickles for long is a transport error, although each byte arrives in time."""
    size = int(LONG / 0.02)

    def trickle():
        yield HEAD + b"Content-Length: %d\r\n\r\n" % size
        for _ in range(size - 2):
            yield b" "
            time.sleep(0.02)
        yield b"{}"

    with serving(trickle) as endpoint, pytest.raises(ModelArtsTransportError, match="no response: "):
        with_async(dataclasses.replace(impatient, endpoint=endpoint), "request", "GET", "/v2/x")
