"""Credentials, and the chain of providers that they come from."""

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

_RENEWED_AFTER = 0.75  # of the time that a credential has left when it is obtained


@dataclass(frozen=True, slots=True)
class Token:
    """A token of IAM, which is sent as ``X-Auth-Token``. Its repr does not show it."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """An IAM user of an account, who gets a token for a project."""

    user: str
    password: str = field(repr=False)
    domain_name: str


@dataclass(frozen=True, slots=True)
class MetadataLogin:
    """The agency that the server is bound to, whose keys its metadata service hands out."""

    endpoint: str = METADATA_ENDPOINT


#: What is sent with a request: an access key signs it, a token goes with it.
Credential: TypeAlias = AccessKey | Token

#: What a connection says: an access key is a credential already.
CredentialProvider: TypeAlias = AccessKey | PasswordLogin | MetadataLogin


@dataclass(frozen=True, slots=True)
class Issued:
    """A credential that ends; times are seconds since the epoch, by the clock of this machine."""

    credential: Credential
    renew_at: float
    expires_at: float

    @classmethod
    def of(cls, credential: Credential, lifetime: float, now: float) -> Issued:
        """Return a credential that has so many seconds left; it is due for renewal well before."""
        return cls(credential, now + _RENEWED_AFTER * lifetime, now + lifetime)


def describe(credentials: CredentialProvider) -> str:
    """Return who signs in, without secrets."""
    match credentials:
        case AccessKey(access_key=access_key):
            return access_key
        case PasswordLogin(user=user, domain_name=domain):
            return f"{user} of {domain}"
        case MetadataLogin():
            return "the agency of this server"


def secrets_of(proof: Credential | CredentialProvider) -> Iterator[str]:
    """Yield what must not be shown."""
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
    """Return the body that asks IAM for a token. Its scope is a project: ModelArts refuses tokens of accounts."""
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
    """Return the token of an answer.

    :param value: of the header ``X-Subject-Token``.
    """
    if not value:
        raise ModelArtsProtocolError("IAM answered without a token (header X-Subject-Token)")
    began = child(body, "token", "issued_at")
    lifetime = _instant(child(body, "token", "expires_at")) - (_instant(began) if began else now)
    return Issued.of(Token(value), lifetime, now)


def read_agency_key(body: JSON, now: float) -> Issued:
    """Return the temporary access key of a metadata service's answer."""
    names = ("access", "secret", "securitytoken")
    access_key, secret_key, security_token = (text(child(body, "credential", name)) for name in names)
    if not access_key or not secret_key or not security_token:
        raise ModelArtsProtocolError("the metadata service answered without a temporary access key")
    lifetime = _instant(child(body, "credential", "expires_at")) - now
    return Issued.of(AccessKey(access_key, secret_key, security_token), lifetime, now)


def _instant(value: JSON) -> float:
    """Return the seconds since the epoch of ``2026-01-01T00:00:00.000000Z``."""
    try:
        instant = datetime.fromisoformat(text(value))
    except ValueError:
        raise ModelArtsProtocolError("the end of a credential cannot be read: it is no instant") from None
    return instant.replace(tzinfo=instant.tzinfo or UTC).timestamp()


PROFILE_FILE = "~/.huaweicloud/credentials"

_PREFIX = "HUAWEICLOUD_SDK_"
_SECTION = "basic"


@dataclass(frozen=True, slots=True)
class Environment:
    """What surrounds this process.

    :param variables: its environment.
    :param read_file: returns the text of a file, None where there is none.
    """

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    read_file: Callable[[str], str | None] = lambda path: None


NO_ENVIRONMENT = Environment()


@dataclass(frozen=True, slots=True)
class FoundCredentials:
    """How to sign in, and what else was said in the same place."""

    credentials: CredentialProvider
    project_id: str | None = None
    iam_endpoint: str | None = None


def find_credentials(environment: Environment) -> FoundCredentials:
    """Return the first sign-in that is found.

    :raises ModelArtsConfigurationError: for a profile file that is named and not there, or cannot be used.
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
        raise ModelArtsConfigurationError(f"the credentials file {path} is no INI file") from None
    values = {name: value.strip() for name, value in parser.items(_SECTION)} if parser.has_section(_SECTION) else {}
    if not values.get("ak") or not values.get("sk"):
        raise ModelArtsConfigurationError(f"the credentials file {path} has no ak and sk in its section [{_SECTION}]")
    return values
