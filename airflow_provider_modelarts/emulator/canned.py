"""Answers that a test puts in the place of the platform's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class CannedAnswer:
    """What answers the next requests whose path has a word in it.

    :param path_part: part of the path of the requests meant.
    :param times: how many requests it answers.
    :param after: how many requests it lets pass before.
    :param delay: seconds to wait before answering.
    :param drop: close the connection instead of answering.
    :param method: of the requests meant; blank for all.
    :param acts: carry the request out first, so that only its answer is lost.
    """

    path_part: str
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    after: int = 0
    delay: float = 0.0
    drop: bool = False
    method: str = ""
    acts: bool = False

    def is_meant(self, method: str, path: str) -> bool:
        """Return whether this answers a request, now or when others have passed."""
        return self.times > 0 and self.path_part in path and self.method in {"", method}


class CannedAnswers:
    """A queue of canned answers."""

    def __init__(self) -> None:
        self._queue: list[CannedAnswer] = []

    def add(self, answer: CannedAnswer) -> None:
        """Queue an answer."""
        self._queue.append(answer)

    def next_for(self, method: str, path: str) -> CannedAnswer | None:
        """Return what answers a request, or None; the first in the queue that is due."""
        for answer in [answer for answer in self._queue if answer.is_meant(method, path)]:
            if answer.after > 0:
                answer.after -= 1
            else:
                answer.times -= 1
                return answer
        return None
