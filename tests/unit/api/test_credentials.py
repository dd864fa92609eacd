"""What proves who calls, without any I/O."""

from __future__ import annotations

import json

import pytest

from airflow_provider_modelarts.api.credentials import (
    Issued,
    MetadataLogin,
    PasswordLogin,
    Token,
    caller_name,
    read_agency_key,
    read_token,
    secrets_of,
    token_body,
)
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError

LOGIN = PasswordLogin("IAMUser", "hidden-password", "IAMDomain")
KEY = AccessKey("AK", "hidden-secret", "hidden-token")


def test_token_request_is_the_documented_one():
    """KeystoneCreateUserTokenByPassword, with a project as its scope: a token of an account is refused by ModelArts."""
    assert json.loads(token_body(LOGIN, project_id=None, region="cn-north-4")) == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {"name": "IAMUser", "password": "hidden-password", "domain": {"name": "IAMDomain"}}
                },
            },
            "scope": {"project": {"name": "cn-north-4"}},
        }
    }


def test_token_request_names_the_project_that_is_set():
    """Sub-projects are not named after the region."""
    scope = json.loads(token_body(LOGIN, project_id="p-1", region="cn-north-4"))["auth"]["scope"]

    assert scope == {"project": {"id": "p-1"}}


DOCUMENTED = {
    "token": {"expires_at": "2019-02-13T06:52:13.855000Z", "issued_at": "2019-02-12T06:52:13.855000Z", "methods": []}
}


def test_token_is_good_for_as_long_as_iam_says():
    """A day, counted by our own clock, however wrong that is; due for renewal after three quarters of it."""
    issued = read_token("the-token", DOCUMENTED, now=1000.0)

    assert issued == Issued(Token("the-token"), renew_at=1000.0 + 64_800, expires_at=1000.0 + 86_400)


def test_agency_key_is_good_until_the_metadata_service_says():
    """Its answer says when it ends, not when it began."""
    names = {"access": "AK", "secret": "SK", "securitytoken": "ST", "expires_at": "1970-01-01T01:00:00.000000Z"}

    assert read_agency_key({"credential": names}, now=2600.0) == Issued(AccessKey("AK", "SK", "ST"), 3350.0, 3600.0)


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (None, DOCUMENTED),
        ("", DOCUMENTED),
        ("token", None),
        ("token", {"token": {}}),
        ("token", {"token": {"expires_at": "tomorrow"}}),
        ("token", {"token": {"expires_at": "2019-02-13T06:52:13.855000Z", "issued_at": ["today"]}}),
    ],
)
def test_answer_without_a_token_is_no_answer(value, body):
    """Neither a token nor its end is guessed."""
    with pytest.raises(ModelArtsProtocolError):
        read_token(value, body, now=0.0)


@pytest.mark.parametrize("missing", ["access", "secret", "securitytoken", "expires_at"])
def test_answer_without_a_whole_key_is_no_answer(missing):
    """A temporary key has four parts."""
    names = {"access": "AK", "secret": "SK", "securitytoken": "ST", "expires_at": "2026-01-01T00:00:00.000000Z"}

    with pytest.raises(ModelArtsProtocolError):
        read_agency_key({"credential": {name: names[name] for name in names if name != missing}}, now=0.0)


@pytest.mark.parametrize(
    ("credentials", "words"),
    [(KEY, "AK"), (LOGIN, "IAMUser of IAMDomain"), (MetadataLogin(), "the agency of this server")],
)
def test_description_tells_who_and_no_secret(credentials, words):
    """It is for the connection test."""
    assert caller_name(credentials) == words


@pytest.mark.parametrize("proof", [KEY, Token("hidden-token"), LOGIN, Issued(Token("hidden-token"), 0, 0)])
def test_repr_shows_no_secret(proof):
    """A debugger or a traceback may show it."""
    assert "hidden" not in repr(proof)


@pytest.mark.parametrize(
    ("proof", "secrets"),
    [
        (KEY, ["hidden-secret", "hidden-token"]),
        (AccessKey("AK", "hidden-secret"), ["hidden-secret"]),
        (Token("hidden-token"), ["hidden-token"]),
        (LOGIN, ["hidden-password"]),
        (MetadataLogin(), []),
    ],
)
def test_secrets_are_all_that_must_not_be_shown(proof, secrets):
    """Ids and names are no secrets."""
    assert list(secrets_of(proof)) == secrets
