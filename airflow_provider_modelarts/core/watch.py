"""Looking at one search again and again: what sensor, trigger and operator share between two looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_modelarts.core.flows import Flow, look_at_search
from airflow_provider_modelarts.core.jobs import SearchSettings
from airflow_provider_modelarts.core.log_lines import ChangeLog, progress_line
from airflow_provider_modelarts.core.progress import State, WaitPolicy, assess
from airflow_provider_modelarts.core.records import search_summary
from airflow_provider_modelarts.core.shapes import JSON


@dataclass(frozen=True, slots=True)
class Glance:
    """What one look says.

    :param message: why the search is done or failed, or what is still missing.
    :param summary: a short account of the search as plain JSON.
    :param news: a line for the log, when there is something new to say.
    """

    state: State
    message: str
    summary: dict[str, JSON]
    news: str | None


@dataclass(slots=True)
class Watch:
    """Watches one search. It remembers only what spares requests and log lines: no outcome depends on it."""

    training_job_id: str
    policy: WaitPolicy
    _search: SearchSettings | None = None
    _log: ChangeLog = field(default_factory=ChangeLog)

    def look(self, clock: Callable[[], float]) -> Flow[Glance]:
        """Read the search and judge it.

        :param clock: returns seconds since the epoch; asked after the reading.
        """
        look = yield from look_at_search(self.training_job_id, self._search)
        self._search = look.job.search or self._search
        now = clock()
        progress = assess(look.job, look.listing, self.policy, now)
        news = self._log.news(progress_line(look, progress), now)
        return Glance(progress.state, progress.message, search_summary(look.job, progress), news)

    def timeout_message(self) -> str:
        """Return what to say when time is up."""
        seen = self._log.last_line or "it could not be read once"
        return f"The search of training job {self.training_job_id} did not end in time. Last seen: {seen}"
