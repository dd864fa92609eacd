"""Answers in the place of the platform's own: those that a test puts in, and those that chance does."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from modelarts_emulator.faults import FAULTS, Fault, fault_of


@dataclass(slots=True)
class CannedAnswer:
    """What answers the next requests whose path has a word in it.

    :param path_part: part of the path of the requests meant.
    :param fault: what answers them.
    :param times: how many requests it answers.
    :param after: how many requests it lets pass before.
    :param delay: seconds to wait before answering.
    :param method: of the requests meant; blank for all.
    :param acts: carry the request out first, so that only its answer is lost.
    """

    path_part: str
    fault: Fault
    times: int = 1
    after: int = 0
    delay: float = 0.0
    method: str = ""
    acts: bool = False

    def __post_init__(self) -> None:
        """Carry out what the fault needs carried out, and nothing that it holds up at the door."""
        if self.fault.acts is not None:
            self.acts = self.fault.acts

    def is_meant(self, method: str, path: str) -> bool:
        """Return whether this answers a request, now or when others have passed."""
        return (
            self.times > 0 and self.path_part in path and self.method in {"", method} and self.fault.fits(method, path)
        )


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


class Chance:
    """Makes a share of all answers faulty: the same seed and the same requests give the same faults.

    :param share: from 0 to 1.
    :param names: of the faults that happen, equally often; None for those that pass.
    :raises ValueError: for a share that is none, and for a name that no fault has.
    """

    def __init__(self, share: float, seed: int, names: Iterable[str] | None = None) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"fault_share must be from 0 to 1, not {share}")
        self._share = share
        self._random = random.Random(seed)
        passing = [name for name, fault in FAULTS.items() if fault.passes]
        self._faults = [fault_of(name) for name in (passing if names is None else names)]

    def next_for(self, method: str, path: str) -> CannedAnswer | None:
        """Return what answers a request, or None where all goes well."""
        happens, which, acts = (self._random.random() for _ in range(3))
        fitting = [fault for fault in self._faults if fault.fits(method, path)]
        if happens >= self._share or not fitting:
            return None
        return CannedAnswer(path, fitting[int(which * len(fitting))], acts=acts < 0.5)
