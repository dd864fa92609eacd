"""How fast all may send that share a connection, and when a wait looks next. No clock and no chance in here.

The platform tells nobody its limits; they may be shared with others, and change. So the rate is found as TCP finds
that of a line: additive increase, multiplicative decrease.
"""

from __future__ import annotations

from dataclasses import dataclass

_CUT = 0.7  # what a refusal leaves of the rate
_GROWTH = 5.0  # requests per second that the rate gains in each second of good answers
_LONGEST_GAP = 1.0
_SHORTEST_GAP = 0.001  # below it, there is no limit
_SMOOTHING = 0.1
_JITTER = 0.1


@dataclass(slots=True)
class Pace:
    """When the next request may be sent; all times in seconds, on one clock.

    Without limit until the platform refuses a request for coming too soon (429). Then nobody sends for a while, and
    the rate is lower than it was; with every good answer it grows again.
    """

    _gap: float = 0.0
    _usual_gap: float = _LONGEST_GAP
    _last: float = 0.0
    _paused_until: float = 0.0

    def rest(self, now: float) -> float:
        """Return how long to wait before the next request."""
        return max(0.0, self._last + self._gap - now, self._paused_until - now)

    def sent(self, now: float) -> None:
        """Note that a request is sent."""
        self._usual_gap += _SMOOTHING * (min(now - self._last, _LONGEST_GAP) - self._usual_gap)
        self._last = now

    def throttled(self, now: float, pause: float) -> None:
        """Note that a request was refused, and will be sent again after a pause. It slows down all.

        Those that were under way with it and are refused too do not slow down any further.
        """
        if now >= self._paused_until:
            self._gap = min(max(self._gap, self._usual_gap) / _CUT, _LONGEST_GAP)
        self._paused_until = max(self._paused_until, now + pause)

    def answered(self) -> None:
        """Note a good answer."""
        self._gap = self._gap / (1 + _GROWTH * self._gap**2)
        if self._gap < _SHORTEST_GAP:
            self._gap = 0.0


def first_rest(interval: float, spread: float) -> float:
    """Return how long a wait rests before its first look: thousands start together when a triggerer does.

    :param spread: a random number from 0 to 1.
    """
    return interval * spread


def next_rest(interval: float, spread: float) -> float:
    """Return how long a wait rests between two looks, so that those which once met do not go on together."""
    return interval * (1 - _JITTER + 2 * _JITTER * spread)
