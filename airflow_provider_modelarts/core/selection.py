"""Selection of the best trials: its options, the criterion, and the one comparison."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_modelarts.core import coerce
from airflow_provider_modelarts.core.jobs import JobPhase, Mode, Objective, SearchSettings, TrainingJob, read_search
from airflow_provider_modelarts.core.json_values import JSON, child
from airflow_provider_modelarts.core.progress import SearchSnapshot
from airflow_provider_modelarts.core.trials import Trial, TrialStatus, metric_names
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsNoBestTrialError

#: Name of the search's own objective where its settings are unknown.
UNNAMED_METRIC = "objective"

_MAX_NAMED_METRICS = 20  # in a message, which must stay readable
_MAX_TOP_K = 100  # each is a record of several kilobytes in an XCom

_UNFINISHED, _MISSING, _NOT_A_NUMBER, _UNMET = "not finished", "metric missing", "not a number", "constraint not met"
_COUNTED = {
    _UNFINISHED: "{} not finished",
    _MISSING: "in {} the metric is missing",
    _NOT_A_NUMBER: "in {} it is not a number",
    _UNMET: "in {} the constraint on {!r} is not met",
}


class Scope(StrEnum):
    """Report of a trial that counts: its best one or its last one."""

    BEST = "best"
    LAST = "last"


class OnNotBetter(StrEnum):
    """Reaction to a best trial that misses the threshold."""

    SKIP = "skip"
    FAIL = "fail"


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
class SelectionOptions:
    """Options of a choice among the trials of a search.

    :param threshold: value that the best trial must be strictly better than; None for no threshold.
    """

    metric: str | None = None
    mode: Mode | None = None
    scope: Scope = Scope.BEST
    top_k: int = 1
    constraints: Mapping[str, Bound] | None = None
    threshold: float | None = None
    on_not_better: OnNotBetter = OnNotBetter.SKIP


def read_selection_options(
    *,
    metric: object,
    mode: object,
    scope: object,
    constraints: object,
    top_k: object = 1,
    only_if_better_than: object = None,
    on_not_better: object = OnNotBetter.SKIP,
) -> SelectionOptions:
    """Return the options in an operator's arguments, rendered or not.

    :raises ModelArtsConfigurationError: naming the invalid argument.
    """
    options = SelectionOptions(
        metric=coerce.optional(_metric, "metric", metric),
        mode=coerce.optional(lambda field, value: coerce.choice(field, value, Mode), "mode", mode),
        scope=coerce.choice("scope", scope, Scope),
        top_k=coerce.positive("top_k", top_k),
        constraints=coerce.optional(_bounds, "constraints", constraints),
        threshold=coerce.optional(coerce.number, "only_if_better_than", only_if_better_than),
        on_not_better=coerce.choice("on_not_better", on_not_better, OnNotBetter),
    )
    if options.top_k > _MAX_TOP_K:
        raise ModelArtsConfigurationError(f"top_k must be at most {_MAX_TOP_K}, not {options.top_k}")
    return options


def _metric(field: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise ModelArtsConfigurationError(f"{field} must be the name of a metric")


def _bounds(field: str, value: object) -> dict[str, Bound]:
    return {metric: _bound(f"{field}[{metric!r}]", bound) for metric, bound in coerce.mapping(field, value).items()}


def _bound(field: str, value: object) -> Bound:
    ends = coerce.mapping(field, value)
    if not ends or set(ends) - {"min", "max"}:
        raise ModelArtsConfigurationError(f"{field} must have min, max or both, not {', '.join(ends) or 'neither'}")
    bound = Bound(**{end: coerce.number(f"{field}.{end}", limit) for end, limit in ends.items()})
    if bound.min is not None and bound.max is not None and bound.min > bound.max:
        raise ModelArtsConfigurationError(f"{field}: min {bound.min!r} is above max {bound.max!r}")
    return bound


@dataclass(frozen=True, slots=True)
class Criterion:
    """Metric by which trials are compared, and the direction.

    :param is_objective: whether it is the search's own objective, which the platform reports in columns of its own.
        Any other metric is its last value, whatever the scope.
    """

    metric: str
    mode: Mode
    scope: Scope = Scope.BEST
    is_objective: bool = False

    def value(self, trial: Trial) -> float | None:
        """Return the trial's value; None when it has none."""
        if self.is_objective:
            return trial.best_reward if self.scope is Scope.BEST else trial.reward
        return _number(trial, self.metric)

    def is_better(self, value: float, other: float) -> bool:
        """Return whether a value is strictly better than another."""
        return value > other if self.mode is Mode.MAX else value < other


def criterion_for(
    search: SearchSettings | None,
    *,
    metric: str | None = None,
    mode: Mode | None = None,
    scope: Scope = Scope.BEST,
) -> Criterion:
    """Return the criterion of a search: its own objective, unless another metric is named.

    :param mode: required where the search does not define it; it is never guessed.
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
    mode = _mode(metric, mode, objectives)
    return Criterion(metric, mode, scope if is_objective else Scope.LAST, is_objective)


def _mode(metric: str, mode: Mode | None, objectives: Mapping[str, Objective]) -> Mode:
    objective = objectives.get(metric)
    if objective is None:
        if mode is None:
            raise ModelArtsConfigurationError(_without_mode(metric, objectives))
        return mode
    if mode is not None and mode is not objective.mode:
        raise ModelArtsConfigurationError(
            f"mode={mode.value!r} contradicts the search, which optimises {metric!r} for {objective.mode.value!r}"
        )
    return objective.mode


def _without_mode(metric: str, objectives: Collection[str]) -> str:
    if objectives:
        return (
            f"{metric!r} is not an objective of the search ({', '.join(objectives)}): check the name, or give "
            "mode='max' or 'min' for another metric"
        )
    return f"the search does not define whether more or less of {metric!r} is better: give mode='max' or 'min'"


def check_objective(body: Mapping[str, JSON], options: SelectionOptions) -> None:
    """Check before a search is created that its trials can be compared.

    :param body: of CreateTrainingJob; one that leaves the search to its algorithm is not checked.
    :raises ModelArtsConfigurationError: when the objective stays unclear.
    """
    search = read_search(child(dict(body), "algorithm", "policies", "auto_search"))
    if search is not None:
        criterion_for(search, metric=options.metric, mode=options.mode, scope=options.scope)


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


def rank_snapshot(snapshot: SearchSnapshot, options: SelectionOptions) -> Ranking:
    """Rank the trials of a search by the given options.

    :raises ModelArtsConfigurationError: when the objective stays unclear; it names the job.
    """
    job, trials = snapshot.job, snapshot.listing.trials
    if options.mode is None and not trials and job.search in {None, SearchSettings()}:
        raise ModelArtsConfigurationError(f"training job {job.id} has no readable hyperparameter search and no trials")
    with job_id_in_errors(job):
        criterion = criterion_for(job.search, metric=options.metric, mode=options.mode, scope=options.scope)
    return rank(trials, criterion, options.constraints)


@contextmanager
def job_id_in_errors(job: TrainingJob) -> Iterator[None]:
    """Put the id of a job in front of the errors of a selection."""
    try:
        yield
    except (ModelArtsConfigurationError, ModelArtsNoBestTrialError) as error:
        raise type(error)(f"training job {job.id}: {error}") from error


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


def best_so_far(trials: Sequence[Trial], search: SearchSettings | None) -> tuple[Criterion, Ranked] | None:
    """Return the trial that :func:`rank` puts first by the search's own objective, faster: for every poll of a wait.

    None when no trial competes, or the search does not define a single objective.
    """
    try:
        criterion = criterion_for(search)
    except ModelArtsConfigurationError:
        return None
    outcomes = ((trial, _qualify(trial, criterion, {})) for trial in trials)
    competing = [(value, trial) for trial, value in outcomes if not isinstance(value, Rejected)]
    if not competing:
        return None
    top = (max if criterion.mode is Mode.MAX else min)(value for value, _ in competing)
    first = [pair for pair in competing if pair[0] == top]
    value, trial = min(first, key=lambda pair: _place(pair[1]))
    return criterion, Ranked(1, trial, value, tied=len(first) > 1)


def in_order(trials: Sequence[Trial]) -> list[Trial]:
    """Return trials in the order of their creation: by index; those without one last, in row order."""
    return sorted(trials, key=_place)


def _place(trial: Trial) -> tuple[bool, int]:
    index = trial.index
    return index is None, index or 0


def _qualify(trial: Trial, criterion: Criterion, constraints: Mapping[str, Bound]) -> float | Rejected:
    if trial.status is not TrialStatus.TERMINATED:
        return Rejected(trial, _UNFINISHED, trial.status_text)
    value = criterion.value(trial)
    if value is None:
        return Rejected(trial, _MISSING, criterion.metric)
    if not math.isfinite(value):
        return Rejected(trial, _NOT_A_NUMBER, f"{criterion.metric} is {value}")
    for metric, bound in constraints.items():
        if not bound.admits(_number(trial, metric)):
            return Rejected(trial, _UNMET, metric)
    return value


def _number(trial: Trial, column: str) -> float | None:
    """Return the number in a column of a trial: of a metric, or one of the platform's own."""
    own = _OWN_NUMBERS.get(column)
    return own(trial) if own else trial.metric(column)


_OWN_NUMBERS: Mapping[str, Callable[[Trial], float | None]] = {
    "best_reward": lambda trial: trial.best_reward,
    "reward_attr": lambda trial: trial.reward,
    "time_total_s": lambda trial: trial.duration,
    "training_iteration": lambda trial: trial.training_iteration,
}


def select_best(ranking: Ranking, top_k: int = 1) -> Sequence[Ranked]:
    """Return the best trials of a ranking, at most ``top_k``, at least one.

    :raises ModelArtsNoBestTrialError: when no trial competes; it counts the trials per reason.
    """
    if ranking.ranked:
        return ranking.ranked[: max(top_k, 1)]
    metric = ranking.criterion.metric
    if not ranking.rejected:
        raise ModelArtsNoBestTrialError(f"there is no trial to choose by {metric!r}")
    raise ModelArtsNoBestTrialError(
        f"none of {len(ranking.rejected)} trials can be the best by {metric!r}: {_why_none(ranking)}"
    )


def _why_none(ranking: Ranking) -> str:
    """Return how many trials do not compete for each reason, and likely causes."""
    counts = Counter((one.reason, one.detail if one.reason == _UNMET else "") for one in ranking.rejected)
    why = ", ".join(_COUNTED[reason].format(count, detail) for (reason, detail), count in counts.items())
    trials = [one.trial for one in ranking.rejected]
    bounded = [detail for reason, detail in counts if reason == _UNMET]
    unknown = [name for name in bounded if all(_number(trial, name) is None for trial in trials)]
    why += "".join(f"; no trial reports {name!r}" for name in unknown)
    is_missing = (_MISSING, "") in counts
    if is_missing or unknown:
        why += f"; the trials report {_listed(metric_names(trials))}"
    if is_missing and ranking.criterion.is_objective:
        why += ". Check that objective.regex matches what the script prints"
    return why


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_MAX_NAMED_METRICS]) or "no metrics"
    more = len(names) - _MAX_NAMED_METRICS
    return f"{shown} and {more} more" if more > 0 else shown


def missed_threshold(ranking: Ranking, options: SelectionOptions) -> str | None:
    """Return why the best trial misses the threshold; None when it does not, or there is no threshold."""
    best = ranking.ranked[0]
    criterion = ranking.criterion
    if options.threshold is None or criterion.is_better(best.value, options.threshold):
        return None
    return (
        f"the best trial {best.trial.trial_id} has {criterion.metric}={best.value:.8g}, which is not better "
        f"({criterion.mode}) than {options.threshold:.8g}"
    )


def caveat(job: TrainingJob) -> str | None:
    """Return a warning about the best trial of a search that did not complete; None when it did."""
    if job.phase is JobPhase.COMPLETED:
        return None
    ended = job.phase.is_terminal
    effect = "only trials that ended before compete for the best" if ended else "its best trial may still change"
    return f"Training job {job.id} is {job.phase_text}: {effect}"
