"""Asynchronous client of ModelArts: ``aiohttp`` drives the exchanges. Works without Airflow."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_modelarts.api import flows, operations, pagination
from airflow_provider_modelarts.api.connection_pool import ConnectionPool, single_flight
from airflow_provider_modelarts.api.exchange import (
    Caller,
    Exchange,
    Login,
    Mask,
    Pause,
    Reload,
    Runtime,
    Send,
    Step,
    exchange,
    find_project_id,
)
from airflow_provider_modelarts.api.flows import Sleep
from airflow_provider_modelarts.api.login import login
from airflow_provider_modelarts.api.responses import (
    CHUNK_BYTES,
    MAX_BODY_BYTES,
    Response,
    declared_length,
    no_response,
    not_sendable,
    unreadable_ca_bundle,
)
from airflow_provider_modelarts.api.session import session_of
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import (
    ModelArtsError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Generator
    from types import TracebackType

    import aiohttp

    from airflow_provider_modelarts.api.credentials import Credential
    from airflow_provider_modelarts.api.flows import Flow
    from airflow_provider_modelarts.api.operations import Filter, Request
    from airflow_provider_modelarts.core.jobs import Algorithm, JobEvent, JobPage, ParameterImportance, TrainingJob
    from airflow_provider_modelarts.core.json_values import JSON
    from airflow_provider_modelarts.core.trials import Trial

__all__ = ["AccessKey", "AsyncModelArtsClient", "AsyncModelArtsOperations", "Settings"]

S = TypeVar("S")
T = TypeVar("T")

_MAX_READS = 10  # read timeouts that one attempt may last: its body may arrive drop by drop


class AsyncModelArtsOperations(ABC):
    """Operations of the API, as coroutines over :meth:`call`.

    Each of them may raise the errors of :mod:`airflow_provider_modelarts.exceptions`.
    """

    @abstractmethod
    async def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the response."""

    async def run(self, flow: Flow[T]) -> T:
        """Make the calls of a flow and return its result."""
        return await _drive(flow, self._carry_out)

    async def _carry_out(self, step: Request[Any] | Sleep) -> object:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        return await self.call(step)

    async def iter_trials(self, training_job_id: str, *, page_size: int = 50) -> AsyncIterator[Trial]:
        """Yield the trials of a search, page by page, as the pages arrive.

        :param page_size: trials per request, 1 to 50.
        :raises ModelArtsProtocolError: when the platform lists fewer trials than its ``total``. It does so while a
            search starts its trials: wait for the end of the search first.
        """
        walk = pagination.walk(pagination.checked_page_size(page_size))
        step = next(walk)
        while step.offset is not None:
            page = await self.call(operations.list_trials_page(training_job_id, limit=page_size, offset=step.offset))
            step = walk.send(page)
            for trial in step.trials:
                yield trial

    async def list_trials(self, training_job_id: str, *, page_size: int = 50) -> list[Trial]:
        """Return all trials of a search. See :meth:`iter_trials`."""
        return [trial async for trial in self.iter_trials(training_job_id, page_size=page_size)]

    async def get_training_job(self, training_job_id: str) -> TrainingJob:
        """Return a training job (ShowTrainingJobDetails)."""
        return await self.call(operations.show_training_job(training_job_id))

    async def get_algorithm(self, algorithm_id: str) -> Algorithm:
        """Return a managed algorithm with the settings of its search (ShowAlgorithmByUuid)."""
        return await self.call(operations.show_algorithm(algorithm_id))

    async def get_trial(self, training_job_id: str, trial_id: str) -> list[Trial]:
        """Return the reports of one trial, oldest first; the last is its current state (ShowAutoSearchPerTrial).

        The table has no status column: the flag ``done`` shows whether the trial has ended.
        """
        return await self.call(operations.show_trial(training_job_id, trial_id))

    async def stop_trial(self, training_job_id: str, trial_id: str) -> str:
        """Stop one trial early, and return its id (ShowAutoSearchTrialEarlyStop)."""
        return await self.call(operations.stop_trial(training_job_id, trial_id))

    async def get_parameter_importance(self, training_job_id: str) -> list[ParameterImportance]:
        """Return the importance of each hyperparameter, as ModelArts analyses it (ShowAutoSearchParamsAnalysis)."""
        return await self.call(operations.show_parameter_importance(training_job_id))

    async def create_training_job(self, body: Mapping[str, JSON]) -> TrainingJob:
        """Create a training job (CreateTrainingJob). It costs money, and is never retried.

        :param body: body of the request, as the platform documents it.
        """
        return await self.call(operations.create_training_job(body))

    async def stop_training_job(self, training_job_id: str) -> bool:
        """Stop a training job (StopTrainingJob); return False if it has ended or no longer exists."""
        return await self.run(flows.stop_job(training_job_id))

    async def delete_training_job(self, training_job_id: str) -> bool:
        """Delete a training job (DeleteTrainingJob); return False if it no longer exists."""
        return await self.run(flows.delete_job(training_job_id))

    async def list_events(self, training_job_id: str, *, level: str | None = None, limit: int = 50) -> list[JobEvent]:
        """Return the events of a job, newest first (ListTrainingJobEvents).

        :param level: ``Info``, ``Warning`` or ``Error``; None for all.
        :param limit: 1 to 100.
        """
        return await self.call(operations.list_events(training_job_id, level=level, limit=limit))

    async def get_log_preview(self, training_job_id: str, task: str = "worker-0") -> str:
        """Return the newest part of a task's log, empty while there is none (ShowTrainingJobLogsPreview).

        :param task: one of the job's ``tasks``.
        """
        return await self.run(flows.read_log(training_job_id, task))

    async def search_training_jobs(
        self, *, filters: Sequence[Filter] = (), limit: int = 50, offset: int = 0, workspace_id: str = "0"
    ) -> JobPage:
        """Return one page of the training jobs, newest first (ListTrainingJobs).

        :param filters: key, operator (between, like, in, not) and values of each condition, such as
            ``("phase", "in", ["Running"])``.
        :param limit: jobs per page, 1 to 50.
        :param offset: number of the page, from 0.
        :param workspace_id: the workspace whose jobs are listed.
        """
        return await self.call(
            operations.search_training_jobs(filters=filters, limit=limit, offset=offset, workspace_id=workspace_id)
        )

    async def request(
        self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: JSON = None
    ) -> JSON:
        """Call any other operation, with the same signature, retries and errors; return its JSON.

        :param path: such as ``/v2/{project_id}/training-job-flavors``; ``{project_id}`` is filled in.
        :param body: JSON to send; None sends no body.
        """
        return await self.call(operations.any_request(method, path, query, body))


class AsyncModelArtsClient(AsyncModelArtsOperations):
    """ModelArts over keep-alive connections, for an event loop. Use it in an ``async with`` statement.

    The clients of one caller and one event loop share connections and a rate: see
    :class:`~airflow_provider_modelarts.api.connection_pool.ConnectionPool`. The methods are those of
    :class:`~airflow_provider_modelarts.client.ModelArtsClient`, to be awaited.

    :param settings: endpoints, credentials, timeouts.
    :param reload: returns the settings as they are now; called once after the platform refuses the credential.
    :param on_secret: masks a token or temporary key in logs; called with each that is obtained at run time.
    :param is_urgent: call past the queue and the rate of the pool, and cut a long ``Retry-After`` short.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reload: Callable[[], Awaitable[Settings]] | None = None,
        on_secret: Callable[[str], Awaitable[None]] | None = None,
        is_urgent: bool = False,
    ) -> None:
        self._caller = Caller(settings)
        self._is_urgent = is_urgent
        self._reload = reload
        self._on_secret = on_secret
        self._runtime = Runtime(time.time, random.random)
        self._joined: ConnectionPool | None = None

    @property
    def settings(self) -> Settings:
        """The settings, as they were last read."""
        return self._caller.settings

    async def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the response."""
        if self._is_urgent:
            urgent = self.settings.retry.urgent()
            return await self._drive(exchange(request, self._caller, self._runtime, retry=urgent))
        async with self._pool.turn():
            return await self._drive(exchange(request, self._caller, self._runtime))

    async def project_id(self) -> str:
        """Return the project id, looked up by the region's name unless it is set."""
        return await self._drive(find_project_id(self._caller, self._runtime))

    async def close(self) -> None:
        """Close the connections, unless other clients share them."""
        joined, self._joined = self._joined, None
        if joined is not None:
            await joined.leave()

    async def __aenter__(self) -> AsyncModelArtsClient:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def _pool(self) -> ConnectionPool:
        self._joined = self._joined or ConnectionPool.join(self.settings, _Transport)
        return self._joined

    async def _drive(self, exchange: Exchange[T]) -> T:
        return await _drive(exchange, self._take)

    async def _take(self, step: Step) -> object:
        """Carry out one step of an exchange."""
        match step:
            case Send():
                return await self._send(step)
            case Pause(seconds=seconds, error=error):
                if isinstance(error, ModelArtsThrottledError):
                    self._pool.slow_down(seconds)
                await asyncio.sleep(seconds)
            case Login(settings=settings):
                work = partial(_log_in, settings, self._runtime, self._on_secret)
                return await single_flight(session_of(settings), work)
            case Reload():
                return await self._reload() if self._reload else None
            case Mask(secret=secret):
                if self._on_secret is not None:
                    await self._on_secret(secret)
        return None

    async def _send(self, send: Send) -> Response | ModelArtsTransportError:
        """Send. While the platform has not accepted the caller's own credential, one request is sent at a time.

        After a refusal none is sent for a while, and all get its response.
        """
        pool, settings = self._pool, self.settings
        if send.proof == settings.credentials and not (session := session_of(settings)).is_proven:
            async with pool.one_at_a_time(settings.connect_timeout):
                if not session.is_proven:
                    reply = session.refusal(time.time()) or await pool.transport.send(send, settings)
                    session.learn(reply, time.time())
                    return reply
        return await pool.transport.send(send, settings)


async def _log_in(
    settings: Settings, runtime: Runtime, on_secret: Callable[[str], Awaitable[None]] | None
) -> Credential:
    """Log in over a connection of its own: the client that began may be closed before the end."""
    async with AsyncModelArtsClient(settings, on_secret=on_secret) as client:
        return await client._drive(login(settings, runtime))


async def _drive(flow: Generator[S, Any, T], carry_out: Callable[[S], Awaitable[object]]) -> T:
    """Run a generator to its end: send back the result of each step, or throw in its error."""
    try:
        step = next(flow)
        while True:
            try:
                result = await carry_out(step)
            except ModelArtsError as error:
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


class _Transport:
    """Connections of ``aiohttp``, with the trust and the proxies of some settings."""

    def __init__(self, settings: Settings) -> None:
        self._verify = settings.verify
        self._proxies = settings.proxies
        self._opening = asyncio.Lock()
        self._opened: aiohttp.ClientSession | None = None
        self._proxy_of = cache(self._find_proxy)

    async def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    async def send(self, send: Send, settings: Settings) -> Response | ModelArtsTransportError:
        """Send over HTTP, and return the response or the transport error."""
        import aiohttp
        from yarl import URL

        session = await self._session()
        url = URL(send.url, encoded=True)
        try:
            async with session.request(
                send.method,
                url,
                headers=send.headers,
                data=send.body or None,
                allow_redirects=False,
                proxy=None if send.direct else self._proxy_of(url.scheme, url.authority),
                timeout=_timeout(send.timeout or settings.connect_timeout, send.timeout or settings.read_timeout),
            ) as response:
                return await _read(response)
        except aiohttp.ClientResponseError as error:
            # not its own text: that has the URL of a proxy in it, which may hold a password
            shown = aiohttp.ClientError(f"{error.status} {error.message}")
            return no_response(f"{send.method} {send.url}", shown, temporary=True)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            temporary = not isinstance(error, aiohttp.ClientSSLError)
            return no_response(f"{send.method} {send.url}", error, temporary=temporary)
        except (aiohttp.ClientError, ValueError) as error:
            raise not_sendable(f"{send.method} {send.url}", error) from None

    async def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            async with self._opening:
                if self._opened is None:
                    self._opened = await _open(self._verify)
        return self._opened

    def _find_proxy(self, scheme: str, authority: str) -> str | None:
        """Return the proxy that ``requests`` uses too. The way of aiohttp would also read a password in ~/.netrc."""
        from urllib.request import getproxies, proxy_bypass

        if scheme in self._proxies:
            return self._proxies[scheme]
        return None if proxy_bypass(authority) else getproxies().get(scheme)


async def _open(verify: bool | str) -> aiohttp.ClientSession:
    import aiohttp

    context = await asyncio.to_thread(_tls_context, verify)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)  # the pool limits the calls, and with them the connections
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    # the exchange decides on retries; aiohttp has no public switch for its own
    session._retry_connection = False
    return session


async def _read(response: aiohttp.ClientResponse) -> Response:
    """Return a response with its body, unless that is too long."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = bytearray()
    if declared_length(headers) > MAX_BODY_BYTES:
        return Response(response.status, headers, is_too_long=True)
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return Response(response.status, headers, is_too_long=True)
    return Response(response.status, headers, bytes(body))


@cache
def _timeout(connect: float, read: float) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(
        total=_MAX_READS * read,
        connect=connect + read,  # a proxy may have to respond first
        sock_connect=connect,
        sock_read=read,
    )


def _tls_context(verify: bool | str) -> ssl.SSLContext | bool:
    """Return the trust that ``requests`` has too: its bundle, unless a path or the environment names one."""
    import os
    import ssl

    import certifi

    if verify is False:
        return False
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    bundle = verify if isinstance(verify, str) else named or certifi.where()
    try:
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise unreadable_ca_bundle(bundle) from error
