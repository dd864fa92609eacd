"""One trial of a search that really runs, and its rows in the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_modelarts.core.jobs import Objective
from airflow_provider_modelarts.core.json_values import JSON
from modelarts_emulator.runs.reports import best
from modelarts_emulator.script import LAST_COLUMN, with_platform_keys


@dataclass(slots=True)
class TrialRun:
    """What is known of a trial; times are seconds since the epoch.

    :param values: what it has reported, as text, by metric.
    """

    trial_id: str
    index: int
    config: dict[str, JSON]
    status: str = "PENDING"
    pid: int | None = None
    started: float | None = None
    ended: float | None = None
    values: dict[str, list[str]] = field(default_factory=dict)

    def start(self, pid: int, now: float) -> None:
        """Note that its script runs."""
        self.status, self.pid, self.started = "RUNNING", pid, now

    def end(self, status: str, now: float) -> None:
        """Note that its script has ended."""
        self.status, self.ended = status, now

    def row(self, objectives: Sequence[Objective], now: float) -> dict[str, JSON]:
        """Return its row in the table of all trials, by column."""
        return self._cells(objectives, self._reported(objectives), str(self.ended is not None), self._seconds(now))

    def reports(self, objectives: Sequence[Objective], now: float) -> Iterator[dict[str, JSON]]:
        """Yield a row per report, and at its end the last one again as done; for none yet, what there is to say."""
        count = self._reported(objectives)
        for number in range(1, count + 1):
            yield self._cells(objectives, number, "False", self._seconds(now) if number == count else "")
        if self.ended is not None or not count:
            yield self.row(objectives, now)

    def _reported(self, objectives: Sequence[Objective]) -> int:
        return len(self.values.get(objectives[0].metric, []))

    def _cells(self, objectives: Sequence[Objective], reports: int, done: str, seconds: str) -> dict[str, JSON]:
        """Return the cells as they are after some reports of the first objective."""
        first, latest = objectives[0], reports == self._reported(objectives)
        rewards = self.values.get(first.metric, [])[:reports]
        metrics = {entry.metric: self._metric(entry.metric, reports, latest=latest) for entry in objectives}
        return {
            "done": done,
            "pid": "" if self.pid is None else str(self.pid),
            "config": with_platform_keys(self.config, self.index),
            "trial_id": self.trial_id,
            "training_iteration": str(reports) if reports else "",
            "time_total_s": seconds,
            "reward_attr": rewards[-1] if rewards else "",
            "status": self.status,
            **metrics,
            LAST_COLUMN: best(rewards, first.mode),
        }

    def _metric(self, metric: str, reports: int, *, latest: bool) -> str:
        """Return the value of a metric that belongs to a report: to the latest one, the last that there is."""
        values = self.values.get(metric, [])
        return "".join(values[-1:] if latest else values[reports - 1 : reports])

    def _seconds(self, now: float) -> str:
        return "" if self.started is None else str((self.ended or now) - self.started)


def read_trial(state: Mapping[str, JSON]) -> TrialRun:
    """Return a trial from what ``dataclasses.asdict`` made of it."""
    return TrialRun(**state)  # type: ignore[arg-type]  # our own file
