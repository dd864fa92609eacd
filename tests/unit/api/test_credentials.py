"""Credentials and their sources, without any I/O."""

from __future__ import annotations

import json

import pytest
from huaweicloudsdkcore.auth.provider import EnvCredentialProvider, ProfileCredentialProvider

from airflow_provider_modelarts.api.credentials import (
    Environment,
    FoundCredentials,
    Issued,
    MetadataLogin,
    PasswordLogin,
    Token,
    caller_name,
    find_credentials,
    read_agency_key,
    read_token,
    secrets_of,
    token_body,
)
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

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
    """Its response has the time of its end, not of its beginning."""
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


VARIABLES = {
    "HUAWEICLOUD_SDK_AK": "AK",
    "HUAWEICLOUD_SDK_SK": "SK",
    "HUAWEICLOUD_SDK_SECURITY_TOKEN": "ST",
    "HUAWEICLOUD_SDK_PROJECT_ID": "p-1",
}
PROFILE = "[basic]\nak = AK\nsk = S%K\nproject_id = p-2\nsecurity_token = ST\niam_endpoint = https://iam.example.com\n"
DEFAULT = "~/.huaweicloud/credentials"


def find(variables=None, **files):
    """Return what is found; ``files`` has the text of ``default`` and ``named`` ones."""
    paths = {DEFAULT: files.get("default"), "/my/file": files.get("named")}
    return find_credentials(Environment(variables or {}, paths.get))


def test_variables_come_first():
    """They win over a profile file, as in the vendor's SDK."""
    assert find(VARIABLES, default=PROFILE) == FoundCredentials(AccessKey("AK", "SK", "ST"), "p-1", None)


def test_variables_are_those_of_the_vendors_sdk(monkeypatch):
    """The SDK reads the same key and project from them."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    theirs = EnvCredentialProvider.get_basic().get_credentials()
    ours = find(VARIABLES)

    assert ours.credentials == AccessKey(theirs.ak, theirs.sk, theirs.security_token)
    assert ours.project_id == theirs.project_id


def test_iam_endpoint_is_taken_from_its_variable():
    """Whatever else is found, this is where IAM is."""
    variable = {"HUAWEICLOUD_SDK_IAM_ENDPOINT": "https://iam.other.com"}

    assert find(VARIABLES | variable).iam_endpoint == "https://iam.other.com"
    assert find(variable, default=PROFILE).iam_endpoint == "https://iam.other.com"
    assert find(variable).iam_endpoint == "https://iam.other.com"


def test_profile_file_comes_second():
    """The default one, where no variable names another; a percent sign in it is no reference."""
    found = FoundCredentials(AccessKey("AK", "S%K", "ST"), "p-2", "https://iam.example.com")

    assert find(default=PROFILE) == found
    assert find({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": "/my/file"}, named=PROFILE) == found
    assert find({"HUAWEICLOUD_SDK_AK": "half a key"}, default=PROFILE) == found


def test_profile_file_is_that_of_the_vendors_sdk(monkeypatch, tmp_path):
    """The SDK reads the same key and project from it."""
    path = tmp_path / "credentials"
    profile = PROFILE.replace("%", "")
    path.write_text(profile)
    monkeypatch.setenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE", str(path))
    theirs = ProfileCredentialProvider.get_basic().get_credentials()
    ours = find(default=profile)

    assert ours.credentials == AccessKey(theirs.ak, theirs.sk, theirs.security_token)
    assert ours.project_id == theirs.project_id


def test_metadata_service_comes_last():
    """Without any variable, the server may be bound to an agency."""
    assert find() == FoundCredentials(MetadataLogin())
    assert find({"HUAWEICLOUD_SDK_PROJECT_ID": "p-1"}).project_id == "p-1"


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("", "has no ak and sk in its section"),
        ("[global]\nak = AK\nsk = SK\n", "has no ak and sk in its section"),
        ("[basic]\nak = AK\n", "has no ak and sk in its section"),
        ("[basic]\nak = AK\nsk =\n", "has no ak and sk in its section"),
        ("ak = AK\n", "is not an INI file"),
        ("[basic\n", "is not an INI file"),
    ],
)
def test_profile_file_that_cannot_be_used_is_named(profile, words):
    """It is not passed over in silence: the key that it should have held is missing."""
    with pytest.raises(ModelArtsConfigurationError, match=f"the credentials file {DEFAULT} {words}"):
        find(default=profile)


def test_profile_file_that_is_named_must_be_there():
    """A variable that leads nowhere is a mistake."""
    with pytest.raises(ModelArtsConfigurationError, match="HUAWEICLOUD_SDK_CREDENTIALS_FILE names /my/file"):
        find({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": "/my/file"}, default=PROFILE)
