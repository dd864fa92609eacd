"""What is known of one job that was created here, and how it is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import cast

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.jobs import JobPhase
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, child, integer, text
from modelarts_emulator.documents import JobTimes, job_status
from modelarts_emulator.jobs import Clock
from modelarts_emulator.runs.archive import JobFolder
from modelarts_emulator.runs.trials import TrialRun, read_trial

_MOST_EVENTS = 1000


@dataclass(slots=True)
class JobState:
    """One job. Every change of its phase is kept at once.

    :param document: what ShowTrainingJobDetails answers, but for its status.
    :param failure: exit code and message of a job that broke.
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
        """Note that the job is in another phase."""
        self.phase = phase
        self.times = self.times.after(phase, self.clock())
        self.note("Info", f"Training job is {phase.value}.")

    def fail(self, code: int, message: str) -> None:
        """Note that the job broke."""
        self.phase, self.failure = JobPhase.FAILED, (code, message)
        self.times = self.times.after(self.phase, self.clock())
        self.note("Error", f"Training job failed with exit code {code}: {message}")

    def note(self, level: str, message: str) -> None:
        """Add an event, and keep everything."""
        time = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds")
        event: dict[str, JSON] = {"time": time, "level": level, "message": message, "source": "Job"}
        self.events = [*self.events, event][-_MOST_EVENTS:]
        self.save()

    def describe(self, description: str) -> None:
        """Change the description."""
        metadata = as_object(self.document["metadata"], "metadata")
        self.document["metadata"] = {**metadata, "description": description}
        self.save()

    def answer(self) -> dict[str, JSON]:
        """Return the job as ShowTrainingJobDetails answers it."""
        status = job_status(self.phase, self.times, self.clock(), self.failure)
        return {**self.document, "status": status}

    def save(self) -> None:
        """Keep everything."""
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


def read_state(kept: JSON, folder: JobFolder, clock: Clock) -> JobState:
    """Return a job that was kept. One that was running then has ended since, and says so.

    :raises KeyError, TypeError, ValueError, OverflowError, ModelArtsProtocolError: when it is none; then all stays.
    """
    state = as_object(kept, "a kept job")
    failure, saved = state["failure"], cells.number(state["saved"]) or 0.0
    job = JobState(
        document=as_object(state["document"], "its document"),
        folder=folder,
        clock=lambda: saved,
        times=_read_times(as_object(state["times"], "its times")),
        phase=JobPhase(text(state["phase"])),
        failure=None if failure is None else _read_failure(as_list(failure, "its failure")),
        events=[as_object(event, "an event") for event in as_list(state["events"], "its events")],
        trials=[read_trial(as_object(trial, "a trial")) for trial in as_list(state["trials"], "its trials")],
    )
    if job.id != folder.path.name:
        raise ValueError(f"it is the job {job.id}")
    if not job.phase.is_terminal:
        interrupt(job)
    job.clock = clock
    return job


def _read_times(kept: dict[str, JSON]) -> JobTimes:
    created, started, ended = (cells.number(kept[name]) for name in ("created", "started", "ended"))
    if created is None:
        raise ValueError("it does not say when it was created")
    return JobTimes(created, started, ended)


def _read_failure(kept: list[JSON]) -> tuple[int, str]:
    code, message = kept
    return integer(code) or 1, text(message)


def interrupt(job: JobState) -> None:
    """Note that the emulator, and the job with it, has ended."""
    if job.phase is JobPhase.TERMINATING:
        job.enter(JobPhase.TERMINATED)
    else:
        job.fail(137, "the emulator ended while the job was running")
