"""One job that was created here, as the operations see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_modelarts.core.jobs import JobPhase
from airflow_provider_modelarts.core.json_values import JSON
from modelarts_emulator.documents import TASK
from modelarts_emulator.errors import not_allowed_to_terminate, trial_not_found
from modelarts_emulator.runs.plans import SearchPlan
from modelarts_emulator.runs.running import Run
from modelarts_emulator.runs.state import JobState
from modelarts_emulator.runs.trials import TrialRun
from modelarts_emulator.script import LAST_COLUMN, LEADING_COLUMNS
from modelarts_emulator.table import Log, Page, TableStyle, trial_header, write_reports


class CreatedJob:
    """A job that runs, or has run.

    :param run: what it does; None for one that has ended before the emulator was started.
    """

    def __init__(self, state: JobState, plan: SearchPlan | None, run: Run | None = None) -> None:
        self.id = state.id
        self._state = state
        self._plan = plan
        self._run = run

    def look(self) -> None:
        """Change nothing: the job goes on by itself."""

    def document(self) -> Mapping[str, JSON]:
        """Return the job as it is now."""
        return self._state.answer()

    def trials(self, rows: slice, style: TableStyle) -> Page:
        """Return some rows of the trials that have begun."""
        if self._plan is None:
            return Page([], [], 0)
        self._read()
        trials, now, objectives = self._state.trials, self._now(), self._plan.objectives
        header = style.header(self._columns(self._plan))
        shown = list(enumerate(trials))[rows]
        data = [
            style.write_row(header, number, trial.row(objectives, now), may_be_short=False) for number, trial in shown
        ]
        return Page(header, data, len(trials))

    def reports(self, trial_id: str, style: TableStyle) -> Page:
        """Return the reports of one trial."""
        trial = self._trial(trial_id)
        if self._plan is None:
            raise trial_not_found(trial_id)
        self._read()
        header = trial_header(self._columns(self._plan))
        return write_reports(header, trial.reports(self._plan.objectives, self._now()), style)

    def stop(self) -> None:
        """Stop the job: Terminating at once, Terminated when nothing runs any more."""
        phase = self._state.phase
        if phase.is_terminal or phase is JobPhase.TERMINATING or self._run is None:
            raise not_allowed_to_terminate(self.id, phase.value)
        self._state.enter(JobPhase.TERMINATING)
        self._run.stop()

    def stop_trial(self, trial_id: str) -> None:
        """Stop one trial. One that has ended stays as it is."""
        self._trial(trial_id)
        if self._run is not None:
            self._run.stop_trial(trial_id)

    def describe(self, description: str) -> None:
        """Change the description."""
        self._state.describe(description)

    def events(self) -> Sequence[Mapping[str, JSON]]:
        """Return what has happened, oldest first."""
        return self._state.events

    def log(self, task: str, limit: int) -> Log | None:
        """Return the newest part of what was printed: of a search, by all trials one after another."""
        if task != TASK:
            return None
        folder = self._state.folder
        names = [trial.trial_id for trial in self._state.trials] if self._plan else [TASK]
        sizes = {name: folder.size_of_log(name) for name in names}
        parts: list[bytes] = []
        for name, size in reversed(sizes.items()):
            title = f"==> trial {name} <==\n".encode() if self._plan else b""
            left = limit - sum(map(len, parts))
            if left <= 0:
                break
            parts.append((title + folder.read_log(name, max(0, size - left), left))[-left:])
        content = b"".join(reversed(parts))
        return Log(content, max(sum(sizes.values()), len(content)))

    def _now(self) -> float:
        """Return the time, which for trials that never came to an end stands still when the job ends."""
        ended = self._state.times.ended
        return self._state.clock() if ended is None else ended

    def _read(self) -> None:
        if self._run is not None:
            self._run.read()

    def _trial(self, trial_id: str) -> TrialRun:
        for trial in self._state.trials:
            if trial.trial_id == trial_id:
                return trial
        raise trial_not_found(trial_id)

    @staticmethod
    def _columns(plan: SearchPlan) -> list[str]:
        return [*LEADING_COLUMNS, *(objective.metric for objective in plan.objectives), LAST_COLUMN]
