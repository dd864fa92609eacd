"""Export of trials to pandas and Optuna, with and without Airflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING

from airflow_provider_modelarts.core.jobs import Mode, Objective
from airflow_provider_modelarts.core.json_values import JSON, replace_surrogates
from airflow_provider_modelarts.core.search_space import Choices, Interval, Scalar, SearchSpace, fit, to_scalar
from airflow_provider_modelarts.core.selection import UNNAMED_METRIC, Criterion, in_order, rank
from airflow_provider_modelarts.core.trials import Trial, TrialStatus
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd  # type: ignore[import-untyped]
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_START = datetime(1970, 1, 1)
_MAX_DURATION_SECONDS = 10**9  # thirty years: a longer one is not a duration
_STATES = {TrialStatus.PENDING: "WAITING", TrialStatus.RUNNING: "RUNNING", TrialStatus.PAUSED: "RUNNING"}


def trials_to_dataframe(trials: Sequence[Trial], objective: Objective | Criterion | None = None) -> pd.DataFrame:
    """Return a data frame with one row per trial, in the order of their creation.

    Columns are named as in Optuna's ``Study.trials_dataframe``: ``number``, ``value``, ``duration``,
    ``params_<name>`` and ``state``; then ``trial_id``, ``status`` (the platform's word) and ``metrics_<name>`` (last
    values). Only trials that compete for the best have a ``value`` and are ``COMPLETE``: the row of the best trial is
    ``frame.loc[frame["value"].idxmax()]``, or ``idxmin``. Missing values are NaN or None. Lists and objects are JSON
    text.

    :param objective: metric of ``value``; the best report of the search's own objective when None.
    :raises ModelArtsConfigurationError: when pandas is not installed.
    """
    pandas = import_optional("pandas", extra="pandas", user="a data frame")
    criterion = _criterion(objective or Objective(UNNAMED_METRIC, Mode.MAX))
    ordered = in_order(trials)
    values = [_value(trial, criterion) for trial in ordered]
    columns: dict[str, object] = {
        "number": pandas.Series(range(len(ordered)), dtype="int64"),
        "value": pandas.Series(values, dtype="float64"),
        "duration": pandas.to_timedelta(pandas.Series(map(_seconds, ordered), dtype="float64"), unit="s"),
        **_columns("params", [trial.config or {} for trial in ordered]),
        "state": [_state(trial, value) for trial, value in zip(ordered, values, strict=True)],
        "trial_id": [trial.trial_id for trial in ordered],
        "status": [trial.status_text for trial in ordered],
        **_columns("metrics", [trial.metrics for trial in ordered]),
    }
    return pandas.DataFrame(columns)


def trials_to_study(
    trials: Sequence[Trial],
    objective: Objective | Criterion,
    *,
    search_space: SearchSpace | None = None,
    study_name: str | None = None,
) -> Study:
    """Return an Optuna study in memory, with the trials in the order of their creation.

    Only trials that compete for the best are ``COMPLETE`` and have a value; the others are ``FAIL``, ``RUNNING`` or
    ``WAITING``. ``study.best_trial`` is the trial that ``ModelArtsBestTrialOperator`` chooses without constraints. Each
    trial has the user attributes ``trial_id``, ``status`` (the platform's word) and ``metrics`` (last values).

    The platform reports how long a trial ran, not when. Every ``datetime_start`` is the beginning of 1970, so that
    ``duration`` is right; an unknown duration is 0.

    Parameters in Optuna are numbers, flags and texts. NaN, infinities and None are left out of their trial. Lists,
    objects and whole numbers beyond 2**53 become text, and so do all values of a parameter with values of several
    kinds.

    :param objective: criterion of the comparison: the search's own objective (``job.search.objectives[0]``), by the
        best report of each trial, or any other.
    :param search_space: see :func:`~airflow_provider_modelarts.core.search_space.read_search_space`. The space of a
        parameter that is not in it, or has values outside of it, is inferred from the values.
    :param study_name: ``<metric> (<mode>)`` when None.
    :raises ModelArtsConfigurationError: when Optuna is not installed.
    """
    optuna = import_optional("optuna", extra="optuna", user="a study")
    criterion = _criterion(objective)
    ordered = in_order(trials)
    study: Study = optuna.create_study(
        direction=f"{criterion.mode}imize", study_name=study_name or f"{criterion.metric} ({criterion.mode})"
    )
    parameters = _parameters([trial.config or {} for trial in ordered], search_space or {})
    for trial, (values, distributions) in zip(ordered, parameters, strict=True):
        study.add_trial(_frozen(trial, _value(trial, criterion), values, distributions))
    return study


def import_optional(module: str, *, extra: str, user: str) -> ModuleType:
    """Import a module of an optional library.

    :param extra: the extra of this package that installs it.
    :param user: the feature that requires it.
    :raises ModelArtsConfigurationError: when it is not installed, with the command to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ModelArtsConfigurationError(
            f'{user} requires {module}, which is not installed: pip install "airflow-provider-modelarts[{extra}]"'
        ) from error


def _criterion(objective: Objective | Criterion) -> Criterion:
    if isinstance(objective, Criterion):
        return objective
    return Criterion(objective.metric, objective.mode, is_objective=True)


def _value(trial: Trial, criterion: Criterion) -> float | None:
    """Return the value of a trial that competes; None when it does not."""
    ranked = rank([trial], criterion).ranked
    return ranked[0].value if ranked else None


def _state(trial: Trial, value: float | None) -> str:
    """Return Optuna's name of a trial's state."""
    if value is not None:
        return "COMPLETE"
    return "FAIL" if trial.ended else _STATES.get(trial.status, "RUNNING")


def _seconds(trial: Trial) -> float | None:
    seconds = trial.duration
    return seconds if seconds is not None and 0 <= seconds <= _MAX_DURATION_SECONDS else None


def _columns(prefix: str, rows: Sequence[Mapping[str, JSON]] | Sequence[Mapping[str, float]]) -> dict[str, object]:
    """Return the columns of nested values, named and sorted as in Optuna."""
    return {f"{prefix}_{replace_surrogates(name)}": [to_scalar(row.get(name)) for row in rows] for name in _names(rows)}


def _parameters(
    configs: Sequence[Mapping[str, JSON]], search_space: SearchSpace
) -> list[tuple[dict[str, Scalar], dict[str, BaseDistribution]]]:
    """Return the parameters of each trial with their distributions, which are the same for all trials."""
    rows: list[tuple[dict[str, Scalar], dict[str, BaseDistribution]]] = [({}, {}) for _ in configs]
    for name in _names(configs):
        space, values = fit([config.get(name) for config in configs], search_space.get(name))
        if space is None:
            continue
        distribution = _distribution(space)
        for (params, distributions), value in zip(rows, values, strict=True):
            if value is not None:
                params[replace_surrogates(name)], distributions[replace_surrogates(name)] = value, distribution
    return rows


def _names(rows: Iterable[Mapping[str, object]]) -> list[str]:
    return sorted({name for row in rows for name in row})


def _distribution(space: Interval | Choices) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match space:
        case Choices(values):
            return CategoricalDistribution(values)
        case Interval(low, high, whole=True):
            return IntDistribution(int(low), int(high))
        case Interval(low, high):
            return FloatDistribution(low, high)


def _frozen(
    trial: Trial, value: float | None, params: dict[str, Scalar], distributions: dict[str, BaseDistribution]
) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    frozen = create_trial(
        state=TrialState[_state(trial, value)],
        value=value,
        params=params,
        distributions=distributions,
        user_attrs={"trial_id": trial.trial_id, "status": trial.status_text, "metrics": trial.metrics},
    )
    if frozen.datetime_start:
        frozen.datetime_start = _START
    if frozen.datetime_complete:
        frozen.datetime_complete = _START + timedelta(seconds=_seconds(trial) or 0)
    return frozen
