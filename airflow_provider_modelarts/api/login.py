"""Obtaining a credential: from IAM for a password, from the metadata service for an agency."""

from __future__ import annotations

import math
from urllib.parse import urlsplit

from airflow_provider_modelarts.api.credentials import (
    Issued,
    MetadataLogin,
    PasswordLogin,
    read_agency_key,
    read_token,
    secrets_of,
    token_body,
)
from airflow_provider_modelarts.api.exchange import USER_AGENT, Attempts, Exchange, Outside, Send, response_of
from airflow_provider_modelarts.api.responses import Response, check, read_json
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsError, without_secrets

_METADATA_TIMEOUT = 3.0  # the service is on the same machine, or there is none
_HOP_TOKEN_LIFETIME = 21600
_NO_HOP_TOKENS = frozenset({404, 405, 503})  # the service is older than these tokens, or does not want them


def obtain(settings: Settings, outside: Outside) -> Exchange[Issued]:
    """Sign in, and return what proves it from then on.

    :raises ModelArtsError: as IAM or the metadata service refuses; a wrong password is not tried again.
    """
    match settings.credentials:
        case PasswordLogin() as login:
            return (yield from _create_token(login, settings, outside))
        case MetadataLogin() as login:
            return (yield from _fetch_agency_key(login, settings, outside))
        case AccessKey() as key:
            return Issued(key, math.inf, math.inf)


def _create_token(login: PasswordLogin, settings: Settings, outside: Outside) -> Exchange[Issued]:
    """KeystoneCreateUserTokenByPassword."""
    url = f"{settings.base_url('iam')}/v3/auth/tokens?nocatalog=true"
    body = token_body(login, project_id=settings.project_id, region=settings.region)
    headers = {"Content-Type": "application/json;charset=utf8", "User-Agent": USER_AGENT}
    answer = yield from _answered(Send("POST", url, headers, body, proof=login), settings, outside)
    return read_token(answer.headers.get("x-subject-token"), read_json(answer, "POST /v3/auth/tokens"), outside.now())


def _fetch_agency_key(login: MetadataLogin, settings: Settings, outside: Outside) -> Exchange[Issued]:
    """Fetch the keys as ``MetadataAccessor`` of the vendor's SDK does: with a hop token where there are such."""
    wanted = _to_metadata(login, "PUT", "/meta-data/latest/api/token")
    wanted.headers["X-Metadata-Token-Ttl-Seconds"] = str(_HOP_TOKEN_LIFETIME)
    hop_token = yield from _answered(wanted, settings, outside, may_say=_NO_HOP_TOKENS)
    send = _to_metadata(login, "GET", "/openstack/latest/securitykey")
    if hop_token.status not in _NO_HOP_TOKENS:
        send.headers["X-Metadata-Token"] = hop_token.body.decode("ascii", "replace").strip()
    answer = yield from _answered(send, settings, outside)
    return read_agency_key(read_json(answer, "GET /openstack/latest/securitykey"), outside.now())


def _to_metadata(login: MetadataLogin, method: str, path: str) -> Send:
    url = f"{login.endpoint.rstrip('/')}{path}"
    return Send(method, url, {"User-Agent": USER_AGENT}, timeout=_METADATA_TIMEOUT, direct=True)


def _answered(
    send: Send, settings: Settings, outside: Outside, *, may_say: frozenset[int] = frozenset()
) -> Exchange[Response]:
    """Send, and try again as long as that can help; return a good answer.

    :param may_say: statuses that are as good.
    """
    tries = Attempts(settings, outside, idempotent=True)
    name = f"{send.method} {urlsplit(send.url).path}"
    while True:
        reply = yield send
        try:
            answer = response_of(reply)
            if answer.status not in may_say:
                check(answer, name)
        except ModelArtsError as raw:
            error = without_secrets(raw, secrets_of(settings.credentials))
            pause = tries.pause_after(error, reply)
            if pause is None:
                raise error from None
            yield pause
        else:
            return answer
