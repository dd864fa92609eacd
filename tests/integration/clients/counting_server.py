"""A server that counts what clients of one event loop do together: connections, requests, arrivals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

JOB = {"kind": "job", "metadata": {"id": "job"}, "status": {"phase": "Running"}}
REFUSAL = {"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached"}


@dataclass
class Counted:
    """What was counted.

    :param refused: which requests, counted from 0, are refused with 429.
    :param pause: seconds after which those are to come again.
    :param may_answer: cleared, it holds all answers up.
    """

    url: str = ""
    refused: set[int] = field(default_factory=set)
    pause: int = 0
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    connections: set[Any] = field(default_factory=set)
    most_at_once: int = 0
    arrivals: int = 0
    at_once: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer any request for a job."""
        number = self.arrivals
        self.connections.add(request.transport)
        self.arrivals += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.may_answer.wait()
        self.at_once -= 1
        if number in self.refused:
            return web.json_response(REFUSAL, status=429, headers={"Retry-After": str(self.pause)})
        return web.json_response(JOB)

    @property
    def open_connections(self) -> int:
        """How many are still open."""
        return sum(not transport.is_closing() for transport in self.connections)


@asynccontextmanager
async def counting() -> AsyncIterator[Counted]:
    """Serve on the running event loop."""
    counted = Counted()
    counted.may_answer.set()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", counted.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        counted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield counted
    finally:
        await runner.cleanup()
