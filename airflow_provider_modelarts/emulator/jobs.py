"""Training jobs of the emulator. Whatever drives them, the routes see only :class:`Job`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Protocol

from airflow_provider_modelarts.core.shapes import JSON
from airflow_provider_modelarts.emulator.documents import JobTimes, job_document
from airflow_provider_modelarts.emulator.script import Search
from airflow_provider_modelarts.emulator.table import Page, TableStyle

Clock = Callable[[], float]


class Job(Protocol):
    """A training job that can be looked at."""

    id: str

    def look(self) -> None:
        """Let one tick pass: somebody looks at the job."""

    def document(self) -> Mapping[str, JSON]:
        """Return the job as ShowTrainingJobDetails answers it."""

    def trials(self, rows: slice, style: TableStyle) -> Page:
        """Return some rows of its trial table."""


class ScriptedJob:
    """A job that goes through a script, tick by tick."""

    def __init__(self, search: Search, clock: Clock) -> None:
        self.id = search.job_id
        self._search = search
        self._clock = clock
        self._tick = 0
        self._times = JobTimes.at_first(search.phase_at(0), clock())
        self._listed = search.listed_at(0)

    def look(self) -> None:
        """Let one tick pass."""
        self._tick += 1
        self._times = self._times.after(self._search.phase_at(self._tick), self._clock())
        self._listed = self._search.listed_at(self._tick)

    def document(self) -> Mapping[str, JSON]:
        """Return the job as it is at the present tick."""
        return job_document(self._search, self._search.phase_at(self._tick), self._times, self._clock())

    def trials(self, rows: slice, style: TableStyle) -> Page:
        """Return some rows of the trial table as it is at the present tick."""
        search, tick, listed = self._search, self._tick, self._listed
        header = style.header(self._columns) if search.trials else []
        data = [
            style.write_row(header, number, search.row(place, trial, tick), may_be_short=trial.short_row)
            for number, (place, trial) in zip(range(len(listed))[rows], listed[rows], strict=True)
        ]
        return Page(header, data, len(listed))

    @cached_property
    def _columns(self) -> list[str]:
        return self._search.columns()


class GivenJob:
    """A job whose answers are given word by word; nothing changes them but who gave them.

    :param answer: what ShowTrainingJobDetails answers.
    :param data: rows of the trial table, kept and not copied: what is appended is listed from then on.
    """

    def __init__(
        self, job_id: str, answer: Mapping[str, JSON], header: Sequence[str], data: Sequence[Sequence[JSON]]
    ) -> None:
        self.id = job_id
        self._answer = answer
        self._header = header
        self._data = data

    def look(self) -> None:
        """Change nothing."""

    def document(self) -> Mapping[str, JSON]:
        """Return the given answer."""
        return self._answer

    def trials(self, rows: slice, style: TableStyle) -> Page:
        """Return some of the given rows."""
        return Page(self._header, self._data[rows], len(self._data))
