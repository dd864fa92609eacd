"""Looking at a job again and again: what sensors, triggers and operators share between two looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_modelarts.api import operations
from airflow_provider_modelarts.api.flows import Flow, snapshot_for_polling
from airflow_provider_modelarts.core.jobs import SearchSettings, TrainingJob
from airflow_provider_modelarts.core.json_values import JSON
from airflow_provider_modelarts.core.log_lines import ChangeLog, progress_line, time_left
from airflow_provider_modelarts.core.progress import SearchSnapshot, State, WaitPolicy, assess, assess_job
from airflow_provider_modelarts.core.selection import best_so_far
from airflow_provider_modelarts.core.xcom import job_summary, search_summary

Clock = Callable[[], float]

_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class PollResult:
    """What one look says.

    :param message: why it is done or failed, or what is still missing.
    :param summary: a short account as plain JSON.
    :param news: a line for the log, when there is something new to say.
    """

    state: State
    message: str
    summary: dict[str, JSON]
    news: str | None


class Poller(Protocol):
    """Watches one job. It remembers only what spares requests and log lines: no outcome depends on it."""

    def look(self, clock: Clock) -> Flow[PollResult]:
        """Read and judge.

        :param clock: returns seconds since the epoch; asked after the reading.
        """

    def timeout_message(self) -> str:
        """Return what to say when time is up."""


@dataclass(slots=True)
class SearchPoller:
    """Watches a hyperparameter search.

    :param stop_when: a value of the search's objective with which it may be called done before its end.
    """

    training_job_id: str
    policy: WaitPolicy
    stop_when: float | None = None
    _search: SearchSettings | None = None
    _log: ChangeLog = field(default_factory=ChangeLog)

    def look(self, clock: Clock) -> Flow[PollResult]:
        """Read the search and judge it."""
        look = yield from snapshot_for_polling(self.training_job_id, self._search)
        self._search = look.job.search or self._search
        now = clock()
        progress = assess(look.job, look.listing, self.policy, now)
        state, message = progress.state, progress.message
        if state is State.WAITING and self._is_reached(look):
            state, message = State.DONE, f"training job {look.job.id} has reached {self.stop_when!r}"
        news = self._log.line_if_new(progress_line(look, progress), now, aside=time_left(look, progress))
        return PollResult(state, message, search_summary(look.job, progress), news)

    def timeout_message(self) -> str:
        """Return what to say when time is up."""
        return _out_of_time(f"The search of training job {self.training_job_id}", self._log)

    def _is_reached(self, look: SearchSnapshot) -> bool:
        if self.stop_when is None or (found := best_so_far(look.listing.trials, look.job.search)) is None:
            return False
        criterion, best = found
        return best.value == self.stop_when or criterion.is_better(best.value, self.stop_when)


@dataclass(slots=True)
class JobPoller:
    """Watches a training job."""

    training_job_id: str
    accept_stopped: bool = False
    _log: ChangeLog = field(default_factory=ChangeLog)

    def look(self, clock: Clock) -> Flow[PollResult]:
        """Read the job and judge it."""
        job: TrainingJob = yield operations.show_training_job(self.training_job_id)
        state, message = assess_job(job, accept_stopped=self.accept_stopped)
        news = self._log.line_if_new(f"Training job {job.id} is {job.phase_text}", clock())
        return PollResult(state, message, job_summary(job), news)

    def timeout_message(self) -> str:
        """Return what to say when time is up."""
        return _out_of_time(f"Training job {self.training_job_id}", self._log)


def _out_of_time(what: str, log: ChangeLog) -> str:
    return (
        f"{what} did not end within the timeout or execution_timeout of its task. A sensor leaves it running, an "
        f"operator stops it. {log.last_seen()}"
    )


def first_delay_of(interval: float, spread: float) -> float:
    """Return how long a wait rests before its first look: thousands start together when a triggerer does.

    :param spread: a random number from 0 to 1.
    """
    return interval * spread


def next_delay_of(interval: float, spread: float) -> float:
    """Return how long a wait rests between two looks, so that those which once met do not go on together."""
    return interval * (1 - _JITTER + 2 * _JITTER * spread)
