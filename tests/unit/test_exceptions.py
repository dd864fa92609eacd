"""Errors, and their round trip through a trigger event."""

from __future__ import annotations

import json
import pickle

import pytest

from airflow_provider_modelarts import exceptions
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsError,
    ModelArtsNoBestTrialError,
    ModelArtsNotFoundError,
    ModelArtsPermissionError,
    ModelArtsProtocolError,
    ModelArtsQuotaError,
    ModelArtsServerError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
    error_from_dict,
    error_to_dict,
)

API_ERRORS = [
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsNotFoundError,
    ModelArtsPermissionError,
    ModelArtsQuotaError,
    ModelArtsServerError,
    ModelArtsThrottledError,
]
PLAIN_ERRORS = [
    ModelArtsError,
    ModelArtsConfigurationError,
    ModelArtsNoBestTrialError,
    ModelArtsProtocolError,
    ModelArtsTransportError,
]
FACTS = {
    "status": 400,
    "code": "ModelArts.2775",
    "solution": "Check the id.",
    "request_id": "r-1",
    "request": "GET /v2/p1/training-jobs/job-1",
}


def through_json(error):
    """Return an error after its round trip through JSON."""
    return error_from_dict(json.loads(json.dumps(error_to_dict(error))))


def test_error_classes_are_all_tested():
    """Every class of the module ``exceptions`` is in a list of this test module."""
    defined = {cls for cls in vars(exceptions).values() if isinstance(cls, type) and issubclass(cls, ModelArtsError)}

    assert defined == {*API_ERRORS, *PLAIN_ERRORS}


@pytest.mark.parametrize("cls", PLAIN_ERRORS)
def test_plain_error_through_json(cls):
    """A plain error keeps its class and its message."""
    error = through_json(cls("what happened: 一"))

    assert type(error) is cls
    assert str(error) == "what happened: 一"


@pytest.mark.parametrize("cls", API_ERRORS)
def test_api_error_through_json(cls):
    """An API error keeps its class and all its fields."""
    error = through_json(cls("Training job not found.", **FACTS))

    assert type(error) is cls
    assert error.message == "Training job not found."
    assert {name: getattr(error, name) for name in FACTS} == FACTS


@pytest.mark.parametrize("cls", API_ERRORS)
def test_api_error_through_json_without_optional_fields(cls):
    """Missing fields of an API error stay missing."""
    error = through_json(cls("no", status=500, code="500"))

    assert (error.solution, error.request_id, error.request) == (None, None, "")


@pytest.mark.parametrize("temporary", [True, False])
def test_transport_error_through_json(temporary):
    """A transport error keeps its ``temporary`` flag."""
    assert through_json(ModelArtsTransportError("reset", temporary=temporary)).temporary is temporary


def test_transport_error_is_temporary():
    """A broken connection is temporary by default."""
    assert ModelArtsTransportError("reset").temporary is True


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "ModelArtsNewError", "facts": {"message": "from a later version"}}, "from a later version"),
        ({"type": "ValueError", "facts": {"message": "not ours"}}, "not ours"),
        ({"type": None, "facts": {"message": "no type"}}, "no type"),
        ({"facts": {"message": "no type"}}, "no type"),
        ({"type": "ModelArtsNewError", "facts": {"message": "more", "retry": 5}}, "more"),
        ({"type": "ModelArtsNewError"}, "unknown error"),
        ({"type": "ModelArtsError", "facts": None}, "unknown error"),
        ({"type": "ModelArtsError", "facts": ["message"]}, "unknown error"),
        ({}, "unknown error"),
    ],
)
def test_error_of_an_unknown_type(data, message):
    """Data of an unknown type becomes a plain error with its message."""
    error = error_from_dict(data)

    assert type(error) is ModelArtsError
    assert str(error) == message


@pytest.mark.parametrize(
    "data",
    [
        {"type": "ModelArtsApiError", "facts": {"message": "m", "status": 400, "code": "c", "advice": "new"}},
        {"type": "ModelArtsProtocolError", "facts": {"message": "m", "page": 3}},
        {"type": "ModelArtsApiError", "facts": {"message": "m"}},
    ],
)
def test_error_of_another_version(data):
    """An event stored by an older or newer version becomes an error with its message."""
    assert "m" in str(error_from_dict(data))


def test_error_with_a_note_through_json():
    """An error with a note is restored with its message."""
    error = ModelArtsServerError("no", status=500, code="500")
    error.add_note("while reading page 3")

    assert through_json(error).message == "no"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": 500, "code": "500"}, ": HTTP 500 500: no."),
        (
            {"status": 400, "code": "X.1", "request": "GET /x", "solution": "Do this."},
            "GET /x: HTTP 400 X.1: no. Do this.",
        ),
        (
            {"status": 400, "code": "X.1", "request": "GET /x", "request_id": "r-1"},
            "GET /x: HTTP 400 X.1: no. (request id r-1)",
        ),
        (
            FACTS,
            "GET /v2/p1/training-jobs/job-1: HTTP 400 ModelArts.2775: no. Check the id. (request id r-1)",
        ),
    ],
)
def test_api_error_text(fields, text):
    """The text holds the request, the status and code, the message, the solution and the request id."""
    assert str(ModelArtsApiError("no.", **fields)) == text


@pytest.mark.parametrize("cls", [*API_ERRORS, *PLAIN_ERRORS])
def test_error_has_one_root(cls):
    """Every error is a ModelArtsError."""
    assert issubclass(cls, ModelArtsError)


@pytest.mark.parametrize("cls", API_ERRORS)
def test_api_error_has_one_root(cls):
    """Every error of the platform is a ModelArtsApiError."""
    assert issubclass(cls, ModelArtsApiError)


def test_configuration_error_is_a_value_error():
    """A wrong argument is a ValueError, as is usual in Python."""
    assert issubclass(ModelArtsConfigurationError, ValueError)


@pytest.mark.parametrize("cls", PLAIN_ERRORS)
def test_plain_error_through_pickle(cls):
    """A plain error can be raised in another process."""
    error = pickle.loads(pickle.dumps(cls("no")))  # noqa: S301 - our own bytes

    assert (type(error), str(error)) == (cls, "no")


@pytest.mark.parametrize("cls", API_ERRORS)
def test_api_error_through_pickle(cls):
    """An API error can be raised in another process, such as that of a pool."""
    error = pickle.loads(pickle.dumps(cls("no", **FACTS)))  # noqa: S301 - our own bytes

    assert (type(error), error.status, str(error)) == (cls, 400, str(cls("no", **FACTS)))


LONG = "".join(f"{number:04x}" for number in range(1000))


@pytest.mark.parametrize("text", [LONG, LONG * 2, LONG[:900], f"a {LONG[:40]} b {LONG} c"])
def test_long_secret_is_masked_if_cut(text):
    """A long secret is masked even if it is cut, because the beginning of a token is a secret as well."""
    error = ModelArtsApiError(f"debug: {text}", status=500, code="X.1")

    shown = str(exceptions.without_secrets(error, [LONG]))

    assert not any(LONG[start : start + 16] in shown for start in range(0, 4000, 4))
    assert "debug: " in shown


def test_short_secret_is_masked():
    """A short secret, such as that of a test server, is masked as a whole."""
    error = exceptions.without_secrets(ModelArtsError("the key s3cret is wrong"), ["s3cret"])

    assert str(error) == "the key *** is wrong"
