"""AK/SK request signature ``SDK-HMAC-SHA256`` in its three steps.

The rules are those of the vendor's SDK (``huaweicloudsdkcore/signer/signer.py``); the tests compare every step with
that signer. Never log the result of a step: each helps to forge a request.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, unquote

ALGORITHM = "SDK-HMAC-SHA256"
DATE_FORMAT = "%Y%m%dT%H%M%SZ"

Query = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key (AK/SK); with ``security_token`` a temporary one. Its repr shows no secret."""

    access_key: str
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


def encode_query(query: Query) -> str:
    """Return the canonical query string, which is also sent, so that signature and request always agree."""
    return "&".join(f"{_encode(key)}={_encode(value)}" for key, value in sorted(query))


def encode_path(path: str) -> str:
    """Return a path with each segment percent-encoded once, even if parts of it were encoded before."""
    return "/".join(_encode(segment) for segment in unquote(path).split("/"))


def canonical_request(method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes) -> str:
    """Return step 1, the canonical request. All given headers are signed."""
    signed = _signed(headers)
    uri = encode_path(path)
    return "\n".join(
        [
            method.upper(),
            uri if uri.endswith("/") else f"{uri}/",
            encode_query(query),
            "".join(f"{name}:{signed[name]}\n" for name in sorted(signed)),
            ";".join(sorted(signed)),
            sha256(body).hexdigest(),
        ]
    )


def string_to_sign(canonical: str, date: str) -> str:
    """Return step 2, the string to sign: algorithm, date (``X-Sdk-Date``) and the hash of the canonical request."""
    return f"{ALGORITHM}\n{date}\n{sha256(canonical.encode()).hexdigest()}"


def signature(to_sign: str, secret_key: str) -> str:
    """Return step 3, the signature in hexadecimal digits."""
    return hmac.new(secret_key.encode(), to_sign.encode(), sha256).hexdigest()


def sign(
    key: AccessKey,
    *,
    method: str,
    path: str,
    query: Query,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> dict[str, str]:
    """Return the headers to send: those given, the date, the security token and ``Authorization``.

    :param headers: must hold ``Host``; all of them are signed, but for names with an underscore.
    :param now: seconds since the epoch.
    """
    date = datetime.fromtimestamp(now, UTC).strftime(DATE_FORMAT)
    sent = {**headers, "X-Sdk-Date": date}
    if key.security_token:
        sent["X-Security-Token"] = key.security_token
    canonical = canonical_request(method, path, query, sent, body)
    proof = signature(string_to_sign(canonical, date), key.secret_key)
    names = ";".join(sorted(_signed(sent)))
    sent["Authorization"] = f"{ALGORITHM} Access={key.access_key}, SignedHeaders={names}, Signature={proof}"
    return sent


def _signed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, value in headers.items() if "_" not in name}


@lru_cache(maxsize=1024)  # most words are the same in all requests
def _encode(value: str) -> str:
    return quote(value, safe="~")
