"""Bodies that are no JSON, nearly JSON, or JSON that breaks a reader."""

from __future__ import annotations

import codecs
import json

import pytest

from airflow_provider_modelarts.core.trials import TrialStatus
from airflow_provider_modelarts.exceptions import ModelArtsApiError, ModelArtsProtocolError

DEEP = 100_000

NO_JSON = {
    "deep list": b"[" * DEEP + b"]" * DEEP,
    "deep object": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep list without an end": b"[" * DEEP,
    "number of 10,000 digits": b'{"metadata": ' + b"9" * 10_000 + b"}",
    "invalid UTF-8": b'{"a": "\xff\xfe"}',
    "cut character": '{"a": "一"}'.encode()[:-4] + b'"}',
    "half of UTF-16": '{"a": 1}'.encode("utf-16")[:-1],
    "two values": b"{} {}",
    "comment": b"/* more */ {}",
    "escapes of a terminal": b"\x1b]0;title\x07\x1b[2J",
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_body_that_is_no_json_is_an_error_that_names_the_request(fail, body):
    """It shows where the body began, in words that no log can trip over."""
    error = fail("get_training_job", "x", body=body)

    assert type(error) is ModelArtsProtocolError
    assert "/training-jobs/x: the response is not JSON (application/json): " in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 1200


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_error_with_a_body_that_is_no_json_is_known_by_its_status(fail, body):
    """A refusal stays the refusal that it is."""
    error = fail("get_training_job", "x", body=body, status=409)

    assert type(error) is ModelArtsApiError
    assert "/training-jobs/x: HTTP 409 409: " in str(error)
    assert str(error).isprintable()


OBJECTS = ["get_training_job", "search_training_jobs", "list_trials", "get_algorithm"]


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"7", b"NaN", b"-Infinity", b"1e999", b"true"])
@pytest.mark.parametrize("method", OBJECTS)
def test_body_without_the_object_that_is_due_is_a_protocol_error(fail, method, body):
    """Nothing, and anything else than an object, is told as what it is."""
    arguments = [] if method == "search_training_jobs" else ["x"]

    error = fail(method, *arguments, body=body, part="/v2/")

    assert type(error) is ModelArtsProtocolError
    assert "should be a JSON object, but is " in str(error)
    assert str(error).startswith(("GET /v2/", "POST /v2/"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_body_in_another_unicode_is_read(platform, settings, call, encoding):
    """Its first bytes tell which it is, and it holds no more than what it says."""
    body = '{"metadata": {"id": "j"}, "status": {"phase": "Running"}}'.encode(encoding)
    assert body[:1] in {codecs.BOM_UTF16[:1], codecs.BOM_UTF32[:1], codecs.BOM_UTF8[:1]}
    platform.respond_next("training-jobs", body=body)

    assert call(settings, "get_training_job", "x").id == "j"


def test_key_that_is_given_twice_counts_as_its_last(platform, settings, call):
    """Both clients agree on which of two values is meant, and it is still checked."""
    body = b'{"metadata": {"id": "../x", "id": "j"}, "status": {"phase": "Failed", "phase": "Running"}}'
    platform.respond_next("training-jobs", body=body)

    job = call(settings, "get_training_job", "x")

    assert (job.id, job.phase_text) == ("j", "Running")


NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 4000, "-" + "9" * 4000, '"' + "9" * 5000 + '"']


@pytest.mark.parametrize("number", NUMBERS)
def test_number_beyond_reason_in_a_job_is_missing(platform, settings, call, number):
    """No time, no duration and no count comes of it, and no arithmetic breaks on it."""
    body = """{"metadata": {"id": "j", "create_time": %s}, "status": {"phase": "Completed", "start_time": %s,
        "duration": %s, "running_records": [{"end_at": %s}]}, "algorithm": {"policies": {"auto_search": {"algo_configs":
        [{"params": [{"key": "num_samples", "value": %s}]}]}}}}""" % ((number,) * 5)
    platform.respond_next("training-jobs", body=body.encode())

    job = call(settings, "get_training_job", "x")

    assert (job.duration, job.ended_at, job.search.num_samples) == (None, None, None)


@pytest.mark.parametrize("number", NUMBERS)
def test_number_beyond_reason_for_a_total_is_a_protocol_error(fail, number):
    """Nobody can tell then whether all trials were read."""
    error = fail("list_trials", "x", body=b'{"total": %s, "items": {}}' % number.encode())

    assert "has no usable total: " in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize("number", NUMBERS)
def test_number_beyond_reason_in_a_trial_is_a_value_or_missing(platform, settings, call, number):
    """It is what it is among the metrics, where ranking knows infinities, and no index, no count."""
    row = f'["t", "TERMINATED", {{"trial_index": {number}}}, {number}, {number}, {number}]'
    body = '{"total": 1, "items": {"header": ["trial_id", "status", "config", "acc", "training_iteration",'
    body += f' "time_total_s"], "data": [{row}]}}}}'
    platform.respond_next("training-jobs", body=body.encode())

    (trial,) = call(settings, "list_trials", "x")

    assert trial.status is TrialStatus.TERMINATED
    assert (trial.index, trial.training_iteration) == (None, None)


def test_half_of_a_character_in_an_error_is_made_harmless(fail):
    """A message that cannot be written as UTF-8 would end the task with an error of its own."""
    body = b'{"error_code": "X.1", "error_msg": "a\\ud800b\\u0000c\\u202ed", "error_solution": "\\udfff"}'

    error = fail("get_training_job", "x", body=body, status=400)

    assert (error.message, error.solution) == ("a?b?c?d", "?")
    assert json.dumps(error.facts(), ensure_ascii=False).encode()


@pytest.mark.parametrize("field", ["error_code", "error_msg", "error_solution"])
def test_error_of_a_megabyte_is_cut(fail, field):
    """All of its texts, and the message that they make."""
    body = {"error_code": "X.1", "error_msg": "no", field: "\n\x1b[31m" * 200_000}

    error = fail("get_training_job", "x", body=json.dumps(body).encode(), status=400)

    assert len(str(error)) < 2500
    assert str(error).isprintable()
    assert all(len(str(fact)) <= 1000 for fact in error.facts().values())


def test_error_with_100_000_keys_is_an_error_of_the_platform(fail):
    """The search for its code and message ends."""
    body = json.dumps({str(number): {} for number in range(100_000)}).encode()

    assert type(fail("get_training_job", "x", body=body, status=409)) is ModelArtsApiError
