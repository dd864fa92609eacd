"""What is known of how the platform takes a sign-in."""

from __future__ import annotations

import dataclasses

import pytest

from airflow_provider_modelarts.api.credentials import PasswordLogin
from airflow_provider_modelarts.api.responses import Response
from airflow_provider_modelarts.api.session import Standing, standing_of
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsTransportError

KEY = Settings(credentials=AccessKey("AK", "SK"), region="cn-north-4", project_id="p")
REFUSAL = Response(401, body=b"no")


@pytest.mark.parametrize(
    ("reply", "is_good"),
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
def test_key_is_good_once_its_signature_was_checked(reply, is_good):
    """Whoever is throttled or meets a broken gateway may not have been looked at."""
    standing = Standing(may_change=False)

    standing.learn(reply, now=0)

    assert standing.is_good is is_good


def test_refusal_is_remembered_for_a_minute():
    """As an answer that came to another request."""
    standing = Standing(may_change=False)
    standing.learn(REFUSAL, now=100)
    remembered = dataclasses.replace(REFUSAL, is_repeated=True)

    assert [standing.refusal(now) for now in (100, 159, 160)] == [remembered, remembered, None]


def test_refusal_that_is_repeated_is_not_remembered_anew():
    """However often others are told, one tries again after the minute."""
    standing = Standing(may_change=False)
    standing.learn(REFUSAL, now=100)
    standing.learn(standing.refusal(150), now=150)

    assert standing.refusal(160) is None


@pytest.mark.parametrize(("may_change", "is_remembered"), [(False, False), (True, True)])
def test_refusal_of_what_was_good(may_change, is_remembered):
    """A password may have been changed. A key that was good is not locked by it, and the next call may succeed."""
    standing = Standing(may_change=may_change)
    standing.learn(Response(200), now=0)
    standing.learn(REFUSAL, now=1)

    assert (standing.refusal(2) is not None) is is_remembered


@pytest.mark.parametrize(
    "other",
    [
        {"credentials": AccessKey("AK", "corrected")},
        {"credentials": PasswordLogin("user", "SK", "account")},
        {"endpoint": "https://host.example.com"},
        {"iam_endpoint": "https://iam.example.com"},
        {"project_id": "q"},
    ],
)
def test_who_signs_in_otherwise_has_a_standing_of_his_own(other):
    """A secret that was corrected does not wait for the minute of the wrong one."""
    assert standing_of(dataclasses.replace(KEY, **other)) is not standing_of(KEY)
    assert standing_of(dataclasses.replace(KEY, read_timeout=1.0)) is standing_of(KEY)
