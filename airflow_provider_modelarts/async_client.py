"""The asynchronous client: ``aiohttp`` drives the core. Works without Airflow."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_modelarts.async_operations import AsyncModelArtsOperations
from airflow_provider_modelarts.async_pool import Pool
from airflow_provider_modelarts.async_sharing import together
from airflow_provider_modelarts.core import wallet
from airflow_provider_modelarts.core.exchange import (
    Authenticate,
    Exchange,
    Outside,
    Pause,
    Send,
    exchange,
    find_project_id,
)
from airflow_provider_modelarts.core.obtaining import obtain
from airflow_provider_modelarts.core.retry import PASSING_ERRORS
from airflow_provider_modelarts.core.sign_in import secrets_of
from airflow_provider_modelarts.core.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsAuthenticationError, ModelArtsThrottledError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from airflow_provider_modelarts.core.api import Request
    from airflow_provider_modelarts.core.settings import Settings
    from airflow_provider_modelarts.core.sign_in import Credential

T = TypeVar("T")


class AsyncModelArtsClient(AsyncModelArtsOperations):
    """ModelArts over keep-alive connections, for an event loop. Use it in an ``async with`` statement.

    Clients of one event loop that call as the same one share their connections and their pace: see
    :class:`~airflow_provider_modelarts.async_pool.Pool`. Its methods are those of
    :class:`~airflow_provider_modelarts.client.ModelArtsClient`, to be awaited.

    :param settings: where and as whom to call.
    :param reload: returns the settings as they are now; asked once when the platform refuses the key or password.
    :param on_secret: is told each token and key that is obtained at run time, to mask it in logs.
    :param is_urgent: call past the queue and the pace of the pool, and keep to no long ``Retry-After``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        reload: Callable[[], Awaitable[Settings]] | None = None,
        on_secret: Callable[[str], Awaitable[None]] | None = None,
        is_urgent: bool = False,
    ) -> None:
        self.settings = settings
        self._is_urgent = is_urgent
        self._reload = reload
        self._on_secret = on_secret
        self._outside = Outside(time.time, random.random)
        self._joined: Pool | None = None

    async def call(self, request: Request[T]) -> T:
        """Make one call and return the value that its request reads from the answer."""
        if self._is_urgent:
            hurried = replace(self.settings, retry=self.settings.retry.in_a_hurry())
            return await self._drive(exchange(request, hurried, self._outside))
        async with self._pool.turn():
            return await self._drive(exchange(request, self.settings, self._outside))

    async def project_id(self) -> str:
        """Return the project id, looked up by the region's name if it is not set."""
        return await self._drive(find_project_id(self.settings, self._outside))

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
    def _pool(self) -> Pool:
        self._joined = self._joined or Pool.join(self.settings)
        return self._joined

    async def _drive(self, exchange: Exchange[T]) -> T:
        try:
            step = next(exchange)
            while True:
                match step:
                    case Send():
                        step = exchange.send(await self._pool.send(step, self.settings))
                    case Authenticate(refused=refused):
                        step = exchange.send(await self._authenticate(refused))
                    case Pause(seconds=seconds, error=error):
                        if isinstance(error, ModelArtsThrottledError):
                            self._pool.slow_down(seconds)
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
            credential = await together(wallet.identity(self.settings), lambda: _renew(self.settings, self._on_secret))
        except PASSING_ERRORS:
            valid = wallet.valid(self.settings, refused, time.time())
            if valid is None:
                raise
            return valid
        return None if credential == refused else credential

    async def _is_changed(self) -> bool:
        """Read the settings again, and return whether they say to sign in otherwise than before."""
        if self._reload is None:
            return False
        before, self.settings = self.settings, await self._reload()
        return self.settings.sign_in != before.sign_in


async def _renew(settings: Settings, on_secret: Callable[[str], Awaitable[None]] | None) -> Credential:
    """Sign in over a connection of its own: whoever asked first may be gone before it is done."""
    async with AsyncModelArtsClient(settings) as client:
        issued = await client._drive(obtain(settings, client._outside))
    wallet.keep(settings, issued)
    if on_secret is not None:
        for secret in secrets_of(issued.credential):
            await on_secret(secret)
    return issued.credential
