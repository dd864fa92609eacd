"""Polling of one job: what sensors, triggers and operators share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_modelarts.api import operations
from airflow_provider_modelarts.api.flows import Flow, snapshot_for_polling
from airflow_provider_modelarts.core.jobs import SearchSettings, TrainingJob
from airflow_provider_modelarts.core.json_values import JSON
from airflow_provider_modelarts.core.log_lines import ChangeLog, progress_line, time_left
from airflow_provider_modelarts.core.progress import FailureCause, SearchSnapshot, State, WaitPolicy, assess, assess_job
from airflow_provider_modelarts.core.selection import best_so_far
from airflow_provider_modelarts.core.xcom import job_summary, search_summary

Clock = Callable[[], float]

_JITTER = 0.1  # share of an interval: waits that met once do not go on together


@dataclass(frozen=True, slots=True)
class PollResult:
    """State of a job at one poll.

    :param message: why the job is done or failed, or what it still waits for.
    :param summary: XCom of the sensor.
    :param log_line: for the log, when it differs from that of the last poll.
    :param cause: of a failure.
    """

    state: State
    message: str
    summary: dict[str, JSON]
    log_line: str | None
    cause: FailureCause | None = None


class Poller(Protocol):
    """Polls one job. Its memory spares requests and log lines; no outcome depends on it."""

    def poll(self, clock: Clock) -> Flow[PollResult]:
        """Read the job and assess it.

        :param clock: returns seconds since the epoch; called after the reading.
        """

    def timeout_message(self) -> str:
        """Return the message of a wait whose deadline has passed."""


@dataclass(slots=True)
class SearchPoller:
    """Polls a hyperparameter search.

    :param stop_when: value of the objective at which the search is done before its end.
    """

    training_job_id: str
    policy: WaitPolicy
    stop_when: float | None = None
    _search: SearchSettings | None = None
    _log: ChangeLog = field(default_factory=ChangeLog)

    def poll(self, clock: Clock) -> Flow[PollResult]:
        """Read the search and assess it."""
        snapshot = yield from snapshot_for_polling(self.training_job_id, self._search)
        self._search = snapshot.job.search or self._search
        now = clock()
        progress = assess(snapshot.job, snapshot.listing, self.policy, now)
        state, message = progress.state, progress.message
        # a search that was stopped at the goal is done for a later try too
        is_open = state is State.WAITING or progress.cause is FailureCause.STOPPED
        if is_open and self._is_reached(snapshot):
            state, message = State.DONE, f"training job {snapshot.job.id} has reached {self.stop_when!r}"
        line = self._log.line_if_new(progress_line(snapshot, progress), now, aside=time_left(snapshot, progress))
        return PollResult(state, message, search_summary(snapshot.job, progress), line, progress.cause)

    def timeout_message(self) -> str:
        """Return the message of a wait whose deadline has passed."""
        return _out_of_time(f"The search of training job {self.training_job_id}", self._log)

    def _is_reached(self, snapshot: SearchSnapshot) -> bool:
        if self.stop_when is None or (found := best_so_far(snapshot.listing.trials, snapshot.job.search)) is None:
            return False
        criterion, best = found
        return best.value == self.stop_when or criterion.is_better(best.value, self.stop_when)


@dataclass(slots=True)
class JobPoller:
    """Polls a training job."""

    training_job_id: str
    accept_stopped: bool = False
    _log: ChangeLog = field(default_factory=ChangeLog)

    def poll(self, clock: Clock) -> Flow[PollResult]:
        """Read the job and assess it."""
        job: TrainingJob = yield operations.show_training_job(self.training_job_id)
        state, message, cause = assess_job(job, accept_stopped=self.accept_stopped)
        line = self._log.line_if_new(f"Training job {job.id} is {job.phase_text}", clock())
        return PollResult(state, message, job_summary(job), line, cause)

    def timeout_message(self) -> str:
        """Return the message of a wait whose deadline has passed."""
        return _out_of_time(f"Training job {self.training_job_id}", self._log)


def _out_of_time(what: str, log: ChangeLog) -> str:
    return (
        f"{what} did not end within the timeout or execution_timeout of its task. A sensor leaves it running, an "
        f"operator stops it unless cancel_on_kill is False. {log.last_seen()}"
    )


def first_delay(interval: float, spread: float) -> float:
    """Return the seconds before the first poll of a wait. Thousands of waits start together with a triggerer.

    :param spread: a random number from 0 to 1.
    """
    return interval * spread


def next_delay(interval: float, spread: float) -> float:
    """Return the seconds between two polls of a wait, its interval give or take a tenth."""
    return interval * (1 - _JITTER + 2 * _JITTER * spread)
