"""Retry: whether and when a failed attempt is repeated."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from airflow_provider_modelarts.exceptions import (
    ModelArtsError,
    ModelArtsServerError,
    ModelArtsThrottledError,
    ModelArtsTransportError,
)

RETRY_SECONDS = 90.0
_MAX_URGENT_DELAY = 2.0  # seconds; an urgent call has half a minute in all

#: Errors that may pass.
PASSING_ERRORS = (ModelArtsServerError, ModelArtsThrottledError, ModelArtsTransportError)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delays between the attempts of one call, in seconds.

    :param total: no attempt begins later than this after the first one.
    :param max_retry_after: longest ``Retry-After`` that is obeyed.
    """

    first_delay: float = 0.5
    max_delay: float = 20.0
    total: float = RETRY_SECONDS
    max_retry_after: float = math.inf

    def urgent(self) -> RetryPolicy:
        """Return a policy for a call that must succeed soon, even before its ``Retry-After``."""
        return replace(self, max_delay=_MAX_URGENT_DELAY, max_retry_after=_MAX_URGENT_DELAY)


def next_delay(
    error: ModelArtsError,
    *,
    attempt: int,
    elapsed: float,
    retry_after: float | None,
    idempotent: bool,
    spread: float,
    policy: RetryPolicy,
) -> float | None:
    """Return the seconds before the next attempt; None to give up.

    Delays double from attempt to attempt, with jitter over the upper half of each, so that callers that failed together
    do not retry together. A ``Retry-After`` is obeyed up to the policy's limit, and never beyond the total time.

    :param attempt: number of the attempt that failed, from 1.
    :param elapsed: seconds since the first attempt began.
    :param retry_after: of the response, in seconds.
    :param idempotent: whether the request may be repeated when its outcome is unknown.
    :param spread: a random number from 0 to 1.
    """
    if not _may_repeat(error, idempotent=idempotent):
        return None
    backoff = min(policy.first_delay * 2.0 ** min(attempt - 1, 30), policy.max_delay)
    delay = max(backoff * (0.5 + spread / 2), min(retry_after or 0.0, policy.max_retry_after))
    return delay if elapsed + delay <= policy.total else None


def _may_repeat(error: ModelArtsError, *, idempotent: bool) -> bool:
    if isinstance(error, ModelArtsThrottledError):
        return True  # the gateway refused it: it was not carried out
    if isinstance(error, ModelArtsTransportError) and not error.temporary:
        return False
    return idempotent and isinstance(error, (ModelArtsServerError, ModelArtsTransportError))
