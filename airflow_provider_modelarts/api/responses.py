"""Responses: from HTTP to JSON, or to the error that a response means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_modelarts.core.json_values import JSON, describe, integer, one_line, text
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsConfigurationError,
    ModelArtsNotFoundError,
    ModelArtsPermissionError,
    ModelArtsProtocolError,
    ModelArtsQuotaError,
    ModelArtsServerError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
    with_sentence,
)

#: Of a decompressed body. The longest documented one is a log preview: 5 MB, which may be six times that as JSON.
MAX_BODY_BYTES = 32 * 1024**2

#: Of a body that are read at once.
CHUNK_BYTES = 64 * 1024

# characters of an error message: enough to understand it, too few to fill a log
_MAX_REASON = 500
_MAX_EXCERPT = 200
_MAX_WORD = 100
_MAX_SENTENCE = 1000

_MAX_LITERAL = len("-Infinity")  # the longest literal that Python's JSON parser knows

_NOT_FOUND = frozenset({"ModelArts.2755", "ModelArts.2775"})
_QUOTA = frozenset({"ModelArts.2815", "ModelArts.2816", "ModelArts.2833"})
_BAD_KEY = frozenset({"ModelArts.0206", "ModelArts.2784"})

_CHECK_NETWORK = "Check network, endpoint and proxy"
_RETIRED = "ModelArts in this region does not offer the operation; it may have been retired"
_SKEWED = "The clock of this machine differs from the platform's by more than 15 minutes: correct it"
_REPEATED = "Another call got this response less than a minute ago; this one was not sent"

#: Gateway codes for an unknown API. Both prefixes are in use.
_NO_SUCH_API = frozenset({"APIGW.0101", "APIG.0101", "APIGW.0103", "APIG.0103"})


@dataclass(frozen=True, slots=True)
class Response:
    """HTTP response. Header names are in lower case.

    :param is_too_long: the body is longer than :data:`MAX_BODY_BYTES`, and was not read.
    :param is_repeated: it is the response to another request.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_too_long: bool = False
    is_repeated: bool = False


def read_json(response: Response, request: str) -> JSON:
    """Return the JSON of a good response; None for an empty body.

    :param request: method and path, for messages.
    :raises ModelArtsApiError: for a status other than 2xx, as the class that fits.
    :raises ModelArtsTransportError: for a truncated body; a retry may return all of it.
    :raises ModelArtsProtocolError: for a body that is not JSON, or too long.
    """
    check(response, request)
    if not response.body:
        return None
    try:
        return _parsed(response.body)
    except (ValueError, RecursionError) as error:
        if _is_truncated(response.body, error):
            end = _excerpt(response.body[-_MAX_EXCERPT // 2 :])
            raise ModelArtsTransportError(
                f"{request}: the response is truncated after {end}. {_CHECK_NETWORK}."
            ) from error
        kind = one_line(response.headers.get("content-type", "no content type"), _MAX_WORD)
        raise ModelArtsProtocolError(
            f"{request}: the response is not JSON ({kind}): {_excerpt(response.body)}. Check the endpoint."
        ) from error


def check(response: Response, request: str) -> None:
    """Raise the error that a response means, if any."""
    if not 200 <= response.status < 300:
        raise _api_error(response, request)
    if response.is_too_long:
        limit = f"{MAX_BODY_BYTES // 1024**2} MiB"
        raise ModelArtsProtocolError(f"{request}: the response is longer than {limit}, and was not read")


def retry_after(response: Response | None) -> float | None:
    """Return ``Retry-After`` in seconds, if it is a number."""
    value = response.headers.get("retry-after", "") if response else ""
    return float(value) if value.isascii() and value.isdecimal() and len(value) < 7 else None


def no_response(request: str, error: Exception, *, temporary: bool) -> ModelArtsTransportError:
    """Return the error for a request without a complete response.

    :param error: of the HTTP library.
    :param temporary: False for a failure of TLS.
    """
    reason = one_line(f"{type(error).__name__}: {error}", _MAX_REASON)
    hint = _CHECK_NETWORK if temporary else "Check that the endpoint supports TLS with a trusted certificate"
    return ModelArtsTransportError(f"{request}: no response: {reason}. {hint}.", temporary=temporary)


def not_sendable(request: str, error: Exception) -> ModelArtsConfigurationError:
    """Return the error for a request that cannot be sent, without the text of the HTTP library's error.

    That text may quote a header, and headers hold the id of the access key and the signature.
    """
    return ModelArtsConfigurationError(f"{request}: cannot be sent: {type(error).__name__}")


def unreadable_ca_bundle(path: str) -> ModelArtsConfigurationError:
    """Return the error for a bundle of certificate authorities that cannot be read."""
    return ModelArtsConfigurationError(
        f"the certificate authorities in {path} cannot be read: set verify of the connection, or REQUESTS_CA_BUNDLE"
    )


def declared_length(headers: Mapping[str, str]) -> int:
    """Return the length of a body by its headers; 0 when they have none."""
    return integer(headers.get("content-length")) or 0


def _is_truncated(body: bytes, error: ValueError | RecursionError) -> bool:
    """Return whether a body is truncated JSON: the parser fails at its very end."""
    if not isinstance(error, json.JSONDecodeError) or not body.lstrip().startswith((b"{", b"[")):
        return False
    at_end = error.pos > len(error.doc.rstrip()) - _MAX_LITERAL
    return "Unterminated string" in error.msg or (at_end and "Extra data" not in error.msg)


def _parsed(body: bytes) -> JSON:
    value: JSON = json.loads(body)
    return value


def _api_error(response: Response, request: str) -> ModelArtsApiError:
    try:
        body = _parsed(response.body)
    except (ValueError, RecursionError):
        body = None
    code, message, solution = _error_fields(body) or (str(response.status), _excerpt(response.body) or "no message", "")
    if 300 <= response.status < 400:
        target = describe(response.headers.get("location", "nowhere"), 200)
        message = f"redirect to {target}, which is not followed with credentials"
    if code in _NO_SUCH_API or response.status == 405:
        message = with_sentence(message, _RETIRED)
    if response.status == 401 and "signature expired" in message:
        message = with_sentence(message, _SKEWED)
    if response.is_repeated:
        message = with_sentence(message, _REPEATED)
    request_id = response.headers.get("x-request-id") or response.headers.get("x-iam-trace-id")
    return _class_for(response.status, code)(
        message,
        status=response.status,
        code=code,
        solution=solution or None,
        request_id=one_line(request_id, _MAX_WORD) or None,
        request=request,
    )


def _class_for(status: int, code: str) -> type[ModelArtsApiError]:
    if code in _NOT_FOUND:
        return ModelArtsNotFoundError
    if code in _QUOTA:
        return ModelArtsQuotaError
    if status == 401 or code in _BAD_KEY:
        return ModelArtsAuthenticationError
    if status == 403:
        return ModelArtsPermissionError
    if status == 404 and code not in _NO_SUCH_API:
        return ModelArtsNotFoundError
    if status == 429:
        return ModelArtsThrottledError
    return ModelArtsServerError if status >= 500 else ModelArtsApiError


def _error_fields(body: JSON, depth: int = 3) -> tuple[str, str, str] | None:
    """Return code, message and solution of an error body.

    The three shapes, and errors nested in another object, are those that the vendor's SDK reads
    (``exceptions/exception_handler.py``).
    """
    if not isinstance(body, dict) or not depth:
        return None
    for code, message in (("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message")):
        if text(body.get(code)) and text(body.get(message)):
            return (
                one_line(body[code], _MAX_WORD),
                one_line(body[message], _MAX_SENTENCE),
                one_line(body.get("error_solution"), _MAX_SENTENCE),
            )
    return next((found for value in body.values() if (found := _error_fields(value, depth - 1))), None)


def _excerpt(body: bytes) -> str:
    shown = " ".join(body[: 4 * _MAX_EXCERPT].decode(errors="replace").split())
    return repr(shown[:_MAX_EXCERPT]) if shown else ""
