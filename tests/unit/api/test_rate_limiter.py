"""Rate limit of all calls that share a connection, and spread of polls."""

from __future__ import annotations

import pytest

from airflow_provider_modelarts.api.connection_pool import RateLimiter
from airflow_provider_modelarts.api.polling import first_delay, next_delay


def busy(gap):
    """Return a limiter after a hundred requests at even intervals, and the time of the last one."""
    limiter = RateLimiter()
    for number in range(100):
        limiter.sent(number * gap)
    return limiter, 99 * gap


def rate_of(limiter, now):
    """Return the requests per second that a limiter allows after a moment."""
    now += limiter.delay(now)
    limiter.sent(now)
    rest = limiter.delay(now)
    return 1 / rest if rest else float("inf")


def test_rate_is_unlimited_before_throttling():
    """The limiter delays nothing until the platform throttles, because the platform's limit is unknown."""
    limiter = RateLimiter()

    for _ in range(1000):
        assert limiter.delay(5.0) == 0
        limiter.sent(5.0)


def test_throttling_delays_all_requests():
    """One throttled request delays all requests until its pause has passed."""
    limiter, now = busy(0.01)

    limiter.throttled(now, 3.0)

    assert limiter.delay(now) == pytest.approx(3.0)
    assert limiter.delay(now + 2.0) == pytest.approx(1.0)


def test_throttling_lowers_the_rate():
    """Throttling lowers a hundred requests per second to seventy."""
    limiter, now = busy(0.01)

    limiter.throttled(now, 1.0)

    assert rate_of(limiter, now) == pytest.approx(70, rel=0.01)


def test_throttling_of_concurrent_requests_lowers_the_rate_once():
    """Sixty concurrent requests that are throttled lower the rate once, not sixty times."""
    limiter, now = busy(0.01)

    for number in range(60):
        limiter.throttled(now + number * 0.001, 1.0)

    assert rate_of(limiter, now + 0.06) == pytest.approx(70, rel=0.01)


def test_throttling_after_the_pause_lowers_the_rate_again():
    """Throttling after the pause lowers seventy requests per second to forty-nine."""
    limiter, now = busy(0.01)
    limiter.throttled(now, 1.0)

    limiter.throttled(now + 1.5, 1.0)

    assert rate_of(limiter, now + 1.5) == pytest.approx(49, rel=0.01)


def test_shorter_pause_does_not_cut_a_longer_one():
    """A later pause of half a second does not shorten one of 30 seconds."""
    limiter = RateLimiter()
    limiter.throttled(10.0, 30.0)

    limiter.throttled(11.0, 0.5)

    assert limiter.delay(11.0) == pytest.approx(29.0)


def test_good_responses_restore_the_rate():
    """Good responses raise the rate by five per second each second: from 70 to 100 in six seconds."""
    limiter, now = busy(0.01)
    limiter.throttled(now, 1.0)
    began = now = now + limiter.delay(now)

    while now < began + 6:
        now += limiter.delay(now)
        limiter.sent(now)
        limiter.succeeded()

    assert rate_of(limiter, now) == pytest.approx(100, rel=0.05)


def test_rate_becomes_unlimited_again():
    """The limiter delays nothing once its rate exceeds a thousand requests per second."""
    limiter, now = busy(0.01)
    limiter.throttled(now, 1.0)

    for _ in range(200_000):
        limiter.succeeded()

    assert rate_of(limiter, now + 1) == float("inf")


def test_rate_never_falls_below_one_per_second():
    """The rate stays at one request per second, however often the platform throttles."""
    limiter = RateLimiter()
    now = 0.0
    for _ in range(50):
        limiter.throttled(now, 1.0)
        now += 2

    assert rate_of(limiter, now) == pytest.approx(1.0)


def test_throttling_after_an_idle_hour_keeps_the_minimum_rate():
    """Throttling after an idle hour leaves a rate of at least one request per second."""
    limiter = RateLimiter()
    limiter.sent(0.0)
    limiter.sent(3600.0)

    limiter.throttled(3600.0, 1.0)

    assert rate_of(limiter, 3601.0) >= 1.0


@pytest.mark.parametrize("spread", [0.0, 0.25, 1.0])
def test_first_poll_is_spread_over_an_interval(spread):
    """The first polls of waits that start together are spread over a whole interval."""
    assert first_delay(30.0, spread) == 30.0 * spread


@pytest.mark.parametrize(("spread", "delay"), [(0.0, 27.0), (0.5, 30.0), (1.0, 33.0)])
def test_later_polls_vary_the_interval_by_a_tenth(spread, delay):
    """The jitter of a tenth keeps the interval of the user on average."""
    assert next_delay(30.0, spread) == pytest.approx(delay)
