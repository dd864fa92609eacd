"""Choosing the best trials: the one comparison."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_modelarts.core.jobs import Mode, Objective, SearchSettings
from airflow_provider_modelarts.core.trials import Trial, TrialStatus
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsNoBestTrialError

#: Name of the search's own objective where the platform does not tell which metric it is.
UNNAMED_METRIC = "objective"


class Scope(StrEnum):
    """Which report of a trial counts: its best one or its last one."""

    BEST = "best"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Criterion:
    """What trials are compared by.

    :param is_objective: the search's own objective, which the platform reports in columns of their own; any
        other metric is its last value, whatever the scope.
    """

    metric: str
    mode: Mode
    scope: Scope = Scope.BEST
    is_objective: bool = False

    def value(self, trial: Trial) -> float | None:
        """Return the trial's value; None when it has none."""
        if self.is_objective:
            return trial.best_reward if self.scope is Scope.BEST else trial.reward
        return numeric(trial, self.metric)

    def is_better(self, value: float, other: float) -> bool:
        """Return whether a value is strictly better than another."""
        return value > other if self.mode is Mode.MAX else value < other


@dataclass(frozen=True, slots=True)
class Bound:
    """A constraint on one metric, both ends included."""

    min: float | None = None
    max: float | None = None

    def admits(self, value: float | None) -> bool:
        """Return whether a value is known and within the bound."""
        if value is None or math.isnan(value):
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A trial that competes. Rank 1 is the best; ``tied`` when another trial has the same value."""

    rank: int
    trial: Trial
    value: float
    tied: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """A trial that does not compete, and why."""

    trial: Trial
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """All trials of a search: those that compete, best first, and the others."""

    criterion: Criterion
    ranked: Sequence[Ranked]
    rejected: Sequence[Rejected]


def criterion_for(
    search: SearchSettings | None,
    *,
    metric: str | None = None,
    mode: Mode | None = None,
    scope: Scope = Scope.BEST,
) -> Criterion:
    """Return what to compare by: the search's own objective, unless another metric is named.

    :param mode: needed where the search does not tell it; it is never guessed.
    :raises ModelArtsConfigurationError: when the objective stays unclear, or ``mode`` contradicts the search.
    """
    objectives = {objective.metric: objective for objective in (search.objectives if search else ())}
    if metric is None and len(objectives) > 1:
        raise ModelArtsConfigurationError(
            f"the search has several objectives ({', '.join(objectives)}): name one with metric="
        )
    if metric is None:
        metric = next(iter(objectives), UNNAMED_METRIC)
        is_objective = True
    else:
        is_objective = metric in objectives and len(objectives) == 1
    mode = _mode(metric, mode, objectives.get(metric))
    return Criterion(metric, mode, scope if is_objective else Scope.LAST, is_objective)


def _mode(metric: str, mode: Mode | None, objective: Objective | None) -> Mode:
    if objective is None:
        if mode is None:
            raise ModelArtsConfigurationError(
                f"the search does not tell whether more or less of {metric!r} is better: give mode='max' or 'min'"
            )
        return mode
    if mode is not None and mode is not objective.mode:
        raise ModelArtsConfigurationError(
            f"mode={mode.value!r} contradicts the search, which optimises {metric!r} for {objective.mode.value!r}"
        )
    return objective.mode


def numeric(trial: Trial, column: str) -> float | None:
    """Return the number that a trial has under a column's name, of a metric or one of the platform's own."""
    own = _OWN_NUMBERS.get(column)
    return own(trial) if own else trial.metric(column)


_OWN_NUMBERS: Mapping[str, Callable[[Trial], float | None]] = {
    "best_reward": lambda trial: trial.best_reward,
    "reward_attr": lambda trial: trial.reward,
    "time_total_s": lambda trial: trial.duration,
    "training_iteration": lambda trial: trial.training_iteration,
}


def rank(trials: Sequence[Trial], criterion: Criterion, constraints: Mapping[str, Bound] | None = None) -> Ranking:
    """Rank trials: only TERMINATED ones with a finite value that meet all constraints compete.

    Ties go to the lowest trial index; a trial without index comes after those with one, in row order.
    """
    competing: list[tuple[float, Trial]] = []
    rejected: list[Rejected] = []
    for trial in trials:
        outcome = _qualify(trial, criterion, constraints or {})
        if isinstance(outcome, Rejected):
            rejected.append(outcome)
        else:
            competing.append((outcome, trial))
    sign = -1 if criterion.mode is Mode.MAX else 1
    competing.sort(key=lambda pair: (sign * pair[0], _place(pair[1])))
    same = Counter(value for value, _ in competing)
    ranked = [
        Ranked(place, trial, value, tied=same[value] > 1) for place, (value, trial) in enumerate(competing, start=1)
    ]
    return Ranking(criterion, ranked, rejected)


def in_order(trials: Sequence[Trial]) -> list[Trial]:
    """Return trials in the order in which they were made: by index; those without one last, as they are listed."""
    return sorted(trials, key=_place)


def _place(trial: Trial) -> tuple[bool, int]:
    index = trial.index
    return index is None, index or 0


def ranking_by_objective(trials: Sequence[Trial], search: SearchSettings | None) -> Ranking | None:
    """Rank trials by the search's own objective; None when the search does not tell a single one."""
    try:
        return rank(trials, criterion_for(search))
    except ModelArtsConfigurationError:
        return None


def _qualify(trial: Trial, criterion: Criterion, constraints: Mapping[str, Bound]) -> float | Rejected:
    if trial.status is not TrialStatus.TERMINATED:
        return Rejected(trial, "not finished", trial.status_text)
    value = criterion.value(trial)
    if value is None:
        return Rejected(trial, "metric missing", criterion.metric)
    if not math.isfinite(value):
        return Rejected(trial, "not a number", f"{criterion.metric} is {value}")
    for metric, bound in constraints.items():
        if not bound.admits(numeric(trial, metric)):
            return Rejected(trial, "constraint not met", metric)
    return value


def select_best(ranking: Ranking, top_k: int = 1) -> Sequence[Ranked]:
    """Return the best trials of a ranking, at most ``top_k``, at least one.

    :raises ModelArtsNoBestTrialError: when no trial competes; it counts the trials per reason.
    """
    if ranking.ranked:
        return ranking.ranked[: max(top_k, 1)]
    criterion = ranking.criterion
    if not ranking.rejected:
        raise ModelArtsNoBestTrialError(f"there is no trial to choose by {criterion.metric!r}")
    reasons = Counter(rejected.reason for rejected in ranking.rejected)
    message = f"none of {len(ranking.rejected)} trials can be the best by {criterion.metric!r}: " + ", ".join(
        f"{count} {reason}" for reason, count in reasons.items()
    )
    if reasons.get("metric missing"):
        names = sorted({name for rejected in ranking.rejected for name in rejected.trial.metrics})
        message += f"; the trials report {', '.join(names) or 'no metrics'}"
    raise ModelArtsNoBestTrialError(message)
