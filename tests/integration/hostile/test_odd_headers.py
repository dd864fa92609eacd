"""Headers that are too long, too many, or meant to break a log."""

from __future__ import annotations

import dataclasses

import pytest
from integration.hostile.raw_server import HEAD, MIB, speaking, with_headers

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsProtocolError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
)

REFUSAL = b'{"error_code": "X.1", "error_msg": "no"}'
ESCAPE = b"\x1b[31m"

TOO_MUCH = {
    "header of a megabyte": with_headers(b"X-A: " + b"a" * MIB),
    "10,000 headers": with_headers(*[b"X-%d: a" % number for number in range(10_000)]),
    "status that is none": with_headers(status=b"99999 What"),
    "chunk size of a megabyte": lambda: [HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * MIB],
}


@pytest.mark.parametrize("speech", TOO_MUCH.values(), ids=TOO_MUCH)
def test_answer_with_headers_beyond_reason_is_no_answer(hear, speech):
    """The libraries stop reading; the error names the request and is short."""
    error = hear(speech)

    assert type(error) is ModelArtsTransportError
    assert "/v2/x: no response: " in str(error)
    assert len(str(error)) < 700
    assert str(error).isprintable()


REQUEST_IDS = {
    "escape": (b"X-Request-Id: a" + ESCAPE + b"b", "(request id a?[31mb)"),
    "next line": (b"X-Request-Id: a\r\n 2026-01-01 INFO forged", "(request id a 2026-01-01 INFO forged)"),
    "a long one": (b"X-Request-Id: " + b"a" * 8000, f"(request id {'a' * 97}...)"),
    "blank": (b"X-Request-Id: ", "X.1: no"),
}


@pytest.mark.parametrize(("line", "end"), REQUEST_IDS.values(), ids=REQUEST_IDS)
def test_request_id_that_would_break_a_log_is_made_harmless(hear, line, end):
    """It is text in a message, on one line, whatever it holds."""
    error = hear(with_headers(line, status=b"400 No", body=REFUSAL))

    assert type(error) is ModelArtsApiError
    assert str(error).endswith(end)
    assert str(error).isprintable()


HEADERS = {
    "content type": (with_headers(b"Content-Type: a" + ESCAPE + b"b" * 5000, body=b"<html>"), "is not JSON (a?[31mbbb"),
    "target of a redirect": (
        with_headers(b"Location: http://" + ESCAPE + b"b" * 5000, status=b"302 FoundCredentials"),
        r"redirect to 'http://\x1b[31mbbb",
    ),
}


@pytest.mark.parametrize(("speech", "said"), HEADERS.values(), ids=HEADERS)
def test_header_in_a_message_is_harmless_and_short(hear, speech, said):
    """Also headers that only an odd answer has are not shown as they are."""
    error = hear(speech)

    assert said in str(error)
    assert str(error).startswith("GET /v2/x: ")
    assert str(error).isprintable()
    assert len(str(error)) < 700


@pytest.mark.parametrize("wait", [b"-1", b"", "\u0663".encode(), b"9" * 100])
def test_absurd_time_to_wait_is_not_waited_for(hear, wait):
    """What is no number of seconds, or too many, leaves the call to its own time, which is none here."""
    error = hear(with_headers(b"Retry-After: " + wait, status=b"429 Slow Down", body=REFUSAL))

    assert type(error) is ModelArtsThrottledError


def test_absurd_time_to_wait_does_not_stop_the_second_try(platform, settings, call):
    """A Retry-After that is not a number of seconds is ignored."""
    job_id = platform.job_id("documented")
    platform.respond_next(job_id, status=429, headers={"Retry-After": "-1e300"}, times=2)

    assert call(settings, "get_training_job", job_id).id == job_id


def test_proxy_that_refuses_leaves_its_password_out_of_the_error(settings, call):
    """A library puts the whole URL of the proxy into its text."""
    once = dataclasses.replace(
        settings, project_id="p", endpoint="https://host.example.com", retry=RetryPolicy(total=0)
    )
    with speaking(with_headers(status=b"407 Who Are You")) as proxy:
        through = dataclasses.replace(once, proxies={"https": proxy.replace("://", "://user:open-sesame@")})

        with pytest.raises(ModelArtsTransportError) as raised:
            call(through, "get_training_job", "x")

    assert "407" in str(raised.value)
    assert "open-sesame" not in str(raised.value)


@pytest.mark.parametrize("charset", ["utf-16", "no-such-charset", "\x1b[31m"])
def test_charset_that_a_header_claims_is_not_believed(hear, charset):
    """JSON is UTF-8, whatever else is claimed."""
    line = f"Content-Type: application/json; charset={charset}".encode()

    assert hear(with_headers(line, body='{"a": "一"}'.encode())) == {"a": "一"}


def test_encoding_that_nobody_knows_is_told(hear):
    """A body that stays compressed is not JSON, and nothing of it is shown raw."""
    error = hear(with_headers(b"Content-Encoding: zip-of-mine", body=ESCAPE))

    assert type(error) is ModelArtsProtocolError
    assert str(error).isprintable()
