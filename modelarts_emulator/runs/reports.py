"""What a script prints about its metrics: found with their regular expressions, line by line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.jobs import Mode, Objective
from modelarts_emulator.runs.archive import JobFolder

_PIECE = 2**20
_LONGEST_LINE = 2**16


class LogReader:
    """Follows a log that grows, and puts what is reported of each metric behind what was reported before.

    :param values: texts by metric, in the order in which they were printed; changed by reading.
    """

    def __init__(
        self, folder: JobFolder, name: str, objectives: Sequence[Objective], values: dict[str, list[str]]
    ) -> None:
        self._folder = folder
        self._name = name
        self._patterns = [(objective.metric, re.compile(objective.regex or "")) for objective in objectives]
        self._values = values
        self._offset = 0
        self._rest = b""

    def read(self, *, at_end: bool = False) -> None:
        """Read what is new.

        :param at_end: nothing more will come: a last line without its end counts too.
        """
        while piece := self._folder.read_log(self._name, self._offset, _PIECE):
            self._offset += len(piece)
            *lines, rest = (self._rest + piece).replace(b"\r", b"\n").split(b"\n")
            self._rest = rest[-_LONGEST_LINE:]
            self._take(lines)
        if at_end:
            self._take([self._rest])
            self._rest = b""

    def _take(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            words = line[-_LONGEST_LINE:].decode(errors="replace")
            for metric, pattern in self._patterns:
                found = [match[1] if pattern.groups else match[0] for match in pattern.finditer(words)]
                self._values.setdefault(metric, []).extend(value.strip() for value in found if value)


def best(values: Sequence[str], mode: Mode) -> str:
    """Return the best of some values; blank when none of them is a number."""
    numbers = [(number, value) for value in values if (number := finite(value)) is not None]
    if not numbers:
        return ""
    choose = max if mode is Mode.MAX else min
    return choose(numbers, key=lambda pair: pair[0])[1]


def finite(value: str) -> float | None:
    """Return the finite number in a text."""
    number = cells.number(value)
    return number if number is not None and math.isfinite(number) else None
