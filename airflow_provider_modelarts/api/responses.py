"""From an HTTP answer to a value or to the error that it means."""

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

#: Bytes of a body, decompressed. The longest that the documents know is a log preview: 5 MB, which may be six times
#: that as JSON.
MAX_BODY_BYTES = 32 * 1024**2

CHUNK_BYTES = 64 * 1024  # of a body that are read at once
_LONGEST_REASON = 500  # what a library says why there is no answer

_LONGEST_EXCERPT = 200
_LONGEST_LITERAL = len("-Infinity")  # of what JSON has, or Python takes for it
_LONGEST_WORD = 100
_LONGEST_SENTENCE = 1000

_NOT_FOUND = frozenset({"ModelArts.2755", "ModelArts.2775"})
_QUOTA = frozenset({"ModelArts.2815", "ModelArts.2816", "ModelArts.2833"})
_BAD_KEY = frozenset({"ModelArts.0206", "ModelArts.2784"})

_CHECK_NETWORK = "Are network, endpoint and proxy right?"
_RETIRED = "This region's ModelArts does not offer the operation; it may have been retired"
_SKEWED = "The clock of this machine and the platform's differ by more than 15 minutes: set it right"
_REPEATED = "So another call was told less than a minute ago; this one was not sent"

#: Gateway codes that mean: no such API. Both prefixes are in use.
_NO_SUCH_API = frozenset({"APIGW.0101", "APIG.0101", "APIGW.0103", "APIG.0103"})


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer. Header names are in lower case.

    :param is_too_long: its body is longer than :data:`MAX_BODY_BYTES`, and was left where it is.
    :param is_repeated: it came to another request.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_too_long: bool = False
    is_repeated: bool = False


def read_json(answer: Response, request: str) -> JSON:
    """Return the JSON of a good answer; None for an empty one.

    :param request: method and path, for messages.
    :raises ModelArtsApiError: for a status other than 2xx, as the class that fits.
    :raises ModelArtsTransportError: for a body that breaks off; it can be whole next time.
    :raises ModelArtsProtocolError: for a body that is no JSON, or too long.
    """
    check(answer, request)
    if not answer.body:
        return None
    try:
        return _parsed(answer.body)
    except (ValueError, RecursionError) as error:
        if _breaks_off(answer.body, error):
            end = _excerpt(answer.body[-_LONGEST_EXCERPT // 2 :])
            raise ModelArtsTransportError(f"{request}: the answer breaks off after {end}. {_CHECK_NETWORK}") from error
        kind = one_line(answer.headers.get("content-type", "no content type"), _LONGEST_WORD)
        raise ModelArtsProtocolError(
            f"{request}: the answer is no JSON ({kind}): {_excerpt(answer.body)}. Is the endpoint right?"
        ) from error


def check(answer: Response, request: str) -> None:
    """Raise what an answer says, unless that is yes."""
    if not 200 <= answer.status < 300:
        raise _api_error(answer, request)
    if answer.is_too_long:
        limit = f"{MAX_BODY_BYTES // 1024**2} MiB"
        raise ModelArtsProtocolError(f"{request}: the answer is longer than {limit}, and was not read")


def retry_after(answer: Response | None) -> float | None:
    """Return the seconds that an answer asks to wait (``Retry-After``), if it gives them as a number."""
    value = answer.headers.get("retry-after", "") if answer else ""
    return float(value) if value.isascii() and value.isdecimal() and len(value) < 7 else None


def no_response(request: str, error: Exception, *, temporary: bool) -> ModelArtsTransportError:
    """Return the error for a request that was sent and got no whole answer.

    :param error: of the HTTP library.
    :param temporary: False for a failure of TLS.
    """
    reason = one_line(f"{type(error).__name__}: {error}", _LONGEST_REASON)
    advice = _CHECK_NETWORK if temporary else "Does the endpoint speak TLS, and is its certificate trusted?"
    return ModelArtsTransportError(f"{request}: no answer: {reason}. {advice}", temporary=temporary)


def unreadable_ca_bundle(path: str) -> ModelArtsConfigurationError:
    """Return the error for a bundle of certificate authorities without which nothing can be sent."""
    return ModelArtsConfigurationError(
        f"the certificate authorities in {path} cannot be read: set verify of the connection, or REQUESTS_CA_BUNDLE"
    )


def declared_length(headers: Mapping[str, str]) -> int:
    """Return how long a body will be, by its headers; 0 when they do not tell."""
    return integer(headers.get("content-length")) or 0


def _breaks_off(body: bytes, error: ValueError | RecursionError) -> bool:
    """Return whether a body that cannot be parsed is JSON that has begun and not ended: it is wrong at its very end."""
    if not isinstance(error, json.JSONDecodeError) or not body.lstrip().startswith((b"{", b"[")):
        return False
    at_end = error.pos > len(error.doc.rstrip()) - _LONGEST_LITERAL
    return "Unterminated string" in error.msg or (at_end and "Extra data" not in error.msg)


def _parsed(body: bytes) -> JSON:
    value: JSON = json.loads(body)
    return value


def _api_error(answer: Response, request: str) -> ModelArtsApiError:
    try:
        body = _parsed(answer.body)
    except (ValueError, RecursionError):
        body = None
    code, message, solution = _said(body) or (str(answer.status), _excerpt(answer.body) or "no message", "")
    if 300 <= answer.status < 400:
        target = describe(answer.headers.get("location", "nowhere"), 200)
        message = f"redirect to {target}, which is not followed with credentials"
    if code in _NO_SUCH_API or answer.status == 405:
        message = with_sentence(message, _RETIRED)
    if answer.status == 401 and "signature expired" in message:
        message = with_sentence(message, _SKEWED)
    if answer.is_repeated:
        message = with_sentence(message, _REPEATED)
    request_id = answer.headers.get("x-request-id") or answer.headers.get("x-iam-trace-id")
    return _class_for(answer.status, code)(
        message,
        status=answer.status,
        code=code,
        solution=solution or None,
        request_id=one_line(request_id, _LONGEST_WORD) or None,
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


def _said(body: JSON, depth: int = 3) -> tuple[str, str, str] | None:
    """Return code, message and solution of an error body.

    The three shapes, and errors nested in another object, are those that the vendor's SDK reads
    (``exceptions/exception_handler.py``).
    """
    if not isinstance(body, dict) or not depth:
        return None
    for code, message in (("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message")):
        if text(body.get(code)) and text(body.get(message)):
            return (
                one_line(body[code], _LONGEST_WORD),
                one_line(body[message], _LONGEST_SENTENCE),
                one_line(body.get("error_solution"), _LONGEST_SENTENCE),
            )
    return next((said for value in body.values() if (said := _said(value, depth - 1))), None)


def _excerpt(body: bytes) -> str:
    words = " ".join(body[: 4 * _LONGEST_EXCERPT].decode(errors="replace").split())
    return repr(words[:_LONGEST_EXCERPT]) if words else ""
