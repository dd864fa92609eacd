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
    """The body is that of KeystoneCreateUserTokenByPassword for a project, because ModelArts refuses account tokens."""
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


def test_token_request_names_the_configured_project():
    """A configured project id takes precedence over the region's name, which no sub-project has."""
    scope = json.loads(token_body(LOGIN, project_id="p-1", region="cn-north-4"))["auth"]["scope"]

    assert scope == {"project": {"id": "p-1"}}


DOCUMENTED = {
    "token": {"expires_at": "2019-02-13T06:52:13.855000Z", "issued_at": "2019-02-12T06:52:13.855000Z", "methods": []}
}


def test_token_lifetime_is_that_of_iam():
    """A token expires after IAM's lifetime by the local clock, and its renewal is due after three quarters of that."""
    issued = read_token("the-token", DOCUMENTED, now=1000.0)

    assert issued == Issued(Token("the-token"), renew_at=1000.0 + 64_800, expires_at=1000.0 + 86_400)


def test_agency_key_expiry_is_that_of_the_metadata_service():
    """The response holds only the expiry, and the renewal is due after three quarters of the time left."""
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
def test_token_response_without_token_or_times_is_an_error(value, body):
    """A response without the token or its times is a protocol error."""
    with pytest.raises(ModelArtsProtocolError):
        read_token(value, body, now=0.0)


@pytest.mark.parametrize("missing", ["access", "secret", "securitytoken", "expires_at"])
def test_agency_response_with_incomplete_key_is_an_error(missing):
    """A temporary key without one of its four parts is a protocol error."""
    names = {"access": "AK", "secret": "SK", "securitytoken": "ST", "expires_at": "2026-01-01T00:00:00.000000Z"}

    with pytest.raises(ModelArtsProtocolError):
        read_agency_key({"credential": {name: names[name] for name in names if name != missing}}, now=0.0)


@pytest.mark.parametrize(
    ("credentials", "name"),
    [(KEY, "AK"), (LOGIN, "IAMUser of IAMDomain"), (MetadataLogin(), "the agency of this server")],
)
def test_caller_name_shows_no_secret(credentials, name):
    """The name of a caller is its key id, user or agency, without a secret."""
    assert caller_name(credentials) == name


@pytest.mark.parametrize("credentials", [KEY, Token("hidden-token"), LOGIN, Issued(Token("hidden-token"), 0, 0)])
def test_repr_shows_no_secret(credentials):
    """The repr of credentials shows no secret."""
    assert "hidden" not in repr(credentials)


@pytest.mark.parametrize(
    ("credentials", "secrets"),
    [
        (KEY, ["hidden-secret", "hidden-token"]),
        (AccessKey("AK", "hidden-secret"), ["hidden-secret"]),
        (Token("hidden-token"), ["hidden-token"]),
        (LOGIN, ["hidden-password"]),
        (MetadataLogin(), []),
    ],
)
def test_secrets_of_credentials(credentials, secrets):
    """Secret keys, tokens and passwords are secrets; ids and names are not."""
    assert list(secrets_of(credentials)) == secrets


VARIABLES = {
    "HUAWEICLOUD_SDK_AK": "AK",
    "HUAWEICLOUD_SDK_SK": "SK",
    "HUAWEICLOUD_SDK_SECURITY_TOKEN": "ST",
    "HUAWEICLOUD_SDK_PROJECT_ID": "p-1",
}
PROFILE = "[basic]\nak = AK\nsk = S%K\nproject_id = p-2\nsecurity_token = ST\niam_endpoint = https://iam.example.com\n"
DEFAULT = "~/.huaweicloud/credentials"


def find(variables=None, **files):
    """Return the found credentials; ``files`` holds the texts of the ``default`` and ``named`` profile files."""
    paths = {DEFAULT: files.get("default"), "/my/file": files.get("named")}
    return find_credentials(Environment(variables or {}, paths.get))


def test_variables_take_precedence_over_profile_file():
    """The environment variables take precedence over a profile file, as in the vendor's SDK."""
    assert find(VARIABLES, default=PROFILE) == FoundCredentials(AccessKey("AK", "SK", "ST"), "p-1", None)


def test_variables_are_those_of_the_vendors_sdk(monkeypatch):
    """The vendor's SDK reads the same key and project from the variables."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    vendor = EnvCredentialProvider.get_basic().get_credentials()
    ours = find(VARIABLES)

    assert ours.credentials == AccessKey(vendor.ak, vendor.sk, vendor.security_token)
    assert ours.project_id == vendor.project_id


def test_iam_endpoint_is_taken_from_its_variable():
    """The variable of the IAM endpoint applies to every provider of the chain."""
    variable = {"HUAWEICLOUD_SDK_IAM_ENDPOINT": "https://iam.other.com"}

    assert find(VARIABLES | variable).iam_endpoint == "https://iam.other.com"
    assert find(variable, default=PROFILE).iam_endpoint == "https://iam.other.com"
    assert find(variable).iam_endpoint == "https://iam.other.com"


def test_profile_file_is_read_without_variables():
    """Without a whole key in the variables, the profile file is read, and a percent sign in it is literal."""
    found = FoundCredentials(AccessKey("AK", "S%K", "ST"), "p-2", "https://iam.example.com")

    assert find(default=PROFILE) == found
    assert find({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": "/my/file"}, named=PROFILE) == found
    assert find({"HUAWEICLOUD_SDK_AK": "half a key"}, default=PROFILE) == found


def test_profile_file_is_that_of_the_vendors_sdk(monkeypatch, tmp_path):
    """The vendor's SDK reads the same key and project from the profile file."""
    path = tmp_path / "credentials"
    profile = PROFILE.replace("%", "")
    path.write_text(profile)
    monkeypatch.setenv("HUAWEICLOUD_SDK_CREDENTIALS_FILE", str(path))
    vendor = ProfileCredentialProvider.get_basic().get_credentials()
    ours = find(default=profile)

    assert ours.credentials == AccessKey(vendor.ak, vendor.sk, vendor.security_token)
    assert ours.project_id == vendor.project_id


def test_metadata_service_is_the_last_provider():
    """Without a key in variables or profile file, the credentials are those of the server's agency."""
    assert find() == FoundCredentials(MetadataLogin())
    assert find({"HUAWEICLOUD_SDK_PROJECT_ID": "p-1"}).project_id == "p-1"


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("", "has no ak and sk in its section"),
        ("[global]\nak = AK\nsk = SK\n", "has no ak and sk in its section"),
        ("[basic]\nak = AK\n", "has no ak and sk in its section"),
        ("[basic]\nak = AK\nsk =\n", "has no ak and sk in its section"),
        ("ak = AK\n", "is not an INI file"),
        ("[basic\n", "is not an INI file"),
    ],
)
def test_unusable_profile_file_is_an_error(profile, message):
    """An unusable profile file is not skipped, but raises an error that names the file."""
    with pytest.raises(ModelArtsConfigurationError, match=f"the credentials file {DEFAULT} {message}"):
        find(default=profile)


def test_profile_file_of_the_variable_must_exist():
    """A variable that names a missing file is an error."""
    with pytest.raises(ModelArtsConfigurationError, match="HUAWEICLOUD_SDK_CREDENTIALS_FILE names /my/file"):
        find({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": "/my/file"}, default=PROFILE)
