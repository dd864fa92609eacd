"""Credentials of an exchange: login, renewal, and one other credential after a refusal; driven by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from airflow_provider_modelarts.api import operations
from airflow_provider_modelarts.api.credentials import Issued, PasswordLogin, Token
from airflow_provider_modelarts.api.exchange import Caller, Login, Mask, Pause, Reload, Runtime, Send, exchange
from airflow_provider_modelarts.api.login import login
from airflow_provider_modelarts.api.responses import Response
from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.api.session import known_project_id, session_of
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsServerError,
    ModelArtsTransportError,
)

NOW = 1_700_000_000.0
RUNTIME = Runtime(lambda: NOW, lambda: 0.5)
GET = operations.any_request("GET", "/v2/{project_id}/training-quotas")
OLD, NEW = Token("old-token"), Token("new-token")
GOOD = Response(200, body=b'"ok"')
REFUSED = Response(401, body=b'{"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information"}')
OUTAGE = ModelArtsServerError("busy", status=503, code="503")
WRONG_PASSWORD = ModelArtsAuthenticationError("wrong password", status=401, code="IAM.0001")


def settings(**fields):
    """Return settings of an IAM user that no other test has, so that tests share no session."""
    user = PasswordLogin(f"user-{uuid4().hex}", "password", "account")
    return Settings(
        **{"credentials": user, "region": "cn-north-4", "project_id": "p", "retry": RetryPolicy(total=0), **fields}
    )


def run(caller, *replies, request=GET):
    """Run an exchange, and return its value and steps. An exception among the replies is thrown in."""
    steps, remaining = [], list(replies)
    flow = exchange(request, caller, RUNTIME)
    step = next(flow)
    try:
        while True:
            steps.append(step)
            reply = remaining.pop(0)
            is_thrown = isinstance(reply, Exception) and not isinstance(reply, ModelArtsTransportError)
            step = flow.throw(reply) if is_thrown else flow.send(reply)
    except StopIteration as end:
        assert remaining == []
        return end.value, steps


def kinds(steps):
    """Return the types of steps."""
    return [type(step) for step in steps]


def tokens(steps) -> Iterator[str]:
    """Yield the token of each request."""
    return (step.headers["X-Auth-Token"] for step in steps if isinstance(step, Send))


def holding(token, ours, lifetime=3600.0, age=0.0):
    """Return settings whose session holds a token."""
    session_of(ours).keep(Issued.of(token, lifetime, NOW - age))
    return ours


def test_first_call_logs_in():
    """The request carries the token of the login."""
    value, steps = run(Caller(settings()), NEW, GOOD)

    assert (value, kinds(steps), list(tokens(steps))) == ("ok", [Login, Send], ["new-token"])


def test_call_with_a_fresh_token_does_not_log_in():
    """Calls with the same settings share the token of the session."""
    _, steps = run(Caller(holding(OLD, settings())), GOOD)

    assert (kinds(steps), list(tokens(steps))) == ([Send], ["old-token"])


def test_token_that_is_due_for_renewal_is_renewed():
    """A token is renewed once three quarters of its lifetime have passed."""
    _, steps = run(Caller(holding(OLD, settings(), lifetime=100, age=80)), NEW, GOOD)

    assert (kinds(steps), list(tokens(steps))) == ([Login, Send], ["new-token"])


def test_renewal_during_an_outage_keeps_the_valid_token():
    """A failed renewal keeps the old token while that is valid."""
    _, steps = run(Caller(holding(OLD, settings(), lifetime=100, age=80)), OUTAGE, GOOD)

    assert list(tokens(steps)) == ["old-token"]


def test_renewal_during_an_outage_fails_with_an_expired_token():
    """A failed renewal of an expired token raises the error of the login."""
    with pytest.raises(ModelArtsServerError, match="busy"):
        run(Caller(holding(OLD, settings(), lifetime=100, age=100)), OUTAGE)


def test_refused_token_is_replaced_once():
    """The request is sent again with the token of a new login after a refusal."""
    ours = holding(OLD, settings())
    caller = Caller(ours)
    flow = exchange(GET, caller, RUNTIME)
    next(flow)

    renewal = flow.send(REFUSED)
    session_of(ours).keep(Issued.of(NEW, 3600, NOW))  # as the driver's login does
    resent = flow.send(NEW)

    assert isinstance(renewal, Login)
    assert session_of(ours).fresh(NOW) == NEW
    assert resent.headers["X-Auth-Token"] == "new-token"


def test_login_that_returns_the_refused_token_fails_with_the_refusal():
    """A login that returns the refused token again raises the refusal."""
    with pytest.raises(ModelArtsAuthenticationError, match="Incorrect IAM"):
        run(Caller(holding(OLD, settings())), REFUSED, OLD, None)


def test_wrong_password_is_replaced_by_that_of_an_edited_connection():
    """A failed login reloads the settings and succeeds with the edited ones."""
    ours = settings()
    edited = replace(ours, credentials=replace(ours.credentials, password="new"))
    caller = Caller(ours)

    _, steps = run(caller, WRONG_PASSWORD, edited, NEW, GOOD)

    assert kinds(steps) == [Login, Reload, Login, Send]
    assert steps[2].settings == caller.settings == edited


def test_wrong_password_fails_when_the_connection_is_unchanged():
    """A wrong password is sent once, and its error has no context."""
    with pytest.raises(ModelArtsAuthenticationError, match="wrong password") as raised:
        run(Caller(settings()), WRONG_PASSWORD, None)

    assert raised.value.__context__ is None


def test_refused_key_is_sent_once_when_the_project_is_looked_up_too():
    """The call after a refused project lookup uses the reloaded key."""
    old = settings(credentials=AccessKey(f"AK-{uuid4().hex}", "old"), project_id=None)
    edited = replace(old, credentials=AccessKey("AK-edited", "new"))
    projects = Response(200, body=b'{"projects": [{"id": "found", "name": "cn-north-4"}]}')

    _, steps = run(Caller(old), REFUSED, edited, projects, GOOD)

    assert kinds(steps) == [Send, Reload, Send, Send]
    assert ["AK-edited" in step.headers["Authorization"] for step in steps if isinstance(step, Send)] == [
        False,
        True,
        True,
    ]


def test_edited_connection_replaces_only_the_credentials_of_a_call():
    """Endpoint and project are those of the first read: the project of another region is neither used nor kept."""
    old = settings(credentials=AccessKey(f"AK-{uuid4().hex}", "old"), project_id=None)
    edited = replace(old, credentials=AccessKey(f"AK-{uuid4().hex}", "new"), region="cn-east-3")
    projects = Response(200, body=b'{"projects": [{"id": "found", "name": "cn-north-4"}]}')

    _, steps = run(Caller(old), REFUSED, edited, projects, GOOD)

    assert "modelarts.cn-north-4." in steps[-1].url
    assert (known_project_id(old), known_project_id(edited)) == ("found", None)


def test_retry_policy_of_a_call_takes_precedence():
    """An urgent call is retried even if the settings allow no retry."""
    flow = exchange(GET, Caller(holding(OLD, settings())), RUNTIME, retry=RetryPolicy(first_delay=1.0))
    next(flow)

    assert isinstance(flow.send(Response(503, body=b"{}")), Pause)


def test_login_masks_the_token_before_the_session_holds_it():
    """The token is masked first, because another task may log it as soon as the session holds it."""
    ours = settings()
    issued = Response(
        201,
        {"x-subject-token": "new-token"},
        b'{"token": {"issued_at": "2023-11-14T00:00:00Z", "expires_at": "2023-11-15T00:00:00Z"}}',
    )
    flow = login(ours, RUNTIME)
    next(flow)

    mask = flow.send(issued)

    assert mask == Mask("new-token")
    assert session_of(ours).fresh(NOW) is None
    with pytest.raises(StopIteration) as end:
        flow.send(None)
    assert end.value.value == session_of(ours).fresh(NOW) == NEW


def test_login_that_another_thread_has_done_sends_nothing():
    """A login after that of another thread returns the token of the session without a request."""
    with pytest.raises(StopIteration) as end:
        next(login(holding(NEW, settings()), RUNTIME))

    assert end.value.value == NEW
