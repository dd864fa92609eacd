"""Headers that are too long, too many, or able to break a log."""

from __future__ import annotations

import dataclasses

import pytest
from integration.hostile.raw_server import HEAD, MIB, serving, with_headers

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsProtocolError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
)

REFUSAL = b'{"error_code": "X.1", "error_msg": "no"}'
ESCAPE = b"\x1b[31m"

EXCESSIVE = {
    "header of a megabyte": with_headers(b"X-A: " + b"a" * MIB),
    "10,000 headers": with_headers(*[b"X-%d: a" % number for number in range(10_000)]),
    "invalid status": with_headers(status=b"99999 What"),
    "chunk size of a megabyte": lambda: [HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * MIB],
}


@pytest.mark.parametrize("raw_response", EXCESSIVE.values(), ids=EXCESSIVE)
def test_excessive_headers_are_a_transport_error(fetch, raw_response):
    """The error of a response with excessive headers is short and names the request."""
    error = fetch(raw_response)

    assert type(error) is ModelArtsTransportError
    assert "/v2/x: no response: " in str(error)
    assert len(str(error)) < 700
    assert str(error).isprintable()


REQUEST_IDS = {
    "escape": (b"X-Request-Id: a" + ESCAPE + b"b", "(request id a?[31mb)"),
    "line break": (b"X-Request-Id: a\r\n 2026-01-01 INFO forged", "(request id a 2026-01-01 INFO forged)"),
    "long": (b"X-Request-Id: " + b"a" * 8000, f"(request id {'a' * 97}...)"),
    "blank": (b"X-Request-Id: ", "X.1: no"),
}


@pytest.mark.parametrize(("line", "end"), REQUEST_IDS.values(), ids=REQUEST_IDS)
def test_hostile_request_id_is_sanitized(fetch, line, end):
    """A request id in a message is printable, short and on one line."""
    error = fetch(with_headers(line, status=b"400 No", body=REFUSAL))

    assert type(error) is ModelArtsApiError
    assert str(error).endswith(end)
    assert str(error).isprintable()


HEADERS = {
    "content type": (with_headers(b"Content-Type: a" + ESCAPE + b"b" * 5000, body=b"<html>"), "is not JSON (a?[31mbbb"),
    "target of a redirect": (
        with_headers(b"Location: http://" + ESCAPE + b"b" * 5000, status=b"302 Found"),
        r"redirect to 'http://\x1b[31mbbb",
    ),
}


@pytest.mark.parametrize(("raw_response", "excerpt"), HEADERS.values(), ids=HEADERS)
def test_header_in_a_message_is_printable_and_short(fetch, raw_response, excerpt):
    """A header that a message quotes is escaped and truncated."""
    error = fetch(raw_response)

    assert excerpt in str(error)
    assert str(error).startswith("GET /v2/x: ")
    assert str(error).isprintable()
    assert len(str(error)) < 700


@pytest.mark.parametrize("wait", [b"-1", b"", "\u0663".encode(), b"9" * 100])
def test_absurd_retry_after_is_not_waited_for(fetch, wait):
    """An absurd Retry-After leaves the call to its own policy, which allows no retry here."""
    error = fetch(with_headers(b"Retry-After: " + wait, status=b"429 Slow Down", body=REFUSAL))

    assert type(error) is ModelArtsThrottledError


def test_absurd_retry_after_does_not_prevent_a_retry(platform, settings, call):
    """An absurd Retry-After is ignored, and the call is retried by its own policy."""
    job_id = platform.job_id("documented")
    platform.respond_next(job_id, status=429, headers={"Retry-After": "-1e300"}, times=2)

    assert call(settings, "get_training_job", job_id).id == job_id


def test_error_of_a_refusing_proxy_shows_no_password(settings, call):
    """The error does not show the URL of the proxy, which an HTTP library puts into its own message."""
    once = dataclasses.replace(
        settings, project_id="p", endpoint="https://host.example.com", retry=RetryPolicy(total=0)
    )
    with serving(with_headers(status=b"407 Who Are You")) as proxy:
        through = dataclasses.replace(once, proxies={"https": proxy.replace("://", "://user:open-sesame@")})

        with pytest.raises(ModelArtsTransportError) as raised:
            call(through, "get_training_job", "x")

    assert "407" in str(raised.value)
    assert "open-sesame" not in str(raised.value)


@pytest.mark.parametrize("charset", ["utf-16", "no-such-charset", "\x1b[31m"])
def test_charset_of_a_header_is_ignored(fetch, charset):
    """JSON is read as UTF-8, even if the header names another charset."""
    line = f"Content-Type: application/json; charset={charset}".encode()

    assert fetch(with_headers(line, body='{"a": "一"}'.encode())) == {"a": "一"}


def test_unknown_content_encoding_is_a_protocol_error(fetch):
    """A body that stays compressed is not JSON, and the error is printable."""
    error = fetch(with_headers(b"Content-Encoding: zip-of-mine", body=ESCAPE))

    assert type(error) is ModelArtsProtocolError
    assert str(error).isprintable()
