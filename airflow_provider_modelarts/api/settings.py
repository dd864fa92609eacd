"""Settings of a client: endpoints, credentials and timeouts, checked; and the endpoints of each region."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from airflow_provider_modelarts.api.credentials import (
    NO_ENVIRONMENT,
    CredentialProvider,
    Environment,
    FoundCredentials,
    MetadataLogin,
    PasswordLogin,
    find_credentials,
)
from airflow_provider_modelarts.api.retry import RETRY_SECONDS, RetryPolicy
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.core import coerce
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

CONSOLE = "https://console.huaweicloud.com"

_IAM_REGIONS = frozenset(
    """
    ae-ad-1 af-south-1 ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 cn-east-2 cn-east-3 cn-east-4
    cn-east-5 cn-north-1 cn-north-2 cn-north-4 cn-north-9 cn-north-12 cn-south-1 cn-south-2 cn-southwest-2 eu-west-0
    la-north-2 la-south-2 me-east-1 my-kualalumpur-1 na-mexico-1 ru-moscow-1 sa-brazil-1 tr-west-1
    """.split()
)


def modelarts_endpoint(region: str) -> str:
    """Return the ModelArts endpoint of a region.

    The SDK has ``.cn`` for ap-southeast-1, against its own pattern and the documents; the connection's ``endpoint``
    takes precedence.
    """
    return f"https://modelarts.{region}.myhuaweicloud.com"


def iam_endpoint(region: str) -> str:
    """Return the IAM endpoint of a region; the global one where the region has none."""
    return f"https://iam.{region}.myhuaweicloud.com" if region in _IAM_REGIONS else "https://iam.myhuaweicloud.com"


def is_elsewhere(url: str, region: str) -> bool:
    """Return whether a URL is the public endpoint of a service in another region."""
    found = re.match(r"https?://[a-z]+\.([a-z0-9-]+)\.myhuaweicloud\.", url)
    return found is not None and found[1] != region


_CONNECT_TIMEOUT = 10.0
_READ_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Endpoints, credentials and timeouts of a client.

    :param credentials: an access key, or the provider of a token or temporary key.
    :param region: such as ``cn-north-4``; required unless both the endpoint and the project id are set.
    :param project_id: looked up in IAM by the region's name when None.
    :param endpoint: base URL of ModelArts; that of the region when None.
    :param iam_endpoint: base URL of IAM; that of the region when None.
    :param verify: whether TLS certificates are verified; a path names a bundle of trusted authorities.
    :param connect_timeout: seconds to wait for a connection.
    :param read_timeout: seconds to wait for the next part of a response.
    :param console_url: base URL of the console, for links.
    :param job_name_prefix: prefix of this deployment for the names of its jobs.
    :param proxies: proxy URL per scheme (``http``, ``https``).
    :param retry: delays and total time of the attempts of one call.
    """

    credentials: CredentialProvider
    region: str | None = None
    project_id: str | None = None
    endpoint: str | None = None
    iam_endpoint: str | None = None
    verify: bool | str = True
    connect_timeout: float = _CONNECT_TIMEOUT
    read_timeout: float = _READ_TIMEOUT
    console_url: str = CONSOLE
    job_name_prefix: str = ""
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    retry: RetryPolicy = RetryPolicy()

    def __post_init__(self) -> None:
        """Reject invalid settings before any request."""
        _check_credentials(self.credentials)
        if not self.region and not (self.endpoint and self.project_id):
            raise ModelArtsConfigurationError(
                "no region: set it in the connection (extra field region) or pass region="
            )
        if self.region:
            coerce.identifier("region", self.region)
        if self.project_id:
            coerce.identifier("project_id", self.project_id)
        if self.job_name_prefix:
            coerce.identifier("job_name_prefix", self.job_name_prefix)
        urls = {"endpoint": self.endpoint, "iam_endpoint": self.iam_endpoint, "console_url": self.console_url}
        for name, url in urls.items():
            if url is not None:
                _check_url(name, url)

    def base_url(self, service: str) -> str:
        """Return the base URL of ``modelarts`` or ``iam``, without a trailing slash."""
        if service == "iam":
            url = self.iam_endpoint or iam_endpoint(self.known_region())
        else:
            url = self.endpoint or modelarts_endpoint(self.known_region())
        return url.rstrip("/")

    def job_url(self, training_job_id: str) -> str:
        """Return the page of a training job in the console."""
        region = f"?region={self.region}" if self.region else ""
        return f"{self.console_url.rstrip('/')}/modelarts/{region}#/training/detail/{training_job_id}"

    def known_region(self) -> str:
        """Return the region, or raise :class:`ModelArtsConfigurationError` if none is set."""
        if self.region:
            return self.region
        raise ModelArtsConfigurationError("no region: set it, or set both endpoint and iam_endpoint")


class AuthMethod(StrEnum):
    """Values of the connection's field ``auth``."""

    AKSK = "aksk"
    PASSWORD = "password"  # noqa: S105 - not a password
    ECS_METADATA = "ecs_metadata"
    ENVIRONMENT = "environment"


def read_connection(
    *,
    login: str | None,
    password: str | None,
    host: str | None,
    port: int | None,
    extra: Mapping[str, object],
    region: str | None = None,
    project_id: str | None = None,
    environment: Environment = NO_ENVIRONMENT,
) -> Settings:
    """Return the settings of a connection. Blank fields are ignored.

    :param region: takes precedence over the connection's region; the connection's project id and its endpoints of
        another region are then ignored.
    :param project_id: takes precedence over the connection's project id. Blank text and ``"None"``, which an empty
        template renders to, are ignored for both.
    :param environment: variables and files for ``auth=environment``.
    :raises ModelArtsConfigurationError: naming the field that is missing or wrong.
    """
    given = {name: value for name, value in extra.items() if value is not None and value != ""}
    connect_timeout, read_timeout = _timeouts(given.get("timeout"))
    region = coerce.optional(coerce.identifier, "region", region)
    project_id = coerce.optional(coerce.identifier, "project_id", project_id)
    own_region, own_project = _text(given, "region"), _text(given, "project_id")
    elsewhere = region if region != own_region else None
    found = _read_credentials((login or "").strip(), (password or "").strip(), given, environment)
    return Settings(
        credentials=found.credentials,
        region=region or own_region,
        project_id=project_id or (None if elsewhere else own_project or found.project_id),
        endpoint=_unless_elsewhere(_text(given, "endpoint") or _endpoint_of_host(host, port), elsewhere),
        iam_endpoint=_unless_elsewhere(_text(given, "iam_endpoint") or found.iam_endpoint, elsewhere),
        verify=_verify(given.get("verify", True)),
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        console_url=_text(given, "console_url") or CONSOLE,
        job_name_prefix=_text(given, "job_name_prefix") or "",
        proxies=_proxies(given.get("proxies", {})),
        retry=RetryPolicy(total=coerce.number("retry_seconds", given.get("retry_seconds", RETRY_SECONDS))),
    )


def _read_credentials(
    login: str, password: str, given: Mapping[str, object], environment: Environment
) -> FoundCredentials:
    match coerce.choice("auth", given.get("auth", AuthMethod.AKSK.value), AuthMethod):
        case AuthMethod.AKSK:
            return FoundCredentials(AccessKey(login, password, _text(given, "security_token")))
        case AuthMethod.PASSWORD:
            return FoundCredentials(PasswordLogin(login, password, _text(given, "domain_name") or ""))
        case AuthMethod.ECS_METADATA:
            return FoundCredentials(MetadataLogin())
        case AuthMethod.ENVIRONMENT:
            return find_credentials(environment)


def _check_credentials(credentials: CredentialProvider) -> None:
    match credentials:
        case AccessKey(access_key, secret_key) if not access_key or not secret_key:
            raise ModelArtsConfigurationError(
                "the access key id (login) and the secret access key (password) are required"
            )
        case PasswordLogin(user, password, domain_name) if not user or not password or not domain_name:
            raise ModelArtsConfigurationError(
                "auth=password requires an IAM user (login), its password (password) and the account's name (extra "
                "field domain_name)"
            )


def _text(given: Mapping[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip() or None
    raise ModelArtsConfigurationError(f"{name} must be text")


def _unless_elsewhere(url: str | None, region: str | None) -> str | None:
    return None if url and region and is_elsewhere(url, region) else url


def _endpoint_of_host(host: str | None, port: int | None) -> str | None:
    if not host:
        return None
    url = host if "://" in host else f"https://{host}"
    parts = _check_url("host", url)
    return parts._replace(netloc=f"{parts.netloc}:{port}").geturl() if port and parts.port is None else url


def _check_url(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        port_is_number = False
    if (
        not port_is_number
        or parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.query
        or "@" in parts.netloc
    ):
        # without the URL itself, which may hold a password
        raise ModelArtsConfigurationError(f"{name} must be a URL such as https://host, without query and user")
    return parts


def _verify(value: object) -> bool | str:
    if isinstance(value, str) and "/" in value:
        return value
    return coerce.flag("verify", value)


def _timeouts(value: object) -> tuple[float, float]:
    """Return connect and read timeout, of one number or two: ``[10, 60]`` or ``"10, 60"``."""
    if value is None:
        return _CONNECT_TIMEOUT, _READ_TIMEOUT
    parts = value.strip("[]() ").split(",") if isinstance(value, str) else value
    numbers = [coerce.number("timeout", part) for part in (parts if isinstance(parts, (list, tuple)) else [parts])]
    if not 1 <= len(numbers) <= 2 or min(numbers) <= 0:
        raise ModelArtsConfigurationError("timeout must be seconds above 0: one number, or connect and read")
    return numbers[0], numbers[-1]


def _proxies(value: object) -> dict[str, str]:
    try:
        proxies = coerce.mapping("proxies", value)
    except ModelArtsConfigurationError:
        proxies = {"": None}  # without the value itself, which may hold a password
    if not all(scheme in {"http", "https"} and isinstance(url, str) for scheme, url in proxies.items()):
        raise ModelArtsConfigurationError('proxies must map http and https to URLs: {"https": "http://proxy:3128"}')
    return {scheme: str(url) for scheme, url in proxies.items()}
