"""The asynchronous client: ``aiohttp`` drives the core. Works without Airflow."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_modelarts.async_operations import AsyncModelArtsOperations
from airflow_provider_modelarts.core import wallet
from airflow_provider_modelarts.core.answers import LARGEST_BODY, PART, Answer, declared_length, no_answer
from airflow_provider_modelarts.core.exchange import (
    Authenticate,
    Exchange,
    Outside,
    Pause,
    Reply,
    Send,
    exchange,
    find_project_id,
)
from airflow_provider_modelarts.core.obtaining import obtain
from airflow_provider_modelarts.core.retry import PASSING_ERRORS
from airflow_provider_modelarts.core.sign_in import secrets_of
from airflow_provider_modelarts.core.signing import AccessKey
from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    import aiohttp

    from airflow_provider_modelarts.core.api import Request
    from airflow_provider_modelarts.core.settings import Settings
    from airflow_provider_modelarts.core.sign_in import Credential

T = TypeVar("T")

#: Who is signing in at this moment, by event loop.
_renewals: dict[tuple[asyncio.AbstractEventLoop, wallet.Identity], asyncio.Task[Credential]] = {}


class AsyncModelArtsClient(AsyncModelArtsOperations):
    """ModelArts over keep-alive connections, for an event loop. Use it in an ``async with`` statement.

    Its methods are those of :class:`~airflow_provider_modelarts.client.ModelArtsClient`, to be awaited.

    :param settings: where and as whom to call.
    :param reload: returns the settings as they are now; asked once when the platform refuses the key or password.
    :param on_secret: is told each token and key that is obtained at run time, to mask it in logs.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reload: Callable[[], Awaitable[Settings]] | None = None,
        on_secret: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.settings = settings
        self._reload = reload
        self._on_secret = on_secret
        self._outside = Outside(time.time, random.random)
        self._opened: aiohttp.ClientSession | None = None

    async def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the answer."""
        return await self._drive(exchange(request, self.settings, self._outside))

    async def project_id(self) -> str:
        """Return the project id, looked up by the region's name if it is not set."""
        return await self._drive(find_project_id(self.settings, self._outside))

    async def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    async def __aenter__(self) -> AsyncModelArtsClient:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _drive(self, exchange: Exchange[T]) -> T:
        try:
            step = next(exchange)
            while True:
                match step:
                    case Send():
                        step = exchange.send(await self._send(step))
                    case Authenticate(refused=refused):
                        step = exchange.send(await self._authenticate(refused))
                    case Pause(seconds=seconds):
                        await asyncio.sleep(seconds)
                        step = next(exchange)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _authenticate(self, refused: Credential | None) -> Credential | None:
        """Return what proves who calls; None when there is nothing else than what was refused."""
        try:
            credential = await self._credential(refused)
        except ModelArtsAuthenticationError:
            if not await self._is_changed():
                raise
            return await self._credential(None)
        if credential is None and await self._is_changed():
            return await self._credential(None)
        return credential

    async def _credential(self, refused: Credential | None) -> Credential | None:
        """Return the credential that all share who sign in alike; obtain one if there is none that is fresh."""
        if isinstance(self.settings.sign_in, AccessKey):
            return None if refused == self.settings.sign_in else self.settings.sign_in
        fresh = wallet.fresh(self.settings, refused, time.time())
        if fresh is not None:
            return fresh
        try:
            credential = await self._renewed()
        except PASSING_ERRORS:
            valid = wallet.valid(self.settings, refused, time.time())
            if valid is None:
                raise
            return valid
        return None if credential == refused else credential

    async def _renewed(self) -> Credential:
        """Return a new credential: one request, and one outcome, for all who wait for it on this event loop."""
        key = (asyncio.get_running_loop(), wallet.identity(self.settings))
        if key not in _renewals:
            _renewals[key] = asyncio.create_task(_renew(self.settings, self._on_secret))
            _renewals[key].add_done_callback(lambda _: _renewals.pop(key))
        return await asyncio.shield(_renewals[key])

    async def _is_changed(self) -> bool:
        """Read the settings again, and return whether they say to sign in otherwise than before."""
        if self._reload is None:
            return False
        before, self.settings = self.settings, await self._reload()
        return self.settings.sign_in != before.sign_in

    async def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._opened is None:
            context = await asyncio.to_thread(_tls_context, self.settings.verify)
            connector = aiohttp.TCPConnector(ssl=context)
            self._opened = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            # whether a request may be sent again is our decision; this is the only way to tell aiohttp
            self._opened._retry_connection = False
        return self._opened

    def _timeout(self, send: Send) -> aiohttp.ClientTimeout:
        import aiohttp

        connect, read = send.timeout or self.settings.connect_timeout, send.timeout or self.settings.read_timeout
        return aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=read)

    def _proxy(self, scheme: str, authority: str) -> str | None:
        return self.settings.proxies.get(scheme) or _proxy_of_environment(scheme, authority)

    async def _send(self, send: Send) -> Reply:
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
                proxy=None if send.direct else self._proxy(url.scheme, url.authority),
                timeout=self._timeout(send),
            ) as response:
                return await _answer(response)
        except aiohttp.ClientResponseError as error:
            # not its own text: that has the URL of a proxy in it, which may hold a password
            said = aiohttp.ClientError(f"{error.status} {error.message}")
            return no_answer(f"{send.method} {send.url}", said, temporary=True)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            temporary = not isinstance(error, aiohttp.ClientSSLError)
            return no_answer(f"{send.method} {send.url}", error, temporary=temporary)
        except (aiohttp.ClientError, ValueError) as error:
            # its text may quote a header, and headers hold the key's id and the signature
            raise ModelArtsConfigurationError(
                f"{send.method} {send.url}: cannot be sent: {type(error).__name__}"
            ) from None


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    """Return an answer with its body, unless that is too long to be read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = bytearray()
    if declared_length(headers) > LARGEST_BODY:
        return Answer(response.status, headers, is_too_long=True)
    async for part in response.content.iter_chunked(PART):
        body += part
        if len(body) > LARGEST_BODY:
            return Answer(response.status, headers, is_too_long=True)
    return Answer(response.status, headers, bytes(body))


async def _renew(settings: Settings, on_secret: Callable[[str], Awaitable[None]] | None) -> Credential:
    """Sign in over a connection of its own: whoever asked first may be gone before it is done."""
    async with AsyncModelArtsClient(settings) as client:
        issued = await client._drive(obtain(settings, client._outside))
    wallet.keep(settings, issued)
    if on_secret is not None:
        for secret in secrets_of(issued.credential):
            await on_secret(secret)
    return issued.credential


def _proxy_of_environment(scheme: str, authority: str) -> str | None:
    """Return what ``requests`` takes too. aiohttp's own way would also take a password from ~/.netrc."""
    from urllib.request import getproxies, proxy_bypass

    return None if proxy_bypass(authority) else getproxies().get(scheme)


def _tls_context(verify: bool | str) -> ssl.SSLContext | bool:
    """Return the trust that ``requests`` has too: its bundle, unless a path or ``REQUESTS_CA_BUNDLE`` names one."""
    import os
    import ssl

    import certifi

    if verify is False:
        return False
    bundle = verify if isinstance(verify, str) else os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()
    return ssl.create_default_context(cafile=bundle)
