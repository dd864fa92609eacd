"""Server of an emulator: on a running event loop, or on a thread beside synchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from modelarts_emulator.emulator import Emulator

LOOPBACK = "127.0.0.1"

# enough to finish a response; a delayed one may take longer than a test should wait for the end
_SHUTDOWN_SECONDS = 0.2


@asynccontextmanager
async def serving(emulator: Emulator, host: str = LOOPBACK, port: int = 0) -> AsyncIterator[None]:
    """Serve an emulator on the running event loop, and set its ``endpoint``.

    :param port: 0 takes a free one.
    """
    from aiohttp.web import AppRunner, TCPSite

    from modelarts_emulator.app import make_app

    runner = AppRunner(make_app(emulator), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        emulator.open()
        await TCPSite(runner, host, port).start()
        name = f"[{host}]" if ":" in host else host
        emulator.endpoint = f"http://{name}:{runner.addresses[0][1]}"
        yield
    finally:
        await runner.cleanup()
        await emulator.close()


@contextmanager
def running(*, host: str = LOOPBACK, port: int = 0, **options: Any) -> Iterator[Emulator]:
    """Serve a new emulator on its own thread while the block runs.

    :param options: of :class:`~modelarts_emulator.Emulator`.
    :raises OSError: if the port is in use, or the host or the root cannot be used.
    """
    emulator = Emulator(**options)
    started: Future[Callable[[], object]] = Future()
    with ThreadPoolExecutor(1, "modelarts-emulator") as threads:
        served = threads.submit(lambda: asyncio.run(_serve_until_stopped(emulator, host, port, started)))
        ends: list[Future[Any]] = [started, served]
        wait(ends, return_when=FIRST_COMPLETED)
        if served.done():
            served.result()
        stop = started.result()
        try:
            yield emulator
        finally:
            stop()
    served.result()


async def _serve_until_stopped(emulator: Emulator, host: str, port: int, started: Future[Callable[[], object]]) -> None:
    """Serve until a thread calls the function that ``started`` receives."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    async with serving(emulator, host, port):
        started.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
        await stopped.wait()
