"""Agreement of both clients: equal responses lead to equal requests and equal results."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integration.clients.scripted_server import Response, scripted_server
from unit.builders import quick

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.api.settings import read_connection
from airflow_provider_modelarts.async_client import AsyncModelArtsClient
from airflow_provider_modelarts.client import ModelArtsClient
from airflow_provider_modelarts.exceptions import ModelArtsError

#: Retries follow at once, and neither client gives up because its total time is over.
QUICK_RETRY = RetryPolicy(first_delay=0.0001, max_delay=0.0001, total=60)

# a short list, so that a script often holds a response that the request can use
STATUSES = (
    200,
    200,
    200,
    201,
    202,
    204,
    206,
    301,
    302,
    304,
    307,
    400,
    401,
    403,
    404,
    408,
    409,
    429,
    500,
    502,
    503,
    599,
)
CODES = ("ModelArts.2775", "ModelArts.2755", "ModelArts.2815", "ModelArts.0206", "APIGW.0101", "APIGW.0301", "X")

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
texts = st.text(max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
tables = st.builds(
    lambda ids, total: {
        "total": total,
        "items": {"header": ["trial_id", "status", "config"], "data": [[one, "RUNNING", {}] for one in ids]},
    },
    st.lists(st.sampled_from("abcdef"), max_size=4),
    st.integers(0, 5),
)
jobs = st.builds(lambda phase: {"metadata": {"id": "job-1"}, "status": {"phase": phase}}, texts)
refusals = st.builds(
    lambda names, code, message: {names[0]: code, names[1]: message},
    st.sampled_from([("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message"), ("error", "msg")]),
    st.sampled_from(CODES),
    texts,
)
bodies = (tables | jobs | refusals | json_values).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)

headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(
            ["application/json", "text/html; charset=gbk", "application/json;charset=utf8"]
        ),
        "X-Request-Id": words,
        "x-iam-trace-id": words,
        "RETRY-AFTER": st.sampled_from(["0", "999", "-1", "0.5", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"]),
        "Location": words | st.sampled_from(["http://[::1", "//host:port/", "https://elsewhere.example.com/x y"]),
        "Set-Cookie": words.map("session={}; Path=/".format),
        "WWW-Authenticate": st.just('Basic realm="here"'),
    },
)
cuts = st.sampled_from([0, 0, 0, 0, 0, 1, 3, None])


def compressed(response: Response) -> Response:
    """Return the response with a compressed body."""
    return replace(
        response, headers={**response.headers, "Content-Encoding": "gzip"}, body=gzip.compress(response.body)
    )


responses = st.builds(Response, st.sampled_from(STATUSES), headers, bodies, cuts)
responses |= responses.map(compressed)
scripts = st.lists(responses, max_size=4)


@dataclass(frozen=True)
class Call:
    """Call of a method that both clients have."""

    method: str
    arguments: tuple[Any, ...] = ()


queries = st.none() | st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=3)
calls = st.one_of(
    st.builds(lambda path, query: Call("request", ("GET", f"/v2/{path}", query)), texts.map(repr), queries).filter(
        lambda call: not {"..", "?"} & {*call.arguments[1].split("/"), *call.arguments[1]}
    ),
    st.builds(lambda body: Call("request", ("POST", "/v2/{project_id}/x", None, body)), st.just({"a": ["é", 1]})),
    st.sampled_from(
        [
            Call("get_training_job", ("job-1",)),
            Call("list_trials", ("job-1",)),
            Call("get_trial", ("job-1", "t1")),
            Call("stop_trial", ("job-1", "t1")),
            Call("get_parameter_importance", ("job-1",)),
            Call("stop_training_job", ("job-1",)),
            Call("create_training_job", ({"kind": "job"},)),
            Call("get_algorithm", ("a1",)),
            Call("search_training_jobs"),
        ]
    ),
)


@pytest.fixture(scope="module", name="server")
def _server():
    with scripted_server() as server:
        yield server


async def _awaited(client, call):
    async with client:
        return await getattr(client, call.method)(*call.arguments)


def outcome(settings, client_class, call):
    """Return the value of a call, or class and text of its error."""
    try:
        client = client_class(settings)
        if inspect.iscoroutinefunction(getattr(client, call.method)):
            return repr(asyncio.run(_awaited(client, call)))
        with client:
            return repr(getattr(client, call.method)(*call.arguments))
    except ModelArtsError as error:
        # the reason of a lost connection is worded by the HTTP library
        return type(error), str(error).partition("no response: ")[0], getattr(error, "temporary", None)


def outcomes_of_both(server, script, call, **extra):
    """Return outcome and requests of the synchronous and of the asynchronous client."""
    extra = {"region": "cn-north-4", "endpoint": server.endpoint, "iam_endpoint": server.endpoint, **extra}
    extra["verify"] = False
    outcomes = []
    for client_class in (ModelArtsClient, AsyncModelArtsClient):
        settings = read_connection(login="AK", password="SK", host=None, port=None, extra=extra)
        server.begin(script)
        outcomes.append((outcome(replace(settings, retry=QUICK_RETRY), client_class, call), server.requests))
    return outcomes


@quick
@given(script=scripts, call=calls)
def test_clients_agree_on_every_exchange(server, script, call):
    """Equal responses give the same value or error after the same requests, even if they are malformed or cut off."""
    synchronous, asynchronous = outcomes_of_both(server, script, call, project_id="p1")

    assert asynchronous == synchronous


_numbers: Callable[[], int] = iter(range(10**9)).__next__


@quick
@given(script=scripts)
def test_clients_agree_on_looking_up_the_project(server, script):
    """Equal responses of IAM lead to equal requests, and to the same outcome of the call that looks up the project."""
    region = f"region-{_numbers()}"
    known = Response(body=json.dumps({"projects": [{"id": "p1", "name": region}]}).encode())
    outcomes = []
    for number, client_class in enumerate([ModelArtsClient, AsyncModelArtsClient]):
        extra = {"region": region, "endpoint": server.endpoint, "iam_endpoint": server.endpoint, "verify": False}
        # an access key per client, because a project id is looked up only once per key
        settings = read_connection(login=f"AK{number}", password="SK", host=None, port=None, extra=extra)
        server.begin([*script, known])
        call = Call("get_training_job", ("job-1",))
        outcomes.append((outcome(replace(settings, retry=QUICK_RETRY), client_class, call), server.requests))

    assert outcomes[0] == outcomes[1]
