"""Scripted searches: the state of a job and its trials at each tick, as data.

Each GET of the training job is one tick, before the response is made. Between two ticks nothing changes, however often
the trials are listed. The state at tick 0 is there before the first GET. So the same calls always meet the same search,
and no test has to wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from modelarts_emulator.json_values import JSON
from modelarts_emulator.vocabulary import LAST_COLUMN, LEADING_COLUMNS, JobPhase, TrialStatus

#: Text by column, as a trial reports it.
Cells: TypeAlias = Mapping[str, str]

_SPACE: Sequence[Mapping[str, JSON]] = (
    {"name": "batch_size", "param_type": "discrete", "discrete_values": ["16", "32", "64"]},
    {"name": "learning_rate", "param_type": "continuous", "lower_bound": "0.001", "upper_bound": "0.1"},
)
_FIRST_PID = 300
_SECONDS_PER_REPORT = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialScript:
    """Script of one trial; all times are ticks.

    :param config: its hyperparameters.
    :param cells: its last report: metrics, and any platform column that differs from its default. The default of
        ``reward_attr`` is the search's first objective, that of ``best_reward`` is ``reward_attr``.
    :param early: its earlier reports, as pairs of tick and cells.
    :param listed: tick at which it appears as PENDING.
    :param starts: tick at which it starts; None for never.
    :param ends: tick at which it ends; None for never.
    :param status: its status once it has ended.
    :param index: ``trial_index``, if other than its position in the search.
    :param short_row: leave out blank cells at the end of its row.
    """

    trial_id: str
    config: Mapping[str, JSON]
    cells: Cells = field(default_factory=dict)
    early: Sequence[tuple[int, Cells]] = ()
    listed: int = 0
    starts: int | None = 0
    ends: int | None = 0
    status: str = TrialStatus.TERMINATED
    index: int | None = None
    short_row: bool = False

    def has_ended(self, tick: int) -> bool:
        """Return whether the trial has ended by a tick."""
        return self.ends is not None and tick >= self.ends and self.has_started(tick)

    def has_started(self, tick: int) -> bool:
        """Return whether the trial has started by a tick."""
        return self.starts is not None and tick >= self.starts

    def status_at(self, tick: int) -> str:
        """Return the status at a tick."""
        if self.has_ended(tick):
            return self.status
        return TrialStatus.RUNNING if self.has_started(tick) else TrialStatus.PENDING

    def reports_at(self, tick: int) -> list[Cells]:
        """Return the reports by a tick."""
        reports = [cells for at, cells in self.early if at <= tick]
        return [*reports, self.cells] if self.has_ended(tick) else reports

    def ended_at(self, tick: int) -> TrialScript:
        """Return the script of the trial if it is stopped at a tick: its latest report is its last."""
        *early, (_, cells) = [(at, cells) for at, cells in self.early if at <= tick] or [(tick, {})]
        starts = tick if self.starts is None else min(self.starts, tick)
        return replace(self, early=early, cells=cells, starts=starts, ends=tick, status=TrialStatus.TERMINATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Script of a search job.

    :param name: of the job, and of the scenario.
    :param trials: in the order of their rows.
    :param phases: pairs of tick and phase; each holds until the next.
    :param objectives: mode by metric; empty if neither job nor algorithm names an objective.
    :param num_samples: number of trials that the search will run; None if it is not set.
    :param algorithm_id: id of the managed algorithm that holds the search settings; None if the job holds them.
    :param space: ``search_params`` of the job.
    :param message: reason of a failure.
    """

    name: str
    job_id: str = ""
    trials: Sequence[TrialScript] = ()
    phases: Sequence[tuple[int, str]] = ((0, JobPhase.COMPLETED),)
    objectives: Mapping[str, str] = field(default_factory=dict)
    num_samples: int | None = None
    algorithm_id: str | None = None
    space: Sequence[Mapping[str, JSON]] = _SPACE
    message: str = ""

    def __post_init__(self) -> None:
        """Derive a missing job id from the name."""
        if not self.job_id:
            object.__setattr__(self, "job_id", job_id_of(self.name))

    def phase_at(self, tick: int) -> JobPhase:
        """Return the phase of the job at a tick."""
        return JobPhase([phase for at, phase in self.phases if at <= tick][-1])

    def columns(self) -> list[str]:
        """Return the columns of the table: the platform's around the metrics in order of appearance."""
        metrics: dict[str, None] = {}
        for trial in self.trials:
            for cells in (*(cells for _, cells in trial.early), trial.cells):
                metrics.update(dict.fromkeys(cells))
        own = {*LEADING_COLUMNS, LAST_COLUMN}
        return [*LEADING_COLUMNS, *(name for name in metrics if name not in own), LAST_COLUMN]

    def listed_at(self, tick: int) -> list[tuple[int, TrialScript]]:
        """Return the trials that are listed at a tick, each with its position in the search."""
        return [(place, trial) for place, trial in enumerate(self.trials) if trial.listed <= tick]

    def row(self, place: int, trial: TrialScript, tick: int) -> dict[str, JSON]:
        """Return the cells of a trial at a tick, by column. Blank cells may be missing."""
        reports = trial.reports_at(tick)
        latest = reports[-1] if reports else {}
        reward = latest.get("reward_attr", latest.get(next(iter(self.objectives), ""), ""))
        return {
            "done": str(trial.has_ended(tick)),
            "pid": str(_FIRST_PID + place) if trial.has_started(tick) else "",
            "config": with_platform_keys(trial.config, place if trial.index is None else trial.index),
            "trial_id": trial.trial_id,
            "training_iteration": str(len(reports)) if reports else "",
            "time_total_s": str(_SECONDS_PER_REPORT * len(reports)) if reports else "",
            "reward_attr": reward,
            "status": trial.status_at(tick),
            LAST_COLUMN: reward,
            **latest,
        }

    def reports(self, place: int, trial: TrialScript, tick: int) -> list[dict[str, JSON]]:
        """Return a row per report of a trial. The last report of an ended trial is repeated as done."""
        rows = [self.row(place, trial, at) for at, _ in trial.early if at < tick and not trial.has_ended(at)]
        now = self.row(place, trial, tick)
        return [*rows, {**now, "done": "False"}, now] if trial.has_ended(tick) else [*rows, now]


def job_id_of(name: str) -> str:
    """Return a readable job id for a name, in the shape of the platform's ids."""
    return f"00000000-0000-4000-8000-{name}"


def with_platform_keys(config: Mapping[str, JSON], index: int) -> dict[str, JSON]:
    """Return the ``config`` cell of hyperparameters, with ``trial_index`` and the ``param/`` duplicates."""
    return {**config, "trial_index": index, **{f"param/{name}": value for name, value in config.items()}}
