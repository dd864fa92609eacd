"""Signing in as the vendor's SDK does when it is told nothing: from variables, a profile file, or the metadata service.

Names are those of ``auth/provider.py`` in the vendor's SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass, field

from airflow_provider_modelarts.core.sign_in import MetadataLogin, SignIn
from airflow_provider_modelarts.core.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

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
class Found:
    """How to sign in, and what else was said in the same place."""

    sign_in: SignIn
    project_id: str | None = None
    iam_endpoint: str | None = None


def find_sign_in(environment: Environment) -> Found:
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
    return Found(MetadataLogin(), variables.get("project_id"), variables.get("iam_endpoint"))


def _found(values: Mapping[str, str], iam_endpoint: str | None) -> Found:
    key = AccessKey(values["ak"], values["sk"], values.get("security_token") or None)
    return Found(key, values.get("project_id") or None, iam_endpoint or values.get("iam_endpoint") or None)


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
