"""Bodies that are longer than allowed: no more than the limit is read."""

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
    declared,
    endless,
    keeping_alive,
    packed_text,
    speaking,
    with_headers,
)

from airflow_provider_modelarts.api.responses import MAX_BODY_BYTES
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError, ModelArtsTransportError

LONG = 200 * MIB
TOO_LONG = "ModelArtsProtocolError: GET /v2/x: the response is longer than 32 MiB, and was not read"
REDIRECT = "ModelArtsApiError: GET /v2/x: HTTP 302 302: redirect to '/y', which is not followed with credentials"
PROGRAM = Path(__file__).with_name("measured.py")


def packed_redirect():
    """Say a redirect with a packed text, which a library may want to read before it follows."""
    packed = packed_text(LONG)
    head = b"HTTP/1.1 302 FoundCredentials\r\nLocation: /y\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    return [head % len(packed), packed]


SPEECHES = {
    "declared": (declared(LONG), TOO_LONG),
    "until the connection ends": (endless(LONG), TOO_LONG),
    "in chunks": (chunked(LONG), TOO_LONG),
    "packed": (bomb(LONG), TOO_LONG),
    "packed in chunks": (chunked_bomb(LONG), TOO_LONG),
    "of a redirect": (declared(LONG, b"Location: /y", status=b"302 FoundCredentials"), REDIRECT),
    "packed, of a redirect": (packed_redirect, REDIRECT),
    "of a refusal": (declared(LONG, status=b"400 No"), "ModelArtsApiError: GET /v2/x: HTTP 400 400: no message"),
}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_bodies_of_200_mib_are_refused_in_little_memory(kind):
    """Whichever way they come, a process grows by little more than the limit, and the error names the cause."""
    grown, said = measured(kind, [speech for speech, _ in SPEECHES.values()])

    assert dict(zip(SPEECHES, said, strict=True)) == {name: outcome for name, (_, outcome) in SPEECHES.items()}
    assert grown < 80


def test_body_that_is_packed_twice_is_refused_in_little_memory():
    """A gigabyte becomes a few kilobytes in this way; the other client does not unpack twice at all."""
    grown, said = measured("sync", [bomb(1000 * MIB, times=2)])

    assert said == [TOO_LONG]
    assert grown < 80


def measured(kind, speeches):
    """Return by how many MiB a new process with a client grew over some speeches, and how each of them ended."""
    with contextlib.ExitStack() as servers:
        endpoints = [servers.enter_context(speaking(speech)) for speech in [with_headers(), *speeches]]
        # through a shell that stays: a process inherits the peak of the one that it replaces or was split from
        done = subprocess.run(
            ["/bin/sh", "-c", '"$0" "$@"; exit $?', sys.executable, str(PROGRAM), kind, *endpoints],
            capture_output=True,
            text=True,
            check=True,
        )
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return int(lines[-1][0]), [said for _, _, said in lines]


def test_body_that_is_declared_too_long_is_not_waited_for(hear):
    """Its declared length is enough: the server never sends a byte of it."""
    error = hear(lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)])

    assert type(error) is ModelArtsProtocolError


@pytest.mark.parametrize("encoding", ["plain", "gzip"])
def test_body_as_long_as_may_be_is_read(hear, encoding):
    """The limit itself is no excess, packed or not."""
    body = json.dumps("x" * (MAX_BODY_BYTES - 2)).encode()
    head = HEAD + (b"Content-Encoding: gzip\r\n" if encoding == "gzip" else b"")
    sent = gzip.compress(body, 1) if encoding == "gzip" else body

    assert len(hear(lambda: [head, b"Content-Length: %d\r\n\r\n" % len(sent), sent])) == MAX_BODY_BYTES - 2


def test_longest_log_is_read(platform, settings, call):
    """The documents let a preview have 5 MB; of nothing but control characters, it is six times that as JSON."""
    log = "\x1b" * 5_000_000
    platform.respond_next("logs", body=json.dumps({"content": log}).encode())

    assert call(settings, "get_log_preview", "x") == log


def test_connection_is_kept_after_normal_answers(platform, settings, call):
    """Short, long, packed and chunked answers leave it as it is, and so does an error."""
    with keeping_alive() as (endpoint, connections):
        settings = dataclasses.replace(settings, endpoint=endpoint, project_id="p")
        trials = call(settings, "list_trials", "x", page_size=1)

    assert len(trials) == 30
    assert len(connections) == 1


BROKEN = {
    "shorter than declared": [HEAD + b"Content-Length: 10\r\n\r\n{}"],
    "cut chunk": [HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}"],
    "chunk without a size": [HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"],
    "no gzip": [HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"],
    "two lengths": [HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
    "no HTTP": [b"\x00\x01\x02\r\n\r\n"],
    "nothing": [],
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN)
def test_body_that_breaks_off_is_no_answer(hear, parts):
    """What the libraries make of it is a transport error that names the request: it may have been carried out."""
    error = hear(lambda: parts)

    assert type(error) is ModelArtsTransportError
    assert "GET http://127.0.0.1:" in str(error)
    assert "/v2/x: no response: " in str(error)
