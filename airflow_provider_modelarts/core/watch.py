"""Looking at a job again and again: what sensors, triggers and operators share between two looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from airflow_provider_modelarts.core import api
from airflow_provider_modelarts.core.flows import Flow, Look, look_at_search
from airflow_provider_modelarts.core.jobs import SearchSettings, TrainingJob
from airflow_provider_modelarts.core.log_lines import ChangeLog, progress_line, time_left
from airflow_provider_modelarts.core.progress import State, WaitPolicy, assess, assess_job
from airflow_provider_modelarts.core.records import job_summary, search_summary
from airflow_provider_modelarts.core.selection import best_so_far
from airflow_provider_modelarts.core.shapes import JSON

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Glance:
    """What one look says.

    :param message: why it is done or failed, or what is still missing.
    :param summary: a short account as plain JSON.
    :param news: a line for the log, when there is something new to say.
    """

    state: State
    message: str
    summary: dict[str, JSON]
    news: str | None


class Watch(Protocol):
    """Watches one job. It remembers only what spares requests and log lines: no outcome depends on it."""

    def look(self, clock: Clock) -> Flow[Glance]:
        """Read and judge.

        :param clock: returns seconds since the epoch; asked after the reading.
        """

    def timeout_message(self) -> str:
        """Return what to say when time is up."""


@dataclass(slots=True)
class SearchWatch:
    """Watches a hyperparameter search.

    :param stop_when: a value of the search's objective with which it may be called done before its end.
    """

    training_job_id: str
    policy: WaitPolicy
    stop_when: float | None = None
    _search: SearchSettings | None = None
    _log: ChangeLog = field(default_factory=ChangeLog)

    def look(self, clock: Clock) -> Flow[Glance]:
        """Read the search and judge it."""
        look = yield from look_at_search(self.training_job_id, self._search)
        self._search = look.job.search or self._search
        now = clock()
        progress = assess(look.job, look.listing, self.policy, now)
        state, message = progress.state, progress.message
        if state is State.WAITING and self._is_reached(look):
            state, message = State.DONE, f"training job {look.job.id} has reached {self.stop_when!r}"
        news = self._log.news(progress_line(look, progress), now, aside=time_left(look, progress))
        return Glance(state, message, search_summary(look.job, progress), news)

    def timeout_message(self) -> str:
        """Return what to say when time is up."""
        return _out_of_time(f"The search of training job {self.training_job_id}", self._log)

    def _is_reached(self, look: Look) -> bool:
        if self.stop_when is None or (found := best_so_far(look.listing.trials, look.job.search)) is None:
            return False
        criterion, best = found
        return best.value == self.stop_when or criterion.is_better(best.value, self.stop_when)


@dataclass(slots=True)
class JobWatch:
    """Watches a training job."""

    training_job_id: str
    accept_stopped: bool = False
    _log: ChangeLog = field(default_factory=ChangeLog)

    def look(self, clock: Clock) -> Flow[Glance]:
        """Read the job and judge it."""
        job: TrainingJob = yield api.show_training_job(self.training_job_id)
        state, message = assess_job(job, accept_stopped=self.accept_stopped)
        news = self._log.news(f"Training job {job.id} is {job.phase_text}", clock())
        return Glance(state, message, job_summary(job), news)

    def timeout_message(self) -> str:
        """Return what to say when time is up."""
        return _out_of_time(f"Training job {self.training_job_id}", self._log)


def _out_of_time(what: str, log: ChangeLog) -> str:
    return (
        f"{what} did not end within the timeout or execution_timeout of its task. A sensor leaves it running, an "
        f"operator stops it. {log.last_seen()}"
    )
