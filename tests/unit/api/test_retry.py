"""Decision after an attempt: return, retry or raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import quick

from airflow_provider_modelarts.api.retry import RetryPolicy, next_delay
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
)

POLICY = RetryPolicy(first_delay=1.0, max_delay=8.0, total=60.0)


def api_error(cls, status):
    """Return an error of the API."""
    return cls("no", status=status, code="c")


THROTTLED = api_error(ModelArtsThrottledError, 429)
UNAVAILABLE = api_error(ModelArtsServerError, 503)
UNREACHABLE = ModelArtsTransportError("reset")
UNTRUSTED = ModelArtsTransportError("certificate", temporary=False)


def delay(error, *, attempt=1, elapsed=0.0, retry_after=None, idempotent=True, spread=1.0, policy=POLICY):
    """Return the next delay, with the spread at its upper end by default."""
    return next_delay(
        error,
        attempt=attempt,
        elapsed=elapsed,
        retry_after=retry_after,
        idempotent=idempotent,
        spread=spread,
        policy=policy,
    )


@pytest.mark.parametrize(
    ("error", "if_idempotent", "if_not"),
    [
        (THROTTLED, True, True),
        (api_error(ModelArtsServerError, 500), True, False),
        (UNAVAILABLE, True, False),
        (UNREACHABLE, True, False),
        (UNTRUSTED, False, False),
        (api_error(ModelArtsAuthenticationError, 401), False, False),
        (api_error(ModelArtsPermissionError, 403), False, False),
        (api_error(ModelArtsNotFoundError, 400), False, False),
        (api_error(ModelArtsQuotaError, 400), False, False),
        (api_error(ModelArtsApiError, 409), False, False),
        (api_error(ModelArtsApiError, 302), False, False),
        (ModelArtsProtocolError("HTML"), False, False),
        (ModelArtsConfigurationError("no region"), False, False),
    ],
)
def test_retry_by_error(error, if_idempotent, if_not):
    """Throttled calls are retried; server and temporary transport errors only of idempotent calls; others never."""
    assert (delay(error) is not None) is if_idempotent
    assert (delay(error, idempotent=False) is not None) is if_not


@pytest.mark.parametrize(
    ("attempt", "expected"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (40, 8.0), (100_000, 8.0)]
)
def test_retry_delay_doubles(attempt, expected):
    """Delays double from attempt to attempt up to the maximum."""
    assert delay(UNAVAILABLE, attempt=attempt) == expected


@pytest.mark.parametrize(("spread", "expected"), [(0.0, 2.0), (0.5, 3.0), (1.0, 4.0)])
def test_retry_delay_is_spread(spread, expected):
    """Delays are spread over their upper half, so that calls that failed together are retried apart."""
    assert delay(UNAVAILABLE, attempt=3, spread=spread) == expected


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [(0.0, 1.0), (58.9, 1.0), (59.0, 1.0), (59.1, None), (60.0, None), (1000.0, None)],
)
def test_retry_within_the_total_time(elapsed, expected):
    """No attempt begins after the total time."""
    assert delay(UNAVAILABLE, elapsed=elapsed) == expected


@pytest.mark.parametrize(
    ("retry_after", "elapsed", "expected"),
    [
        (None, 0.0, 1.0),
        (0.0, 0.0, 1.0),
        (0.5, 0.0, 1.0),
        (5.0, 0.0, 5.0),
        (30.0, 0.0, 30.0),
        (60.0, 0.0, 60.0),
        (60.1, 0.0, None),
        (30.0, 31.0, None),
        (86_400.0, 0.0, None),
    ],
)
@pytest.mark.parametrize("error", [THROTTLED, UNAVAILABLE])
def test_retry_after(error, retry_after, elapsed, expected):
    """A Retry-After is obeyed up to the total time, beyond which the call fails at once."""
    assert delay(error, retry_after=retry_after, elapsed=elapsed) == expected


@pytest.mark.parametrize(
    ("attempt", "retry_after", "expected"), [(1, None, 1.0), (1, 1.5, 1.5), (1, 60.0, 2.0), (9, None, 2.0)]
)
def test_retry_by_urgent_policy(attempt, retry_after, expected):
    """An urgent policy limits every delay, even that of a Retry-After."""
    assert delay(THROTTLED, attempt=attempt, retry_after=retry_after, policy=POLICY.urgent()) == expected


def test_retry_after_does_not_make_an_error_temporary():
    """A refused call is not retried, even if the response holds a Retry-After."""
    assert delay(api_error(ModelArtsPermissionError, 403), retry_after=5.0) is None


def test_retry_policy_default():
    """By default, a call is retried for 90 seconds, first after at most half a second."""
    policy = RetryPolicy()

    assert (policy.first_delay, policy.max_delay, policy.total) == (0.5, 20.0, 90.0)


@quick
@given(st.floats(0, 1), st.floats(0.01, 10), st.floats(0.01, 100), st.floats(0, 1000))
def test_retry_ends(spread, first, maximum, total):
    """Under any policy, attempts end within the total time, with a wait between any two."""
    policy = RetryPolicy(first, maximum, total)
    elapsed, attempt = 0.0, 1
    while (wait := delay(UNAVAILABLE, attempt=attempt, elapsed=elapsed, spread=spread, policy=policy)) is not None:
        assert wait >= min(first, maximum) / 2
        elapsed, attempt = elapsed + wait, attempt + 1
        assert elapsed <= total
        if attempt > 200:
            break
