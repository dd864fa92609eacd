"""Faulty responses: the faults by name, and the responses that a test or chance puts in place of the emulator's own.

The ``deliver`` function of a fault receives the request, the emulator's own response (a blank one if the request was
not executed), and the seconds that a slow fault takes. None blocks other requests, and all end with the server.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from modelarts_emulator.errors import Refusal

if TYPE_CHECKING:
    from aiohttp import web

Deliver: TypeAlias = "Callable[[web.Request, web.StreamResponse, float], Awaitable[web.StreamResponse]]"

_TABLE = "^GET .*/autosearch-trials$"
_JOB = "^GET .*/training-jobs/[^/]+$"
_SEARCH = "/autosearch"
_JSON = "application/json"
_HTML = {"Content-Type": "text/html"}
_PIECES = 12
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


@dataclass(frozen=True, slots=True)
class Fault:
    """A way in which a response fails.

    :param executes: whether the request is executed; None leaves it to the test, or to chance.
    :param is_transient: whether a caller that retries gets the right result without harm. Random faults are transient
        unless others are named.
    :param where: regular expression of the methods and paths that the fault applies to.
    """

    name: str
    deliver: Deliver
    executes: bool | None = None
    is_transient: bool = True
    where: str = ""

    def applies_to(self, method: str, path: str) -> bool:
        """Return whether the fault can happen to the response of a request."""
        return re.search(self.where, f"{method} {path}") is not None


def replaced(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Deliver:
    """Send another response instead."""

    async def deliver(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
        return _response(status, body, {"Content-Type": _JSON, **(headers or {})})

    return deliver


def _refused(status: int, code: str, message: str) -> Deliver:
    """Send an error response in the platform's shape."""

    async def deliver(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
        raise Refusal(status, code, message)

    return deliver


def _changed(change: Callable[[Any], None]) -> Deliver:
    """Send the emulator's JSON after a change."""

    async def deliver(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
        document = json.loads(_body(response))
        change(document)
        return _response(response.status, json.dumps(document).encode(), {"Content-Type": _JSON})

    return deliver


def _packed(pack: Callable[[bytes], bytes]) -> Deliver:
    """Send the emulator's body packed, with the content encoding gzip."""

    async def deliver(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
        body = _body(response)
        if not body:
            return response
        return _response(response.status, pack(body), _headers(response, "Content-Encoding", "gzip"))

    return deliver


def _broken_gzip(body: bytes) -> bytes:
    """Return the header of gzip and bytes that cannot be unpacked."""
    return gzip.compress(body)[:10] + b"\xff" * len(body)


def _cut_gzip(body: bytes) -> bytes:
    """Return the first half of a body as gzip."""
    whole = gzip.compress(body)
    return whole[: len(whole) // 2]


async def _throttled(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Throttle, with a ``Retry-After`` of the given time."""
    refusal = Refusal(429, "APIGW.0308", "The throttling threshold has been reached: policy user over ratelimit")
    body = json.dumps(refusal.body("")).encode()
    return _response(429, body, {"Content-Type": _JSON, "Retry-After": f"{seconds:.0f}"})


async def _closed(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Close the connection instead of a response."""
    if request.transport is not None:
        request.transport.abort()
    return response


async def _reset(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Reset the connection (RST) in the middle of the body."""
    stream = await _half(request, response)
    if request.transport is not None:
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.abort()
    return stream


async def _cut(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Close the connection in the middle of the body."""
    stream = await _half(request, response)
    if request.transport is not None:
        request.transport.close()
    return stream


async def _no_http(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Send bytes that are not HTTP, and close the connection."""
    if request.transport is not None:
        request.transport.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        request.transport.close()
    return response


async def _silent(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Send nothing for the time, and close the connection."""
    await asyncio.sleep(seconds)
    return await _closed(request, response, seconds)


async def _silent_after_headers(
    request: web.Request, response: web.StreamResponse, seconds: float
) -> web.StreamResponse:
    """Send the headers, then nothing for the time, and close the connection."""
    stream = await _begun(request, response)
    await _silent(request, response, seconds)
    return stream


async def _slow(request: web.Request, response: web.StreamResponse, seconds: float) -> web.StreamResponse:
    """Send the emulator's response in pieces that are spread over the time."""
    stream, body = await _begun(request, response), _body(response)
    size = len(body) // _PIECES + 1
    for start in range(0, len(body), size):
        await asyncio.sleep(seconds / _PIECES)
        await stream.write(body[start : start + size])
    return stream


async def _half(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    stream, body = await _begun(request, response), _body(response)
    await stream.write(body[: len(body) // 2])
    return stream


async def _begun(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Return a response whose headers are sent; its content length is that of the whole body."""
    from aiohttp.web import StreamResponse

    length = str(len(_body(response)))
    stream = StreamResponse(status=response.status, headers=_headers(response, "Content-Length", length))
    await stream.prepare(request)
    return stream


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> web.Response:
    from aiohttp.web import Response

    return Response(status=status, body=body, headers=headers)


def _headers(response: web.StreamResponse, name: str, value: str) -> dict[str, str]:
    """Return the headers of a response and one more, without the content length, which may change."""
    kept = {own: content for own, content in response.headers.items() if own.lower() != "content-length"}
    return {**kept, name: value}


def _body(response: web.StreamResponse) -> bytes:
    body = getattr(response, "body", None)
    return body if isinstance(body, bytes) else b""


def _in_rows(change: Callable[[dict[str, Any], list[list[Any]], list[str]], None]) -> Deliver:
    """Change a page of trials that is not empty: page, rows, columns."""

    def change_page(page: dict[str, Any]) -> None:
        rows = page["items"]["data"]
        if rows:
            change(page, rows, page["items"]["header"])
            page["count"] = len(rows)

    return _changed(change_page)


def _shrink(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    rows.pop()
    page["total"] -= 1


def _grow(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    rows.append(["f00000ff" if column == "trial_id" else cell for column, cell in zip(columns, rows[-1], strict=False)])
    page["total"] += 1


def _reverse(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    rows.reverse()


def _repeat(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    rows[:] = [row for row in rows for _ in range(2)]


def _rename_status(page: dict[str, Any], rows: list[list[Any]], columns: list[str]) -> None:
    for row in rows:
        row[columns.index("status")] = "EVAPORATED"


def _rename_phase(job: dict[str, Any]) -> None:
    job["status"]["phase"] = "Hibernating"


_NOT_PUBLISHED = _refused(404, "APIGW.0101", "The API does not exist or has not been published in the environment")
_NOT_ALLOWED = _refused(405, "ModelArts.2803", "Method not allowed.")
_EXPIRED = _refused(401, "APIGW.0301", "Incorrect IAM authentication information: signature expired")
_REDIRECT = replaced(302, b"", {"Location": "https://elsewhere.invalid/"})

#: Every fault by its name.
FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        # an error response that a retry overcomes
        Fault("429", _refused(429, "APIGW.0308", "The throttling threshold has been reached"), executes=False),
        Fault("429 with Retry-After", _throttled, executes=False),
        Fault("500", _refused(500, "ModelArts.2950", "Internal error.")),
        Fault("502", replaced(502, b"<html>502 Bad Gateway</html>", _HTML)),
        Fault("503", _refused(503, "ModelArts.4302", "The service is unavailable.")),
        Fault("504", replaced(504, b"<html>504 Gateway Time-out</html>", _HTML)),
        # a broken or silent connection
        Fault("closed", _closed),
        Fault("reset", _reset, executes=True),
        Fault("silence", _silent),
        Fault("headers then silence", _silent_after_headers, executes=True),
        Fault("cut body", _cut, executes=True),
        Fault("broken gzip", _packed(_broken_gzip), executes=True),
        Fault("cut gzip", _packed(_cut_gzip), executes=True),
        Fault("no HTTP", _no_http),
        # unusual, but correct
        Fault("gzip", _packed(gzip.compress), executes=True),
        Fault("slow bytes", _slow, executes=True),
        Fault("rows reversed", _in_rows(_reverse), executes=True, where=_TABLE),
        Fault("rows repeated", _in_rows(_repeat), executes=True, where=_TABLE),
        Fault("unknown phase", _changed(_rename_phase), executes=True, where=_JOB),
        # a wrong response without a sign of it
        Fault("page shrinks", _in_rows(_shrink), executes=True, is_transient=False, where=_TABLE),
        Fault("page grows", _in_rows(_grow), executes=True, is_transient=False, where=_TABLE),
        Fault("unknown status", _in_rows(_rename_status), executes=True, is_transient=False, where=_TABLE),
        # a response that no retry changes
        Fault("wrong shape", replaced(200, b'["a list"]'), is_transient=False),
        Fault("HTML", replaced(200, b"<html>Welcome</html>", _HTML), is_transient=False),
        Fault("redirect", _REDIRECT, executes=False, is_transient=False),
        Fault("clock skew", _EXPIRED, executes=False, is_transient=False),
        Fault("no such API", _NOT_PUBLISHED, executes=False, is_transient=False, where=_SEARCH),
        Fault("no such method", _NOT_ALLOWED, executes=False, is_transient=False, where=_SEARCH),
    )
}


def fault_of(name: str) -> Fault:
    """Return the fault of a name.

    :raises ValueError: for an unknown name.
    """
    if name not in FAULTS:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(map(repr, FAULTS))}")
    return FAULTS[name]


@dataclass(slots=True)
class CannedResponse:
    """A response to the next requests whose path contains a text.

    :param path_part: part of the path of the requests meant.
    :param fault: the response.
    :param times: number of requests to respond to.
    :param after: number of requests to let pass before.
    :param delay: seconds before the response.
    :param method: of the requests meant; blank for all.
    :param executes: execute the request first, so that only its response is lost.
    """

    path_part: str
    fault: Fault
    times: int = 1
    after: int = 0
    delay: float = 0.0
    method: str = ""
    executes: bool = False

    def __post_init__(self) -> None:
        """Let the fault decide on ``executes`` if it has to."""
        if self.fault.executes is not None:
            self.executes = self.fault.executes

    def is_meant(self, method: str, path: str) -> bool:
        """Return whether this responds to a request, at once or after others."""
        return (
            self.times > 0
            and self.path_part in path
            and self.method in {"", method}
            and self.fault.applies_to(method, path)
        )


class CannedResponses:
    """Queue of canned responses."""

    def __init__(self) -> None:
        self._queue: list[CannedResponse] = []

    def add(self, response: CannedResponse) -> None:
        """Queue a response."""
        self._queue.append(response)

    def next_for(self, method: str, path: str) -> CannedResponse | None:
        """Return the first response in the queue that is due for a request, or None."""
        for response in [response for response in self._queue if response.is_meant(method, path)]:
            if response.after > 0:
                response.after -= 1
            else:
                response.times -= 1
                return response
        return None


class RandomFaults:
    """Faults in a share of all responses. The same seed and the same requests give the same faults.

    :param share: from 0 to 1.
    :param names: of the faults, all equally likely; None for the transient ones.
    :raises ValueError: for a share out of range, and for an unknown name.
    """

    def __init__(self, share: float, seed: int, names: Iterable[str] | None = None) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"fault_share must be from 0 to 1, not {share}")
        self._share = share
        self._random = random.Random(seed)
        transient = [name for name, fault in FAULTS.items() if fault.is_transient]
        self._faults = [fault_of(name) for name in (transient if names is None else names)]

    def next_for(self, method: str, path: str) -> CannedResponse | None:
        """Return the response to a request, or None for the emulator's own."""
        happens, which, executes = (self._random.random() for _ in range(3))
        applicable = [fault for fault in self._faults if fault.applies_to(method, path)]
        if happens >= self._share or not applicable:
            return None
        return CannedResponse(path, applicable[int(which * len(applicable))], executes=executes < 0.5)
