"""Signature ``SDK-HMAC-SHA256`` of a request as it was received.

The rules are those of the vendor's SDK, ``huaweicloudsdkcore/signer/signer.py``.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import quote, unquote

ALGORITHM = "SDK-HMAC-SHA256"
DATE_HEADER = "x-sdk-date"
DATE_FORMAT = "%Y%m%dT%H%M%SZ"
CONTENT_HEADER = "x-sdk-content-sha256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

_AUTHORIZATION = re.compile(rf"{ALGORITHM} Access=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as received. Its repr hides headers and body, which hold secrets.

    :param path: percent-encoded.
    :param query: percent-encoded, without the question mark.
    :param headers: names in lower case.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authorization:
    """Content of an ``Authorization`` header."""

    access_key: str
    signed_headers: Sequence[str]
    signature: str = field(repr=False)

    @classmethod
    def parse(cls, header: str) -> Authorization | None:
        """Return the content of a header, or None if its format is another."""
        match = _AUTHORIZATION.fullmatch(header)
        return cls(match[1], match[2].split(";"), match[3]) if match else None


def expected_signature(request: ReceivedRequest, signed_headers: Sequence[str], secret_key: str) -> str:
    """Return the signature of a request that is signed with a secret key.

    :param signed_headers: names of headers of the request; ``x-sdk-date`` is one of them.
    """
    digest = sha256(canonical_request(request, signed_headers)).hexdigest()
    message = f"{ALGORITHM}\n{request.headers[DATE_HEADER]}\n{digest}"
    return hmac.new(secret_key.encode(), message.encode(errors="surrogateescape"), sha256).hexdigest()


def canonical_request(request: ReceivedRequest, signed_headers: Sequence[str]) -> bytes:
    """Return the text whose hash is signed."""
    names = sorted(signed_headers)
    lines = [
        request.method.upper(),
        _canonical_path(request.path),
        _canonical_query(request.query),
        *(f"{name}:{request.headers[name].strip()}" for name in names),
        "",
        ";".join(names),
        _payload_hash(request),
    ]
    # bytes of a header that are not UTF-8 reach aiohttp's text as surrogates
    return "\n".join(lines).encode(errors="surrogateescape")


def _canonical_path(path: str) -> str:
    encoded = quote(unquote(path), safe="/~")
    return encoded if encoded.endswith("/") else encoded + "/"


def _canonical_query(query: str) -> str:
    pairs = (pair.partition("=")[::2] for pair in query.split("&") if pair)
    decoded = sorted((unquote(name), unquote(value)) for name, value in pairs)
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in decoded)


def _payload_hash(request: ReceivedRequest) -> str:
    if request.body and request.headers.get(CONTENT_HEADER) == UNSIGNED_PAYLOAD:
        return UNSIGNED_PAYLOAD
    return sha256(request.body).hexdigest()
