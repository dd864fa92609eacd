"""Leaderboard: all trials of a search as plain JSON, for Airflow's UI and the report.

Names that a training script chose are never keys in it, since Airflow acts upon some keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from airflow_provider_modelarts.core.json_values import JSON, describe, is_int64, replace_surrogates
from airflow_provider_modelarts.core.progress import SearchSnapshot, count_by_status
from airflow_provider_modelarts.core.selection import Ranked, Ranking, Rejected, in_order
from airflow_provider_modelarts.core.trials import Trial, metric_names, parameter_names
from airflow_provider_modelarts.core.xcom import SCHEMA_VERSION
from airflow_provider_modelarts.exceptions import sanitize

_MAX_STATUSES = 20  # there are six; a script or a platform may invent more


@dataclass(frozen=True, slots=True)
class LeaderboardLimits:
    """Limits on the size of a leaderboard; None is no limit.

    :param trials: characters of JSON that all trials may take.
    :param columns: how many parameters, and how many metrics.
    :param text: characters of each text.
    """

    trials: int | None = None
    columns: int | None = None
    text: int | None = None


#: For an XCom, which should be small. A trial of ten parameters takes about 300 characters.
XCOM_LIMITS = LeaderboardLimits(trials=250_000, columns=50, text=200)
#: For a page, which people read.
PAGE_LIMITS = LeaderboardLimits(columns=50, text=200)
#: For files.
NO_LIMITS = LeaderboardLimits()


def leaderboard(snapshot: SearchSnapshot, ranking: Ranking, limits: LeaderboardLimits = XCOM_LIMITS) -> dict[str, JSON]:
    """Return the trials of a search, best first, then those that do not compete in the order of their creation.

    ::

        {"schema_version": 1, "training_job_id": ..., "job_name": ..., "job_phase": ...,
         "metric": "acc", "mode": "max", "scope": "best", "trial_counts": [["TERMINATED", 8]],
         "parameters": ["lr"], "metrics": ["acc", "loss"], "omitted": 0, "omitted_columns": 0,
         "trials": [{"rank": 1, "tied": false, "trial_id": ..., "number": 0, "status": ..., "value": 0.9,
                     "reason": "", "duration": 12.5, "reports": 3, "parameters": [0.1], "metrics": [0.9, null]}]}

    Values that are not JSON (NaN, infinities, integers beyond 64 bits) become text, and so do lists and objects.

    :param limits: trials and columns beyond them are counted as omitted, and texts are cut.
    """
    trials = snapshot.listing.trials
    parameters, metrics = parameter_names(trials), metric_names(trials)
    table = _Table(parameters[: limits.columns], metrics[: limits.columns], limits.text)
    entries = _entries(table, trials, ranking)
    listed: list[JSON] = list(entries if limits.trials is None else _within(limits.trials, entries))
    criterion = ranking.criterion
    return {
        "schema_version": SCHEMA_VERSION,
        "training_job_id": snapshot.job.id,
        "job_name": snapshot.job.name,
        "job_phase": snapshot.job.phase_text,
        "metric": table.cell(criterion.metric),
        "mode": criterion.mode.value,
        "scope": criterion.scope.value,
        "trial_counts": [[*pair] for pair in islice(count_by_status(trials).items(), _MAX_STATUSES)],
        "parameters": [table.cell(name) for name in table.parameters],
        "metrics": [table.cell(name) for name in table.metrics],
        "trials": listed,
        "omitted": len(trials) - len(listed),
        "omitted_columns": len(parameters) - len(table.parameters) + len(metrics) - len(table.metrics),
    }


def _entries(table: _Table, trials: Sequence[Trial], ranking: Ranking) -> Iterator[dict[str, JSON]]:
    numbers = {trial.trial_id: number for number, trial in enumerate(in_order(trials))}
    for ranked in ranking.ranked:
        yield table.entry(ranked, numbers[ranked.trial.trial_id])
    for rejected in sorted(ranking.rejected, key=lambda one: numbers[one.trial.trial_id]):
        yield table.entry(rejected, numbers[rejected.trial.trial_id])


def _within(limit: int, entries: Iterable[dict[str, JSON]]) -> Iterator[dict[str, JSON]]:
    for entry in entries:
        limit -= len(json.dumps(entry))
        if limit < 0:
            return
        yield entry


@dataclass(frozen=True, slots=True)
class _Table:
    """Columns of a leaderboard, and their cells.

    :param max_chars: of each text; None is no limit.
    """

    parameters: Sequence[str]
    metrics: Sequence[str]
    max_chars: int | None

    def entry(self, one: Ranked | Rejected, number: int) -> dict[str, JSON]:
        trial = one.trial
        config, metrics = trial.config or {}, trial.metrics
        return {
            **self._outcome(one),
            "trial_id": trial.trial_id,
            "number": number,
            "status": trial.status_text,
            "duration": self.cell(trial.duration),
            "reports": self.cell(trial.training_iteration),
            "parameters": [self.cell(config.get(name)) for name in self.parameters],
            "metrics": [self.cell(metrics.get(name)) for name in self.metrics],
        }

    def _outcome(self, one: Ranked | Rejected) -> dict[str, JSON]:
        if isinstance(one, Ranked):
            return {"rank": one.rank, "tied": one.tied, "value": one.value, "reason": ""}
        reason = f"{one.reason} ({self._text(one.detail)})" if one.detail else one.reason
        return {"rank": None, "tied": False, "value": None, "reason": reason}

    def cell(self, value: JSON) -> JSON:
        match value:
            case None | bool():
                return value
            case float():
                return value if math.isfinite(value) else str(value)
            case int():
                return value if is_int64(value) else self._text(str(value))
            case str():
                return self._text(value)
        try:
            return self._text(json.dumps(value, ensure_ascii=False))
        except RecursionError:
            return describe(value)

    def _text(self, text: str) -> str:
        return replace_surrogates(text) if self.max_chars is None else sanitize(text, self.max_chars)
