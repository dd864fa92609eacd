"""Ranking of trials, compared with a count of the better trials."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.builders import quick, search, trial

from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.selection import (
    Bound,
    Criterion,
    Scope,
    best_so_far,
    criterion_for,
    rank,
    select_best,
)

# few values, so that trials tie and equal the ends of bounds; both zeros are the same value
values = st.sampled_from([-1.5, -0.0, 0.0, 0.0, 0.25, 0.25, math.nan, math.inf])
some = values | st.sampled_from([None, 0.25, -math.inf])
metrics = st.fixed_dictionaries({"loss": values}, optional={"acc": values})
ends = st.sampled_from([None, None, -1.5, 0.0, 0.25])

trials_of_a_search = st.lists(
    st.builds(
        trial,
        st.just("t"),
        st.sampled_from([*["TERMINATED"] * 6, "terminated", "RUNNING", "ERROR", "STOPPED"]),
        some,
        reward=some,
        metrics=metrics,
        duration=some,
        index=st.sampled_from([None, -1, 0, 1, 2, 3]),
    ),
    max_size=10,
)
criteria = st.builds(
    Criterion,
    st.sampled_from(["loss", "loss", "acc", "time_total_s", "best_reward"]),
    st.sampled_from(Mode),
    st.sampled_from(Scope),
    is_objective=st.booleans(),
)
constraints = st.dictionaries(
    st.sampled_from(["acc", "loss", "time_total_s", "reward_attr"]), st.builds(Bound, ends, ends), max_size=2
)


def number(some_trial, name):
    """Return the number in a column of a trial."""
    own = {"time_total_s": some_trial.duration, "best_reward": some_trial.best_reward, "reward_attr": some_trial.reward}
    return some_trial.metrics.get(name, own.get(name))


def value_of(some_trial, criterion):
    """Return the value by which a trial is compared; None if it is not a finite number."""
    name = criterion.metric
    if criterion.is_objective:
        name = "best_reward" if criterion.scope is Scope.BEST else "reward_attr"
    value = number(some_trial, name)
    return value if value is not None and math.isfinite(value) else None


def is_within(value, bound):
    """Return whether a value is between two ends; a missing value and NaN are not."""
    low = -math.inf if bound.min is None else bound.min
    high = math.inf if bound.max is None else bound.max
    return value is not None and low <= value <= high


@settings(quick, max_examples=300)
@given(trials_of_a_search, criteria, constraints)
def test_rank_counts_the_better_trials(trials, criterion, bounds):
    """A rank is one more than the number of trials that are better by value, then by index, then by row."""
    sign = -1 if criterion.mode is Mode.MAX else 1
    fit = {
        row: (sign * value, math.inf if one.index is None else one.index, row)
        for row, one in enumerate(trials)
        if one.status_text.upper() == "TERMINATED"
        and (value := value_of(one, criterion)) is not None
        and all(is_within(number(one, name), bound) for name, bound in bounds.items())
    }
    expected = {row: 1 + sum(other < key for other in fit.values()) for row, key in fit.items()}

    ranking = rank(trials, criterion, bounds)

    row_of = {id(one): row for row, one in enumerate(trials)}
    assert {row_of[id(ranked.trial)]: ranked.rank for ranked in ranking.ranked} == expected
    assert {row_of[id(out.trial)] for out in ranking.rejected} == set(range(len(trials))) - set(expected)
    for ranked in ranking.ranked:
        equal = [key for key in fit.values() if key[0] == sign * ranked.value]
        assert ranked.tied == (len(equal) > 1)
        assert ranked.value == value_of(ranked.trial, criterion)


@quick
@given(trials_of_a_search, criteria, st.integers(1, 12))
def test_chosen_trials_are_the_first_of_the_ranking(trials, criterion, top_k):
    """The best ``top_k`` trials come first in the ranking, and no other trial beats the last of them."""
    ranking = rank(trials, criterion)
    if not ranking.ranked:
        return

    chosen = select_best(ranking, top_k)

    left_out = ranking.ranked[len(chosen) :]
    assert [ranked.rank for ranked in chosen] == list(range(1, len(chosen) + 1))
    assert len(chosen) == min(top_k, len(ranking.ranked))
    assert not any(criterion.is_better(ranked.value, chosen[-1].value) for ranked in left_out)


@settings(quick, max_examples=300)
@given(trials_of_a_search, st.sampled_from(Mode))
def test_best_so_far_is_the_first_of_the_ranking(trials, mode):
    """The best trial in the log of a waiting task is the first of the ranking, also among ties."""
    objective = search(acc=mode)
    ranking = rank(trials, criterion_for(objective))

    found = best_so_far(trials, objective)

    assert found == ((ranking.criterion, ranking.ranked[0]) if ranking.ranked else None)
    assert found is None or found[1].trial is ranking.ranked[0].trial
