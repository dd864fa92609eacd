"""Values and errors of HTTP responses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import quick

from airflow_provider_modelarts.api.responses import Response, read_json, retry_after
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsError,
    ModelArtsNotFoundError,
    ModelArtsPermissionError,
    ModelArtsProtocolError,
    ModelArtsQuotaError,
    ModelArtsServerError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
)

REQUEST = "GET /v2/p1/training-jobs/job-1"


def error_of(status, body=b"", **headers):
    """Return the error of a response; headers as ``x_request_id="1"``."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ModelArtsApiError) as caught:
        read_json(Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body), REQUEST)
    return caught.value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"[]", []),
        (b'""', ""),
        (b"null", None),
        (b"", None),
        ('{"a": "一"}'.encode(), {"a": "一"}),
        *[('{"a": "一"}'.encode(unicode), {"a": "一"}) for unicode in ("utf-8-sig", "utf-16", "utf-32")],
        (b'{"a": 1, "a": {"b": 2, "b": 3}}', {"a": {"b": 3}}),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_good_response(status, body, value):
    """The value is the JSON in any Unicode encoding, or None if empty; the last value of a duplicate key counts."""
    assert read_json(Response(status, {}, body), REQUEST) == value


NOT_JSON = {
    "HTML": b"<html><body>Welcome</body></html>",
    "text": b"OK",
    "two values": b'{"a": 1} {"b": 2}',
    "comment": b"{} // and more",
    "blank": b" ",
    "binary": b"\xff\xfe\xfd",
    "zeros": b"\x00\x01\x02",
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "endless deep list": b"[" * 100_000,
    "10,000 digits": b'{"a": ' + b"9" * 10_000 + b"}",
    "invalid UTF-8": b'{"a": "\xff\xfe"}',
    "truncated character": '{"a": "一"}'.encode()[:-4] + b'"}',
    "half of UTF-16": '{"a": 1}'.encode("utf-16")[:-1],
    "escapes of a terminal": b"\x1b]0;title\x07\x1b[2J",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_response_that_is_not_json(body):
    """A body that is not JSON is a protocol error that quotes it in one printable line."""
    with pytest.raises(ModelArtsProtocolError) as caught:
        read_json(Response(200, {"content-type": "text/html"}, body), REQUEST)

    assert str(caught.value).startswith(f"{REQUEST}: the response is not JSON (text/html): ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_error_with_a_body_that_is_not_json(body):
    """An error response that is not JSON is classified by its status, and quoted in one printable line."""
    error = error_of(409, body)

    assert type(error) is ModelArtsApiError
    assert str(error).startswith(f"{REQUEST}: HTTP 409 409: ")
    assert str(error).isprintable()
    assert len(str(error)) < 600


@pytest.mark.parametrize("body", [b"{", b' {"a": 1,', b'{"a": [1', b'[{"a": "long'])
def test_truncated_response_shows_its_end(body):
    """Truncated JSON is a temporary transport error that quotes the end of the response."""
    with pytest.raises(ModelArtsTransportError) as caught:
        read_json(Response(200, {}, body), REQUEST)

    end = body.decode().strip()
    assert (
        str(caught.value) == f"{REQUEST}: the response is truncated after {end!r}. Check network, endpoint and proxy."
    )
    assert caught.value.temporary


def test_html_response_shows_its_beginning():
    """The page of a proxy or portal is quoted in one line."""
    with pytest.raises(ModelArtsProtocolError, match=r"'<html> Please log in </html>'\. Check the endpoint"):
        read_json(Response(200, {}, b"<html>\n  Please log in\n</html>"), REQUEST)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error_code": "ModelArts.0104", "error_msg": "bad"}, "ModelArts.0104", "bad"),
        ({"errorCode": "ModelArts.0104", "errorMsg": "bad"}, "ModelArts.0104", "bad"),
        ({"code": "ModelArts.0104", "message": "bad"}, "ModelArts.0104", "bad"),
        ({"code": 40010, "message": "bad"}, "40010", "bad"),
        ({"error": {"code": 400, "message": "bad", "title": "Bad Request"}}, "400", "bad"),
        ({"error": {"error_code": "IAM.0011", "error_msg": "bad"}}, "IAM.0011", "bad"),
        ({"a": {"b": {"errorCode": "X.1", "errorMsg": "bad"}}}, "X.1", "bad"),
        ({"status": 1, "error": {"code": "X.1", "message": "bad"}}, "X.1", "bad"),
        ({"code": "X.2", "message": "other", "error_code": "X.1", "error_msg": "bad"}, "X.1", "bad"),
        ({"error_code": "X.1", "error_msg": "", "code": "X.2", "message": "bad"}, "X.2", "bad"),
        ({"error_code": "X.1"}, "400", """'{"error_code": "X.1"}'"""),
        ({"error_msg": "bad"}, "400", """'{"error_msg": "bad"}'"""),
        ({}, "400", "'{}'"),
        ([], "400", "'[]'"),
        ([{"code": "X.1", "message": "bad"}], "400", """'[{"code": "X.1", "message": "bad"}]'"""),
        (None, "400", "'null'"),
        ("bad", "400", """'"bad"'"""),
        (b"", "400", "no message"),
        (b" \n", "400", "no message"),
        (b"<html>\nBad Request\n</html>", "400", "'<html> Bad Request </html>'"),
        (b"\xff\xfe", "400", "'\ufffd\ufffd'"),
        (b'{"error_code": "X.1", "error_msg": "bad"', "400", """'{"error_code": "X.1", "error_msg": "bad"'"""),
    ],
)
def test_error_by_the_shape_of_its_body(body, code, message):
    """Code and message are read from every shape of error body; any other body is the message itself."""
    error = error_of(400, body)

    assert (type(error), error.code, error.message) == (ModelArtsApiError, code, message)


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (400, "ModelArts.0104", ModelArtsApiError),
        (400, "ModelArts.2775", ModelArtsNotFoundError),
        (400, "ModelArts.2815", ModelArtsQuotaError),
        (400, "ModelArts.2816", ModelArtsQuotaError),
        (400, "ModelArts.2833", ModelArtsQuotaError),
        (401, "APIGW.0301", ModelArtsAuthenticationError),
        (401, "APIG.0301", ModelArtsAuthenticationError),
        (401, "APIGW.0307", ModelArtsAuthenticationError),
        (401, "ModelArts.0202", ModelArtsAuthenticationError),
        (401, "IAM.0062", ModelArtsAuthenticationError),
        (403, "ModelArts.0206", ModelArtsAuthenticationError),
        (403, "ModelArts.2784", ModelArtsAuthenticationError),
        (403, "ModelArts.0108", ModelArtsPermissionError),
        (403, "ModelArts.2785", ModelArtsPermissionError),
        (403, "APIGW.0302", ModelArtsPermissionError),
        (404, "ModelArts.2786", ModelArtsNotFoundError),
        (404, "IAM.0004", ModelArtsNotFoundError),
        (404, "APIGW.0101", ModelArtsApiError),
        (404, "APIG.0101", ModelArtsApiError),
        (404, "APIGW.0103", ModelArtsApiError),
        (405, "ModelArts.2803", ModelArtsApiError),
        (409, "ModelArts.2796", ModelArtsApiError),
        (413, "APIGW.0201", ModelArtsApiError),
        (429, "APIGW.0308", ModelArtsThrottledError),
        (429, "ModelArts.2799", ModelArtsThrottledError),
        (429, "IAM.0012", ModelArtsThrottledError),
        (500, "ModelArts.2950", ModelArtsServerError),
        (502, "APIGW.0201", ModelArtsServerError),
        (503, "ModelArts.4302", ModelArtsServerError),
        (504, "ModelArts.4503", ModelArtsServerError),
        (599, "X.1", ModelArtsServerError),
        (300, "X.1", ModelArtsApiError),
        (400, "ModelArts.2755", ModelArtsNotFoundError),
    ],
)
def test_error_by_status_and_code(status, code, cls):
    """Status and code determine the class."""
    error = error_of(status, {"error_code": code, "error_msg": "no"})

    assert type(error) is cls
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (400, ModelArtsApiError),
        (401, ModelArtsAuthenticationError),
        (403, ModelArtsPermissionError),
        (404, ModelArtsNotFoundError),
        (429, ModelArtsThrottledError),
        (500, ModelArtsServerError),
        (503, ModelArtsServerError),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"{}"])
def test_error_by_status_alone(status, cls, body):
    """The status determines class and code if the body holds neither code nor message."""
    error = error_of(status, body)

    assert (type(error), error.code) == (cls, str(status))


def test_error_with_all_details():
    """Solution, request id and request are kept, and the message shows all of them."""
    body = {
        "error_msg": "Training job not found.",
        "error_code": "ModelArts.2775",
        "error_solution": "Check the id.",
    }

    error = error_of(400, body, x_request_id="r-1")

    assert (error.solution, error.request_id, error.request) == ("Check the id.", "r-1", REQUEST)
    assert str(error) == (f"{REQUEST}: HTTP 400 ModelArts.2775: Training job not found. Check the id. (request id r-1)")


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [
        ({"x_request_id": "r-1"}, "r-1"),
        ({"x_iam_trace_id": "t-1"}, "t-1"),
        ({"x_request_id": "r-1", "x_iam_trace_id": "t-1"}, "r-1"),
        ({}, None),
    ],
)
def test_error_request_id(headers, request_id):
    """The request id is read from the header of ModelArts or IAM, in this order."""
    assert error_of(500, **headers).request_id == request_id


def test_error_without_solution():
    """A blank solution is None."""
    assert error_of(400, {"error_code": "X.1", "error_msg": "no", "error_solution": ""}).solution is None


@pytest.mark.parametrize("code", ["APIGW.0101", "APIG.0103"])
def test_error_of_an_unavailable_operation(code):
    """An operation that a region does not offer is not reported as a missing job."""
    error = error_of(404, {"error_code": code, "error_msg": "API not found"})

    assert error.message.startswith("API not found. ModelArts in this region does not offer the operation")


def test_error_of_a_redirect():
    """A redirect is an error that names its target."""
    error = error_of(302, b"<html>moved</html>", location="https://elsewhere.example.com/")

    assert error.message == ("redirect to 'https://elsewhere.example.com/', which is not followed with credentials")


def test_error_of_a_redirect_without_a_target():
    """A redirect without a target is an error as well."""
    assert "'nowhere'" in error_of(307).message


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\n\x1b[31m" * 200_000], ids=["long", "with escapes"])
@pytest.mark.parametrize("key", ["error_code", "error_msg", "error_solution"])
def test_error_of_a_megabyte_is_truncated(key, text):
    """Each text of an error, and its whole message, is truncated and printable."""
    error = error_of(500, {"error_code": "X.1", "error_msg": "no", key: text})

    assert len(str(error)) < 2_500
    assert str(error).isprintable()
    assert all(len(str(fact)) <= 1000 for fact in error.facts().values())


def test_error_with_unprintable_characters():
    """Surrogates, NUL and changes of the writing direction are replaced, because a log cannot hold them."""
    body = {"error_code": "X.1", "error_msg": "a\ud800b\0c\u202ed", "error_solution": "\udfff"}

    error = error_of(400, body)

    assert (error.message, error.solution) == ("a?b?c?d", "?")
    assert json.dumps(error.facts(), ensure_ascii=False).encode()


def test_error_with_100_000_keys():
    """A body with many keys, but without code and message, is classified by its status."""
    assert type(error_of(409, {str(number): {} for number in range(100_000)})) is ModelArtsApiError


def test_error_with_a_deep_body():
    """An error body that is nested too deeply to search is classified by its status."""
    assert type(error_of(500, b'{"a":' * 600 + b"1" + b"}" * 600)) is ModelArtsServerError


@quick
@given(
    st.integers(200, 599),
    st.binary(max_size=40)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["code", "message", "error", "x"]), inner),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)
def test_response_of_any_kind(status, body):
    """Any response is a value or an error of this package."""
    try:
        value = read_json(Response(status, {}, body), REQUEST)
    except ModelArtsError as error:
        assert str(error).startswith(REQUEST)  # noqa: PT017 - both outcomes are right
    else:
        assert status < 300
        assert (value is None) or body


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("999999", 999_999.0),
        ("9999999", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("1e300", None),
        ("1" + "0" * 100, None),
        ("nan", None),
        ("inf", None),
        ("0x10", None),
        ("1, 2", None),
        ("\u0663", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_of_a_response(value, seconds):
    """A number of seconds is read; any other text is ignored."""
    assert retry_after(Response(503, {"retry-after": value})) == seconds


@pytest.mark.parametrize("response", [None, Response(503)])
def test_retry_after_without_a_header(response):
    """Retry-After is None without a response or without the header."""
    assert retry_after(response) is None


def test_response_truncated_anywhere_is_a_transport_error():
    """JSON that is truncated at any character is a transport error, because a retry may return all of it."""
    whole = json.dumps({"a": [{}, {"b": [1.5, -2e-7, True, None, "x\u00e9\\"]}], "c": {"d": []}, "e": ""}).encode()

    for end in range(1, len(whole)):
        with pytest.raises(ModelArtsTransportError, match="is truncated"):
            read_json(Response(200, {}, whole[:end]), REQUEST)


@pytest.mark.parametrize(
    "body", [b'{"a": 1 "b": 2, "c": [1, 2, 3]}', b"{'a': 1, 'b': [1, 2, 3, 4, 5]}", b'{"a": 1}{"b": 2}']
)
def test_malformed_response_is_a_protocol_error(body):
    """JSON that is malformed before its end is not truncated, and a retry cannot help."""
    with pytest.raises(ModelArtsProtocolError, match="is not JSON"):
        read_json(Response(200, {}, body), REQUEST)
