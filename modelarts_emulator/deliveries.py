"""How an answer goes over the wire, well or badly.

Each way is given the request, the platform's own answer to it (a blank one if the request was not carried out), and
how many seconds it may take. None of them holds up other requests, and all of them end with the server.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import web

from modelarts_emulator.errors import Refusal

Deliver: TypeAlias = Callable[[web.Request, web.StreamResponse, float], Awaitable[web.StreamResponse]]

_PIECES = 12
_JSON = "application/json"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


def instead(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Deliver:
    """Answer with this instead."""

    async def deliver(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={"Content-Type": _JSON, **(headers or {})})

    return deliver


def refused(status: int, code: str, message: str) -> Deliver:
    """Say no, in the platform's shape."""

    async def deliver(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
        raise Refusal(status, code, message)

    return deliver


def changed(change: Callable[[Any], None]) -> Deliver:
    """Answer with the platform's JSON after a change."""

    async def deliver(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
        document = json.loads(_body(answer))
        change(document)
        return web.Response(status=answer.status, body=json.dumps(document).encode(), content_type=_JSON)

    return deliver


def packed(pack: Callable[[bytes], bytes]) -> Deliver:
    """Answer with the platform's body packed, and call it gzip."""

    async def deliver(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
        body = _body(answer)
        if not body:
            return answer
        return web.Response(status=answer.status, body=pack(body), headers=_headers(answer, "Content-Encoding", "gzip"))

    return deliver


def broken_gzip(body: bytes) -> bytes:
    """Return the header of gzip, and then nothing that could be unpacked."""
    return gzip.compress(body)[:10] + b"\xff" * len(body)


def cut_gzip(body: bytes) -> bytes:
    """Return the first half of a body as gzip."""
    whole = gzip.compress(body)
    return whole[: len(whole) // 2]


async def later(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Ask to come back after this time."""
    refusal = Refusal(429, "APIGW.0308", "The throttling threshold has been reached: policy user over ratelimit")
    body = json.dumps(refusal.body("")).encode()
    return web.Response(status=429, body=body, content_type=_JSON, headers={"Retry-After": f"{seconds:.0f}"})


async def closed(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Close the connection instead of answering."""
    if request.transport is not None:
        request.transport.abort()
    return answer


async def reset(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Reset the connection (RST) in the middle of the body."""
    stream = await _half(request, answer)
    if request.transport is not None:
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()
    return stream


async def cut(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Close the connection in the middle of the body."""
    stream = await _half(request, answer)
    if request.transport is not None:
        request.transport.close()
    return stream


async def no_http(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Say something that is no HTTP, and close the connection."""
    if request.transport is not None:
        request.transport.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        request.transport.close()
    return answer


async def silent(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Say nothing for the time, and close the connection."""
    await asyncio.sleep(seconds)
    return await closed(request, answer, seconds)


async def silent_after_headers(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Send the headers, say nothing more for the time, and close the connection."""
    stream = await _begun(request, answer)
    await silent(request, answer, seconds)
    return stream


async def slow(request: web.Request, answer: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Send the platform's answer in pieces that are spread over the time."""
    stream, body = await _begun(request, answer), _body(answer)
    size = len(body) // _PIECES + 1
    for start in range(0, len(body), size):
        await asyncio.sleep(seconds / _PIECES)
        await stream.write(body[start : start + size])
    return stream


async def _half(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    stream, body = await _begun(request, answer), _body(answer)
    await stream.write(body[: len(body) // 2])
    return stream


async def _begun(request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
    length = str(len(_body(answer)))
    stream = web.StreamResponse(status=answer.status, headers=_headers(answer, "Content-Length", length))
    await stream.prepare(request)
    return stream


def _headers(answer: web.StreamResponse, name: str, value: str) -> dict[str, str]:
    """Return the headers of an answer and one more; without its length, which may change."""
    kept = {own: said for own, said in answer.headers.items() if own.lower() != "content-length"}
    return {**kept, name: value}


def _body(answer: web.StreamResponse) -> bytes:
    return answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b""
