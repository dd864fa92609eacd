"""Server that counts the connections and the requests of the clients of one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

JOB = {"kind": "job", "metadata": {"id": "job"}, "status": {"phase": "Running"}}
THROTTLED = {"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached"}


@dataclass
class CountingServer:
    """Server on the running event loop, with its counters.

    :param throttled: numbers of the requests that get a 429; the first is 0.
    :param retry_after: seconds in the Retry-After header of a 429.
    :param may_respond: event that, while cleared, holds up all responses.
    """

    url: str = ""
    throttled: set[int] = field(default_factory=set)
    retry_after: int = 0
    may_respond: asyncio.Event = field(default_factory=asyncio.Event)
    connections: set[Any] = field(default_factory=set)
    max_concurrent: int = 0
    requests: int = 0
    concurrent: int = 0

    async def respond(self, request: web.Request) -> web.Response:
        """Respond to any request with a job, or with a 429."""
        number = self.requests
        self.connections.add(request.transport)
        self.requests += 1
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        await self.may_respond.wait()
        self.concurrent -= 1
        if number in self.throttled:
            return web.json_response(THROTTLED, status=429, headers={"Retry-After": str(self.retry_after)})
        return web.json_response(JOB)

    @property
    def open_connections(self) -> int:
        """Number of open connections."""
        return sum(not transport.is_closing() for transport in self.connections)


@asynccontextmanager
async def counting_server() -> AsyncIterator[CountingServer]:
    """Serve on the running event loop while the block runs."""
    server = CountingServer()
    server.may_respond.set()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
