"""Connection pool, rate limiter and single flight of the asynchronous clients of one event loop.

One triggerer holds thousands of waits. Those of one caller share connections, a cap on concurrent calls, and a rate.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Hashable

    from airflow_provider_modelarts.api.credentials import CredentialProvider
    from airflow_provider_modelarts.api.exchange import Send
    from airflow_provider_modelarts.api.responses import Response
    from airflow_provider_modelarts.api.settings import Settings
    from airflow_provider_modelarts.exceptions import ModelArtsTransportError

T = TypeVar("T")

#: Concurrent calls of one pool, their retries included.
MAX_CALLS = 64

_BACKOFF = 0.7  # share of the rate that remains after a 429
_GROWTH = 5.0  # requests per second that the rate gains in each second of good responses
_MAX_GAP = 1.0  # seconds between two requests
_MIN_GAP = 0.001  # seconds; below it the rate is unlimited
_SMOOTHING = 0.1  # weight of the newest gap in the average

#: Who calls, where, and through which proxies.
_Caller: TypeAlias = "tuple[CredentialProvider, str, bool | str, frozenset[tuple[str, str]]]"
_Key: TypeAlias = "tuple[asyncio.AbstractEventLoop, _Caller]"

_pools: dict[_Key, ConnectionPool] = {}
_flights: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Task[Any]] = {}


class Transport(Protocol):
    """Connections of the driver to one caller's endpoints."""

    async def send(self, send: Send, settings: Settings) -> Response | ModelArtsTransportError:
        """Send over HTTP, and return the response or the transport error."""

    async def close(self) -> None:
        """Close the connections."""


@dataclass(slots=True)
class RateLimiter:
    """Time of the next request; all times are seconds on one clock.

    The platform publishes no limits; they may be shared with others, and change. So the rate adapts as that of TCP
    does, by additive increase and multiplicative decrease: unlimited until the first 429, then lower after each 429,
    and higher after each good response.
    """

    _gap: float = 0.0
    _usual_gap: float = _MAX_GAP
    _last: float = 0.0
    _paused_until: float = 0.0

    def delay(self, now: float) -> float:
        """Return the seconds until the next request may be sent."""
        return max(0.0, self._last + self._gap - now, self._paused_until - now)

    def sent(self, now: float) -> None:
        """Record that a request is sent."""
        self._usual_gap += _SMOOTHING * (min(now - self._last, _MAX_GAP) - self._usual_gap)
        self._last = now

    def throttled(self, now: float, pause: float) -> None:
        """Record a 429, after which all requests pause.

        Requests that were sent before the pause and are refused too lower the rate no further.
        """
        if now >= self._paused_until:
            self._gap = min(max(self._gap, self._usual_gap) / _BACKOFF, _MAX_GAP)
        self._paused_until = max(self._paused_until, now + pause)

    def succeeded(self) -> None:
        """Record a good response."""
        self._gap = self._gap / (1 + _GROWTH * self._gap**2)
        if self._gap < _MIN_GAP:
            self._gap = 0.0


class ConnectionPool:
    """Transport, queue and rate that the clients of one caller share. The last client that leaves closes it."""

    @classmethod
    def join(cls, settings: Settings, connect: Callable[[Settings], Transport]) -> ConnectionPool:
        """Return the pool of the running event loop for this caller; :meth:`leave` it in the end.

        :param connect: returns the transport of a new pool.
        """
        proxies = frozenset(settings.proxies.items())
        caller = settings.credentials, settings.base_url("modelarts"), settings.verify, proxies
        key = asyncio.get_running_loop(), caller
        pool = _pools.get(key) or _pools.setdefault(key, cls(key, connect(settings)))
        pool._members += 1
        return pool

    def __init__(self, key: _Key, transport: Transport) -> None:
        self.transport = transport
        self._key = key
        self._members = 0
        self._calls = asyncio.Semaphore(MAX_CALLS)
        self._next = asyncio.Lock()
        self._unproven = asyncio.Lock()
        self._rate = RateLimiter()

    async def leave(self) -> None:
        """End the membership of one client."""
        self._members -= 1
        if not self._members:
            del _pools[self._key]
            await self.transport.close()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn of a call, first come, first served. The turn lasts as long as the ``with`` statement.

        A call begins when its turn comes: neither its signature nor its retry time ages in the queue.
        """
        clock = asyncio.get_running_loop().time
        async with self._calls:
            async with self._next:
                while delay := self._rate.delay(clock()):  # noqa: ASYNC110 - a 429 may prolong it
                    await asyncio.sleep(delay)
                self._rate.sent(clock())
            yield
        self._rate.succeeded()

    def slow_down(self, pause: float) -> None:
        """Let all calls of the pool wait after a 429.

        :param pause: seconds.
        """
        self._rate.throttled(asyncio.get_running_loop().time(), pause)

    @asynccontextmanager
    async def one_at_a_time(self, patience: float) -> AsyncIterator[None]:
        """Wait until no other request with an unproven credential is under way.

        :param patience: seconds to wait at most, since the platform may hang.
        """
        async with AsyncExitStack() as stack:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await stack.enter_async_context(self._unproven)
            yield


async def single_flight(key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do a piece of work once for all tasks of an event loop that want it at the same time.

    The work goes on when the task that started it is cancelled. Its result, or its error, is that of all.

    :param key: identity of the work.
    """
    flight = asyncio.get_running_loop(), key
    if flight not in _flights:
        task = _flights[flight] = asyncio.create_task(work())
        task.add_done_callback(lambda _: _flights.pop(flight))
    result: T = await asyncio.shield(_flights[flight])
    return result
