"""Lines of the task log: one per change during a wait, and the ranking table at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from reprlib import Repr
from unicodedata import east_asian_width

from airflow_provider_modelarts.core.jobs import JobPhase
from airflow_provider_modelarts.core.json_values import JSON
from airflow_provider_modelarts.core.progress import Progress, SearchSnapshot
from airflow_provider_modelarts.core.selection import Ranked, Ranking, Rejected, best_so_far
from airflow_provider_modelarts.core.trials import parameter_names
from airflow_provider_modelarts.exceptions import sanitize

_HEARTBEAT_SECONDS = 600.0  # often enough to show that the task is alive, rarely enough to keep the log short
# A log viewer shows about this much of a line.
_MAX_PARAMETERS = 8
_MAX_CELL_CHARS = 24
_MAX_LINE_CHARS = 160
_MAX_STATUSES = 10

_repr = Repr()  # bounds the length and the depth of a value


@dataclass(slots=True)
class ChangeLog:
    """Filter of log lines: passes a line that changed, and repeats an unchanged one every ten minutes."""

    last_line: str = ""
    logged_at: float = 0.0

    def line_if_new(self, line: str, now: float, aside: str = "") -> str | None:
        """Return the line to log; None when there is nothing new.

        :param now: seconds since the epoch.
        :param aside: text to append; a change of it alone is not new.
        """
        unchanged = line == self.last_line
        if unchanged and now < self.logged_at + _HEARTBEAT_SECONDS:
            return None
        self.last_line, self.logged_at = line, now
        return f"Still waiting: {line}{aside}" if unchanged else f"{line}{aside}"

    def last_seen(self) -> str:
        """Return the last line as a sentence."""
        return f"Last seen: {self.last_line}" if self.last_line else "The status was never read."


def progress_line(snapshot: SearchSnapshot, progress: Progress) -> str:
    """Return one line on the progress of a search: trials per status and the best value so far."""
    line = f"Training job {snapshot.job.id} is {_clean(snapshot.job.phase_text)}"
    if progress.listed:
        of = f"/{progress.expected}" if progress.expected else f" of {progress.listed} listed"
        shown = islice(progress.counts.items(), _MAX_STATUSES)
        counts = ", ".join(f"{count} {_clean(status)}" for status, count in shown)
        line += f": {progress.ended}{of} trials ended ({counts}){_best(snapshot)}"
    return line


def _best(snapshot: SearchSnapshot) -> str:
    found = best_so_far(snapshot.listing.trials, snapshot.job.search)
    if found is None:
        return ""
    criterion, best = found
    return f", best {_clean(criterion.metric)}={best.value:.6g} by {_clean(best.trial.trial_id)}"


def time_left(snapshot: SearchSnapshot, progress: Progress) -> str:
    """Return the remaining time of a search at its average pace so far; the empty string when unknown."""
    job, ended, expected = snapshot.job, progress.ended, progress.expected
    if job.phase is not JobPhase.RUNNING or not job.duration or not expected or not 0 < ended < expected:
        return ""
    return f", about {_rounded(job.duration / ended * (expected - ended))} left"


def _rounded(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def ranking_table(ranking: Ranking, limit: int = 20) -> str:
    """Return a table of the ranked trials, followed by those that do not compete and the reasons.

    Hyperparameters that do not fit into the width of a log viewer are left out.

    :param limit: rows of each; the rest is counted.
    """
    shown = ranking.ranked[:limit]
    metric = ranking.criterion.metric
    lines = [f"{len(ranking.ranked)} trials by {_clean(metric)} ({ranking.criterion.mode}), best first:"]
    names = parameter_names(ranked.trial for ranked in ranking.ranked)[:_MAX_PARAMETERS]
    lines += _aligned([["rank", "trial", metric, *names], *(_row(ranked, names) for ranked in shown)])
    if any(ranked.tied for ranked in shown):
        lines.append("= has the same value as another trial; the lowest trial index goes first")
    lines += _more(ranking.ranked, limit)
    if ranking.rejected:
        lines.append(f"{len(ranking.rejected)} trials do not compete:")
        lines += _aligned([_rejection(rejected) for rejected in ranking.rejected[:limit]])
        lines += _more(ranking.rejected, limit)
    return "\n".join(lines)


def _row(ranked: Ranked, names: Sequence[str]) -> list[str]:
    config = ranked.trial.config or {}
    place = f"{ranked.rank}=" if ranked.tied else f"{ranked.rank} "
    return [place, ranked.trial.trial_id, f"{ranked.value:.8g}", *(_value(config.get(name)) for name in names)]


def _value(value: JSON) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.8g}"
        case dict() | list():
            return _repr.repr(value)
    return str(value)


def _rejection(rejected: Rejected) -> list[str]:
    return [f"- {rejected.trial.trial_id}", rejected.reason, f"({rejected.detail})" if rejected.detail else ""]


def _more(rows: Sequence[object], limit: int) -> list[str]:
    return [f"... and {len(rows) - limit} more"] if len(rows) > limit else []


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [[_clean(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    while sum(widths) + 2 * len(widths) > _MAX_LINE_CHARS:
        widths.pop()
    return ["  ".join(map(_padded, row, widths)).rstrip() for row in cells]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(cell: str) -> int:
    """Return the width of a text on a screen: Chinese characters take two columns."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in cell)


def _clean(cell: str) -> str:
    return sanitize(cell, _MAX_CELL_CHARS)
