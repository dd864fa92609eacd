"""Errors of calls to ModelArts, without Airflow. See ``task_exceptions`` for the errors that tasks raise.

::

    ModelArtsError
    ├── ModelArtsConfigurationError     an argument or a connection field is wrong; nothing was sent
    ├── ModelArtsTransportError         no response: refused, reset, timed out, TLS failed
    ├── ModelArtsProtocolError          a response that is not as documented
    ├── ModelArtsApiError               an error response: status, code, message, solution, request id
    │   ├── ModelArtsAuthenticationError    the access key, signature or token is rejected
    │   ├── ModelArtsPermissionError        authenticated, but not allowed
    │   ├── ModelArtsNotFoundError          no such job, trial or algorithm
    │   ├── ModelArtsQuotaError             a quota is used up
    │   ├── ModelArtsThrottledError         too many requests
    │   └── ModelArtsServerError            the platform failed
    └── ModelArtsNoBestTrialError       no trial competes for the best
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import takewhile

_MAX_TEXT_CHARS = 4000  # of an error: a server may send megabytes, and logs and events must stay small
_SECRET_PREFIX_CHARS = 32  # of a secret, which disclose as much as all of it


def sanitize(text: str, limit: int) -> str:
    """Return a text that is safe to log: on one line, without control characters, of bounded length."""
    shown = text[: limit + 1]
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else "?" for char in shown)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


class ModelArtsError(Exception):
    """Root of all errors of this package. Its text is safe to log, even where a server wrote it."""

    def __str__(self) -> str:
        return sanitize(super().__str__(), _MAX_TEXT_CHARS)

    def facts(self) -> dict[str, str | int | None]:
        """Return the constructor's arguments as plain JSON, to raise the error again in another process."""
        return {"message": str(self)}

    def __reduce__(self) -> tuple[Callable[..., ModelArtsError], tuple[dict[str, object]]]:
        """Support pickling."""
        return error_from_dict, (error_to_dict(self),)


class ModelArtsConfigurationError(ModelArtsError, ValueError):
    """An argument or a connection field is wrong. Nothing was sent."""


class ModelArtsTransportError(ModelArtsError):
    """There was no response: connection refused or reset, timeout, TLS failure.

    :param temporary: whether a retry may succeed; an untrusted certificate stays untrusted.
    """

    def __init__(self, message: str, *, temporary: bool = True) -> None:
        super().__init__(message)
        self.temporary = temporary

    def facts(self) -> dict[str, str | int | None]:
        """Return message and attributes as plain JSON."""
        return {"message": str(self), "temporary": self.temporary}


class ModelArtsProtocolError(ModelArtsError):
    """The response is not as documented."""


class ModelArtsNoBestTrialError(ModelArtsError):
    """No trial of the search competes for the best."""


class ModelArtsApiError(ModelArtsError):
    """Error response of ModelArts, its gateway or IAM.

    :param message: the platform's message.
    :param status: HTTP status.
    :param code: the platform's error code, such as ``ModelArts.2775`` or ``APIGW.0301``.
    :param solution: the platform's advice (``error_solution``), if any.
    :param request_id: the platform's id of the request, for its support.
    :param request: method and path of the request, without query and host.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        solution: str | None = None,
        request_id: str | None = None,
        request: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.solution = solution
        self.request_id = request_id
        self.request = request

    def __str__(self) -> str:
        text = f"{self.request}: HTTP {self.status} {self.code}: {self.message}"
        if self.solution:
            text += f" {self.solution}"
        if self.request_id:
            text += f" (request id {self.request_id})"
        return sanitize(text, _MAX_TEXT_CHARS)

    def facts(self) -> dict[str, str | int | None]:
        """Return message and attributes as plain JSON."""
        return {
            "message": self.message,
            "status": self.status,
            "code": self.code,
            "solution": self.solution,
            "request_id": self.request_id,
            "request": self.request,
        }


class ModelArtsAuthenticationError(ModelArtsApiError):
    """The access key, its signature or the token is rejected.

    Do not retry with the same key: five bad signatures in a row lock it for some minutes.
    """


class ModelArtsPermissionError(ModelArtsApiError):
    """The caller is authenticated, but not allowed to do this."""


class ModelArtsNotFoundError(ModelArtsApiError):
    """There is no such job, trial or algorithm (for a job: HTTP 400 with ``ModelArts.2775``)."""


class ModelArtsQuotaError(ModelArtsApiError):
    """A quota of the account is used up."""


class ModelArtsThrottledError(ModelArtsApiError):
    """Too many requests."""


class ModelArtsServerError(ModelArtsApiError):
    """The platform failed (HTTP 5xx)."""


def error_to_dict(error: ModelArtsError) -> dict[str, object]:
    """Return an error as plain JSON, for a trigger's event. :func:`error_from_dict` is its inverse."""
    return {"type": type(error).__name__, "facts": error.facts()}


def error_from_dict(data: Mapping[str, object]) -> ModelArtsError:
    """Return the error that :func:`error_to_dict` stored.

    An event of another version may have an unknown type or other facts: it becomes a plain :class:`ModelArtsError`.
    """
    facts = data.get("facts")
    facts = dict(facts) if isinstance(facts, Mapping) else {}
    message = str(facts.pop("message", "unknown error"))
    cls = next((cls for cls in _tree(ModelArtsError) if cls.__name__ == data.get("type")), ModelArtsError)
    try:
        return cls(message, **facts)
    except TypeError:
        return ModelArtsError(message)


def _tree(cls: type[ModelArtsError]) -> Iterator[type[ModelArtsError]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _tree(subclass)


def with_sentence(text: str, sentence: str) -> str:
    """Return a text followed by one more sentence, with exactly one full stop between them."""
    return f"{text.rstrip('.')}. {sentence}"


def with_hint(error: ModelArtsError, advice: str) -> ModelArtsError:
    """Return a copy of an error whose message ends with advice on what to do."""
    facts = error.facts()
    message = with_sentence(str(facts["message"]), advice)
    return error_from_dict({"type": type(error).__name__, "facts": {**facts, "message": message}})


def without_secrets(error: ModelArtsError, secrets: Iterable[str]) -> ModelArtsError:
    """Return an error whose texts hold none of these secrets: a server may echo the request."""
    hidden = [secret for secret in secrets if secret[:_SECRET_PREFIX_CHARS] in str(error)]
    if not hidden:
        return error
    facts = error.facts()
    for secret in hidden:
        facts = {name: _hide(fact, secret) if isinstance(fact, str) else fact for name, fact in facts.items()}
    return error_from_dict({"type": type(error).__name__, "facts": facts})


def _hide(text: str, secret: str) -> str:
    """Return a text without a secret; a text that was cut may end in the middle of it."""
    parts = text.split(secret[:_SECRET_PREFIX_CHARS])
    rest = secret[_SECRET_PREFIX_CHARS:]
    return "***".join([parts[0], *(part[_common_prefix(part, rest) :] for part in parts[1:])])


def _common_prefix(first: str, second: str) -> int:
    """Return the length of the longest common prefix of two texts."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
