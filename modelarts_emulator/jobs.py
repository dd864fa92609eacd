"""Training jobs of the emulator. Whatever drives them, the routes see only :class:`Job`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from airflow_provider_modelarts.core.jobs import JobPhase
from airflow_provider_modelarts.core.json_values import JSON, child, text
from modelarts_emulator.documents import TASK, JobTimes, job_document
from modelarts_emulator.errors import not_allowed_to_terminate, trial_not_found
from modelarts_emulator.script import Search, TrialScript
from modelarts_emulator.table import Log, Page, TableStyle, trial_header, write_reports

Clock = Callable[[], float]


class Job(Protocol):
    """A training job that can be looked at, stopped and described."""

    id: str

    def look(self) -> None:
        """Let one tick pass: somebody looks at the job."""

    def document(self) -> Mapping[str, JSON]:
        """Return the job as ShowTrainingJobDetails answers it."""

    def trials(self, rows: slice, style: TableStyle) -> Page:
        """Return some rows of its trial table."""

    def reports(self, trial_id: str, style: TableStyle) -> Page:
        """Return the reports of one trial, or refuse an unknown one."""

    def stop(self) -> None:
        """Stop the job, or refuse to if it has ended."""

    def stop_trial(self, trial_id: str) -> None:
        """Stop one trial, or refuse an unknown one; one that has ended stays as it is."""

    def describe(self, description: str) -> None:
        """Change its description."""

    def events(self) -> Sequence[Mapping[str, JSON]]:
        """Return what has happened to it, oldest first."""

    def log(self, task: str, limit: int) -> Log | None:
        """Return the newest part of a task's log; None for a task that it does not have."""


class _SilentJob:
    """What jobs that never really run have in common: nothing is written about them."""

    _description: str | None = None

    def describe(self, description: str) -> None:
        """Change its description."""
        self._description = description

    def events(self) -> Sequence[Mapping[str, JSON]]:
        """Return nothing."""
        return ()

    def log(self, task: str, limit: int) -> Log | None:
        """Return an empty log of the one task."""
        return Log(b"", 0) if task == TASK else None

    def _described(self, document: Mapping[str, JSON]) -> Mapping[str, JSON]:
        if self._description is None:
            return document
        metadata = document.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        return {**document, "metadata": {**metadata, "description": self._description}}


class ScriptedJob(_SilentJob):
    """A job that goes through a script, tick by tick, until somebody stops it."""

    def __init__(self, search: Search, clock: Clock) -> None:
        self.id = search.job_id
        self._search = search
        self._clock = clock
        self._tick = 0
        self._times = JobTimes.at_first(search.phase_at(0), clock())
        self._listed = search.listed_at(0)
        self._stopped: JobPhase | None = None

    def look(self) -> None:
        """Let one tick pass; a job that is being stopped is stopped then, and nothing more happens to it."""
        if self._stopped:
            self._stopped = JobPhase.TERMINATED
        else:
            self._tick += 1
            self._listed = self._search.listed_at(self._tick)
        self._times = self._times.after(self._phase, self._clock())

    def document(self) -> Mapping[str, JSON]:
        """Return the job as it is at the present tick."""
        return self._described(job_document(self._search, self._phase, self._times, self._clock()))

    def trials(self, rows: slice, style: TableStyle) -> Page:
        """Return some rows of the trial table as it is at the present tick."""
        search, tick, listed = self._search, self._tick, self._listed
        header = style.header(self._columns) if search.trials else []
        data = [
            style.write_row(header, number, search.row(place, trial, tick), may_be_short=trial.short_row)
            for number, (place, trial) in zip(range(len(listed))[rows], listed[rows], strict=True)
        ]
        return Page(header, data, len(listed))

    def reports(self, trial_id: str, style: TableStyle) -> Page:
        """Return what one trial has reported by the present tick."""
        place, trial = self._trial(trial_id)
        return write_reports(trial_header(self._columns), self._search.reports(place, trial, self._tick), style)

    def stop(self) -> None:
        """Stop the job: Terminating now, Terminated at the next look."""
        if self._phase.is_terminal or self._phase is JobPhase.TERMINATING:
            raise not_allowed_to_terminate(self.id, self._phase.value)
        self._stopped = JobPhase.TERMINATING

    def stop_trial(self, trial_id: str) -> None:
        """End one trial now, with what it has reported last."""
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
        return self._described(self._answer)

    def trials(self, rows: slice, style: TableStyle) -> Page:
        """Return some of the given rows."""
        return Page(self._header, self._data[rows], len(self._data))

    def reports(self, trial_id: str, style: TableStyle) -> Page:
        """Return the given row of one trial."""
        cells = self._row(trial_id)
        return write_reports(trial_header(self._header), [cells], style)

    def stop(self) -> None:
        """Refuse to: what was given stays as it is."""
        raise not_allowed_to_terminate(self.id, text(child(dict(self._answer), "status", "phase")))

    def stop_trial(self, trial_id: str) -> None:
        """Change nothing."""
        self._row(trial_id)

    def _row(self, trial_id: str) -> Mapping[str, JSON]:
        for row in self._data:
            cells = dict(zip(self._header, row, strict=False))
            if cells.get("trial_id") == trial_id:
                return {"config": "", **cells}
        raise trial_not_found(trial_id)
