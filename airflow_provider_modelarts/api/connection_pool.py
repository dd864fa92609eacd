"""Connection pool, rate limiter and single flight of the asynchronous clients of one event loop."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow_provider_modelarts.api.responses import (
    MAX_BODY_BYTES,
    PART,
    Response,
    bad_bundle,
    declared_length,
    no_answer,
)
from airflow_provider_modelarts.api.session import standing_of
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine, Hashable

    import aiohttp

    from airflow_provider_modelarts.api.credentials import CredentialProvider
    from airflow_provider_modelarts.api.exchange import Reply, Send
    from airflow_provider_modelarts.api.settings import Settings


_CUT = 0.7  # what a refusal leaves of the rate
_GROWTH = 5.0  # requests per second that the rate gains in each second of good answers
_LONGEST_GAP = 1.0
_SHORTEST_GAP = 0.001  # below it, there is no limit
_SMOOTHING = 0.1


@dataclass(slots=True)
class RateLimiter:
    """When the next request may be sent; all times in seconds, on one clock.

    Without limit until the platform refuses a request for coming too soon (429). Then nobody sends for a while, and
    the rate is lower than it was; with every good answer it grows again.
    """

    _gap: float = 0.0
    _usual_gap: float = _LONGEST_GAP
    _last: float = 0.0
    _paused_until: float = 0.0

    def rest(self, now: float) -> float:
        """Return how long to wait before the next request."""
        return max(0.0, self._last + self._gap - now, self._paused_until - now)

    def sent(self, now: float) -> None:
        """Note that a request is sent."""
        self._usual_gap += _SMOOTHING * (min(now - self._last, _LONGEST_GAP) - self._usual_gap)
        self._last = now

    def throttled(self, now: float, pause: float) -> None:
        """Note that a request was refused, and will be sent again after a pause. It slows down all.

        Those that were under way with it and are refused too do not slow down any further.
        """
        if now >= self._paused_until:
            self._gap = min(max(self._gap, self._usual_gap) / _CUT, _LONGEST_GAP)
        self._paused_until = max(self._paused_until, now + pause)

    def answered(self) -> None:
        """Note a good answer."""
        self._gap = self._gap / (1 + _GROWTH * self._gap**2)
        if self._gap < _SHORTEST_GAP:
            self._gap = 0.0


T = TypeVar("T")

_under_way: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Task[Any]] = {}


async def single_flight(key: Hashable, look: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what is found, or raise what goes wrong: the same for all who ask while somebody looks for it.

    It goes on when the one who asked first is cancelled.

    :param key: what is looked for.
    :param look: looks for it.
    """
    whole_key = asyncio.get_running_loop(), key
    if whole_key not in _under_way:
        task = _under_way[whole_key] = asyncio.create_task(look())
        task.add_done_callback(lambda _: _under_way.pop(whole_key))
    found: T = await asyncio.shield(_under_way[whole_key])
    return found


#: Calls of one pool that may be under way at once, with their retries.
MAX_CALLS = 64

_MOST_READS = 10  # read timeouts that one attempt may last

#: Who calls, where, and by which way.
_Identity: TypeAlias = "tuple[CredentialProvider, str, bool | str, frozenset[tuple[str, str]]]"

_Key: TypeAlias = tuple[asyncio.AbstractEventLoop, _Identity]

_pools: dict[_Key, Pool] = {}


class Pool:
    """Connections that several clients share. The last one that leaves closes them."""

    @classmethod
    def join(cls, settings: Settings) -> Pool:
        """Return the pool of this event loop for those who call alike; leave it in the end."""
        proxies = frozenset(settings.proxies.items())
        identity = settings.credentials, settings.base_url("modelarts"), settings.verify, proxies
        key = asyncio.get_running_loop(), identity
        pool = _pools.get(key) or _pools.setdefault(key, cls(key, settings))
        pool._members += 1
        return pool

    def __init__(self, key: _Key, settings: Settings) -> None:
        self._key = key
        self._verify = settings.verify
        self._proxies = settings.proxies
        self._members = 0
        self._calls = asyncio.Semaphore(MAX_CALLS)
        self._door = asyncio.Lock()
        self._trying = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._opened: aiohttp.ClientSession | None = None
        self._pace = RateLimiter()
        self._proxy_of = cache(self._find_proxy)

    async def leave(self) -> None:
        """Give up the share of one client."""
        self._members -= 1
        if self._members:
            return
        del _pools[self._key]
        if self._opened is not None:
            await self._opened.close()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until it is the turn of a call, first come, first served; it lasts as long as the ``with`` statement.

        Whatever passes in the queue is not yet a part of the call: neither its signature nor its time to try again
        grows old there.
        """
        clock = asyncio.get_running_loop().time
        async with self._calls:
            async with self._door:
                while rest := self._pace.rest(clock()):  # noqa: ASYNC110 - it may have grown meanwhile
                    await asyncio.sleep(rest)
                self._pace.sent(clock())
            yield
        self._pace.answered()

    def slow_down(self, pause: float) -> None:
        """Let all who share the pool wait, after a request that came too soon for the platform.

        :param pause: seconds.
        """
        self._pace.throttled(asyncio.get_running_loop().time(), pause)

    async def send(self, send: Send, settings: Settings) -> Reply:
        """Send over HTTP, and return the answer, or the error that came instead.

        As long as nobody knows whether the key or password of the settings is good, one is sent at a time; and none for
        a while after it was refused, whose answer all get.
        """
        if send.proof == settings.credentials and not (standing := standing_of(settings)).is_good:
            async with self._alone(settings.connect_timeout):
                if not standing.is_good:
                    reply = standing.refusal(time.time()) or await self._send(send, settings)
                    standing.learn(reply, time.time())
                    return reply
        return await self._send(send, settings)

    @asynccontextmanager
    async def _alone(self, patience: float) -> AsyncIterator[None]:
        """Wait until no other is in here, but for no more than some seconds: the platform may hang."""
        async with AsyncExitStack() as stack:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await stack.enter_async_context(self._trying)
            yield

    async def _send(self, send: Send, settings: Settings) -> Reply:
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

    async def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            async with self._opening:
                if self._opened is None:
                    self._opened = await _open(self._verify)
        return self._opened

    def _find_proxy(self, scheme: str, authority: str) -> str | None:
        """Return what ``requests`` takes too. aiohttp's own way would also take a password from ~/.netrc."""
        from urllib.request import getproxies, proxy_bypass

        if scheme in self._proxies:
            return self._proxies[scheme]
        return None if proxy_bypass(authority) else getproxies().get(scheme)


async def _open(verify: bool | str) -> aiohttp.ClientSession:
    import aiohttp

    context = await asyncio.to_thread(_tls_context, verify)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)  # the calls are limited, and with them the connections
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    # whether a request may be sent again is our decision; this is the only way to tell aiohttp
    session._retry_connection = False
    return session


async def _answer(response: aiohttp.ClientResponse) -> Response:
    """Return an answer with its body, unless that is too long to be read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = bytearray()
    if declared_length(headers) > MAX_BODY_BYTES:
        return Response(response.status, headers, is_too_long=True)
    async for part in response.content.iter_chunked(PART):
        body += part
        if len(body) > MAX_BODY_BYTES:
            return Response(response.status, headers, is_too_long=True)
    return Response(response.status, headers, bytes(body))


@cache
def _timeout(connect: float, read: float) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(
        total=_MOST_READS * read,  # of a body that comes drop by drop
        connect=connect + read,  # with the words of a proxy
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
        raise bad_bundle(bundle) from error
