"""The gateway's door: who may come in, judged by the signature of the request as it was received."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from airflow_provider_modelarts.api import signing
from airflow_provider_modelarts.api.signing import AccessKey
from modelarts_emulator.errors import Refusal, bad_credentials
from modelarts_emulator.iam import Iam
from modelarts_emulator.jobs import Clock

MAX_SKEW = 15 * 60
MAX_BAD_SIGNATURES = 5
LOCK_SECONDS = 5 * 60

_AUTHORIZATION = re.compile(r"SDK-HMAC-SHA256 Access=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)")
_ALWAYS_SIGNED = ("host", "x-sdk-date")


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came over the wire. Its repr shows neither headers nor body, since they hold secrets.

    :param path: still encoded.
    :param query: still encoded, without the question mark.
    :param headers: names in lower case.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Claim:
    access_key: str
    signed: list[str]
    signature: str = field(repr=False)


class Gate:
    """Lets in what is signed with one access key or temporary keys of the agency, or brings a token.

    Five bad signatures in a row lock a key for five minutes; a good one starts the count anew.
    """

    def __init__(self, key: AccessKey, clock: Clock, iam: Iam) -> None:
        self._own_key = key
        self._clock = clock
        self._iam = iam
        self._bad_signatures = 0
        self._locked_until = 0.0

    def admit(self, request: Received) -> None:
        """Raise the gateway's refusal unless the request is signed as it should be."""
        if "x-auth-token" in request.headers:
            self._iam.check_token(request.headers["x-auth-token"])
            return
        claim = _claim(request)
        key = self._key(claim.access_key)
        self._check_lock()
        self._check_date(request.headers["x-sdk-date"])
        self._check_token(request, claim, key)
        self._check_signature(request, claim, key)

    def _key(self, access_key: str) -> AccessKey:
        key = self._own_key if access_key == self._own_key.access_key else self._iam.agency_key(access_key)
        if key is None:
            raise bad_credentials(f"ak {access_key} not exist")
        return key

    def _check_lock(self) -> None:
        if self._clock() < self._locked_until:
            raise bad_credentials("AK access failed to reach the limit, forbidden")

    def _check_date(self, text: str) -> None:
        try:
            date = datetime.strptime(text, signing.DATE_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            raise bad_credentials("x-sdk-date format error") from None
        if abs(self._clock() - date.timestamp()) > MAX_SKEW:
            raise bad_credentials("signature expired")

    def _check_token(self, request: Received, claim: _Claim, key: AccessKey) -> None:
        sent = request.headers.get("x-security-token")
        if sent is None and key.security_token is None:
            return
        if sent is None:
            raise bad_credentials("x-security-token not found")
        if not hmac.compare_digest(sent.encode(), (key.security_token or "").encode()):
            raise bad_credentials("decrypt token fail")
        if "x-security-token" not in claim.signed:
            raise self._bad_signature()

    def _check_signature(self, request: Received, claim: _Claim, key: AccessKey) -> None:
        if not hmac.compare_digest(claim.signature, _signature(request, claim.signed, key.secret_key)):
            raise self._bad_signature()
        self._bad_signatures = 0

    def _bad_signature(self) -> Refusal:
        self._bad_signatures += 1
        if self._bad_signatures >= MAX_BAD_SIGNATURES:
            self._bad_signatures = 0
            self._locked_until = self._clock() + LOCK_SECONDS
        return bad_credentials("verify aksk signature fail")


def _claim(request: Received) -> _Claim:
    """Return who the caller claims to be, and what was signed: all of it is there, and nothing is checked yet."""
    authorization = request.headers.get("authorization")
    if authorization is None:
        raise bad_credentials("x-auth-token not found")
    parts = _AUTHORIZATION.fullmatch(authorization)
    if parts is None:
        raise bad_credentials("authorization header format error")
    signed = parts[2].split(";")
    for name in (*_ALWAYS_SIGNED, *signed):
        if name not in request.headers or name not in signed:
            raise bad_credentials(f"signed header {name} not found")
    return _Claim(parts[1], signed, parts[3])


def _signature(request: Received, signed: list[str], secret_key: str) -> str:
    pairs = [pair.partition("=") for pair in request.query.split("&") if pair]
    canonical = signing.canonical_request(
        request.method,
        request.path,
        [(unquote(name), unquote(value)) for name, _, value in pairs],
        {name: request.headers[name] for name in signed},
        request.body,
    )
    return signing.signature(signing.string_to_sign(canonical, request.headers["x-sdk-date"]), secret_key)
