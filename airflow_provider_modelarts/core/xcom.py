"""What later tasks receive: plain JSON, small, and nothing in it that Airflow would take for more than data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import islice

from airflow_provider_modelarts.core.jobs import TrainingJob
from airflow_provider_modelarts.core.json_values import JSON, child, text
from airflow_provider_modelarts.core.progress import Progress, SearchSnapshot, count_by_status
from airflow_provider_modelarts.core.selection import (
    Criterion,
    Ranked,
    Ranking,
    SelectionOptions,
    job_id_in_errors,
    select_best,
)
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError

SCHEMA_VERSION = 1

_LARGEST_CONFIG = 32_768  # characters of JSON
_MOST_METRICS = 200
_MOST_STATUSES = 20
_MOST_OUTPUTS = 100
_LONGEST_OUTPUT = 2_000
_DEEPEST = 20


def search_summary(job: TrainingJob, progress: Progress) -> dict[str, JSON]:
    """Return a short account of a search, as the sensor leaves it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "training_job_id": job.id,
        "job_phase": job.phase_text,
        "trials": progress.listed,
        "expected_trials": progress.expected,
        "trial_counts": _first(progress.counts),
        "message": progress.message,
    }


def job_summary(job: TrainingJob) -> dict[str, JSON]:
    """Return a short account of a training job."""
    return {
        "schema_version": SCHEMA_VERSION,
        "training_job_id": job.id,
        "name": job.name,
        "job_phase": job.phase_text,
        "duration": job.duration,
        "outputs": _outputs(child(dict(job.raw), "algorithm", "outputs")),
    }


def _outputs(outputs: JSON) -> dict[str, JSON]:
    """Return where each output of a job goes; what is no name or no path is left out."""
    pairs = (
        (text(child(output, "name")), text(child(output, "remote", "obs", "obs_url")))
        for output in (outputs if isinstance(outputs, list) else [])[:_MOST_OUTPUTS]
    )
    return {
        name: url
        for name, url in pairs
        if len(name) + len(url) <= _LONGEST_OUTPUT and _is_plain(name) and _is_storable(url)
    }


def _first(counts: Mapping[str, int]) -> dict[str, JSON]:
    return dict(islice(counts.items(), _MOST_STATUSES))


def chosen_records(look: SearchSnapshot, ranking: Ranking, wish: SelectionOptions) -> list[dict[str, JSON]]:
    """Return the records of the best trials, best first.

    :raises ModelArtsNoBestTrialError: when no trial competes; it names the job.
    :raises ModelArtsProtocolError: when the config of one of them cannot be handed on.
    """
    counts = count_by_status(look.listing.trials)
    with job_id_in_errors(look.job):
        best = select_best(ranking, wish.top_k)
    return [trial_record(look.job, ranked, ranking.criterion, counts) for ranked in best]


def trial_record(
    job: TrainingJob, ranked: Ranked, criterion: Criterion, trial_counts: Mapping[str, int]
) -> dict[str, JSON]:
    """Return all there is to know about a chosen trial.

    Metrics that are no finite number are None.

    :raises ModelArtsProtocolError: when its config cannot be handed on; see :func:`checked_config`.
    """
    trial = ranked.trial
    metrics = [pair for pair in trial.metrics.items() if _is_plain(pair[0])][:_MOST_METRICS]
    return {
        "schema_version": SCHEMA_VERSION,
        "training_job_id": job.id,
        "job_phase": job.phase_text,
        "trial_id": trial.trial_id,
        "trial_index": trial.index if trial.index is not None and _fits(trial.index) else None,
        "rank": ranked.rank,
        "config": checked_config(trial.trial_id, trial.config),
        "metric": criterion.metric,
        "mode": criterion.mode.value,
        "scope": criterion.scope.value,
        "value": ranked.value,
        "metrics": {name: value if math.isfinite(value) else None for name, value in metrics},
        "duration": trial.duration if trial.duration is not None and math.isfinite(trial.duration) else None,
        "trial_counts": _first(trial_counts),
    }


def checked_config(trial_id: str, config: Mapping[str, JSON] | None) -> dict[str, JSON]:
    """Return a config that survives the way through XCom unchanged.

    :raises ModelArtsProtocolError: naming the key, when a value would be changed, dropped or acted upon: NaN,
        infinities, integers beyond 64 bits, keys that begin with two underscores (with which Airflow marks objects),
        or too much of it all.
    """
    if config is None:
        raise ModelArtsProtocolError(f"the config of trial {trial_id} is missing or cannot be read")
    checked = {name: _checked(trial_id, name, value, 0) for name, value in config.items()}
    for name in checked:
        _check_key(trial_id, name)
    size = len(json.dumps(checked))
    if size > _LARGEST_CONFIG:
        raise ModelArtsProtocolError(
            f"the config of trial {trial_id} is {size} characters of JSON, more than the {_LARGEST_CONFIG} allowed"
        )
    return checked


def _checked(trial_id: str, where: str, value: JSON, depth: int) -> JSON:
    if depth > _DEEPEST:
        raise _refused(trial_id, where, "is nested too deeply")
    match value:
        case dict():
            for name in value:
                _check_key(trial_id, name)
            return {name: _checked(trial_id, f"{where}.{name}", item, depth + 1) for name, item in value.items()}
        case list():
            return [_checked(trial_id, where, item, depth + 1) for item in value]
        case bool():
            return value
        case float() if not math.isfinite(value):
            raise _refused(trial_id, where, f"is {value}, which is no JSON")
        case int() if not _fits(value):
            raise _refused(trial_id, where, "is an integer beyond 64 bits")
        case str() if not _is_storable(value):
            raise _refused(trial_id, where, "holds text that databases refuse")
    return value


def _check_key(trial_id: str, name: str) -> None:
    if name.startswith("__"):
        raise _refused(trial_id, name, "begins with two underscores, with which Airflow marks objects")
    if not _is_storable(name):
        raise _refused(trial_id, repr(name), "holds text that databases refuse")


def _is_storable(text: str) -> bool:
    """Return whether a database takes a text as JSON: PostgreSQL refuses NUL and halves of characters."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _fits(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _is_plain(name: str) -> bool:
    return not name.startswith("__") and _is_storable(name)


def _refused(trial_id: str, where: str, why: str) -> ModelArtsProtocolError:
    shown = where if len(where) <= 80 else f"{where[:80]}..."
    return ModelArtsProtocolError(f"the config of trial {trial_id} cannot be handed on: {shown!r} {why}")
