"""Scripted searches: what happens at which look, as data.

Time passes only when somebody looks: each GET of the training job is one tick, before it is answered. The trials
are listed as they are at the job's present tick, however often they are read. What holds from tick 0 is there before
anybody has looked. So the same calls always meet the same search, and a test never has to wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from airflow_provider_modelarts.core.jobs import JobPhase
from airflow_provider_modelarts.core.json_values import JSON

#: Text per column, as a trial reports it.
Cells: TypeAlias = Mapping[str, str]

#: Columns of the platform, around those of the metrics.
LEADING_COLUMNS = (
    "",
    "done",
    "pid",
    "config",
    "trial_id",
    "training_iteration",
    "time_total_s",
    "worker_index",
    "reward_attr",
    "status",
)
LAST_COLUMN = "best_reward"

_SPACE: Sequence[Mapping[str, JSON]] = (
    {"name": "batch_size", "param_type": "discrete", "discrete_values": ["16", "32", "64"]},
    {"name": "learning_rate", "param_type": "continuous", "lower_bound": "0.001", "upper_bound": "0.1"},
)
_FIRST_PID = 300
_SECONDS_PER_REPORT = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialScript:
    """What becomes of one trial; all times are ticks.

    :param config: its hyperparameters.
    :param cells: what it reports at its end: metrics, and any column of the platform that is not as it would follow
        from the rest. ``reward_attr`` follows from the search's first objective, ``best_reward`` from ``reward_attr``.
    :param early: what it reports before, as pairs of tick and cells.
    :param listed: when it appears, PENDING.
    :param starts: when it starts to run; None for never.
    :param ends: when it ends; None for never.
    :param status: its status from its end on.
    :param index: ``trial_index``, if it is not its place in the search.
    :param short_row: leave out the cells at the end of its row as long as they are blank.
    """

    trial_id: str
    config: Mapping[str, JSON]
    cells: Cells = field(default_factory=dict)
    early: Sequence[tuple[int, Cells]] = ()
    listed: int = 0
    starts: int | None = 0
    ends: int | None = 0
    status: str = "TERMINATED"
    index: int | None = None
    short_row: bool = False

    def has_ended(self, tick: int) -> bool:
        """Return whether it has ended by a tick."""
        return self.ends is not None and tick >= self.ends and self.has_started(tick)

    def has_started(self, tick: int) -> bool:
        """Return whether it has started by a tick."""
        return self.starts is not None and tick >= self.starts

    def status_at(self, tick: int) -> str:
        """Return its status at a tick."""
        if self.has_ended(tick):
            return self.status
        return "RUNNING" if self.has_started(tick) else "PENDING"

    def reports_at(self, tick: int) -> list[Cells]:
        """Return what it has reported by a tick."""
        reports = [cells for at, cells in self.early if at <= tick]
        return [*reports, self.cells] if self.has_ended(tick) else reports

    def ended_at(self, tick: int) -> TrialScript:
        """Return it as it is when it is stopped at a tick: its last report is its end."""
        *early, (_, cells) = [(at, cells) for at, cells in self.early if at <= tick] or [(tick, {})]
        starts = tick if self.starts is None else min(self.starts, tick)
        return replace(self, early=early, cells=cells, starts=starts, ends=tick, status="TERMINATED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What becomes of a search job.

    :param name: of the job, and of the scenario.
    :param trials: in the order of their rows.
    :param phases: pairs of tick and phase; each holds until the next.
    :param objectives: mode per metric; empty when nobody can tell what the search optimises.
    :param num_samples: how many trials it will run; None when it does not say.
    :param algorithm_id: the managed algorithm that holds the search's settings; None when the job itself does.
    :param space: ``search_params`` as the job holds them.
    :param message: why the job failed.
    """

    name: str
    job_id: str = ""
    trials: Sequence[TrialScript] = ()
    phases: Sequence[tuple[int, str]] = ((0, "Completed"),)
    objectives: Mapping[str, str] = field(default_factory=dict)
    num_samples: int | None = None
    algorithm_id: str | None = None
    space: Sequence[Mapping[str, JSON]] = _SPACE
    message: str = ""

    def __post_init__(self) -> None:
        """Derive a readable id from the name, if none is given."""
        if not self.job_id:
            object.__setattr__(self, "job_id", job_id_of(self.name))

    def phase_at(self, tick: int) -> JobPhase:
        """Return the job's phase at a tick."""
        return JobPhase.read([word for at, word in self.phases if at <= tick][-1])

    def columns(self) -> list[str]:
        """Return the columns of its table: the platform's around the metrics, in the order of their appearance."""
        metrics: dict[str, None] = {}
        for trial in self.trials:
            for cells in (*(cells for _, cells in trial.early), trial.cells):
                metrics.update(dict.fromkeys(cells))
        own = {*LEADING_COLUMNS, LAST_COLUMN}
        return [*LEADING_COLUMNS, *(name for name in metrics if name not in own), LAST_COLUMN]

    def listed_at(self, tick: int) -> list[tuple[int, TrialScript]]:
        """Return the trials that are listed at a tick, each with its place in the search."""
        return [(place, trial) for place, trial in enumerate(self.trials) if trial.listed <= tick]

    def row(self, place: int, trial: TrialScript, tick: int) -> dict[str, JSON]:
        """Return what is known of a trial at a tick, by column; blank cells may be missing."""
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
        """Return a row per report of a trial; the last one of a trial that has ended comes again, as done."""
        rows = [self.row(place, trial, at) for at, _ in trial.early if at < tick and not trial.has_ended(at)]
        now = self.row(place, trial, tick)
        return [*rows, {**now, "done": "False"}, now] if trial.has_ended(tick) else [*rows, now]


def job_id_of(name: str) -> str:
    """Return the id of the job of a name: readable, and in the shape of the platform's."""
    return f"00000000-0000-4000-8000-{name}"


def with_platform_keys(config: Mapping[str, JSON], index: int) -> dict[str, JSON]:
    """Return the ``config`` cell of hyperparameters: ``trial_index`` and the ``param/`` duplicates are added."""
    return {**config, "trial_index": index, **{f"param/{name}": value for name, value in config.items()}}
