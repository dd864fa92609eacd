"""All trials of a search as plain JSON: what Airflow's UI and the report show.

Names that come from a training script are never keys in it, since Airflow acts upon some keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from airflow_provider_modelarts.core.flows import Look
from airflow_provider_modelarts.core.progress import count_by_status
from airflow_provider_modelarts.core.records import SCHEMA_VERSION
from airflow_provider_modelarts.core.selection import Criterion, Ranked, Ranking, Rejected, in_order
from airflow_provider_modelarts.core.shapes import JSON, describe
from airflow_provider_modelarts.exceptions import harmless

#: Characters of JSON for all trials of an XCom, which should be small. A trial of ten parameters takes about 300.
LARGEST = 250_000

_MOST_COLUMNS = 50
_MOST_STATUSES = 20
_LONGEST_TEXT = 200


def leaderboard(look: Look, ranking: Ranking, *, limit: int | None = LARGEST) -> dict[str, JSON]:
    """Return the trials of a search, best first, those that do not compete after them in their order.

    ::

        {"schema_version": 1, "training_job_id": ..., "job_name": ..., "job_phase": ...,
         "metric": "acc", "mode": "max", "scope": "best", "trial_counts": [["TERMINATED", 8]],
         "parameters": ["lr"], "metrics": ["acc", "loss"], "omitted": 0,
         "trials": [{"rank": 1, "tied": false, "trial_id": ..., "number": 0, "status": ..., "value": 0.9,
                     "reason": "", "duration": 12.5, "reports": 3, "parameters": [0.1], "metrics": [0.9, null]}]}

    Texts are cut to 200 characters; what is no JSON (NaN, infinities, integers beyond 64 bits) becomes text.

    :param limit: characters of JSON that the trials may take; None for as many as there are. Those for which there is
        no room are counted as ``omitted``.
    """
    trials = look.listing.trials
    names = _Names(
        _first(name for trial in trials for name in trial.config or ()),
        _first(name for trial in trials for name in trial.metrics),
    )
    numbers = {trial.trial_id: number for number, trial in enumerate(in_order(trials))}
    rejected = sorted(ranking.rejected, key=lambda one: numbers[one.trial.trial_id])
    everyone: list[Ranked | Rejected] = [*ranking.ranked]
    everyone += rejected
    entries = (_entry(one, numbers[one.trial.trial_id], names) for one in everyone)
    listed: list[JSON] = list(entries if limit is None else _within(limit, entries))
    return {
        "schema_version": SCHEMA_VERSION,
        "training_job_id": look.job.id,
        "job_name": look.job.name,
        "job_phase": look.job.phase_text,
        **_criterion(ranking.criterion),
        "trial_counts": _counts(count_by_status(trials)),
        "parameters": [_plain(name) for name in names.parameters],
        "metrics": [_plain(name) for name in names.metrics],
        "trials": listed,
        "omitted": len(trials) - len(listed),
    }


@dataclass(frozen=True, slots=True)
class _Names:
    parameters: Sequence[str]
    metrics: Sequence[str]


def _first(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))[:_MOST_COLUMNS]


def _within(limit: int, entries: Iterable[dict[str, JSON]]) -> Iterator[dict[str, JSON]]:
    for entry in entries:
        limit -= len(json.dumps(entry))
        if limit < 0:
            return
        yield entry


def _counts(counts: Mapping[str, int]) -> list[JSON]:
    return [[status, count] for status, count in islice(counts.items(), _MOST_STATUSES)]


def _criterion(criterion: Criterion) -> dict[str, JSON]:
    return {"metric": _plain(criterion.metric), "mode": criterion.mode.value, "scope": criterion.scope.value}


def _entry(one: Ranked | Rejected, number: int, names: _Names) -> dict[str, JSON]:
    trial = one.trial
    return {
        **_outcome(one),
        "trial_id": trial.trial_id,
        "number": number,
        "status": trial.status_text,
        "duration": _plain(trial.duration),
        "reports": _plain(trial.training_iteration),
        "parameters": _values(trial.config or {}, names.parameters),
        "metrics": _values(trial.metrics, names.metrics),
    }


def _outcome(one: Ranked | Rejected) -> dict[str, JSON]:
    if isinstance(one, Ranked):
        return {"rank": one.rank, "tied": one.tied, "value": one.value, "reason": ""}
    detail = harmless(one.detail, _LONGEST_TEXT)
    reason = f"{one.reason} ({detail})" if detail else one.reason
    return {"rank": None, "tied": False, "value": None, "reason": reason}


def _values(given: Mapping[str, JSON] | Mapping[str, float], names: Sequence[str]) -> list[JSON]:
    return [_plain(given.get(name)) for name in names]


def _plain(value: JSON) -> JSON:
    match value:
        case None | bool():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case int():
            return value if -(2**63) <= value < 2**63 else harmless(str(value), _LONGEST_TEXT)
        case str():
            return harmless(value, _LONGEST_TEXT)
    try:
        return harmless(json.dumps(value, ensure_ascii=False), _LONGEST_TEXT)
    except RecursionError:
        return describe(value)
