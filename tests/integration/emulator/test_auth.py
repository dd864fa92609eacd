"""Authentication of requests that are signed by the vendor's signer, and changed afterwards."""

from __future__ import annotations

import time

import pytest
from integration.emulator.wire import send, send_raw

from modelarts_emulator import AccessKey

PROJECTS = "/v3/projects"
SEARCHES = "/v2/{p}/training-job-searches"
REASON = "Incorrect IAM authentication information: "
BAD_SIGNATURE = "verify aksk signature fail"


class Clock:
    """Clock that a test sets."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now


def reason(response):
    """Return the reason of the gateway's refusal, after a check of its shape."""
    assert response.refusal == (401, "APIGW.0301")
    message = response.json["error_msg"]
    assert message.startswith(REASON)
    assert response.json["request_id"] == response.headers["x-request-id"]
    return message.removeprefix(REASON)


GOOD = {
    "GET": ("GET", PROJECTS, (), ""),
    "query": ("GET", PROJECTS, (("name", "cn-north-4"), ("limit", "1"), ("blank", "")), ""),
    "query that requires encoding": ("GET", PROJECTS, (("path", "/a b+c"), ("text", "一 (&=?!#%.*)"), ("a", "~")), ""),
    "path that requires encoding": ("GET", "/v2/{p}/training-jobs/a%20b", (), ""),
    "POST": ("POST", SEARCHES, (), '{"limit": 1}'),
    "POST of umlauts": ("POST", SEARCHES, (), '{"filters": [{"key": "name", "operator": "like", "value": ["ü"]}]}'),
}


@pytest.mark.parametrize(("method", "path", "query", "body"), GOOD.values(), ids=GOOD)
def test_good_signature_is_accepted(modelarts_emulator, method, path, query, body):
    """Every request that the vendor signs is accepted, with any encoding of path, query and body."""
    assert send(modelarts_emulator, method, path, query, body).status != 401


def test_query_may_be_sent_in_another_order(modelarts_emulator):
    """The signature covers the sorted query; the sent query may have any order."""

    def turn(request):
        path, _, query = request.uri.partition("?")
        request.uri = f"{path}?{'&'.join(reversed(query.split('&')))}"

    assert send(modelarts_emulator, "GET", PROJECTS, [("a", "1"), ("b", "2")], change=turn).status == 200


def without(name):
    """Return a change that removes a header."""
    return lambda request: request.header_params.pop(name)


def authorization(old, new):
    """Return a change to the Authorization header."""

    def change(request):
        request.header_params["Authorization"] = request.header_params["Authorization"].replace(old, new)

    return change


def attribute(name, value):
    """Return a change to an attribute of the request."""
    return lambda request: setattr(request, name, value)


CHANGED = {
    "no authorization": (without("Authorization"), "x-auth-token not found"),
    "another scheme": (authorization("SDK-HMAC-SHA256", "Basic"), "authorization header format error"),
    "unknown key": (authorization("EMULATOR", "STRANGER"), "ak STRANGERACCESSKEY000 not exist"),
    "no date": (without("X-Sdk-Date"), "signed header x-sdk-date not found"),
    "date of another format": (lambda r: r.header_params.update({"X-Sdk-Date": "today"}), "x-sdk-date format error"),
    "date not signed": (authorization(";x-sdk-date", ""), "signed header x-sdk-date not found"),
    "host not signed": (authorization(";host", ""), "signed header host not found"),
    "signed header missing": (without("X-Project-Id"), "signed header x-project-id not found"),
    "signed header changed": (lambda r: r.header_params.update({"X-Project-Id": "other"}), BAD_SIGNATURE),
    "header no longer signed": (authorization(";x-project-id", ""), BAD_SIGNATURE),
    "another signature": (authorization("Signature=", "Signature=00"), BAD_SIGNATURE),
    "another body": (attribute("body", b'{"limit": 2}'), BAD_SIGNATURE),
    "no body": (attribute("body", b""), BAD_SIGNATURE),
    "another query": (lambda r: setattr(r, "uri", r.uri.replace("limit=1", "limit=2")), BAD_SIGNATURE),
    "more query": (lambda r: setattr(r, "uri", r.uri + "&more=1"), BAD_SIGNATURE),
    "another path": (lambda r: setattr(r, "uri", r.uri.replace("/v2/e0", "/v2/e1")), BAD_SIGNATURE),
    "token of a permanent key": (lambda r: r.header_params.update({"X-Security-Token": "t"}), "decrypt token fail"),
}


@pytest.mark.parametrize(("change", "words"), CHANGED.values(), ids=CHANGED)
def test_request_changed_after_signing_is_refused(modelarts_emulator, change, words):
    """Every change after signing is refused, with the gateway's message."""
    headers = {"X-Project-Id": modelarts_emulator.project_id}

    response = send(
        modelarts_emulator, "POST", SEARCHES, [("limit", "1")], '{"limit": 1}', headers=headers, change=change
    )

    assert reason(response) == words


def test_wrong_secret_is_refused(modelarts_emulator):
    """The access key id is known, and the secret is wrong."""
    assert reason(send(modelarts_emulator, "GET", PROJECTS, secret="wrong")) == BAD_SIGNATURE


@pytest.mark.parametrize(("minutes", "status"), [(-16, 401), (-14, 200), (14, 200), (16, 401)])
def test_date_may_be_off_by_a_quarter_of_an_hour(modelarts_emulator_factory, minutes, status):
    """A date that is off by more is refused."""
    clock = Clock()
    with modelarts_emulator_factory(clock=clock) as emulator:
        response = send(emulator, "GET", PROJECTS, at=clock.now + 60 * minutes)

    assert response.status == status
    if status == 401:
        assert reason(response) == "signature expired"


TOKENS = {
    "sent": ({"X-Security-Token": "temporary=="}, None, None),
    "missing": ({}, None, "x-security-token not found"),
    "another": ({"X-Security-Token": "other"}, None, "decrypt token fail"),
    "not signed": ({"X-Security-Token": "temporary=="}, authorization(";x-security-token", ""), BAD_SIGNATURE),
}


@pytest.mark.parametrize(("headers", "change", "words"), TOKENS.values(), ids=TOKENS)
def test_temporary_key_requires_its_token(modelarts_emulator_factory, headers, change, words):
    """The token of a temporary key must be sent, be the right one, and be signed."""
    with modelarts_emulator_factory(key=AccessKey("TEMPORARY", "secret", "temporary==")) as emulator:
        response = send(emulator, "GET", PROJECTS, headers=headers, change=change or (lambda request: None))

    assert response.status == 200 if words is None else reason(response) == words


def test_five_bad_signatures_lock_the_key_for_five_minutes(modelarts_emulator_factory):
    """The sixth request is refused although its signature is good; five minutes later it is accepted."""
    clock = Clock()
    with modelarts_emulator_factory(clock=clock) as emulator:
        reasons = [reason(send(emulator, "GET", PROJECTS, secret="wrong", at=clock.now)) for _ in range(5)]
        locked = reason(send(emulator, "GET", PROJECTS, at=clock.now))
        clock.now += 5 * 60
        later = [send(emulator, "GET", PROJECTS, secret=secret, at=clock.now).status for secret in ("wrong", None)]

    assert reasons == [BAD_SIGNATURE] * 5
    assert locked == "AK access failed to reach the limit, forbidden"
    assert later == [401, 200]


def test_good_signature_starts_the_count_anew(modelarts_emulator):
    """Only five bad signatures in a row lock the key."""
    secrets = ["wrong"] * 4 + [None] + ["wrong"] * 4 + [None]

    statuses = [send(modelarts_emulator, "GET", PROJECTS, secret=secret).status for secret in secrets]

    assert statuses == [401] * 4 + [200] + [401] * 4 + [200]


def test_other_refusals_do_not_lock(modelarts_emulator):
    """An expired date is not a bad signature."""
    for _ in range(6):
        send(modelarts_emulator, "GET", PROJECTS, at=0)

    assert send(modelarts_emulator, "GET", PROJECTS).status == 200


def test_unsigned_request_is_refused_first(modelarts_emulator):
    """Authentication comes before every other check."""
    response = send_raw(modelarts_emulator, "GET", "/v2/other-project/training-jobs/no-such-job")

    assert reason(response) == "x-auth-token not found"


def test_secrets_are_not_logged(modelarts_emulator, caplog):
    """Access key, secret and signature are neither in a log nor in the record of requests."""
    caplog.set_level("DEBUG")

    send(modelarts_emulator, "GET", PROJECTS)
    send(modelarts_emulator, "GET", PROJECTS, secret="wrong")
    send(modelarts_emulator, "GET", "/v2/{p}/nowhere")

    recorded = caplog.text + repr(modelarts_emulator.requests)
    for secret in (modelarts_emulator.access_key, modelarts_emulator.secret_key, "Signature", "SDK-HMAC"):
        assert secret not in recorded
