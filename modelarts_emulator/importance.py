"""Importance of each hyperparameter (ShowAutoSearchParamsAnalysis), from the trial table of any job."""

from __future__ import annotations

import ast
import json
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelarts_emulator.documents import TablePage
from modelarts_emulator.errors import bad_request
from modelarts_emulator.json_values import JSON, child, finite
from modelarts_emulator.runs.search import import_optuna, new_study
from modelarts_emulator.vocabulary import LAST_COLUMN, Mode, TrialStatus

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_HEADER = ("parameters", "the mean/std of importance")
_MIN_TRIALS = 2  # one trial has no spread
_MAX_REPETITIONS = 20  # each evaluates all trials but one: enough for a spread, and the response stays quick


@dataclass(frozen=True, slots=True)
class _Outcome:
    config: Mapping[str, JSON]
    value: float


def importance_table(document: Mapping[str, JSON], page: TablePage) -> dict[str, JSON]:
    """Return header and rows: the importance by PED-ANOVA, and its spread when one trial is left out.

    :param page: the whole trial table.
    """
    outcomes = [outcome for row in page.data if (outcome := _outcome(dict(zip(page.header, row, strict=False))))]
    if len(outcomes) < _MIN_TRIALS:
        raise bad_request(
            "2788", f"The analysis requires {_MIN_TRIALS} finished trials with a value, and there are {len(outcomes)}."
        )
    mode = _mode(document)
    names = sorted(set.intersection(*(set(outcome.config) for outcome in outcomes)))
    means = _importances(outcomes, names, mode)
    left_out = [outcomes[:place] + outcomes[place + 1 :] for place in range(min(len(outcomes), _MAX_REPETITIONS))]
    others = [_importances(rest, names, mode) for rest in left_out if len(rest) >= _MIN_TRIALS]
    return {
        "header": list(_HEADER),
        "data": [[name, f"{means[name]:.4f}/{_spread(name, others):.4f}"] for name in names],
    }


def _outcome(cells: Mapping[str, JSON]) -> _Outcome | None:
    """Return configuration and value of a trial; None if it has not ended well."""
    config, value = _config(cells.get("config")), finite(cells.get(LAST_COLUMN))
    if cells.get("status") != TrialStatus.TERMINATED or not config or value is None:
        return None
    return _Outcome(config, value)


def _config(cell: JSON) -> dict[str, JSON]:
    """Return the hyperparameters in a ``config`` cell of any encoding that the platform writes."""
    parsed = _parse(cell) if isinstance(cell, str) else cell
    if not isinstance(parsed, dict):
        return {}
    return {name: value for name, value in parsed.items() if name != "trial_index" and not name.startswith("param/")}


def _parse(cell: str) -> JSON:
    for parse in (json.loads, ast.literal_eval):
        try:
            parsed: JSON = parse(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return parsed
    return None


def _mode(document: Mapping[str, JSON]) -> Mode:
    objectives = child(dict(document), "algorithm", "policies", "auto_search", "reward_attrs")
    modes = [child(entry, "mode") for entry in objectives] if isinstance(objectives, list) else []
    return Mode.MIN if modes and modes[0] == Mode.MIN else Mode.MAX


def _spread(name: str, others: Sequence[Mapping[str, float]]) -> float:
    return statistics.pstdev(importances[name] for importances in others) if others else 0.0


def _importances(outcomes: Sequence[_Outcome], names: Sequence[str], mode: Mode) -> dict[str, float]:
    """Return the share of each hyperparameter; shares add up to 1."""
    study, optuna = new_study(mode), import_optuna()
    distributions = {name: _distribution([outcome.config[name] for outcome in outcomes]) for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions call the evaluator experimental
        for outcome in outcomes:
            params = {name: _value(outcome.config[name], distributions[name]) for name in names}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=outcome.value))
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
