"""Session of one caller: project id, credential and refusals."""

from __future__ import annotations

import dataclasses

import pytest

from airflow_provider_modelarts.api.credentials import Issued, PasswordLogin, Token
from airflow_provider_modelarts.api.responses import Response
from airflow_provider_modelarts.api.session import Session, known_project_id, session_of
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsTransportError

KEY = Settings(credentials=AccessKey("AK", "SK"), region="cn-north-4", project_id="p")
REFUSAL = Response(401, body=b"no")


@pytest.mark.parametrize(
    ("reply", "is_proven"),
    [
        (Response(200), True),
        (Response(400), True),
        (Response(403), True),
        (Response(429), False),
        (Response(503), False),
        (REFUSAL, False),
        (ModelArtsTransportError("reset"), False),
    ],
)
def test_key_is_proven_once_its_signature_was_checked(reply, is_proven):
    """A response that may precede the check of the signature does not prove the key."""
    session = Session(stays_good=True)

    session.learn(reply, now=0)

    assert session.is_proven is is_proven


def test_refusal_is_remembered_for_a_minute():
    """A refusal is returned for a minute, marked as repeated."""
    session = Session(stays_good=True)
    session.learn(REFUSAL, now=100)
    remembered = dataclasses.replace(REFUSAL, is_repeated=True)

    assert [session.refusal(now) for now in (100, 159, 160)] == [remembered, remembered, None]


def test_repeated_refusal_does_not_prolong_the_minute():
    """A repeated refusal does not extend the minute of the first one."""
    session = Session(stays_good=True)
    session.learn(REFUSAL, now=100)
    session.learn(session.refusal(150), now=150)

    assert session.refusal(160) is None


@pytest.mark.parametrize(("stays_good", "is_remembered"), [(True, False), (False, True)])
def test_refusal_of_a_proven_credential(stays_good, is_remembered):
    """A refused password is remembered, because it may have been changed; a refused proven key is not."""
    session = Session(stays_good=stays_good)
    session.learn(Response(200), now=0)
    session.learn(REFUSAL, now=1)

    assert (session.refusal(2) is not None) is is_remembered


@pytest.mark.parametrize(
    ("now", "is_fresh", "is_valid"), [(0, True, True), (74, True, True), (75, False, True), (100, False, False)]
)
def test_credential_is_fresh_until_renewal_and_valid_until_expiry(now, is_fresh, is_valid):
    """A credential is fresh for three quarters of its lifetime, and valid for all of it."""
    token, session = Token("t"), Session(stays_good=False)
    session.keep(Issued.of(token, lifetime=100, now=0))

    assert session.fresh(now) == (token if is_fresh else None)
    assert session.valid(None, now) == (token if is_valid else None)


def test_refused_credential_is_fresh_for_no_caller():
    """Every caller alike joins the renewal, until it replaces the credential."""
    old, new, session = Token("old"), Token("new"), Session(stays_good=False)
    session.keep(Issued.of(old, 100, 0))

    session.refuse(old)
    refused = session.fresh(1)
    session.keep(Issued.of(new, 100, 0))

    assert (refused, session.fresh(1)) == (None, new)


def test_late_refusal_leaves_the_new_credential():
    """The response to a request with the old credential may arrive after the renewal."""
    old, new, session = Token("old"), Token("new"), Session(stays_good=False)
    session.keep(Issued.of(new, 100, 0))

    session.refuse(old)

    assert session.fresh(1) == new


def test_refused_credential_stays_valid_for_the_other_callers():
    """During an outage of IAM, a caller that was not refused keeps it."""
    token, session = Token("t"), Session(stays_good=False)
    session.keep(Issued.of(token, 100, 0))
    session.refuse(token)

    assert (session.valid(token, 1), session.valid(None, 1)) == (None, token)


@pytest.mark.parametrize(
    "other",
    [
        {"credentials": AccessKey("AK", "corrected")},
        {"credentials": PasswordLogin("user", "SK", "account")},
        {"endpoint": "https://host.example.com"},
        {"iam_endpoint": "https://iam.example.com"},
        {"project_id": "q"},
        {"project_id": None},
        {"project_id": None, "region": "cn-east-3"},
    ],
)
def test_other_caller_has_a_session_of_its_own(other):
    """Callers that differ in credentials, endpoint, project or region share neither tokens nor refusals."""
    assert session_of(dataclasses.replace(KEY, **other)) is not session_of(KEY)


def test_timeouts_do_not_make_another_caller():
    """Timeouts do not identify a caller, because the platform does not see them."""
    assert session_of(dataclasses.replace(KEY, read_timeout=1.0)) is session_of(KEY)


def test_project_id_of_the_settings_takes_precedence():
    """A configured project id takes precedence over the one of the session."""
    settings = dataclasses.replace(KEY, credentials=AccessKey("AK-project", "SK"), project_id=None)
    session_of(settings).project_id = "found"

    assert known_project_id(settings) == "found"
    assert known_project_id(dataclasses.replace(settings, project_id="set")) == "set"
