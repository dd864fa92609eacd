"""Selection of the best trials."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import documented, quick, search, trial

from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.selection import (
    UNNAMED_METRIC,
    Bound,
    Criterion,
    Scope,
    criterion_for,
    rank,
    select_best,
)
from airflow_provider_modelarts.core.trials import TrialStatus, read_page
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsNoBestTrialError

MAX, MIN = Mode.MAX, Mode.MIN
OBJECTIVE_MAX = Criterion("acc", MAX, is_objective=True)
OBJECTIVE_MIN = Criterion("loss", MIN, is_objective=True)
ACC = Criterion("acc", MAX)


def ids(ranking):
    """Return the ids of the ranked trials, best first."""
    return [ranked.trial.trial_id for ranked in ranking.ranked]


def with_best(*values, **fields):
    """Return one trial per best value, named and indexed in order."""
    return [trial(f"t{index}", best=value, index=index, **fields) for index, value in enumerate(values)]


@pytest.mark.parametrize("scope", Scope)
def test_best_trial_of_the_documented_response(scope):
    """The best documented trial by the search's own objective, maximised, is ae5503c0."""
    trials = read_page(documented("list_trials")).trials

    (best,) = select_best(rank(trials, criterion_for(search(acc="max"), scope=scope)))

    assert (best.rank, best.trial.trial_id, best.value, best.tied) == (1, "ae5503c0", 0.25, False)
    assert best.trial.config == {"batch_size": 32, "learning_rate": 0.0340820322164706}
    assert [type(value) for value in best.trial.config.values()] == [int, float]


def test_best_trial_of_the_documented_response_by_loss():
    """The best documented trial by loss, minimised, is bef5c584, whose loss is a tensor."""
    trials = read_page(documented("list_trials")).trials

    (best,) = select_best(rank(trials, criterion_for(None, metric="loss", mode=MIN)))

    assert (best.trial.trial_id, best.value) == ("bef5c584", 0.0381)


def test_ranking_of_the_documented_response():
    """All eight documented trials are ranked, and tied trials keep the order of their indices."""
    trials = read_page(documented("list_trials")).trials

    ranking = rank(trials, OBJECTIVE_MAX)

    assert ids(ranking) == "ae5503c0 ae54c0ea bef578f4 bef46590 ae544174 bef60684 bef5c584 ae548666".split()
    assert [ranked.tied for ranked in ranking.ranked] == [False, True, True, False, True, True, False, False]


@pytest.mark.parametrize(
    ("settings", "options", "criterion"),
    [
        (search(acc="max"), {}, Criterion("acc", MAX, Scope.BEST, is_objective=True)),
        (search(loss="min"), {}, Criterion("loss", MIN, Scope.BEST, is_objective=True)),
        (search(acc="max"), {"scope": Scope.LAST}, Criterion("acc", MAX, Scope.LAST, is_objective=True)),
        (search(acc="max"), {"mode": MAX}, Criterion("acc", MAX, is_objective=True)),
        (search(acc="max"), {"metric": "acc"}, Criterion("acc", MAX, is_objective=True)),
        (search(acc="max"), {"metric": "acc", "mode": MAX}, Criterion("acc", MAX, is_objective=True)),
        (search(acc="max"), {"metric": "loss", "mode": MIN}, Criterion("loss", MIN, Scope.LAST)),
        (search(acc="max", loss="min"), {"metric": "loss"}, Criterion("loss", MIN, Scope.LAST)),
        (search(acc="max", loss="min"), {"metric": "f1", "mode": MAX}, Criterion("f1", MAX, Scope.LAST)),
        (search(), {"mode": MIN}, Criterion(UNNAMED_METRIC, MIN, is_objective=True)),
        (None, {"mode": MAX}, Criterion(UNNAMED_METRIC, MAX, is_objective=True)),
        (None, {"metric": "acc", "mode": MAX}, Criterion("acc", MAX, Scope.LAST)),
    ],
)
def test_criterion_for_a_search(settings, options, criterion):
    """Metric and mode come from the search's own objective unless another metric is given."""
    assert criterion_for(settings, **options) == criterion


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (search(acc="max", loss="min"), {}, r"several objectives \(acc, loss\): name one with metric="),
        (search(acc="max", loss="min"), {"mode": MAX}, r"several objectives \(acc, loss\)"),
        (search(acc="max"), {"mode": MIN}, "mode='min' contradicts the search, which optimises 'acc' for 'max'"),
        (search(acc="max"), {"metric": "acc", "mode": MIN}, "contradicts the search"),
        (search(acc="max", loss="min"), {"metric": "loss", "mode": MAX}, "optimises 'loss' for 'min'"),
        (
            search(acc="max"),
            {"metric": "accuracy"},
            r"^'accuracy' is not an objective of the search \(acc\): check the name, or give mode=",
        ),
        (search(acc="max", loss="min"), {"metric": "f1"}, r"'f1' is not an objective of the search \(acc, loss\)"),
        (search(), {"metric": "loss"}, "whether more or less of 'loss' is better: give mode="),
        (search(), {}, "give mode="),
        (None, {}, "give mode="),
        (None, {"metric": "acc"}, "more or less of 'acc'"),
    ],
)
def test_criterion_for_an_unclear_objective(settings, options, message):
    """An unclear objective raises an error that names the required argument; nothing is guessed."""
    with pytest.raises(ModelArtsConfigurationError, match=message):
        criterion_for(settings, **options)


@pytest.mark.parametrize(
    ("criterion", "value"),
    [
        (Criterion("acc", MAX, Scope.BEST, is_objective=True), 0.9),
        (Criterion("acc", MAX, Scope.LAST, is_objective=True), 0.8),
        (Criterion("acc", MAX, Scope.BEST), 0.7),
        (Criterion("acc", MAX, Scope.LAST), 0.7),
        (Criterion("best_reward", MAX), 0.9),
        (Criterion("reward_attr", MAX), 0.8),
        (Criterion("time_total_s", MIN), 12.5),
        (Criterion("training_iteration", MIN), 4),
        (Criterion("f1", MAX), None),
    ],
)
def test_value_of_a_trial(criterion, value):
    """The scope selects the best or the last report of the objective; any other metric is its last value."""
    some = trial("t", best=0.9, reward=0.8, metrics={"acc": 0.7}, duration=12.5, training_iteration=4)

    assert criterion.value(some) == value


@pytest.mark.parametrize(
    ("mode", "value", "other", "better"),
    [
        (MAX, 2.0, 1.0, True),
        (MAX, 1.0, 2.0, False),
        (MIN, 1.0, 2.0, True),
        (MIN, 2.0, 1.0, False),
        (MAX, 1.0, 1.0, False),
        (MIN, 1.0, 1.0, False),
        (MAX, math.nan, 1.0, False),
        (MIN, math.nan, 1.0, False),
    ],
)
def test_is_better(mode, value, other, better):
    """A value is better only if it is strictly better, and NaN never is."""
    assert Criterion("acc", mode).is_better(value, other) is better


@pytest.mark.parametrize(
    ("criterion", "order"),
    [(OBJECTIVE_MAX, ["t2", "t0", "t3", "t1"]), (OBJECTIVE_MIN, ["t1", "t3", "t0", "t2"])],
)
def test_ranking_by_mode(criterion, order):
    """The mode decides whether the highest or the lowest value is best, also below zero."""
    assert ids(rank(with_best(0.5, -3.0, 0.75, -0.25), criterion)) == order


def test_ranking_numbers():
    """Ranks count from 1, without a gap after a tie."""
    ranking = rank(with_best(1.0, 3.0, 3.0, 2.0), OBJECTIVE_MAX)

    assert [(ranked.rank, ranked.trial.trial_id, ranked.value, ranked.tied) for ranked in ranking.ranked] == [
        (1, "t1", 3.0, True),
        (2, "t2", 3.0, True),
        (3, "t3", 2.0, False),
        (4, "t0", 1.0, False),
    ]


@pytest.mark.parametrize("criterion", [OBJECTIVE_MAX, OBJECTIVE_MIN])
@pytest.mark.parametrize(
    ("indices", "order"),
    [
        ([2, 1, 0], ["t2", "t1", "t0"]),
        ([0, 10, 9], ["t0", "t2", "t1"]),
        ([None, None, None], ["t0", "t1", "t2"]),
        ([None, 5, 3], ["t2", "t1", "t0"]),
        ([None, 0, None], ["t1", "t0", "t2"]),
        ([1, 1, 0], ["t2", "t0", "t1"]),
    ],
)
def test_ranking_of_ties(indices, order, criterion):
    """Ties go to the lowest index in either mode; trials without an index follow in row order."""
    tied = [trial(f"t{place}", best=0.5, index=index) for place, index in enumerate(indices)]

    assert ids(rank(tied, criterion)) == order


def test_ranking_of_both_zeros():
    """Zero and minus zero are the same value."""
    assert [ranked.tied for ranked in rank(with_best(0.0, -0.0), OBJECTIVE_MIN).ranked] == [True, True]


@pytest.mark.parametrize(
    ("rejected", "reason", "detail"),
    [
        (trial("x", "RUNNING", best=0.9), "not finished", "RUNNING"),
        (trial("x", "ERROR", best=0.9), "not finished", "ERROR"),
        (trial("x", "PENDING"), "not finished", "PENDING"),
        (trial("x", "STOPPED", best=0.9, done=True), "not finished", "STOPPED"),
        (trial("x"), "metric missing", "acc"),
        (trial("x", best=math.nan), "not a number", "acc is nan"),
        (trial("x", best=math.inf), "not a number", "acc is inf"),
        (trial("x", best=-math.inf), "not a number", "acc is -inf"),
        (trial("x", best=0.9, metrics={"loss": 0.5}), "constraint not met", "loss"),
        (trial("x", best=0.9), "constraint not met", "loss"),
        (trial("x", best=0.9, metrics={"loss": math.nan}), "constraint not met", "loss"),
    ],
)
def test_ranking_with_a_rejected_trial(rejected, reason, detail):
    """A rejected trial is kept with its reason, and the other trials are ranked without it."""
    good = trial("good", best=0.1, metrics={"loss": 0.01})

    ranking = rank([rejected, good], OBJECTIVE_MAX, {"loss": Bound(max=0.1)})

    assert ids(ranking) == ["good"]
    assert [(out.trial.trial_id, out.reason, out.detail) for out in ranking.rejected] == [("x", reason, detail)]


@pytest.mark.parametrize(
    ("bound", "value", "admitted"),
    [
        (Bound(max=0.1), 0.1, True),
        (Bound(max=0.1), 0.11, False),
        (Bound(min=0.1), 0.1, True),
        (Bound(min=0.1), 0.09, False),
        (Bound(min=0.0, max=1.0), 0.5, True),
        (Bound(min=0.0, max=1.0), -0.5, False),
        (Bound(min=0.0, max=1.0), 1.5, False),
        (Bound(max=0.0), -5.0, True),
        (Bound(max=0.1), None, False),
        (Bound(max=0.1), math.nan, False),
        (Bound(max=0.1), math.inf, False),
        (Bound(), 5.0, True),
        (Bound(), None, False),
        (Bound(), math.nan, False),
    ],
)
def test_bound_admits(bound, value, admitted):
    """A bound includes its ends and never admits a missing value or NaN."""
    assert bound.admits(value) is admitted


def test_ranking_with_constraints_on_columns_of_the_platform():
    """A constraint may be on a column of the platform, such as the duration of a trial."""
    trials = [trial("slow", best=0.9, duration=100.0), trial("fast", best=0.8, duration=10.0)]

    assert ids(rank(trials, OBJECTIVE_MAX, {"time_total_s": Bound(max=50)})) == ["fast"]


def test_ranking_with_several_constraints():
    """A trial must meet all constraints."""
    trials = [
        trial("a", best=0.9, metrics={"loss": 0.05, "f1": 0.1}),
        trial("b", best=0.8, metrics={"loss": 0.5, "f1": 0.9}),
        trial("c", best=0.7, metrics={"loss": 0.05, "f1": 0.9}),
    ]

    assert ids(rank(trials, OBJECTIVE_MAX, {"loss": Bound(max=0.1), "f1": Bound(min=0.5)})) == ["c"]


@pytest.mark.parametrize(
    ("top_k", "chosen"),
    [(1, ["t2"]), (2, ["t2", "t0"]), (3, ["t2", "t0", "t1"]), (10, ["t2", "t0", "t1"])],
)
def test_select_best_top_k(top_k, chosen):
    """The best ``top_k`` trials are selected, or all if there are fewer."""
    ranking = rank(with_best(0.5, 0.25, 0.75), OBJECTIVE_MAX)

    assert [ranked.trial.trial_id for ranked in select_best(ranking, top_k)] == chosen


def test_select_best_of_no_trials():
    """A selection among no trials raises an error that names the metric."""
    with pytest.raises(ModelArtsNoBestTrialError, match="there is no trial to choose by 'acc'"):
        select_best(rank([], OBJECTIVE_MAX))


def test_select_best_counts_reasons():
    """The error counts the rejected trials per reason and lists the reported metrics."""
    trials = [
        trial("a", "RUNNING"),
        trial("b", "ERROR"),
        trial("c", metrics={"loss": 0.1, "f1": 0.2}),
        trial("d", metrics={"acc": math.nan}),
        trial("e", metrics={"acc": 0.5}),
    ]

    with pytest.raises(ModelArtsNoBestTrialError) as caught:
        select_best(rank(trials, ACC, {"loss": Bound(max=0.1)}))

    assert str(caught.value) == (
        "none of 5 trials can be the best by 'acc': 2 not finished, in 1 the metric is missing, "
        "in 1 it is not a number, in 1 the constraint on 'loss' is not met; the trials report acc, f1, loss"
    )


ADVICE = ". Check that objective.regex matches what the script prints"
WITHOUT_METRICS = [trial("a"), trial("b")]
OUT_OF_BOUNDS = [
    trial("a", best=1.0, metrics={"loss": 0.5}),
    trial("b", best=1.0, metrics={"f1": 0.5, "loss": math.nan}),
]


@pytest.mark.parametrize(
    ("trials", "criterion", "bounds", "message"),
    [
        (WITHOUT_METRICS, ACC, {}, "in 2 the metric is missing; the trials report no metrics"),
        (
            WITHOUT_METRICS,
            OBJECTIVE_MAX,
            {},
            f"in 2 the metric is missing; the trials report no metrics{ADVICE}",
        ),
        (OUT_OF_BOUNDS, OBJECTIVE_MAX, {"loss": Bound(max=0.1)}, "in 2 the constraint on 'loss' is not met"),
        (
            OUT_OF_BOUNDS,
            OBJECTIVE_MAX,
            {"loss": Bound(max=0.5), "f1": Bound(max=0.1)},
            "in 1 the constraint on 'f1' is not met, in 1 the constraint on 'loss' is not met",
        ),
        (
            OUT_OF_BOUNDS,
            OBJECTIVE_MAX,
            {"los": Bound(max=0.1)},
            "in 2 the constraint on 'los' is not met; no trial reports 'los'; the trials report f1, loss",
        ),
        (
            OUT_OF_BOUNDS,
            OBJECTIVE_MAX,
            {"best_reward": Bound(max=0.1)},
            "in 2 the constraint on 'best_reward' is not met",
        ),
    ],
)
def test_select_best_names_likely_causes(trials, criterion, bounds, message):
    """The error names unmet constraints and unreported metrics, and suspects the regex of a missing objective."""
    with pytest.raises(ModelArtsNoBestTrialError) as caught:
        select_best(rank(trials, criterion, bounds))

    assert str(caught.value) == f"none of 2 trials can be the best by 'acc': {message}"


def test_select_best_lists_twenty_metrics():
    """The error lists twenty metrics, so that the advice at its end is not cut off."""
    with pytest.raises(ModelArtsNoBestTrialError, match=r"m18, m19 and 5 more\. Check that objective\.regex matches"):
        select_best(rank([trial(metrics={f"m{n:02}": 1.0 for n in range(25)})], OBJECTIVE_MAX))


generated_trials = st.lists(
    st.tuples(
        st.sampled_from(["TERMINATED", "TERMINATED", "TERMINATED", "RUNNING", "ERROR", "STOPPED"]),
        st.none() | st.sampled_from([-1.0, 0.0, 0.5, math.nan, math.inf, -math.inf]) | st.floats(),
    ),
    max_size=12,
).flatmap(lambda rows: st.permutations(list(enumerate(rows))))


@quick
@given(generated_trials, st.sampled_from(Mode))
def test_select_best_against_brute_force(rows, mode):
    """The best trial is the one that no other trial beats by value, or by index for equal values."""
    trials = [trial(f"t{index}", status, best, index=index) for index, (status, best) in rows]

    fit = [t for t in trials if t.status is TrialStatus.TERMINATED and t.best_reward is not None]
    key = {t.trial_id: (t.best_reward if mode is MIN else -t.best_reward, t.index) for t in fit}
    fit = [t for t in fit if math.isfinite(t.best_reward)]
    expected = [t.trial_id for t in fit if all(key[t.trial_id] <= key[other.trial_id] for other in fit)]

    ranking = rank(trials, Criterion("acc", mode, is_objective=True))

    assert ids(ranking)[:1] == expected
    assert len(ranking.ranked) == len(fit)
    assert len(ranking.ranked) + len(ranking.rejected) == len(trials)
