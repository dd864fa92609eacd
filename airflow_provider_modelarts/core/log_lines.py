"""What people read in a task's log: one line per change while waiting, and the ranked table at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from reprlib import Repr
from unicodedata import east_asian_width

from airflow_provider_modelarts.core.jobs import JobPhase
from airflow_provider_modelarts.core.json_values import JSON
from airflow_provider_modelarts.core.progress import Progress, SearchSnapshot
from airflow_provider_modelarts.core.selection import Ranking, Rejected, best_so_far
from airflow_provider_modelarts.exceptions import sanitize

_HEARTBEAT = 600.0
_MOST_PARAMETERS = 8
_WIDEST_CELL = 24
_WIDEST_LINE = 160
_MOST_STATUSES = 10

_repr = Repr()  # bounded, and does not follow a value into its depth


@dataclass(slots=True)
class ChangeLog:
    """Lets a line through when it says something new, or when nothing was said for ten minutes."""

    last_line: str = ""
    said_at: float = 0.0

    def news(self, line: str, now: float, aside: str = "") -> str | None:
        """Return what to log of a line, if anything.

        :param now: seconds since the epoch.
        :param aside: what to add to it; that it changes is no news.
        """
        if line == self.last_line and now < self.said_at + _HEARTBEAT:
            return None
        unchanged = line == self.last_line
        self.last_line, self.said_at = line, now
        return f"Still waiting: {line}{aside}" if unchanged else f"{line}{aside}"

    def last_seen(self) -> str:
        """Return what was seen last, as a sentence."""
        return f"Last seen: {self.last_line}" if self.last_line else "It could not be read once."


def progress_line(look: SearchSnapshot, progress: Progress) -> str:
    """Return one line on a look at a search: trials per status and the best value so far."""
    line = f"Training job {look.job.id} is {_clean(look.job.phase_text)}"
    if progress.listed:
        of = f"/{progress.expected}" if progress.expected else f" of {progress.listed} listed"
        shown = islice(progress.counts.items(), _MOST_STATUSES)
        counts = ", ".join(f"{count} {_clean(status)}" for status, count in shown)
        line += f": {progress.ended}{of} trials ended ({counts}){_best_so_far(look)}"
    return line


def _best_so_far(look: SearchSnapshot) -> str:
    found = best_so_far(look.listing.trials, look.job.search)
    if found is None:
        return ""
    criterion, best = found
    return f", best {_clean(criterion.metric)}={best.value:.6g} by {_clean(best.trial.trial_id)}"


def time_left(look: SearchSnapshot, progress: Progress) -> str:
    """Return how long a search may still take, as it went until now; the empty text where nobody can tell."""
    job, ended, expected = look.job, progress.ended, progress.expected
    if job.phase is not JobPhase.RUNNING or not job.duration or not expected or not 0 < ended < expected:
        return ""
    return f", about {_rounded(job.duration / ended * (expected - ended))} left"


def _rounded(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def ranking_table(ranking: Ranking, limit: int = 20) -> str:
    """Return a table of the ranked trials, and under it those that do not compete with their reasons.

    Hyperparameters that would make it wider than a log viewer are left out.

    :param limit: rows of each; the rest is counted.
    """
    metric = ranking.criterion.metric
    shown = ranking.ranked[:limit]
    names = list(dict.fromkeys(name for ranked in ranking.ranked for name in ranked.trial.config or ()))
    names = names[:_MOST_PARAMETERS]
    rows = [["rank", "trial", metric, *names]]
    for ranked in shown:
        config = ranked.trial.config or {}
        place = f"{ranked.rank}=" if ranked.tied else f"{ranked.rank} "
        rows.append(
            [place, ranked.trial.trial_id, f"{ranked.value:.8g}", *(_value(config.get(name)) for name in names)]
        )
    lines = [
        f"{len(ranking.ranked)} trials by {_clean(metric)} ({ranking.criterion.mode}), best first:",
        *_aligned(rows),
    ]
    if any(ranked.tied for ranked in shown):
        lines.append("= has the same value as another trial; the lowest trial index goes first")
    lines += _more(ranking.ranked, limit)
    if ranking.rejected:
        lines.append(f"{len(ranking.rejected)} trials do not compete:")
        lines += _aligned([_rejection(rejected) for rejected in ranking.rejected[:limit]])
        lines += _more(ranking.rejected, limit)
    return "\n".join(lines)


def _rejection(rejected: Rejected) -> list[str]:
    return [f"- {rejected.trial.trial_id}", rejected.reason, f"({rejected.detail})" if rejected.detail else ""]


def _more(items: Sequence[object], limit: int) -> list[str]:
    return [f"... and {len(items) - limit} more"] if len(items) > limit else []


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [[_clean(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    while sum(widths) + 2 * len(widths) > _WIDEST_LINE:
        widths.pop()
    return ["  ".join(map(_padded, row, widths)).rstrip() for row in cells]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(cell: str) -> int:
    """Return the columns that a text takes on a screen: Chinese characters take two."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in cell)


def _value(value: JSON) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.8g}"
        case dict() | list():
            return _repr.repr(value)
    return str(value)


def _clean(cell: str) -> str:
    return sanitize(cell, _WIDEST_CELL)
