"""Login: a credential from IAM for a password, from the metadata service for an agency."""

from __future__ import annotations

import math
from urllib.parse import urlsplit

from airflow_provider_modelarts.api.credentials import (
    Credential,
    Issued,
    MetadataLogin,
    PasswordLogin,
    read_agency_key,
    read_token,
    secrets_of,
    token_body,
)
from airflow_provider_modelarts.api.exchange import USER_AGENT, Attempts, Exchange, Mask, Runtime, Send, response_of
from airflow_provider_modelarts.api.responses import Response, check, read_json
from airflow_provider_modelarts.api.session import session_of
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsError, without_secrets

_METADATA_TIMEOUT = 3.0  # seconds: the service runs on this machine, or not at all
_HOP_TOKEN_SECONDS = 21_600
_NO_HOP_TOKENS = frozenset({404, 405, 503})  # the service predates hop tokens, or has them disabled


def login(settings: Settings, runtime: Runtime) -> Exchange[Credential]:
    """Return the session's credential; obtain and keep one where none is fresh.

    :raises ModelArtsError: as IAM or the metadata service refuses; a wrong password is not retried.
    """
    session = session_of(settings)
    fresh = session.fresh(runtime.now())
    if fresh is not None:
        return fresh
    issued = yield from _obtain(settings, runtime)
    for secret in secrets_of(issued.credential):
        yield Mask(secret)
    session.keep(issued)
    return issued.credential


def _obtain(settings: Settings, runtime: Runtime) -> Exchange[Issued]:
    match settings.credentials:
        case PasswordLogin() as user:
            return (yield from _create_token(user, settings, runtime))
        case MetadataLogin() as agency:
            return (yield from _fetch_agency_key(agency, settings, runtime))
        case AccessKey() as key:
            return Issued(key, math.inf, math.inf)


def _create_token(user: PasswordLogin, settings: Settings, runtime: Runtime) -> Exchange[Issued]:
    """KeystoneCreateUserTokenByPassword."""
    url = f"{settings.base_url('iam')}/v3/auth/tokens?nocatalog=true"
    body = token_body(user, project_id=settings.project_id, region=settings.region)
    headers = {"Content-Type": "application/json;charset=utf8", "User-Agent": USER_AGENT}
    response = yield from _good_response(Send("POST", url, headers, body, proof=user), settings, runtime)
    return read_token(
        response.headers.get("x-subject-token"), read_json(response, "POST /v3/auth/tokens"), runtime.now()
    )


def _fetch_agency_key(agency: MetadataLogin, settings: Settings, runtime: Runtime) -> Exchange[Issued]:
    """Fetch the temporary key like ``MetadataAccessor`` of the vendor's SDK, with a hop token where supported."""
    token_request = _to_metadata(agency, "PUT", "/meta-data/latest/api/token")
    token_request.headers["X-Metadata-Token-Ttl-Seconds"] = str(_HOP_TOKEN_SECONDS)
    hop_token = yield from _good_response(token_request, settings, runtime, accepted=_NO_HOP_TOKENS)
    send = _to_metadata(agency, "GET", "/openstack/latest/securitykey")
    if hop_token.status not in _NO_HOP_TOKENS:
        send.headers["X-Metadata-Token"] = hop_token.body.decode("ascii", "replace").strip()
    response = yield from _good_response(send, settings, runtime)
    return read_agency_key(read_json(response, "GET /openstack/latest/securitykey"), runtime.now())


def _to_metadata(agency: MetadataLogin, method: str, path: str) -> Send:
    url = f"{agency.endpoint.rstrip('/')}{path}"
    return Send(method, url, {"User-Agent": USER_AGENT}, timeout=_METADATA_TIMEOUT, direct=True)


def _good_response(
    send: Send, settings: Settings, runtime: Runtime, *, accepted: frozenset[int] = frozenset()
) -> Exchange[Response]:
    """Send, retry while that can help, and return the response.

    :param accepted: statuses that are as good as 2xx.
    """
    attempts = Attempts(settings, runtime, idempotent=True)
    name = f"{send.method} {urlsplit(send.url).path}"
    while True:
        reply = yield send
        try:
            response = response_of(reply)
            if response.status not in accepted:
                check(response, name)
        except ModelArtsError as raw:
            error = without_secrets(raw, secrets_of(settings.credentials))
        else:
            return response
        pause = attempts.pause_after(error, reply)
        if pause is None:
            raise error
        yield pause
