"""What to do after an attempt: a pure function of what happened."""

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
_HURRIED_DELAY = 2.0

#: What may be over in a while.
PASSING_ERRORS = (ModelArtsServerError, ModelArtsThrottledError, ModelArtsTransportError)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long one call is tried; all times in seconds.

    :param total: no attempt begins later than this after the first one.
    :param longest_retry_after: a ``Retry-After`` is kept to, but for no longer than this.
    """

    first_delay: float = 0.5
    longest_delay: float = 20.0
    total: float = RETRY_SECONDS
    longest_retry_after: float = math.inf

    def urgent(self) -> RetryPolicy:
        """Return a policy for a call that must get through soon: it comes again before it is asked to."""
        return replace(self, longest_delay=_HURRIED_DELAY, longest_retry_after=_HURRIED_DELAY)


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
    """Return how many seconds to wait before the next attempt; None to give up.

    Waits double from attempt to attempt, and are spread over the upper half of each, so that callers that failed
    together do not come back together. A ``Retry-After`` is kept to within the policy's limit, and never beyond the
    total time.

    :param attempt: number of the attempt that failed, from 1.
    :param elapsed: seconds since the first attempt began.
    :param retry_after: what the server asked for, in seconds.
    :param idempotent: whether the request may be sent again when nobody knows whether it arrived.
    :param spread: a random number from 0 to 1.
    """
    if not _may_repeat(error, idempotent=idempotent):
        return None
    backoff = min(policy.first_delay * 2.0 ** min(attempt - 1, 30), policy.longest_delay)
    delay = max(backoff * (0.5 + spread / 2), min(retry_after or 0.0, policy.longest_retry_after))
    return delay if elapsed + delay <= policy.total else None


def _may_repeat(error: ModelArtsError, *, idempotent: bool) -> bool:
    if isinstance(error, ModelArtsThrottledError):
        return True  # refused at the gate: it was not carried out
    if isinstance(error, ModelArtsTransportError) and not error.temporary:
        return False
    return idempotent and isinstance(error, (ModelArtsServerError, ModelArtsTransportError))
