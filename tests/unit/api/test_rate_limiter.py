"""Rate limit of all calls that share a connection."""

from __future__ import annotations

import pytest

from airflow_provider_modelarts.api.connection_pool import RateLimiter
from airflow_provider_modelarts.api.polling import first_delay_of, next_delay_of


def busy(gap):
    """Return a pace at which a hundred requests were sent at even times, and the time of the last one."""
    pace = RateLimiter()
    for number in range(100):
        pace.sent(number * gap)
    return pace, 99 * gap


def rate_of(pace, now):
    """Return how many requests a second the pace allows after a moment."""
    now += pace.rest(now)
    pace.sent(now)
    rest = pace.rest(now)
    return 1 / rest if rest else float("inf")


def test_pace_is_unlimited_before_a_refusal():
    """The platform's limit is unknown until it throttles."""
    pace = RateLimiter()

    for _ in range(1000):
        assert pace.rest(5.0) == 0
        pace.sent(5.0)


def test_refusal_makes_all_wait_for_its_pause():
    """It is one request that was refused, but the next of anybody would be too."""
    pace, now = busy(0.01)

    pace.throttled(now, 3.0)

    assert pace.rest(now) == pytest.approx(3.0)
    assert pace.rest(now + 2.0) == pytest.approx(1.0)


def test_refusal_lowers_the_rate():
    """A hundred requests a second were too many: seventy follow."""
    pace, now = busy(0.01)

    pace.throttled(now, 1.0)

    assert rate_of(pace, now) == pytest.approx(70, rel=0.01)


def test_refusals_of_requests_under_way_together_lower_the_rate_once():
    """Sixty requests may be under way when the first is refused; they are one excess, not sixty."""
    pace, now = busy(0.01)

    for number in range(60):
        pace.throttled(now + number * 0.001, 1.0)

    assert rate_of(pace, now + 0.06) == pytest.approx(70, rel=0.01)


def test_refusal_after_the_pause_lowers_the_rate_again():
    """Seventy were still too many: forty-nine follow."""
    pace, now = busy(0.01)
    pace.throttled(now, 1.0)

    pace.throttled(now + 1.5, 1.0)

    assert rate_of(pace, now + 1.5) == pytest.approx(49, rel=0.01)


def test_shorter_pause_does_not_cut_a_longer_one():
    """A pause of 30 seconds is not shortened by a later one of half a second."""
    pace = RateLimiter()
    pace.throttled(10.0, 30.0)

    pace.throttled(11.0, 0.5)

    assert pace.rest(11.0) == pytest.approx(29.0)


def test_good_answers_bring_the_rate_back():
    """From 70 a second it takes six seconds of good answers to 100 a second, at five a second each second."""
    pace, now = busy(0.01)
    pace.throttled(now, 1.0)
    began = now = now + pace.rest(now)

    while now < began + 6:
        now += pace.rest(now)
        pace.sent(now)
        pace.answered()

    assert rate_of(pace, now) == pytest.approx(100, rel=0.05)


def test_rate_is_unlimited_again_in_the_end():
    """A limit that is gone is forgotten: beyond a thousand calls a second nothing is delayed."""
    pace, now = busy(0.01)
    pace.throttled(now, 1.0)

    for _ in range(200_000):
        pace.answered()

    assert rate_of(pace, now + 1) == float("inf")


def test_rate_never_falls_below_one_a_second():
    """However often the platform refuses, the waits go on."""
    pace = RateLimiter()
    now = 0.0
    for _ in range(50):
        pace.throttled(now, 1.0)
        now += 2

    assert rate_of(pace, now) == pytest.approx(1.0)


def test_lone_request_after_a_long_silence_keeps_its_pace():
    """An idle minute before a refusal is no rate to halve: the pace is one a second at worst."""
    pace = RateLimiter()
    pace.sent(0.0)
    pace.sent(3600.0)

    pace.throttled(3600.0, 1.0)

    assert rate_of(pace, 3601.0) >= 1.0


@pytest.mark.parametrize("spread", [0.0, 0.25, 1.0])
def test_first_look_is_anywhere_within_an_interval(spread):
    """5,000 waits that start together are spread over all of it."""
    assert first_delay_of(30.0, spread) == 30.0 * spread


@pytest.mark.parametrize(("spread", "rest"), [(0.0, 27.0), (0.5, 30.0), (1.0, 33.0)])
def test_later_looks_keep_the_interval_give_or_take_a_tenth(spread, rest):
    """On average it is what the user asked for."""
    assert next_delay_of(30.0, spread) == pytest.approx(rest)
