"""XCom values for downstream tasks: small plain JSON without keys that Airflow acts upon."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import islice

from airflow_provider_modelarts.core.jobs import TrainingJob
from airflow_provider_modelarts.core.json_values import JSON, child, is_int64, is_storable, items, text
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

# XComs are rows of Airflow's metadata database, which must stay small.
_MAX_CONFIG_CHARS = 32_768  # of JSON
_MAX_CONFIG_DEPTH = 20
_MAX_METRICS = 200
_MAX_STATUSES = 20
_MAX_OUTPUTS = 100
_MAX_OUTPUT_CHARS = 2_000
_MAX_KEY_CHARS = 80  # of a key in an error message


def search_summary(job: TrainingJob, progress: Progress) -> dict[str, JSON]:
    """Return a short summary of a search, which the sensor pushes."""
    return {
        "schema_version": SCHEMA_VERSION,
        "training_job_id": job.id,
        "job_phase": job.phase_text,
        "trials": progress.listed,
        "expected_trials": progress.expected,
        "trial_counts": _bounded(progress.counts),
        "message": progress.message,
    }


def job_summary(job: TrainingJob) -> dict[str, JSON]:
    """Return a short summary of a training job."""
    return {
        "schema_version": SCHEMA_VERSION,
        "training_job_id": job.id,
        "name": job.name,
        "job_phase": job.phase_text,
        "duration": job.duration,
        "outputs": _outputs(child(dict(job.raw), "algorithm", "outputs")),
    }


def _outputs(outputs: JSON) -> dict[str, JSON]:
    """Return the path of each output of a job; those without a usable name and path are left out."""
    pairs = (
        (text(child(output, "name")), text(child(output, "remote", "obs", "obs_url")))
        for output in items(outputs)[:_MAX_OUTPUTS]
    )
    return {
        name: url
        for name, url in pairs
        if len(name) + len(url) <= _MAX_OUTPUT_CHARS and _is_plain_key(name) and is_storable(url)
    }


def chosen_records(snapshot: SearchSnapshot, ranking: Ranking, options: SelectionOptions) -> list[dict[str, JSON]]:
    """Return the records of the best trials, best first.

    :raises ModelArtsNoBestTrialError: when no trial competes; it names the job.
    :raises ModelArtsProtocolError: when the config of one of them is not safe for XCom.
    """
    counts = count_by_status(snapshot.listing.trials)
    with job_id_in_errors(snapshot.job):
        best = select_best(ranking, options.top_k)
    return [trial_record(snapshot.job, ranked, ranking.criterion, counts) for ranked in best]


def trial_record(
    job: TrainingJob, ranked: Ranked, criterion: Criterion, trial_counts: Mapping[str, int]
) -> dict[str, JSON]:
    """Return the whole record of a chosen trial. Metrics that are not finite numbers are None.

    :raises ModelArtsProtocolError: when its config is not safe for XCom; see :func:`checked_config`.
    """
    trial = ranked.trial
    metrics = [pair for pair in trial.metrics.items() if _is_plain_key(pair[0])][:_MAX_METRICS]
    return {
        "schema_version": SCHEMA_VERSION,
        "training_job_id": job.id,
        "job_phase": job.phase_text,
        "trial_id": trial.trial_id,
        "trial_index": trial.index if trial.index is not None and is_int64(trial.index) else None,
        "rank": ranked.rank,
        "config": checked_config(trial.trial_id, trial.config),
        "metric": criterion.metric,
        "mode": criterion.mode.value,
        "scope": criterion.scope.value,
        "value": ranked.value,
        "metrics": {name: value if math.isfinite(value) else None for name, value in metrics},
        "duration": trial.duration if trial.duration is not None and math.isfinite(trial.duration) else None,
        "trial_counts": _bounded(trial_counts),
    }


def _bounded(counts: Mapping[str, int]) -> dict[str, JSON]:
    return dict(islice(counts.items(), _MAX_STATUSES))


def checked_config(trial_id: str, config: Mapping[str, JSON] | None) -> dict[str, JSON]:
    """Return a config that passes through XCom unchanged.

    :raises ModelArtsProtocolError: when XCom would change, drop or act upon a value, naming its key: NaN, infinities,
        integers beyond 64 bits, keys that begin with two underscores (with which Airflow marks objects), or a config
        that is too large.
    """
    if config is None:
        raise ModelArtsProtocolError(f"the config of trial {trial_id} is missing or cannot be read")
    checked = {name: _checked(trial_id, name, value, 0) for name, value in config.items()}
    for name in checked:
        _check_key(trial_id, name)
    size = len(json.dumps(checked))
    if size > _MAX_CONFIG_CHARS:
        raise ModelArtsProtocolError(
            f"the config of trial {trial_id} is {size} characters of JSON, more than the {_MAX_CONFIG_CHARS} allowed"
        )
    return checked


def _checked(trial_id: str, where: str, value: JSON, depth: int) -> JSON:
    if depth > _MAX_CONFIG_DEPTH:
        raise _unsafe(trial_id, where, "is nested too deeply")
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
            raise _unsafe(trial_id, where, f"is {value}, which is not JSON")
        case int() if not is_int64(value):
            raise _unsafe(trial_id, where, "is an integer beyond 64 bits")
        case str() if not is_storable(value):
            raise _unsafe(trial_id, where, "holds text that databases reject")
    return value


def _check_key(trial_id: str, name: str) -> None:
    if name.startswith("__"):
        raise _unsafe(trial_id, name, "begins with two underscores, with which Airflow marks objects")
    if not is_storable(name):
        raise _unsafe(trial_id, repr(name), "holds text that databases reject")


def _is_plain_key(name: str) -> bool:
    return not name.startswith("__") and is_storable(name)


def _unsafe(trial_id: str, where: str, why: str) -> ModelArtsProtocolError:
    shown = where if len(where) <= _MAX_KEY_CHARS else f"{where[:_MAX_KEY_CHARS]}..."
    return ModelArtsProtocolError(f"the config of trial {trial_id} cannot be pushed to XCom: {shown!r} {why}")
