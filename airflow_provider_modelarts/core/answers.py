"""From an HTTP answer to a value or to the error that it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_modelarts.core.shapes import JSON, text
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsAuthenticationError,
    ModelArtsNotFoundError,
    ModelArtsPermissionError,
    ModelArtsProtocolError,
    ModelArtsQuotaError,
    ModelArtsServerError,
    ModelArtsThrottledError,
)

_LONGEST_EXCERPT = 200

_NOT_FOUND = frozenset({"ModelArts.2755", "ModelArts.2775"})
_QUOTA = frozenset({"ModelArts.2815", "ModelArts.2816", "ModelArts.2833"})
_BAD_KEY = frozenset({"ModelArts.0206", "ModelArts.2784"})

#: Gateway codes that mean: no such API. Both prefixes are in use.
_NO_SUCH_API = frozenset({"APIGW.0101", "APIG.0101", "APIGW.0103", "APIG.0103"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def read_json(answer: Answer, request: str) -> JSON:
    """Return the JSON of a good answer; None for an empty one.

    :param request: method and path, for messages.
    :raises ModelArtsApiError: for a status other than 2xx, as the class that fits.
    :raises ModelArtsProtocolError: for a body that is no JSON.
    """
    if not 200 <= answer.status < 300:
        raise _api_error(answer, request)
    if not answer.body:
        return None
    try:
        return _parsed(answer.body)
    except (ValueError, RecursionError) as error:
        kind = answer.headers.get("content-type", "no content type")
        raise ModelArtsProtocolError(
            f"{request}: the answer is no JSON ({kind}): {_excerpt(answer.body)}. Is the endpoint right?"
        ) from error


def retry_after(answer: Answer | None) -> float | None:
    """Return the seconds that an answer asks to wait (``Retry-After``), if it gives them as a number."""
    value = answer.headers.get("retry-after", "") if answer else ""
    return float(value) if value.isascii() and value.isdecimal() and len(value) < 7 else None


def _parsed(body: bytes) -> JSON:
    value: JSON = json.loads(body)
    return value


def _api_error(answer: Answer, request: str) -> ModelArtsApiError:
    try:
        body = _parsed(answer.body)
    except (ValueError, RecursionError):
        body = None
    code, message, solution = _said(body) or (str(answer.status), _excerpt(answer.body) or "no message", "")
    if 300 <= answer.status < 400:
        message = f"redirect to {answer.headers.get('location', 'nowhere')!r}, which is not followed with credentials"
    if code in _NO_SUCH_API:
        message = f"{message}. This region's ModelArts does not offer the operation; it may have been retired"
    return _class_for(answer.status, code)(
        message,
        status=answer.status,
        code=code,
        solution=solution or None,
        request_id=answer.headers.get("x-request-id") or answer.headers.get("x-iam-trace-id"),
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
            return text(body[code])[:100], text(body[message])[:1000], text(body.get("error_solution"))[:1000]
    return next((said for value in body.values() if (said := _said(value, depth - 1))), None)


def _excerpt(body: bytes) -> str:
    words = " ".join(body[: 4 * _LONGEST_EXCERPT].decode(errors="replace").split())
    return repr(words[:_LONGEST_EXCERPT]) if words else ""
