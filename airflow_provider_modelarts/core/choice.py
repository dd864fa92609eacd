"""What a task wants of a search, and what it gets: the arguments of choosing, checked, and the records chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_modelarts.core import coerce
from airflow_provider_modelarts.core.flows import Look
from airflow_provider_modelarts.core.jobs import JobPhase, Mode, SearchSettings, TrainingJob, read_search
from airflow_provider_modelarts.core.progress import count_by_status
from airflow_provider_modelarts.core.records import trial_record
from airflow_provider_modelarts.core.selection import Bound, Ranking, Scope, criterion_for, rank, select_best
from airflow_provider_modelarts.core.shapes import JSON, child
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsNoBestTrialError

_MOST_TRIALS = 100


class OnNotBetter(StrEnum):
    """What to do when the best trial does not clear the bar."""

    SKIP = "skip"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Wish:
    """How to choose among the trials of a search.

    :param bar: the value that the best trial must be strictly better than; None for no bar.
    """

    metric: str | None = None
    mode: Mode | None = None
    scope: Scope = Scope.BEST
    top_k: int = 1
    constraints: Mapping[str, Bound] | None = None
    bar: float | None = None
    on_not_better: OnNotBetter = OnNotBetter.SKIP


def read_wish(
    *,
    metric: object,
    mode: object,
    scope: object,
    constraints: object,
    top_k: object = 1,
    only_if_better_than: object = None,
    on_not_better: object = OnNotBetter.SKIP,
) -> Wish:
    """Return the wish that an operator's arguments express, rendered or not.

    :raises ModelArtsConfigurationError: naming the argument that is wrong.
    """
    wish = Wish(
        metric=coerce.optional(_metric, "metric", metric),
        mode=coerce.optional(lambda field, value: coerce.choice(field, value, Mode), "mode", mode),
        scope=coerce.choice("scope", scope, Scope),
        top_k=coerce.positive("top_k", top_k),
        constraints=coerce.optional(_bounds, "constraints", constraints),
        bar=coerce.optional(coerce.number, "only_if_better_than", only_if_better_than),
        on_not_better=coerce.choice("on_not_better", on_not_better, OnNotBetter),
    )
    if wish.top_k > _MOST_TRIALS:
        raise ModelArtsConfigurationError(f"top_k must be at most {_MOST_TRIALS}, not {wish.top_k}")
    return wish


def check_choice(body: Mapping[str, JSON], wish: Wish) -> None:
    """Check that it will be clear what to compare the trials of a search by, before it is created.

    :param body: of CreateTrainingJob; one that leaves the search to its algorithm tells nothing.
    :raises ModelArtsConfigurationError: when it is not clear.
    """
    search = read_search(child(dict(body), "algorithm", "policies", "auto_search"))
    if search is not None:
        criterion_for(search, metric=wish.metric, mode=wish.mode, scope=wish.scope)


def ranking_of(look: Look, wish: Wish) -> Ranking:
    """Return the trials of a search ranked as wished.

    :raises ModelArtsConfigurationError: when it is not clear what to compare by; it names the job.
    """
    job, trials = look.job, look.listing.trials
    if wish.mode is None and not trials and job.search in {None, SearchSettings()}:
        raise ModelArtsConfigurationError(
            f"training job {job.id} has no hyperparameter search that can be read, and no trials"
        )
    with _errors_naming(job):
        criterion = criterion_for(job.search, metric=wish.metric, mode=wish.mode, scope=wish.scope)
    return rank(trials, criterion, wish.constraints)


def caveat(job: TrainingJob) -> str | None:
    """Return what to say beside the best trial of a search that did not run to its end; None when it did."""
    if job.phase is JobPhase.COMPLETED:
        return None
    what = "its best is that of the trials that ended before" if job.phase.is_terminal else "its best may yet change"
    return f"Training job {job.id} is {job.phase_text}: {what}"


def chosen_records(look: Look, ranking: Ranking, wish: Wish) -> list[dict[str, JSON]]:
    """Return the records of the best trials, best first.

    :raises ModelArtsNoBestTrialError: when no trial competes; it names the job.
    :raises ModelArtsProtocolError: when the config of one of them cannot be handed on.
    """
    counts = count_by_status(look.listing.trials)
    with _errors_naming(look.job):
        best = select_best(ranking, wish.top_k)
    return [trial_record(look.job, ranked, ranking.criterion, counts) for ranked in best]


@contextmanager
def _errors_naming(job: TrainingJob) -> Iterator[None]:
    try:
        yield
    except (ModelArtsConfigurationError, ModelArtsNoBestTrialError) as error:
        raise type(error)(f"training job {job.id}: {error}") from error


def shortfall(ranking: Ranking, wish: Wish) -> str | None:
    """Return why the best trial does not clear the bar; None when it does or there is none."""
    best = ranking.ranked[0]
    criterion = ranking.criterion
    if wish.bar is None or criterion.is_better(best.value, wish.bar):
        return None
    return (
        f"the best trial {best.trial.trial_id} has {criterion.metric}={best.value:.8g}, which is not better "
        f"({criterion.mode}) than {wish.bar:.8g}"
    )


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
