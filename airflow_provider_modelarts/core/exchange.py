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
from airflow_provider_modelarts.core import api, signing
from airflow_provider_modelarts.core.answers import Answer, read_json, retry_after
from airflow_provider_modelarts.core.api import Request
from airflow_provider_modelarts.core.retry import next_delay
from airflow_provider_modelarts.core.settings import Settings
from airflow_provider_modelarts.exceptions import ModelArtsError, ModelArtsTransportError, without_secrets

T = TypeVar("T")

USER_AGENT = f"airflow-provider-modelarts/{__version__}"


@dataclass(frozen=True, slots=True)
class Send:
    """Send this over HTTP and give back the :class:`Answer`, or the transport error that came instead."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep for some seconds, because of an error."""

    seconds: float
    error: ModelArtsError


Reply: TypeAlias = "Answer | ModelArtsTransportError | None"
Exchange: TypeAlias = Generator[Send | Pause, Reply, T]


@dataclass(frozen=True, slots=True)
class Outside:
    """What a pure function must be given: the time in seconds since the epoch, and a number from 0 to 1."""

    now: Callable[[], float]
    spread: Callable[[], float]


#: Project ids that IAM was asked for in this process, by IAM endpoint, access key and region.
_found_projects: dict[tuple[str, str, str], str] = {}


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
    if settings.project_id:
        return settings.project_id
    region = settings.known_region()
    known = (settings.base_url("iam"), settings.key.access_key, region)
    if known not in _found_projects:
        _found_projects[known] = yield from _attempts(api.find_project(region), settings, "", outside)
    return _found_projects[known]


def _attempts(request: Request[T], settings: Settings, project_id: str, outside: Outside) -> Exchange[T]:
    """Sign and send, and try again as long as that can help."""
    path = request.path.replace("{project_id}", project_id)
    name = f"{request.method} {path}"
    began = outside.now()
    attempt = 0
    while True:
        attempt += 1
        send = _signed(request, path, settings, project_id, outside.now())
        reply = yield send
        try:
            return request.read(read_json(_answer(reply), name))
        except ModelArtsError as raw:
            error = without_secrets(raw, _secrets(send, settings))
            delay = next_delay(
                error,
                attempt=attempt,
                elapsed=outside.now() - began,
                retry_after=retry_after(reply) if isinstance(reply, Answer) else None,
                idempotent=request.idempotent,
                spread=outside.spread(),
                policy=settings.retry,
            )
            if delay is None and error is raw:
                raise
            if delay is None:
                raise error from None
            yield Pause(delay, error)


def _answer(reply: Reply) -> Answer:
    if isinstance(reply, Answer):
        return reply
    raise reply or TypeError("the driver gave no reply")


def _secrets(send: Send, settings: Settings) -> Iterator[str]:
    yield settings.key.secret_key
    if settings.key.security_token:
        yield settings.key.security_token
    yield send.headers["Authorization"].rpartition("=")[2]


def _signed(request: Request[T], path: str, settings: Settings, project_id: str, now: float) -> Send:
    base = urlsplit(settings.base_url(request.service))
    path = f"{base.path}{path}"
    headers = {"Host": base.netloc, "Content-Type": "application/json", "User-Agent": USER_AGENT}
    if project_id:
        headers["X-Project-Id"] = project_id
    headers = signing.sign(
        settings.key,
        method=request.method,
        path=path,
        query=request.query,
        headers=headers,
        body=request.body,
        now=now,
    )
    query = signing.encode_query(request.query)
    url = f"{base.scheme}://{base.netloc}{signing.encode_path(path)}"
    return Send(request.method, f"{url}?{query}" if query else url, headers, request.body)
