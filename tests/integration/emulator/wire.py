"""Requests signed by the vendor's own signer, and their raw responses."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from modelarts_emulator import Emulator


@dataclass
class Response:
    """Response with header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Body as JSON."""
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and error code."""
        return self.status, self.json["error_code"]


def send(
    emulator: Emulator,
    method: str,
    path: str,
    query: Iterable[tuple[str, str]] = (),
    body: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    secret: str | None = None,
    at: float | None = None,
    change: Callable[[SdkRequest], object] = lambda request: None,
) -> Response:
    """Sign a request, change it, and send it.

    :param path: ``{p}`` in it stands for the project id.
    :param headers: further headers to sign.
    :param secret: secret key of the signature; the emulator's when None.
    :param at: date of the signature, in seconds since the epoch.
    :param change: changes the signed request.
    """
    signed_headers = {"Host": urlsplit(emulator.endpoint).netloc, "Content-Type": "application/json", **(headers or {})}
    if at is not None:
        signed_headers["X-Sdk-Date"] = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    request = SdkRequest(
        method=method,
        schema="http",
        host=signed_headers["Host"],
        resource_path=path.replace("{p}", emulator.project_id),
        query_params=list(query),
        header_params=signed_headers,
        body=body,
    )
    Signer(SimpleNamespace(ak=emulator.access_key, sk=secret or emulator.secret_key)).sign(request)
    change(request)
    return send_raw(emulator, method, request.uri, request.header_params, request.body)


def send_raw(
    emulator: Emulator, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | str = b""
) -> Response:
    """Send a request as it is."""
    connection = http.client.HTTPConnection(urlsplit(emulator.endpoint).netloc, timeout=60)
    try:
        connection.request(method, target, body=body or None, headers=dict(headers or {}))
        response = connection.getresponse()
        return Response(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        )
    finally:
        connection.close()


def outcome(emulator: Emulator, path: str, method: str = "GET") -> str:
    """Return status and content encoding of a response, or the name of the error."""
    try:
        response = send(emulator, method, path)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    return f"{response.status} {response.headers.get('content-encoding', '')}".strip()


def get_job(emulator: Emulator, job_id: str) -> Any:
    """Return the JSON of a job. Each call is one tick of its scenario."""
    return send(emulator, "GET", f"/v2/{{p}}/training-jobs/{job_id}").json


def get_trials(emulator: Emulator, job_id: str, **query: int) -> Any:
    """Return the JSON of one page of trials."""
    pairs = [(name, str(value)) for name, value in query.items()]
    return send(emulator, "GET", f"/v2/{{p}}/training-jobs/{job_id}/autosearch-trials", pairs).json


def column(page: Any, name: str) -> list[Any]:
    """Return one column of a page; None for the cells that a short row lacks."""
    position = page["items"]["header"].index(name)
    return [row[position] if position < len(row) else None for row in page["items"]["data"]]
