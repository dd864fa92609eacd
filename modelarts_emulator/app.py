"""aiohttp application of an emulator: requests become calls of the handlers, and their values responses."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from modelarts_emulator.errors import Refusal, method_not_allowed, no_such_api, too_large, wrong_project
from modelarts_emulator.faults import CannedResponse
from modelarts_emulator.handlers import ROUTES, Call, Route, TextResponse
from modelarts_emulator.signing import ReceivedRequest

if TYPE_CHECKING:
    from modelarts_emulator.emulator import Emulator

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# limit of the gateway
_MAX_BODY = 12 * 1024**2
_REQUEST_ID = "X-Request-Id"


def make_app(emulator: Emulator) -> web.Application:
    """Return the application that serves an emulator."""

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await _respond(emulator, request, handler)
        except Refusal as refusal:
            request_id = uuid.uuid4().hex
            response = _json_response(refusal.body(request_id), refusal.status)
            response.headers[_REQUEST_ID] = request_id
            return response

    app = web.Application(middlewares=[refuse], client_max_size=_MAX_BODY)
    app.on_response_prepare.append(_add_request_id)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _handler(emulator, route))
    return app


async def _respond(emulator: Emulator, request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        canned = emulator.receive(await _received(request))
        if canned is not None and not canned.executes:
            return await _deliver(emulator, canned, request, web.Response())
        response = await handler(request)
        return response if canned is None else await _deliver(emulator, canned, request, response)
    except web.HTTPNotFound:
        raise no_such_api() from None
    except web.HTTPMethodNotAllowed:
        raise method_not_allowed() from None
    except web.HTTPRequestEntityTooLarge:
        raise too_large() from None


def _handler(emulator: Emulator, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        names, received = dict(request.match_info), await _received(request)
        if not route.is_public:
            emulator.auth.authenticate(received)
        if names.get("project_id", emulator.project_id) != emulator.project_id:
            raise wrong_project()
        value = route.handler(emulator.project, Call(names, request.query, received.body, received.headers))
        return _response(value, route.status)

    return handle


async def _received(request: web.Request) -> ReceivedRequest:
    path, _, query = request.raw_path.partition("?")
    headers = {name.lower(): value for name, value in request.headers.items()}
    return ReceivedRequest(request.method, path, query, headers, await request.read())


async def _deliver(
    emulator: Emulator, canned: CannedResponse, request: web.Request, response: web.StreamResponse
) -> web.StreamResponse:
    await asyncio.sleep(canned.delay)
    if canned.fault.name:
        emulator.fault_counts[canned.fault.name] += 1
    return await canned.fault.deliver(request, response, emulator.fault_seconds)


async def _add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault(_REQUEST_ID, uuid.uuid4().hex)


def _response(value: object, status: int) -> web.Response:
    match value:
        case None:
            return web.Response(status=204)
        case TextResponse(headers=headers, text=text):
            return web.Response(status=status, text=text, headers=headers)
    return _json_response(value, status)


def _json_response(value: object, status: int) -> web.Response:
    return web.Response(status=status, body=json.dumps(value).encode(), content_type="application/json")
