"""All trials of a search as plain JSON: what Airflow's UI and the report show.

Names that come from a training script are never keys in it, since Airflow acts upon some keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from airflow_provider_modelarts.core.json_values import JSON, describe
from airflow_provider_modelarts.core.progress import SearchSnapshot, count_by_status
from airflow_provider_modelarts.core.search_space import storable
from airflow_provider_modelarts.core.selection import Ranked, Ranking, Rejected, in_order
from airflow_provider_modelarts.core.xcom import SCHEMA_VERSION
from airflow_provider_modelarts.exceptions import sanitize

_MOST_STATUSES = 20


@dataclass(frozen=True, slots=True)
class LeaderboardLimits:
    """How much a leaderboard may hold. There is room for everything unless it is said.

    :param trials: characters of JSON that all trials may take.
    :param columns: how many parameters, and how many metrics.
    :param text: characters of each text.
    """

    trials: int | None = None
    columns: int | None = None
    text: int | None = None


#: What fits into an XCom, which should be small. A trial of ten parameters takes about 300 characters.
XCOM_LIMITS = LeaderboardLimits(trials=250_000, columns=50, text=200)
#: What people can read on a page.
PAGE_LIMITS = LeaderboardLimits(columns=50, text=200)
#: All there is, for files.
NO_LIMITS = LeaderboardLimits()


def leaderboard(look: SearchSnapshot, ranking: Ranking, room: LeaderboardLimits = XCOM_LIMITS) -> dict[str, JSON]:
    """Return the trials of a search, best first, those that do not compete after them in their order.

    ::

        {"schema_version": 1, "training_job_id": ..., "job_name": ..., "job_phase": ...,
         "metric": "acc", "mode": "max", "scope": "best", "trial_counts": [["TERMINATED", 8]],
         "parameters": ["lr"], "metrics": ["acc", "loss"], "omitted": 0, "omitted_columns": 0,
         "trials": [{"rank": 1, "tied": false, "trial_id": ..., "number": 0, "status": ..., "value": 0.9,
                     "reason": "", "duration": 12.5, "reports": 3, "parameters": [0.1], "metrics": [0.9, null]}]}

    What is no JSON (NaN, infinities, integers beyond 64 bits) becomes text, and so do lists and objects, as their JSON.

    :param room: trials and columns for which there is none are counted as omitted, and texts are cut.
    """
    trials = look.listing.trials
    parameters = _names(trial.config or () for trial in trials)
    metrics = _names(trial.metrics for trial in trials)
    table = _Table(parameters[: room.columns], metrics[: room.columns], room.text)
    numbers = {trial.trial_id: number for number, trial in enumerate(in_order(trials))}
    rejected = sorted(ranking.rejected, key=lambda one: numbers[one.trial.trial_id])
    everyone: list[Ranked | Rejected] = [*ranking.ranked]
    everyone += rejected
    entries = (table.entry(one, numbers[one.trial.trial_id]) for one in everyone)
    listed: list[JSON] = list(entries if room.trials is None else _within(room.trials, entries))
    criterion = ranking.criterion
    return {
        "schema_version": SCHEMA_VERSION,
        "training_job_id": look.job.id,
        "job_name": look.job.name,
        "job_phase": look.job.phase_text,
        "metric": table.plain(criterion.metric),
        "mode": criterion.mode.value,
        "scope": criterion.scope.value,
        "trial_counts": _counts(count_by_status(trials)),
        "parameters": [table.plain(name) for name in table.parameters],
        "metrics": [table.plain(name) for name in table.metrics],
        "trials": listed,
        "omitted": len(trials) - len(listed),
        "omitted_columns": len(parameters) - len(table.parameters) + len(metrics) - len(table.metrics),
    }


def _names(rows: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _within(limit: int, entries: Iterable[dict[str, JSON]]) -> Iterator[dict[str, JSON]]:
    for entry in entries:
        limit -= len(json.dumps(entry))
        if limit < 0:
            return
        yield entry


def _counts(counts: Mapping[str, int]) -> list[JSON]:
    return [[status, count] for status, count in islice(counts.items(), _MOST_STATUSES)]


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns, and what stands under them.

    :param longest: characters of each text; None for all of them.
    """

    parameters: Sequence[str]
    metrics: Sequence[str]
    longest: int | None

    def entry(self, one: Ranked | Rejected, number: int) -> dict[str, JSON]:
        trial = one.trial
        config, metrics = trial.config or {}, trial.metrics
        return {
            **self._outcome(one),
            "trial_id": trial.trial_id,
            "number": number,
            "status": trial.status_text,
            "duration": self.plain(trial.duration),
            "reports": self.plain(trial.training_iteration),
            "parameters": [self.plain(config.get(name)) for name in self.parameters],
            "metrics": [self.plain(metrics.get(name)) for name in self.metrics],
        }

    def _outcome(self, one: Ranked | Rejected) -> dict[str, JSON]:
        if isinstance(one, Ranked):
            return {"rank": one.rank, "tied": one.tied, "value": one.value, "reason": ""}
        reason = f"{one.reason} ({self._text(one.detail)})" if one.detail else one.reason
        return {"rank": None, "tied": False, "value": None, "reason": reason}

    def plain(self, value: JSON) -> JSON:
        match value:
            case None | bool():
                return value
            case float():
                return value if math.isfinite(value) else str(value)
            case int():
                return value if -(2**63) <= value < 2**63 else self._text(str(value))
            case str():
                return self._text(value)
        try:
            return self._text(json.dumps(value, ensure_ascii=False))
        except RecursionError:
            return describe(value)

    def _text(self, text: str) -> str:
        return storable(text) if self.longest is None else sanitize(text, self.longest)
