"""Exchange of one call: signature, retries and errors, driven by hand without network or clock."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest
from unit.builders import vendor_signed

from airflow_provider_modelarts.api import operations
from airflow_provider_modelarts.api.exchange import (
    USER_AGENT,
    Caller,
    Pause,
    Reload,
    Runtime,
    Send,
    exchange,
    find_project_id,
)
from airflow_provider_modelarts.api.responses import Response
from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsError,
    ModelArtsNotFoundError,
    ModelArtsProtocolError,
    ModelArtsServerError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
    error_to_dict,
)

START = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
SECRET = "hidden-secret-key"
TOKEN = "hidden-security-token"

GET = operations.any_request("GET", "/v2/{project_id}/training-quotas", {"resource": "job-num"})
POST = operations.any_request("POST", "/v2/{project_id}/training-jobs", body={"kind": "job"})
PLAIN = operations.any_request("GET", "/v2/health")


class Clock:
    """Clock that stands still until a pause advances it."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return self.time


def settings(**fields):
    """Return settings with a key that no other test has, so that tests share no session."""
    key = AccessKey(f"AK{uuid4().hex}", SECRET, TOKEN)
    return Settings(**{"credentials": key, "region": "cn-north-4", "project_id": "p1", **fields})


def response(status, body=None, **headers):
    """Return a response."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def failure(status, code, **headers):
    """Return an error response."""
    return response(status, {"error_code": code, "error_msg": "no"}, **headers)


def drive(flow, replies, clock, steps):
    """Drive an exchange as a client with an access key does, with a clock that pauses advance.

    A reply may be a function of the request.
    """
    remaining = iter(replies)
    try:
        step = next(flow)
        while True:
            if isinstance(step, Reload):
                step = flow.send(None)
                continue
            steps.append(step)
            if isinstance(step, Pause):
                clock.time += step.seconds
                step = flow.send(None)
            else:
                reply = next(remaining)
                step = flow.send(reply(step) if callable(reply) else reply)
    except StopIteration as end:
        assert list(remaining) == []
        return end.value


def call(request, *replies, steps=None, **fields):
    """Return the value of a call; its steps are appended to ``steps``."""
    clock, ours = Clock(), settings(**fields)
    steps = [] if steps is None else steps
    return drive(exchange(request, Caller(ours), Runtime(clock, lambda: 0.5)), replies, clock, steps)


def find_project(ours, *replies, steps=None):
    """Return the project id for settings."""
    clock = Clock()
    flow = find_project_id(Caller(ours), Runtime(clock, lambda: 0.5))
    return drive(flow, replies, clock, [] if steps is None else steps)


def sent(steps):
    """Return the requests among steps."""
    return [step for step in steps if isinstance(step, Send)]


def pauses(steps):
    """Return the seconds of the pauses among steps."""
    return [step.seconds for step in steps if isinstance(step, Pause)]


def test_call_that_succeeds():
    """A good response is read after one request."""
    steps = []

    assert call(GET, response(200, {"quotas": []}), steps=steps) == {"quotas": []}
    assert len(steps) == 1


def test_call_value_is_read_by_its_request():
    """The request of a call reads the value from the response."""
    assert call(operations.search_training_jobs(), response(200, {"total": 7, "items": []})).total == 7


def test_call_url():
    """The URL holds the project id and the query."""
    steps = []

    call(GET, response(200), steps=steps)

    assert sent(steps)[0].method == "GET"
    assert sent(steps)[0].url == "https://modelarts.cn-north-4.myhuaweicloud.com/v2/p1/training-quotas?resource=job-num"


def test_call_url_is_encoded():
    """Special characters in path and query are encoded."""
    steps = []

    call(operations.any_request("GET", "/v2/a b/一", {"x y": "&="}), response(200), steps=steps)

    assert urlsplit(sent(steps)[0].url)[2:4] == ("/v2/a%20b/%E4%B8%80", "x%20y=%26%3D")


@pytest.mark.parametrize(
    ("endpoint", "url", "host"),
    [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/v2/health", "127.0.0.1:9000"),
        ("https://gw.example.com/modelarts/", "https://gw.example.com/modelarts/v2/health", "gw.example.com"),
    ],
)
def test_call_with_a_custom_endpoint(endpoint, url, host):
    """An endpoint may have a port and a path, and the Host header matches it."""
    steps = []

    call(PLAIN, response(200), steps=steps, endpoint=endpoint)

    assert (sent(steps)[0].url, sent(steps)[0].headers["Host"]) == (url, host)


def test_call_headers():
    """The request names its sender, content type and project."""
    steps = []

    call(POST, response(201, {}), steps=steps)

    (send,) = sent(steps)
    assert send.headers.keys() == {
        "Host",
        "Content-Type",
        "User-Agent",
        "X-Project-Id",
        "X-Sdk-Date",
        "X-Security-Token",
        "Authorization",
    }
    assert send.headers["Content-Type"] == "application/json"
    assert send.headers["User-Agent"] == USER_AGENT
    assert send.headers["X-Project-Id"] == "p1"
    assert send.headers["X-Sdk-Date"] == "20240102T030405Z"
    assert send.headers["X-Security-Token"] == TOKEN
    assert send.body == b'{"kind": "job"}'


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9000", "https://gw.example.com/modelarts"])
@pytest.mark.parametrize(
    "request_",
    [
        GET,
        POST,
        PLAIN,
        operations.any_request("GET", "/v2/{project_id}/a b/一", {"b": "x y", "a": "&="}),
        operations.list_trials_page("job-1", limit=50, offset=1),
    ],
    ids=["GET", "POST", "plain", "odd", "trials"],
)
def test_call_signature_matches_the_request(request_, endpoint):
    """The vendor's signer computes the same signature for the URL, headers and body of the request."""
    steps = []
    with pytest.raises(ModelArtsAuthenticationError):
        call(request_, failure(401, "APIGW.0301"), steps=steps, endpoint=endpoint)

    (send,) = sent(steps)
    url = urlsplit(send.url)
    headers = {name: value for name, value in send.headers.items() if name != "Authorization"}
    access_key = send.headers["Authorization"].partition("Access=")[2].partition(",")[0]
    vendor = vendor_signed(access_key, SECRET, send.method, url.path, parse_qsl(url.query), headers, send.body)
    assert send.headers["Authorization"] == vendor.header_params["Authorization"]
    assert headers["Host"] == url.netloc


def test_call_without_project_in_its_path():
    """An operation without a project requires no project id and sends none."""
    steps = []

    call(PLAIN, response(200), steps=steps, project_id=None)

    assert len(steps) == 1
    assert "X-Project-Id" not in sent(steps)[0].headers


def test_call_that_succeeds_at_the_third_attempt():
    """Server errors are retried, after pauses that double."""
    steps = []

    value = call(GET, failure(503, "ModelArts.4302"), failure(500, "ModelArts.2950"), response(200, "ok"), steps=steps)

    assert value == "ok"
    assert [type(step) for step in steps] == [Send, Pause, Send, Pause, Send]
    assert pauses(steps) == [0.375, 0.75]


def test_call_is_signed_anew_for_each_attempt():
    """Each attempt has its own date and signature, because a signature expires within minutes."""
    steps = []

    call(GET, failure(503, "X.1", retry_after="60"), response(200), steps=steps)

    first, second = sent(steps)
    assert (first.headers["X-Sdk-Date"], second.headers["X-Sdk-Date"]) == ("20240102T030405Z", "20240102T030505Z")
    assert first.headers["Authorization"] != second.headers["Authorization"]
    assert first.url == second.url


def test_call_pause_holds_its_error():
    """A pause holds its cause, so that a driver can log it."""
    steps = []

    call(GET, failure(429, "APIGW.0308", retry_after="7"), response(200), steps=steps)

    assert pauses(steps) == [7.0]
    assert isinstance(steps[1].error, ModelArtsThrottledError)


def test_call_over_a_broken_connection():
    """A call is retried after its connection breaks."""
    steps = []

    assert call(GET, ModelArtsTransportError("reset"), response(200, "ok"), steps=steps) == "ok"
    assert len(sent(steps)) == 2


@pytest.mark.parametrize(
    ("request_", "reply", "cls"),
    [
        (GET, failure(401, "APIGW.0301"), ModelArtsAuthenticationError),
        (GET, failure(403, "ModelArts.0206"), ModelArtsAuthenticationError),
        (GET, failure(400, "ModelArts.2775"), ModelArtsNotFoundError),
        (GET, failure(409, "ModelArts.2796"), ModelArtsApiError),
        (GET, response(302, b"", location="https://evil.example.com/"), ModelArtsApiError),
        (GET, response(200, b"<html>Please log in</html>"), ModelArtsProtocolError),
        (GET, ModelArtsTransportError("certificate", temporary=False), ModelArtsTransportError),
        (POST, failure(503, "ModelArts.4302"), ModelArtsServerError),
        (POST, ModelArtsTransportError("reset"), ModelArtsTransportError),
        (
            operations.list_trials_page("job-1", limit=50, offset=0),
            response(200, {"items": []}),
            ModelArtsProtocolError,
        ),
    ],
)
def test_call_that_is_not_retried(request_, reply, cls):
    """A call is sent only once if a retry cannot help or may do harm."""
    steps = []

    with pytest.raises(cls):
        call(request_, reply, steps=steps)

    assert [type(step) for step in steps] == [Send]


def test_call_does_not_follow_a_redirect():
    """The target of a redirect receives no request, and so no credential."""
    steps = []

    with pytest.raises(ModelArtsApiError, match=r"redirect to 'https://evil\.example\.com/'"):
        call(GET, response(307, b"", location="https://evil.example.com/"), steps=steps)

    assert [urlsplit(send.url).netloc for send in sent(steps)] == ["modelarts.cn-north-4.myhuaweicloud.com"]


def test_call_out_of_retry_time():
    """The last error is raised when the time for retries is used up."""
    steps = []
    replies = [failure(500, f"X.{number}") for number in range(20)]

    with pytest.raises(ModelArtsServerError) as caught:
        call(GET, *replies, steps=steps, retry=RetryPolicy(first_delay=4.0, max_delay=4.0, total=10.0))

    assert pauses(steps) == [3.0, 3.0, 3.0]
    assert caught.value.code == "X.3"


def test_call_with_a_retry_after_beyond_the_total_time():
    """A Retry-After beyond the total time raises the error at once."""
    steps = []

    with pytest.raises(ModelArtsThrottledError):
        call(GET, failure(429, "APIGW.0308", retry_after="3600"), steps=steps)

    assert [type(step) for step in steps] == [Send]


def test_call_with_a_driver_that_returns_nothing():
    """A driver that returns no response is a programming error, not an error of the platform."""
    flow = exchange(GET, Caller(settings()), Runtime(Clock(), lambda: 0.5))
    next(flow)

    with pytest.raises(TypeError, match="the driver returned no response"):
        flow.send(None)


PROJECTS = {"projects": [{"id": "p-found", "name": "cn-north-4"}]}


def test_project_is_looked_up_first():
    """Without a project id, IAM is queried before the call is sent."""
    steps = []

    call(GET, response(200, PROJECTS), response(200), steps=steps, project_id=None)

    lookup, request = sent(steps)
    assert lookup.url == "https://iam.cn-north-4.myhuaweicloud.com/v3/projects?name=cn-north-4"
    assert "X-Project-Id" not in lookup.headers
    assert "/v2/p-found/" in request.url
    assert request.headers["X-Project-Id"] == "p-found"


def test_project_is_looked_up_once():
    """A project id from IAM is remembered for its key and region."""
    ours, steps = settings(project_id=None), []

    first = find_project(ours, response(200, PROJECTS), steps=steps)
    second = find_project(ours, steps=steps)

    assert (first, second) == ("p-found", "p-found")
    assert len(steps) == 1


@pytest.mark.parametrize(
    "other", [{"region": "cn-east-3"}, {"iam_endpoint": "http://127.0.0.1:9000"}, {"credentials": None}]
)
def test_project_is_looked_up_for_each_key_region_and_endpoint(other):
    """A project id is not shared with another key, region or IAM."""
    ours = settings(project_id=None)
    find_project(ours, response(200, PROJECTS))
    fields = {"credentials": ours.credentials, "project_id": None, **other}
    theirs = settings(**{name: value for name, value in fields.items() if name != "credentials" or value})
    projects = {"projects": [{"id": "p-other", "name": theirs.region}]}

    assert find_project(theirs, response(200, projects)) == "p-other"


def test_project_is_looked_up_for_each_region_of_one_endpoint():
    """Regions that share an IAM have projects of their own."""
    ours = settings(project_id=None, iam_endpoint="http://127.0.0.1:9000")
    theirs = replace(ours, region="cn-east-3")
    find_project(ours, response(200, PROJECTS))
    projects = {"projects": [{"id": "p-other", "name": "cn-east-3"}]}

    assert find_project(theirs, response(200, projects)) == "p-other"


def test_project_that_is_set_is_not_looked_up():
    """A configured project id requires no request to IAM."""
    assert find_project(settings(project_id="p9")) == "p9"


def test_project_lookup_that_fails_is_not_remembered():
    """After a failed lookup, the next call queries IAM again."""
    ours = settings(project_id=None)
    with pytest.raises(ModelArtsConfigurationError, match="set project_id"):
        find_project(ours, response(200, {"projects": []}))

    assert find_project(ours, response(200, PROJECTS)) == "p-found"


def test_project_lookup_is_retried_like_any_call():
    """A lookup is retried after a server error of IAM."""
    steps = []

    call(GET, failure(503, "X.1"), response(200, PROJECTS), response(200), steps=steps, project_id=None)

    assert [type(step) for step in steps] == [Send, Pause, Send, Send]


def test_project_lookup_with_a_refused_key():
    """A key that IAM refuses is sent once, and nothing is sent to ModelArts."""
    steps = []

    with pytest.raises(ModelArtsAuthenticationError, match="GET /v3/projects: HTTP 401"):
        call(GET, failure(401, "IAM.0062"), steps=steps, project_id=None)

    assert len(steps) == 1


def leaks(error, steps):
    """Return the secrets that an error shows."""
    signatures = [send.headers["Authorization"].rpartition("Signature=")[2] for send in sent(steps)]
    assert all(len(signature) == 64 for signature in signatures)
    seen = f"{error} {error!r} {error.args} {json.dumps(error_to_dict(error))}"
    return [secret for secret in [SECRET, TOKEN, *signatures] if secret in seen]


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (GET, failure(401, "APIGW.0301")),
        (GET, failure(403, "ModelArts.0108", x_request_id="r-1")),
        (GET, failure(400, "ModelArts.2775")),
        (POST, failure(500, "ModelArts.2950")),
        (GET, response(302, b"", location="https://evil.example.com/")),
        (GET, response(200, b"<html>Please log in</html>")),
        (POST, response(502, b"<html>Bad Gateway</html>")),
        (POST, ModelArtsTransportError("reset")),
        (operations.list_trials_page("job-1", limit=50, offset=0), response(200, [])),
    ],
)
def test_error_shows_no_secret(request_, reply):
    """No error shows the secret key, the token or a signature."""
    steps = []

    with pytest.raises(ModelArtsError) as caught:
        call(request_, reply, steps=steps)

    assert leaks(caught.value, steps) == []


@pytest.mark.parametrize("status", [200, 401, 502])
def test_error_with_echoed_headers_shows_no_secret(status):
    """An error does not show the headers that the debug page of a proxy echoes."""
    steps = []

    def echo(send):
        return response(status, f"Debug: {TOKEN} {send.headers['Authorization'].rpartition('Signature=')[2]}".encode())

    with pytest.raises(ModelArtsError) as caught:
        call(GET, echo, steps=steps, retry=RetryPolicy(total=0))

    assert leaks(caught.value, steps) == []


def test_error_with_an_escaped_token_shows_no_secret():
    """An error does not show an echoed token whose slashes are escaped in JSON."""
    key = AccessKey("AK", SECRET, "hidden/security/token==")
    echo = rb'{"error_code": "X.1", "error_msg": "refused: hidden\/security\/token=="}'

    with pytest.raises(ModelArtsApiError) as caught:
        call(POST, response(401, echo), credentials=key)

    assert "hidden/security/token" not in str(caught.value)


def test_value_that_contains_a_secret_is_unchanged():
    """The value of a good response is not masked, even if a short secret of a test server occurs in it."""
    value = {"learning_rate": 0.1, "optimizer": "adam"}

    assert call(GET, response(200, value), credentials=AccessKey("AK", "adam", "rate")) == value


def test_send_repr_shows_no_secret():
    """The repr of a request shows its path, but no credential."""
    steps = []

    call(GET, response(200), steps=steps)

    signature = sent(steps)[0].headers["Authorization"].rpartition("Signature=")[2]
    assert "training-quotas" in repr(steps[0])
    assert [secret for secret in (SECRET, TOKEN, signature) if secret in repr(steps[0])] == []
