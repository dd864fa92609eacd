"""Exchange: one call with its credential, signature and retries, as a generator without I/O.

The drivers ``client`` and ``async_client`` carry out each step that a generator yields, and send the result back or
throw the error in. The clock and the random numbers are passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

from airflow_provider_modelarts import __version__
from airflow_provider_modelarts.api import operations, signing
from airflow_provider_modelarts.api.credentials import Credential, CredentialProvider, Token, secrets_of
from airflow_provider_modelarts.api.operations import Request
from airflow_provider_modelarts.api.responses import Response, read_json, retry_after
from airflow_provider_modelarts.api.retry import PASSING_ERRORS, RetryPolicy, next_delay
from airflow_provider_modelarts.api.session import known_project_id, session_of
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
    """Step: send over HTTP, and return the :class:`Response` or the transport error.

    :param timeout: seconds for connecting and for each part of the response; None takes those of the settings.
    :param direct: bypass all proxies.
    :param proof: credential that the request carries.
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
    """Step: sleep for some seconds, because of an error."""

    seconds: float
    error: ModelArtsError


@dataclass(frozen=True, slots=True)
class Login:
    """Step: run :func:`~airflow_provider_modelarts.api.login.login` once for all callers alike; return its result."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Reload:
    """Step: return the settings as they are now; None where there is nothing to read them from."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Step: mask a secret in logs."""

    secret: str = field(repr=False)


Step: TypeAlias = Send | Pause | Login | Reload | Mask
Reply: TypeAlias = "Response | ModelArtsTransportError | Credential | Settings | None"
Exchange: TypeAlias = Generator[Step, Reply, T]


@dataclass(slots=True)
class Caller:
    """The settings of a client, as they were last read."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Runtime:
    """Inputs that a pure function cannot have: seconds since the epoch, and a random number from 0 to 1."""

    now: Callable[[], float]
    spread: Callable[[], float]


def exchange(request: Request[T], caller: Caller, runtime: Runtime, *, retry: RetryPolicy | None = None) -> Exchange[T]:
    """Make one call, after looking up the project id where it is required and unknown.

    A connection that is read again during the call replaces the credentials of the call, not its endpoint and project.

    :param retry: takes precedence over the retry policy of the settings.
    :returns: the value that the request reads from its response.
    :raises ModelArtsError: of the class that fits; that of the last attempt, when several failed.
    """
    settings = replace(caller.settings, retry=retry) if retry else caller.settings
    project_id = ""
    if "{project_id}" in request.path:
        project_id = yield from _find_project_id(settings, caller, runtime)
    return (yield from _attempts(request, settings, caller, project_id, runtime))


def find_project_id(caller: Caller, runtime: Runtime) -> Exchange[str]:
    """Return the project id of the settings, or the one that IAM has for the region."""
    return (yield from _find_project_id(caller.settings, caller, runtime))


def _find_project_id(settings: Settings, caller: Caller, runtime: Runtime) -> Exchange[str]:
    project_id = known_project_id(settings)
    if project_id is None:
        lookup = operations.find_project(settings.known_region())
        project_id = yield from _attempts(lookup, settings, caller, "", runtime)
        session_of(settings).project_id = project_id
    return project_id


def _attempts(
    request: Request[T], settings: Settings, caller: Caller, project_id: str, runtime: Runtime
) -> Exchange[T]:
    """Authenticate, sign and send; retry while that can help, and once with another credential after a refusal."""
    path = request.path.replace("{project_id}", project_id)
    name = f"{request.method} {path}"
    attempts = Attempts(settings, runtime, idempotent=request.idempotent)
    was_refused = False
    while True:
        credential = _credential_of((yield from _authenticate(caller, None, runtime)))
        send = _signed(request, path, settings, credential=credential, project_id=project_id, now=runtime.now())
        reply = yield send
        try:
            return _read(request, read_json(response_of(reply), name), name)
        except ModelArtsError as raw:
            error = without_secrets(raw, _secrets(send, credential))
        if isinstance(error, ModelArtsAuthenticationError) and not was_refused:
            was_refused = True
            if (yield from _authenticate(caller, credential, runtime)) is not None:
                continue
        pause = attempts.pause_after(error, reply)
        if pause is None:
            raise error
        yield pause


def _authenticate(caller: Caller, refused: Credential | None, runtime: Runtime) -> Exchange[Credential | None]:
    """Return a credential; None when there is only the refused one.

    A connection may have been edited since it was read: after a refusal it is read again.
    """
    credential, failure = None, None
    try:
        credential = yield from _credential(caller.settings, refused, runtime)
    except ModelArtsAuthenticationError as error:
        failure = error
    if credential is None and (yield from _is_changed(caller)):
        return (yield from _credential(caller.settings, None, runtime))
    if failure is not None:
        raise failure
    return credential


def _is_changed(caller: Caller) -> Exchange[bool]:
    """Read the settings again, and return whether they hold other credentials."""
    before = caller.settings
    reply = yield Reload()
    if isinstance(reply, Settings):
        caller.settings = reply
    return caller.settings.credentials != before.credentials


def _credential(settings: Settings, refused: Credential | None, runtime: Runtime) -> Exchange[Credential | None]:
    """Return the credential that all callers alike share; obtain one where none is fresh."""
    if isinstance(settings.credentials, AccessKey):
        return None if refused == settings.credentials else settings.credentials
    session = session_of(settings)
    if refused is not None:
        session.refuse(refused)
    fresh = session.fresh(runtime.now())
    if fresh is not None:
        return fresh
    try:
        credential = _credential_of((yield Login(settings)))
    except PASSING_ERRORS:
        valid = session.valid(refused, runtime.now())
        if valid is None:
            raise
        return valid
    return None if credential == refused else credential


def _read(request: Request[T], value: JSON, name: str) -> T:
    try:
        return request.read(value)
    except ModelArtsProtocolError as error:
        raise ModelArtsProtocolError(f"{name}: {error}") from error


class Attempts:
    """Attempts at one request, and the pause before the next one.

    :param idempotent: whether the request may be repeated when its outcome is unknown.
    """

    def __init__(self, settings: Settings, runtime: Runtime, *, idempotent: bool) -> None:
        self._policy = settings.retry
        self._runtime = runtime
        self._idempotent = idempotent
        self._began = runtime.now()
        self._failed = 0

    def pause_after(self, error: ModelArtsError, reply: Reply) -> Pause | None:
        """Return the pause before the next attempt; None to give up."""
        self._failed += 1
        delay = next_delay(
            error,
            attempt=self._failed,
            elapsed=self._runtime.now() - self._began,
            retry_after=retry_after(reply) if isinstance(reply, Response) else None,
            idempotent=self._idempotent,
            spread=self._runtime.spread(),
            policy=self._policy,
        )
        return None if delay is None else Pause(delay, error)


def response_of(reply: Reply) -> Response:
    """Return the response to a :class:`Send`, or raise the transport error."""
    if isinstance(reply, Response):
        return reply
    raise reply if isinstance(reply, ModelArtsTransportError) else TypeError("the driver returned no response")


def _credential_of(reply: Reply) -> Credential:
    if isinstance(reply, (AccessKey, Token)):
        return reply
    raise TypeError("the driver returned no credential")


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
