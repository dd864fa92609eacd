"""What a call to ModelArts can meet. No Airflow in here: see ``task_exceptions`` for what tasks raise.

::

    ModelArtsError
    ├── ModelArtsConfigurationError     an argument or a connection field is wrong; nothing was sent
    ├── ModelArtsTransportError         no answer: refused, reset, timed out, TLS failed
    ├── ModelArtsProtocolError          an answer that is not what the documents promise
    ├── ModelArtsApiError               an answer that says no: status, code, message, solution, request id
    │   ├── ModelArtsAuthenticationError    the key, the signature or the token is refused
    │   ├── ModelArtsPermissionError        known, but not allowed
    │   ├── ModelArtsNotFoundError          no such job, trial or algorithm
    │   ├── ModelArtsQuotaError             a quota is used up
    │   ├── ModelArtsThrottledError         too many requests
    │   └── ModelArtsServerError            the platform failed
    └── ModelArtsNoBestTrialError       the trials were read, and none of them can be called the best
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import takewhile

_LONGEST_TEXT = 4000
_TELLING = 32  # characters of a secret that are as good as all of it


def sanitize(text: str, limit: int) -> str:
    """Return a text that cannot break a log apart: on one line, without control characters, of bounded length."""
    shown = text[: limit + 1]
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else "?" for char in shown)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


class ModelArtsError(Exception):
    """Root of everything that this package raises by itself. Its text is harmless, whoever said what is in it."""

    def __str__(self) -> str:
        return sanitize(super().__str__(), _LONGEST_TEXT)

    def facts(self) -> dict[str, str | int | None]:
        """Return what is needed to raise this error again in another process, as plain JSON."""
        return {"message": str(self)}

    def __reduce__(self) -> tuple[Callable[..., ModelArtsError], tuple[dict[str, object]]]:
        """Let the error pass between processes, as exceptions do."""
        return error_from_dict, (error_to_dict(self),)


class ModelArtsConfigurationError(ModelArtsError, ValueError):
    """An argument or a connection field is wrong. Nothing was sent."""


class ModelArtsTransportError(ModelArtsError):
    """There was no answer: connection refused or reset, timeout, TLS failure.

    :param temporary: whether it may be different next time; a certificate that is not trusted stays so.
    """

    def __init__(self, message: str, *, temporary: bool = True) -> None:
        super().__init__(message)
        self.temporary = temporary

    def facts(self) -> dict[str, str | int | None]:
        """Return message and attributes as plain JSON."""
        return {"message": str(self), "temporary": self.temporary}


class ModelArtsProtocolError(ModelArtsError):
    """The answer is not what the documents promise."""


class ModelArtsNoBestTrialError(ModelArtsError):
    """The trials were read, and none of them can be called the best."""


class ModelArtsApiError(ModelArtsError):
    """ModelArts, its gateway or IAM answered with an error.

    :param message: what the platform said.
    :param status: HTTP status.
    :param code: the platform's error code, such as ``ModelArts.2775`` or ``APIGW.0301``.
    :param solution: the platform's advice (``error_solution``), if any.
    :param request_id: the platform's id of the request; its support asks for it.
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
        return sanitize(text, _LONGEST_TEXT)

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
    """The key, its signature or the token is refused.

    Do not try again with the same key: five bad signatures in a row lock it for some minutes.
    """


class ModelArtsPermissionError(ModelArtsApiError):
    """The caller is known, but not allowed to do this."""


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


def with_sentence(text: str, sentence: str) -> str:
    """Return a text with one more sentence, whether or not it ends in a full stop itself."""
    return f"{text.rstrip('.')}. {sentence}"


def with_hint(error: ModelArtsError, advice: str) -> ModelArtsError:
    """Return an error like another one, whose message also says what to do, in sentences of its own."""
    facts = error.facts()
    message = with_sentence(str(facts["message"]), advice)
    return error_from_dict({"type": type(error).__name__, "facts": {**facts, "message": message}})


def without_secrets(error: ModelArtsError, secrets: Iterable[str]) -> ModelArtsError:
    """Return an error whose texts hold none of these, should a server have echoed what it was sent."""
    hidden = [secret for secret in secrets if secret[:_TELLING] in str(error)]
    if not hidden:
        return error
    facts = error.facts()
    for secret in hidden:
        facts = {name: _hide(fact, secret) if isinstance(fact, str) else fact for name, fact in facts.items()}
    return error_from_dict({"type": type(error).__name__, "facts": facts})


def _hide(text: str, secret: str) -> str:
    """Return a text without a secret; what was cut to a bounded length may end in the beginning of a long one."""
    parts = text.split(secret[:_TELLING])
    rest = secret[_TELLING:]
    return "***".join([parts[0], *(part[_in_common(part, rest) :] for part in parts[1:])])


def _in_common(first: str, second: str) -> int:
    """Return how many characters two texts have in common at their beginnings."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def error_from_dict(data: Mapping[str, object]) -> ModelArtsError:
    """Return the error that :func:`error_to_dict` was given.

    What another version stored may have an unknown type or other facts: it comes back as the plain root class.
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
