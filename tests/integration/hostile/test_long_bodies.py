"""Bodies beyond the limit, of which no more than the limit is read."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from integration.hostile.raw_server import (
    HEAD,
    MIB,
    bomb,
    chunked,
    chunked_bomb,
    compressed_text,
    declared,
    keeping_alive,
    serving,
    until_close,
    with_headers,
)

from airflow_provider_modelarts.api.responses import MAX_BODY_BYTES
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError, ModelArtsTransportError

LONG = 200 * MIB
TOO_LONG = "ModelArtsProtocolError: GET /v2/x: the response is longer than 32 MiB, and was not read"
REDIRECT = "ModelArtsApiError: GET /v2/x: HTTP 302 302: redirect to '/y', which is not followed with credentials"
PROGRAM = Path(__file__).with_name("memory_growth.py")


def compressed_redirect():
    """Return a redirect with a compressed body, which an HTTP library may read before it follows the redirect."""
    compressed = compressed_text(LONG)
    head = b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    return [head % len(compressed), compressed]


RAW_RESPONSES = {
    "declared": (declared(LONG), TOO_LONG),
    "until the connection closes": (until_close(LONG), TOO_LONG),
    "chunked": (chunked(LONG), TOO_LONG),
    "compressed": (bomb(LONG), TOO_LONG),
    "compressed and chunked": (chunked_bomb(LONG), TOO_LONG),
    "redirect": (declared(LONG, b"Location: /y", status=b"302 Found"), REDIRECT),
    "compressed redirect": (compressed_redirect, REDIRECT),
    "refusal": (declared(LONG, status=b"400 No"), "ModelArtsApiError: GET /v2/x: HTTP 400 400: no message"),
}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_bodies_of_200_mib_are_refused_in_little_memory(kind):
    """A process grows by little more than the limit, and each error names its cause."""
    growth, outcomes = measure(kind, [raw_response for raw_response, _ in RAW_RESPONSES.values()])

    assert dict(zip(RAW_RESPONSES, outcomes, strict=True)) == {
        name: outcome for name, (_, outcome) in RAW_RESPONSES.items()
    }
    assert growth < 80


def test_body_that_is_compressed_twice_is_refused_in_little_memory():
    """A gigabyte that is compressed twice is refused; the asynchronous client never decompresses twice."""
    growth, outcomes = measure("sync", [bomb(1000 * MIB, times=2)])

    assert outcomes == [TOO_LONG]
    assert growth < 80


def measure(kind, raw_responses):
    """Return the memory growth in MiB of a new process that reads raw responses, and the outcome of each response."""
    with contextlib.ExitStack() as servers:
        endpoints = [servers.enter_context(serving(raw_response)) for raw_response in [with_headers(), *raw_responses]]
        # through a shell that stays: a process inherits the peak memory of the process that it replaces or forks from
        done = subprocess.run(
            ["/bin/sh", "-c", '"$0" "$@"; exit $?', sys.executable, str(PROGRAM), kind, *endpoints],
            capture_output=True,
            text=True,
            check=True,
        )
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return int(lines[-1][0]), [outcome for _, _, outcome in lines]


def test_body_that_is_declared_too_long_is_not_waited_for(fetch):
    """A Content-Length beyond the limit is an error, although the server sends nothing of the body."""
    error = fetch(lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)])

    assert type(error) is ModelArtsProtocolError


@pytest.mark.parametrize("encoding", ["plain", "gzip"])
def test_body_of_the_maximum_size_is_read(fetch, encoding):
    """A body that is exactly as long as the limit is read, compressed or not."""
    body = json.dumps("x" * (MAX_BODY_BYTES - 2)).encode()
    head = HEAD + (b"Content-Encoding: gzip\r\n" if encoding == "gzip" else b"")
    sent = gzip.compress(body, 1) if encoding == "gzip" else body

    assert len(fetch(lambda: [head, b"Content-Length: %d\r\n\r\n" % len(sent), sent])) == MAX_BODY_BYTES - 2


def test_longest_log_is_read(platform, settings, call):
    """A log preview of the documented 5 MB is read, even if its control characters take six times that in JSON."""
    log = "\x1b" * 5_000_000
    platform.respond_next("logs", body=json.dumps({"content": log}).encode())

    assert call(settings, "get_log_preview", "x") == log


def test_connection_is_reused_after_normal_responses(platform, settings, call):
    """Short, long, compressed, chunked and error responses leave the connection open."""
    with keeping_alive() as (endpoint, connections):
        settings = dataclasses.replace(settings, endpoint=endpoint, project_id="p")
        trials = call(settings, "list_trials", "x", page_size=1)

    assert len(trials) == 30
    assert len(connections) == 1


MALFORMED = {
    "shorter than declared": [HEAD + b"Content-Length: 10\r\n\r\n{}"],
    "truncated chunk": [HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}"],
    "chunk without a size": [HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"],
    "not gzip": [HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"],
    "two lengths": [HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
    "not HTTP": [b"\x00\x01\x02\r\n\r\n"],
    "empty": [],
}


@pytest.mark.parametrize("parts", MALFORMED.values(), ids=MALFORMED)
def test_malformed_response_is_a_transport_error(fetch, parts):
    """A truncated or malformed response is a transport error that names the request."""
    error = fetch(lambda: parts)

    assert type(error) is ModelArtsTransportError
    assert "GET http://127.0.0.1:" in str(error)
    assert "/v2/x: no response: " in str(error)
