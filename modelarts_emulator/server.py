"""Serving an emulator: on an event loop, or on a thread of its own beside synchronous code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web

from modelarts_emulator.app import make_app
from modelarts_emulator.instance import Emulator

LOOPBACK = "127.0.0.1"

# Long enough to finish an answer; a canned delay may be longer than anybody wants to wait at the end.
_SHUTDOWN_SECONDS = 0.2


@asynccontextmanager
async def serving(emulator: Emulator, host: str = LOOPBACK, port: int = 0) -> AsyncIterator[None]:
    """Serve an emulator on the running event loop; its ``endpoint`` is set then.

    :param port: 0 takes a free one.
    """
    runner = web.AppRunner(make_app(emulator), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        emulator.open()
        await web.TCPSite(runner, host, port).start()
        name = f"[{host}]" if ":" in host else host
        emulator.endpoint = f"http://{name}:{runner.addresses[0][1]}"
        yield
    finally:
        await runner.cleanup()
        await emulator.close()


@contextmanager
def running(*, host: str = LOOPBACK, port: int = 0, **options: Any) -> Iterator[Emulator]:
    """Serve a new emulator on a thread of its own while the block runs.

    :param options: as of :class:`~modelarts_emulator.Emulator`.
    :raises OSError: when the port is taken, the host is not ours, or the root cannot be used.
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
    """Serve until the function that ``started`` is given is called, from whatever thread."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    async with serving(emulator, host, port):
        started.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
        await stopped.wait()
