"""Training jobs of the emulator, of three kinds with the interface :class:`Job`.

``ScriptedJob`` follows a script, ``GivenJob`` returns given responses, and ``CreatedJob`` of ``runs`` runs for real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from modelarts_emulator.auth import Clock
from modelarts_emulator.documents import JobTimes, TablePage, TableStyle, job_document, trial_header, write_reports
from modelarts_emulator.errors import not_allowed_to_terminate, trial_not_found
from modelarts_emulator.json_values import JSON, child, text
from modelarts_emulator.scenario import Search, TrialScript
from modelarts_emulator.vocabulary import TASK, JobPhase


@dataclass(frozen=True, slots=True)
class LogTail:
    """Newest part of a log, and the size of the whole log."""

    content: bytes
    size: int


class Job(Protocol):
    """A training job, as the operations see it."""

    id: str

    def advance(self) -> None:
        """Move a scripted job on by one tick."""

    def document(self) -> Mapping[str, JSON]:
        """Return the response of ShowTrainingJobDetails."""

    def trials(self, rows: slice, style: TableStyle) -> TablePage:
        """Return some rows of the trial table."""

    def reports(self, trial_id: str, style: TableStyle) -> TablePage:
        """Return the reports of one trial, or refuse an unknown one."""

    def stop(self) -> None:
        """Stop the job, or refuse if it has ended."""

    def stop_trial(self, trial_id: str) -> None:
        """Stop one trial, or refuse an unknown one. Does nothing if the trial has ended."""

    def change_description(self, description: str) -> None:
        """Change the description."""

    def events(self) -> Sequence[Mapping[str, JSON]]:
        """Return the events, oldest first."""

    def log(self, task: str, limit: int) -> LogTail | None:
        """Return the newest part of a task's log; None for an unknown task."""


class _SilentJob:
    """Base of jobs that do not run: no events, an empty log."""

    _description: str | None = None

    def change_description(self, description: str) -> None:
        """Change the description."""
        self._description = description

    def events(self) -> Sequence[Mapping[str, JSON]]:
        """Return no events."""
        return ()

    def log(self, task: str, limit: int) -> LogTail | None:
        """Return the empty log of the one task."""
        return LogTail(b"", 0) if task == TASK else None

    def _described(self, document: Mapping[str, JSON]) -> Mapping[str, JSON]:
        if self._description is None:
            return document
        metadata = document.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        return {**document, "metadata": {**metadata, "description": self._description}}


class ScriptedJob(_SilentJob):
    """A job that follows a script, tick by tick, until a caller stops it."""

    def __init__(self, search: Search, clock: Clock) -> None:
        self.id = search.job_id
        self._search = search
        self._clock = clock
        self._tick = 0
        self._times = JobTimes.at_first(search.phase_at(0), clock())
        self._listed = search.listed_at(0)
        self._stopped: JobPhase | None = None

    def advance(self) -> None:
        """Move on by one tick. A job that is being stopped becomes Terminated, and then stays as it is."""
        if self._stopped:
            self._stopped = JobPhase.TERMINATED
        else:
            self._tick += 1
            self._listed = self._search.listed_at(self._tick)
        self._times = self._times.after(self._phase, self._clock())

    def document(self) -> Mapping[str, JSON]:
        """Return the job at the present tick."""
        return self._described(job_document(self._search, self._phase, self._times, self._clock()))

    def trials(self, rows: slice, style: TableStyle) -> TablePage:
        """Return some rows of the trial table at the present tick."""
        search, tick, listed = self._search, self._tick, self._listed
        header = style.header(self._columns) if search.trials else []
        data = [
            style.write_row(header, number, search.row(place, trial, tick), may_be_short=trial.short_row)
            for number, (place, trial) in zip(range(len(listed))[rows], listed[rows], strict=True)
        ]
        return TablePage(header, data, len(listed))

    def reports(self, trial_id: str, style: TableStyle) -> TablePage:
        """Return the reports of one trial by the present tick."""
        place, trial = self._trial(trial_id)
        return write_reports(trial_header(self._columns), self._search.reports(place, trial, self._tick), style)

    def stop(self) -> None:
        """Stop the job: it is Terminating now, and Terminated at the next tick."""
        if self._phase.is_terminal or self._phase is JobPhase.TERMINATING:
            raise not_allowed_to_terminate(self.id, self._phase.value)
        self._stopped = JobPhase.TERMINATING

    def stop_trial(self, trial_id: str) -> None:
        """End one trial now, with its latest report."""
        place, trial = self._trial(trial_id)
        if not trial.has_ended(self._tick):
            trials = [*self._search.trials]
            trials[place] = trial.ended_at(self._tick)
            self._search = replace(self._search, trials=trials)
            self._listed = self._search.listed_at(self._tick)

    @property
    def _phase(self) -> JobPhase:
        return self._stopped or self._search.phase_at(self._tick)

    @cached_property
    def _columns(self) -> list[str]:
        return self._search.columns()

    def _trial(self, trial_id: str) -> tuple[int, TrialScript]:
        for place, trial in self._listed:
            if trial.trial_id == trial_id:
                return place, trial
        raise trial_not_found(trial_id)


class GivenJob(_SilentJob):
    """A job whose responses are given word by word.

    :param document: response of ShowTrainingJobDetails.
    :param data: rows of the trial table, not copied: a row that is appended later is listed from then on.
    """

    def __init__(
        self, job_id: str, document: Mapping[str, JSON], header: Sequence[str], data: Sequence[Sequence[JSON]]
    ) -> None:
        self.id = job_id
        self._document = document
        self._header = header
        self._data = data

    def advance(self) -> None:
        """Change nothing."""

    def document(self) -> Mapping[str, JSON]:
        """Return the given response."""
        return self._described(self._document)

    def trials(self, rows: slice, style: TableStyle) -> TablePage:
        """Return some of the given rows."""
        return TablePage(self._header, self._data[rows], len(self._data))

    def reports(self, trial_id: str, style: TableStyle) -> TablePage:
        """Return the given row of one trial."""
        cells = self._row(trial_id)
        return write_reports(trial_header(self._header), [cells], style)

    def stop(self) -> None:
        """Refuse: a given response stays as it is."""
        raise not_allowed_to_terminate(self.id, text(child(self._document, "status", "phase")))

    def stop_trial(self, trial_id: str) -> None:
        """Change nothing, or refuse an unknown trial."""
        self._row(trial_id)

    def _row(self, trial_id: str) -> Mapping[str, JSON]:
        for row in self._data:
            cells = dict(zip(self._header, row, strict=False))
            if cells.get("trial_id") == trial_id:
                return {"config": "", **cells}
        raise trial_not_found(trial_id)
