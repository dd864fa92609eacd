"""State of one created job and its trials, and its saved form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import cast

from modelarts_emulator.auth import Clock
from modelarts_emulator.documents import JobTimes, job_status
from modelarts_emulator.json_values import JSON, as_list, as_object, child, finite, integer, number, text
from modelarts_emulator.runs.search import Objective
from modelarts_emulator.runs.storage import JobFolder
from modelarts_emulator.scenario import with_platform_keys
from modelarts_emulator.vocabulary import LAST_COLUMN, JobPhase, Mode, TrialStatus

_MAX_EVENTS = 1000  # all are saved at each event


@dataclass(slots=True)
class TrialRun:
    """State of one trial; times are seconds since the epoch.

    :param values: reported values, as text, by metric.
    """

    trial_id: str
    index: int
    config: dict[str, JSON]
    status: str = TrialStatus.PENDING
    pid: int | None = None
    started: float | None = None
    ended: float | None = None
    values: dict[str, list[str]] = field(default_factory=dict)

    def start(self, pid: int, now: float) -> None:
        """Record the start of the script."""
        self.status, self.pid, self.started = TrialStatus.RUNNING, pid, now

    def end(self, status: TrialStatus, now: float) -> None:
        """Record the end of the script."""
        self.status, self.ended = status, now

    def row(self, objectives: Sequence[Objective], now: float) -> dict[str, JSON]:
        """Return the row in the table of all trials, by column."""
        return self._cells(objectives, self._reported(objectives), str(self.ended is not None), self._seconds(now))

    def reports(self, objectives: Sequence[Objective], now: float) -> Iterator[dict[str, JSON]]:
        """Yield a row per report; of an ended trial the last one again as done; without reports the row as it is."""
        count = self._reported(objectives)
        for position in range(1, count + 1):
            yield self._cells(objectives, position, "False", self._seconds(now) if position == count else "")
        if self.ended is not None or not count:
            yield self.row(objectives, now)

    def _reported(self, objectives: Sequence[Objective]) -> int:
        return len(self.values.get(objectives[0].metric, []))

    def _cells(self, objectives: Sequence[Objective], reports: int, done: str, seconds: str) -> dict[str, JSON]:
        """Return the cells after some reports of the first objective."""
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
            LAST_COLUMN: best_value(rewards, first.mode),
        }

    def _metric(self, metric: str, reports: int, *, latest: bool) -> str:
        """Return the value of a metric at a report; at the latest report, its last value."""
        values = self.values.get(metric, [])
        return "".join(values[-1:] if latest else values[reports - 1 : reports])

    def _seconds(self, now: float) -> str:
        return "" if self.started is None else str((self.ended or now) - self.started)


def best_value(values: Sequence[str], mode: Mode) -> str:
    """Return the best of some values; blank if none is a finite number."""
    numbers = [(found, value) for value in values if (found := finite(value)) is not None]
    if not numbers:
        return ""
    choose = max if mode is Mode.MAX else min
    return choose(numbers, key=lambda pair: pair[0])[1]


@dataclass(slots=True)
class JobState:
    """State of one job. Every change of its phase is saved at once.

    :param document: response of ShowTrainingJobDetails, without the status.
    :param failure: exit code and message of a failed job.
    """

    document: dict[str, JSON]
    folder: JobFolder
    clock: Clock
    times: JobTimes
    phase: JobPhase = JobPhase.CREATING
    failure: tuple[int, str] | None = None
    events: list[dict[str, JSON]] = field(default_factory=list)
    trials: list[TrialRun] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The job's id."""
        return text(child(self.document, "metadata", "id"))

    def enter(self, phase: JobPhase) -> None:
        """Change the phase."""
        self.phase = phase
        self.times = self.times.after(phase, self.clock())
        self.add_event("Info", f"Training job is {phase.value}.")

    def fail(self, code: int, message: str) -> None:
        """Change the phase to Failed."""
        self.phase, self.failure = JobPhase.FAILED, (code, message)
        self.times = self.times.after(self.phase, self.clock())
        self.add_event("Error", f"Training job failed with exit code {code}: {message}")

    def interrupt(self) -> None:
        """End the job because the emulator has ended."""
        if self.phase is JobPhase.TERMINATING:
            self.enter(JobPhase.TERMINATED)
        else:
            self.fail(137, "the emulator ended while the job was running")

    def add_event(self, level: str, message: str) -> None:
        """Add an event, and save the state."""
        time = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds")
        event: dict[str, JSON] = {"time": time, "level": level, "message": message, "source": "Job"}
        self.events = [*self.events, event][-_MAX_EVENTS:]
        self.save()

    def change_description(self, description: str) -> None:
        """Change the description."""
        metadata = as_object(self.document["metadata"], "metadata")
        self.document["metadata"] = {**metadata, "description": description}
        self.save()

    def response(self) -> dict[str, JSON]:
        """Return the response of ShowTrainingJobDetails."""
        return {**self.document, "status": job_status(self.phase, self.times, self.clock(), self.failure)}

    def save(self) -> None:
        """Save the state."""
        self.folder.save(
            {
                "document": self.document,
                "times": cast("JSON", asdict(self.times)),
                "phase": self.phase.value,
                "failure": list(self.failure) if self.failure else None,
                "events": cast("JSON", self.events),
                "trials": [cast("JSON", asdict(trial)) for trial in self.trials],
                "saved": self.clock(),
            }
        )


def read_state(saved: JSON, folder: JobFolder, clock: Clock) -> JobState:
    """Return a saved job. A job that was running then has been interrupted.

    :raises KeyError, TypeError, ValueError, OverflowError: if the saved state is invalid; the file then stays as it is.
    """
    state = as_object(saved, "a saved job")
    failure, saved_at = state["failure"], number(state["saved"]) or 0.0
    job = JobState(
        document=as_object(state["document"], "its document"),
        folder=folder,
        clock=lambda: saved_at,
        times=_read_times(as_object(state["times"], "its times")),
        phase=JobPhase(text(state["phase"])),
        failure=None if failure is None else _read_failure(as_list(failure, "its failure")),
        events=[as_object(event, "an event") for event in as_list(state["events"], "its events")],
        trials=[_read_trial(as_object(trial, "a trial")) for trial in as_list(state["trials"], "its trials")],
    )
    if job.id != folder.path.name:
        raise ValueError(f"the saved job has the id {job.id}")
    if not job.phase.is_terminal:
        job.interrupt()
    job.clock = clock
    return job


def _read_times(saved: dict[str, JSON]) -> JobTimes:
    created, started, ended = (number(saved[name]) for name in ("created", "started", "ended"))
    if created is None:
        raise ValueError("the saved job has no time of creation")
    return JobTimes(created, started, ended)


def _read_failure(saved: list[JSON]) -> tuple[int, str]:
    code, message = saved
    return integer(code) or 1, text(message)


def _read_trial(saved: Mapping[str, JSON]) -> TrialRun:
    return TrialRun(**saved)  # type: ignore[arg-type]  # a file of the emulator
