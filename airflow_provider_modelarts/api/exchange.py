"""One call with its signature and its retries, as a generator that does no I/O itself.

The drivers ``client`` and ``async_client`` send what it yields and give back what they got, so that there is one
definition of what a call does. The clock and the random numbers come from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

from airflow_provider_modelarts import __version__
from airflow_provider_modelarts.api import operations, signing
from airflow_provider_modelarts.api.credentials import Credential, CredentialProvider, Token, secrets_of
from airflow_provider_modelarts.api.operations import Request
from airflow_provider_modelarts.api.responses import Response, read_json, retry_after
from airflow_provider_modelarts.api.retry import next_delay
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.core.json_values import JSON
from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsError,
    ModelArtsProtocolError,
    ModelArtsTransportError,
    without_secrets,
)

T = TypeVar("T")

USER_AGENT = f"airflow-provider-modelarts/{__version__}"


@dataclass(frozen=True, slots=True)
class Send:
    """Send this over HTTP and give back the :class:`Response`, or the transport error that came instead.

    :param timeout: seconds to wait for a connection and for each part of the answer; None for those of the settings.
    :param direct: past all proxies.
    :param proof: what it proves itself by.
    """

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float | None = None
    direct: bool = False
    proof: Credential | CredentialProvider | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep for some seconds, because of an error."""

    seconds: float
    error: ModelArtsError


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Give back what proves who calls; None when there is nothing else than what was refused.

    :param refused: a credential that the platform did not take.
    """

    refused: Credential | None = None


Reply: TypeAlias = "Response | ModelArtsTransportError | Credential | None"
Exchange: TypeAlias = Generator[Send | Pause | Authenticate, Reply, T]


@dataclass(frozen=True, slots=True)
class Outside:
    """What a pure function must be given: the time in seconds since the epoch, and a number from 0 to 1."""

    now: Callable[[], float]
    spread: Callable[[], float]


#: Project ids that IAM was asked for in this process, by IAM endpoint, who asked, and region.
_found_projects: dict[tuple[str, CredentialProvider, str], str] = {}


def exchange(request: Request[T], settings: Settings, outside: Outside) -> Exchange[T]:
    """Make one call, after looking up the project id if it is needed and not known.

    :returns: the value that the request reads from its answer.
    :raises ModelArtsError: of the class that fits; the last one, when several attempts failed.
    """
    project_id = ""
    if "{project_id}" in request.path:
        project_id = yield from find_project_id(settings, outside)
    return (yield from _attempts(request, settings, project_id, outside))


def find_project_id(settings: Settings, outside: Outside) -> Exchange[str]:
    """Return the project id: the one that is set, or the one that IAM knows for the region."""
    project_id = known_project_id(settings)
    if project_id is None:
        project_id = yield from _attempts(operations.find_project(settings.known_region()), settings, "", outside)
        _found_projects[_who_asks(settings)] = project_id
    return project_id


def known_project_id(settings: Settings) -> str | None:
    """Return the project id, unless it must be looked up first."""
    return settings.project_id or _found_projects.get(_who_asks(settings))


def _who_asks(settings: Settings) -> tuple[str, CredentialProvider, str]:
    return settings.base_url("iam"), settings.credentials, settings.known_region()


def _attempts(request: Request[T], settings: Settings, project_id: str, outside: Outside) -> Exchange[T]:
    """Sign and send, and try again as long as that can help; once with another credential if the first is refused."""
    path = request.path.replace("{project_id}", project_id)
    name = f"{request.method} {path}"
    tries = Attempts(settings, outside, idempotent=request.idempotent)
    was_refused = False
    while True:
        credential = _proof((yield Authenticate()))
        send = _signed(request, path, settings, credential=credential, project_id=project_id, now=outside.now())
        reply = yield send
        try:
            return _read(request, read_json(response_of(reply), name), name)
        except ModelArtsError as raw:
            error = without_secrets(raw, _secrets(send, credential))
            if isinstance(error, ModelArtsAuthenticationError) and not was_refused:
                was_refused = True
                if (yield Authenticate(refused=credential)) is not None:
                    continue
            pause = tries.pause_after(error, reply)
            if pause is None and error is raw:
                raise
            if pause is None:
                raise error from None
            yield pause


def _read(request: Request[T], value: JSON, name: str) -> T:
    try:
        return request.read(value)
    except ModelArtsProtocolError as error:
        raise ModelArtsProtocolError(f"{name}: {error}") from error


class Attempts:
    """The attempts at one thing, and whether there may be another.

    :param idempotent: whether it may be done again when nobody knows whether it arrived.
    """

    def __init__(self, settings: Settings, outside: Outside, *, idempotent: bool) -> None:
        self._policy = settings.retry
        self._outside = outside
        self._idempotent = idempotent
        self._began = outside.now()
        self._failed = 0

    def pause_after(self, error: ModelArtsError, reply: Reply) -> Pause | None:
        """Return how to wait before the next attempt; None to give up."""
        self._failed += 1
        delay = next_delay(
            error,
            attempt=self._failed,
            elapsed=self._outside.now() - self._began,
            retry_after=retry_after(reply) if isinstance(reply, Response) else None,
            idempotent=self._idempotent,
            spread=self._outside.spread(),
            policy=self._policy,
        )
        return None if delay is None else Pause(delay, error)


def response_of(reply: Reply) -> Response:
    """Return the answer that a driver gave, or raise the error that came instead."""
    if isinstance(reply, Response):
        return reply
    raise reply if isinstance(reply, ModelArtsTransportError) else TypeError("the driver gave no answer")


def _proof(reply: Reply) -> Credential:
    if isinstance(reply, (AccessKey, Token)):
        return reply
    raise TypeError("the driver gave no credential")


def _secrets(send: Send, credential: Credential) -> Iterator[str]:
    yield from secrets_of(credential)
    if "Authorization" in send.headers:
        yield send.headers["Authorization"].rpartition("=")[2]


def _signed(
    request: Request[T], path: str, settings: Settings, *, credential: Credential, project_id: str, now: float
) -> Send:
    base = urlsplit(settings.base_url(request.service))
    path = f"{base.path}{path}"
    headers = {"Host": base.netloc, "Content-Type": "application/json", "User-Agent": USER_AGENT}
    if project_id:
        headers["X-Project-Id"] = project_id
    if isinstance(credential, Token):
        headers["X-Auth-Token"] = credential.value
    else:
        headers = signing.sign(
            credential,
            method=request.method,
            path=path,
            query=request.query,
            headers=headers,
            body=request.body,
            now=now,
        )
    query = signing.encode_query(request.query)
    url = f"{base.scheme}://{base.netloc}{signing.encode_path(path)}"
    return Send(request.method, f"{url}?{query}" if query else url, headers, request.body, proof=credential)
