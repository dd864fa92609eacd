"""Rate limit of all calls that share a connection."""

from __future__ import annotations

import pytest

from airflow_provider_modelarts.api.connection_pool import RateLimiter
from airflow_provider_modelarts.api.polling import first_delay, next_delay


def busy(gap):
    """Return a pace at which a hundred requests were sent at even times, and the time of the last one."""
    limiter = RateLimiter()
    for number in range(100):
        limiter.sent(number * gap)
    return limiter, 99 * gap


def rate_of(limiter, now):
    """Return how many requests a second the pace allows after a moment."""
    now += limiter.delay(now)
    limiter.sent(now)
    rest = limiter.delay(now)
    return 1 / rest if rest else float("inf")


def test_pace_is_unlimited_before_a_refusal():
    """The platform's limit is unknown until it throttles."""
    limiter = RateLimiter()

    for _ in range(1000):
        assert limiter.delay(5.0) == 0
        limiter.sent(5.0)


def test_refusal_makes_all_wait_for_its_pause():
    """It is one request that was refused, but the next of anybody would be too."""
    limiter, now = busy(0.01)

    limiter.throttled(now, 3.0)

    assert limiter.delay(now) == pytest.approx(3.0)
    assert limiter.delay(now + 2.0) == pytest.approx(1.0)


def test_refusal_lowers_the_rate():
    """A hundred requests a second were too many: seventy follow."""
    limiter, now = busy(0.01)

    limiter.throttled(now, 1.0)

    assert rate_of(limiter, now) == pytest.approx(70, rel=0.01)


def test_refusals_of_requests_under_way_together_lower_the_rate_once():
    """Sixty requests may be under way when the first is refused; they are one excess, not sixty."""
    limiter, now = busy(0.01)

    for number in range(60):
        limiter.throttled(now + number * 0.001, 1.0)

    assert rate_of(limiter, now + 0.06) == pytest.approx(70, rel=0.01)


def test_refusal_after_the_pause_lowers_the_rate_again():
    """Seventy were still too many: forty-nine follow."""
    limiter, now = busy(0.01)
    limiter.throttled(now, 1.0)

    limiter.throttled(now + 1.5, 1.0)

    assert rate_of(limiter, now + 1.5) == pytest.approx(49, rel=0.01)


def test_shorter_pause_does_not_cut_a_longer_one():
    """A pause of 30 seconds is not shortened by a later one of half a second."""
    limiter = RateLimiter()
    limiter.throttled(10.0, 30.0)

    limiter.throttled(11.0, 0.5)

    assert limiter.delay(11.0) == pytest.approx(29.0)


def test_good_answers_bring_the_rate_back():
    """From 70 a second it takes six seconds of good answers to 100 a second, at five a second each second."""
    limiter, now = busy(0.01)
    limiter.throttled(now, 1.0)
    began = now = now + limiter.delay(now)

    while now < began + 6:
        now += limiter.delay(now)
        limiter.sent(now)
        limiter.succeeded()

    assert rate_of(limiter, now) == pytest.approx(100, rel=0.05)


def test_rate_is_unlimited_again_in_the_end():
    """A limit that is gone is forgotten: beyond a thousand calls a second nothing is delayed."""
    limiter, now = busy(0.01)
    limiter.throttled(now, 1.0)

    for _ in range(200_000):
        limiter.succeeded()

    assert rate_of(limiter, now + 1) == float("inf")


def test_rate_never_falls_below_one_a_second():
    """However often the platform refuses, the waits go on."""
    limiter = RateLimiter()
    now = 0.0
    for _ in range(50):
        limiter.throttled(now, 1.0)
        now += 2

    assert rate_of(limiter, now) == pytest.approx(1.0)


def test_lone_request_after_a_long_silence_keeps_its_pace():
    """An idle minute before a refusal is no rate to halve: the pace is one a second at worst."""
    limiter = RateLimiter()
    limiter.sent(0.0)
    limiter.sent(3600.0)

    limiter.throttled(3600.0, 1.0)

    assert rate_of(limiter, 3601.0) >= 1.0


@pytest.mark.parametrize("spread", [0.0, 0.25, 1.0])
def test_first_look_is_anywhere_within_an_interval(spread):
    """5,000 waits that start together are spread over all of it."""
    assert first_delay(30.0, spread) == 30.0 * spread


@pytest.mark.parametrize(("spread", "rest"), [(0.0, 27.0), (0.5, 30.0), (1.0, 33.0)])
def test_later_looks_keep_the_interval_give_or_take_a_tenth(spread, rest):
    """On average it is what the user asked for."""
    assert next_delay(30.0, spread) == pytest.approx(rest)
