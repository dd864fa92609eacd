"""How much each hyperparameter matters (ShowAutoSearchParamsAnalysis), from the trials of any job."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_provider_modelarts.core.jobs import Mode, read_job
from airflow_provider_modelarts.core.json_values import JSON
from airflow_provider_modelarts.core.trials import Trial, TrialStatus, read_table
from modelarts_emulator.errors import bad_request
from modelarts_emulator.runs.sampling import import_optuna, new_study
from modelarts_emulator.table import Page

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_HEADER = ("parameters", "the mean/std of importance")
_FEWEST_TRIALS = 2
_MOST_REPETITIONS = 20


def importance_table(document: Mapping[str, JSON], page: Page) -> dict[str, JSON]:
    """Return header and rows: the importance by PED-ANOVA, and how it spreads when one trial is left out.

    :param page: the whole trial table.
    """
    trials = [trial for trial in _read(page) if _counts(trial)]
    if len(trials) < _FEWEST_TRIALS:
        raise bad_request(
            "2788", f"The analysis needs {_FEWEST_TRIALS} finished trials with a value: {len(trials)} yet."
        )
    search = read_job(dict(document)).search
    mode = search.objectives[0].mode if search and search.objectives else Mode.MAX
    names = sorted(set.intersection(*(set(trial.config or {}) for trial in trials)))
    means = _importances(trials, names, mode)
    left_out = [trials[:place] + trials[place + 1 :] for place in range(min(len(trials), _MOST_REPETITIONS))]
    others = [_importances(rest, names, mode) for rest in left_out if len(rest) >= _FEWEST_TRIALS]
    return {
        "header": list(_HEADER),
        "data": [[name, f"{means[name]:.4f}/{_spread(name, others):.4f}"] for name in names],
    }


def _read(page: Page) -> Sequence[Trial]:
    return read_table(list(page.header), [list(row) for row in page.data])


def _counts(trial: Trial) -> bool:
    value = trial.best_reward
    return trial.status is TrialStatus.TERMINATED and bool(trial.config) and value is not None and math.isfinite(value)


def _spread(name: str, others: Sequence[Mapping[str, float]]) -> float:
    return statistics.pstdev(importances[name] for importances in others) if others else 0.0


def _importances(trials: Sequence[Trial], names: Sequence[str], mode: Mode) -> dict[str, float]:
    """Return the share of each hyperparameter; shares add up to 1."""
    study, optuna = new_study(mode), import_optuna()
    distributions = {name: _distribution([(trial.config or {})[name] for trial in trials]) for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions call the evaluator experimental
        for trial in trials:
            params = {name: _value((trial.config or {})[name], distributions[name]) for name in names}
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=distributions, value=trial.best_reward)
            )
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def _distribution(values: Sequence[JSON]) -> BaseDistribution:
    """Return the range of some numbers, or the choice among other values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    numbers = [float(value) for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return FloatDistribution(min(numbers), max(numbers))
    return CategoricalDistribution(sorted({str(value) for value in values}))


def _value(value: JSON, distribution: BaseDistribution) -> object:
    from optuna.distributions import CategoricalDistribution

    return str(value) if isinstance(distribution, CategoricalDistribution) else value
