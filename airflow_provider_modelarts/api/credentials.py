"""Credentials and their providers: access keys, IAM users, agencies, and the provider chain of the vendor's SDK.

A token comes from IAM (KeystoneCreateUserTokenByPassword), the temporary key of an agency from the metadata service of
the server (``auth/internal.py`` of the vendor's SDK). Names in the chain are those of its ``auth/provider.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.core.json_values import JSON, child, text
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

METADATA_ENDPOINT = "http://169.254.169.254"

_RENEWED_AFTER = 0.75  # share of the lifetime that a credential has left when it is issued


@dataclass(frozen=True, slots=True)
class Token:
    """Token of IAM, sent as ``X-Auth-Token``. Its repr does not show it."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """IAM user of an account, who gets a token for a project."""

    user: str
    password: str = field(repr=False)
    domain_name: str


@dataclass(frozen=True, slots=True)
class MetadataLogin:
    """Agency of the server, whose metadata service issues temporary keys."""

    endpoint: str = METADATA_ENDPOINT


#: An access key signs a request, a token is sent with it.
Credential: TypeAlias = AccessKey | Token

#: Source of credentials in a connection; an access key is a credential itself.
CredentialProvider: TypeAlias = AccessKey | PasswordLogin | MetadataLogin


@dataclass(frozen=True, slots=True)
class Issued:
    """Credential that expires; times are seconds since the epoch, by the clock of this machine."""

    credential: Credential
    renew_at: float
    expires_at: float

    @classmethod
    def of(cls, credential: Credential, lifetime: float, now: float) -> Issued:
        """Return a credential that expires after some seconds; its renewal is due earlier."""
        return cls(credential, now + _RENEWED_AFTER * lifetime, now + lifetime)


def caller_name(credentials: CredentialProvider) -> str:
    """Return the name of a caller, without secrets."""
    match credentials:
        case AccessKey(access_key=access_key):
            return access_key
        case PasswordLogin(user=user, domain_name=domain):
            return f"{user} of {domain}"
        case MetadataLogin():
            return "the agency of this server"


def secrets_of(proof: Credential | CredentialProvider) -> Iterator[str]:
    """Yield the secrets of a credential or provider."""
    match proof:
        case AccessKey(secret_key=secret_key, security_token=security_token):
            yield secret_key
            if security_token:
                yield security_token
        case Token(value=value):
            yield value
        case PasswordLogin(password=password):
            yield password
        case MetadataLogin():
            return


def token_body(login: PasswordLogin, *, project_id: str | None, region: str | None) -> bytes:
    """Return the body of KeystoneCreateUserTokenByPassword, for a project: ModelArts refuses tokens of accounts."""
    user = {"name": login.user, "password": login.password, "domain": {"name": login.domain_name}}
    return json.dumps(
        {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"id": project_id} if project_id else {"name": region}},
            }
        }
    ).encode()


def read_token(value: str | None, body: JSON, now: float) -> Issued:
    """Return the token of an IAM response.

    :param value: header ``X-Subject-Token``.
    """
    if not value:
        raise ModelArtsProtocolError("IAM returned no token (header X-Subject-Token)")
    began = child(body, "token", "issued_at")
    lifetime = _instant(child(body, "token", "expires_at")) - (_instant(began) if began else now)
    return Issued.of(Token(value), lifetime, now)


def read_agency_key(body: JSON, now: float) -> Issued:
    """Return the temporary access key of a metadata service's response."""
    names = ("access", "secret", "securitytoken")
    access_key, secret_key, security_token = (text(child(body, "credential", name)) for name in names)
    if not access_key or not secret_key or not security_token:
        raise ModelArtsProtocolError("the metadata service returned no temporary access key")
    lifetime = _instant(child(body, "credential", "expires_at")) - now
    return Issued.of(AccessKey(access_key, secret_key, security_token), lifetime, now)


def _instant(value: JSON) -> float:
    """Return the seconds since the epoch of ``2026-01-01T00:00:00.000000Z``."""
    try:
        instant = datetime.fromisoformat(text(value))
    except ValueError:
        raise ModelArtsProtocolError("the expiry of a credential is not an ISO 8601 time") from None
    return instant.replace(tzinfo=instant.tzinfo or UTC).timestamp()


PROFILE_FILE = "~/.huaweicloud/credentials"

_PREFIX = "HUAWEICLOUD_SDK_"
_SECTION = "basic"


@dataclass(frozen=True, slots=True)
class Environment:
    """Inputs of the provider chain.

    :param variables: environment variables.
    :param read_file: returns the text of a file; None where there is none.
    """

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    read_file: Callable[[str], str | None] = lambda path: None


NO_ENVIRONMENT = Environment()


@dataclass(frozen=True, slots=True)
class FoundCredentials:
    """Credentials, with the other settings of the same source."""

    credentials: CredentialProvider
    project_id: str | None = None
    iam_endpoint: str | None = None


def find_credentials(environment: Environment) -> FoundCredentials:
    """Return the first credentials of the chain: variables, profile file, metadata service.

    :raises ModelArtsConfigurationError: for a profile file that is named but missing, or unusable.
    """
    variables = {
        name.removeprefix(_PREFIX).lower(): value.strip()
        for name, value in environment.variables.items()
        if name.startswith(_PREFIX)
    }
    if variables.get("ak") and variables.get("sk"):
        return _found(variables, variables.get("iam_endpoint"))
    named = variables.get("credentials_file")
    profile = environment.read_file(named or PROFILE_FILE)
    if profile is not None:
        return _found(_read_profile(named or PROFILE_FILE, profile), variables.get("iam_endpoint"))
    if named:
        raise ModelArtsConfigurationError(f"{_PREFIX}CREDENTIALS_FILE names {named}, which cannot be read")
    return FoundCredentials(MetadataLogin(), variables.get("project_id"), variables.get("iam_endpoint"))


def _found(values: Mapping[str, str], iam_endpoint: str | None) -> FoundCredentials:
    key = AccessKey(values["ak"], values["sk"], values.get("security_token") or None)
    return FoundCredentials(key, values.get("project_id") or None, iam_endpoint or values.get("iam_endpoint") or None)


def _read_profile(path: str, text: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except ConfigParserError:
        raise ModelArtsConfigurationError(f"the credentials file {path} is not an INI file") from None
    values = {name: value.strip() for name, value in parser.items(_SECTION)} if parser.has_section(_SECTION) else {}
    if not values.get("ak") or not values.get("sk"):
        raise ModelArtsConfigurationError(f"the credentials file {path} has no ak and sk in its section [{_SECTION}]")
    return values
