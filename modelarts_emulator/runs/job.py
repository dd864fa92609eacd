"""One created job, as the operations see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelarts_emulator.documents import TablePage, TableStyle, trial_header, write_reports
from modelarts_emulator.errors import not_allowed_to_terminate, trial_not_found
from modelarts_emulator.jobs import LogTail
from modelarts_emulator.json_values import JSON
from modelarts_emulator.runs.runner import Runner
from modelarts_emulator.runs.search import SearchSpec
from modelarts_emulator.runs.state import JobState, TrialRun
from modelarts_emulator.vocabulary import LAST_COLUMN, LEADING_COLUMNS, TASK, JobPhase


class CreatedJob:
    """A job that is running, or has run.

    :param runner: its runner; None for a job that ended before the emulator was started.
    """

    def __init__(self, state: JobState, search: SearchSpec | None, runner: Runner | None = None) -> None:
        self.id = state.id
        self._state = state
        self._search = search
        self._runner = runner

    def advance(self) -> None:
        """Change nothing: the job runs by itself."""

    def document(self) -> Mapping[str, JSON]:
        """Return the response of ShowTrainingJobDetails."""
        return self._state.response()

    def trials(self, rows: slice, style: TableStyle) -> TablePage:
        """Return some rows of the trials that have started."""
        if self._search is None:
            return TablePage([], [], 0)
        self._read_logs()
        trials, now, objectives = self._state.trials, self._now(), self._search.objectives
        header = style.header(self._columns(self._search))
        shown = list(enumerate(trials))[rows]
        data = [
            style.write_row(header, number, trial.row(objectives, now), may_be_short=False) for number, trial in shown
        ]
        return TablePage(header, data, len(trials))

    def reports(self, trial_id: str, style: TableStyle) -> TablePage:
        """Return the reports of one trial, or refuse an unknown one."""
        trial = self._trial(trial_id)
        if self._search is None:
            raise trial_not_found(trial_id)
        self._read_logs()
        header = trial_header(self._columns(self._search))
        return write_reports(header, trial.reports(self._search.objectives, self._now()), style)

    def stop(self) -> None:
        """Stop the job: it is Terminating at once, and Terminated when no script runs any more."""
        phase = self._state.phase
        if phase.is_terminal or phase is JobPhase.TERMINATING or self._runner is None:
            raise not_allowed_to_terminate(self.id, phase.value)
        self._state.enter(JobPhase.TERMINATING)
        self._runner.stop()

    def stop_trial(self, trial_id: str) -> None:
        """Stop one trial. Does nothing if the trial has ended."""
        self._trial(trial_id)
        if self._runner is not None:
            self._runner.stop_trial(trial_id)

    def change_description(self, description: str) -> None:
        """Change the description."""
        self._state.change_description(description)

    def events(self) -> Sequence[Mapping[str, JSON]]:
        """Return the events, oldest first."""
        return self._state.events

    def log(self, task: str, limit: int) -> LogTail | None:
        """Return the newest part of the log; of a search, of the logs of all trials one after another."""
        if task != TASK:
            return None
        folder = self._state.folder
        names = [trial.trial_id for trial in self._state.trials] if self._search else [TASK]
        sizes = {name: folder.size_of_log(name) for name in names}
        parts: list[bytes] = []
        for name, size in reversed(sizes.items()):
            title = f"==> trial {name} <==\n".encode() if self._search else b""
            left = limit - sum(map(len, parts))
            if left <= 0:
                break
            parts.append((title + folder.read_log(name, max(0, size - left), left))[-left:])
        content = b"".join(reversed(parts))
        return LogTail(content, max(sum(sizes.values()), len(content)))

    def _now(self) -> float:
        """Return the time. It stands still when the job ends, for trials that have not ended."""
        ended = self._state.times.ended
        return self._state.clock() if ended is None else ended

    def _read_logs(self) -> None:
        if self._runner is not None:
            self._runner.read_logs()

    def _trial(self, trial_id: str) -> TrialRun:
        for trial in self._state.trials:
            if trial.trial_id == trial_id:
                return trial
        raise trial_not_found(trial_id)

    @staticmethod
    def _columns(search: SearchSpec) -> list[str]:
        return [*LEADING_COLUMNS, *(objective.metric for objective in search.objectives), LAST_COLUMN]
