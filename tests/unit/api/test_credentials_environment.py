"""Signing in as the vendor's SDK does, compared with that SDK."""

from __future__ import annotations

import pytest
from huaweicloudsdkcore.auth.provider import EnvCredentialProvider, ProfileCredentialProvider

from airflow_provider_modelarts.api.credentials import Environment, FoundCredentials, MetadataLogin, find_credentials
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

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
    """Where nothing is said, the server may be bound to an agency."""
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
