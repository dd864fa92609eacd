"""Arguments of the choice, and records of the chosen trials."""

from __future__ import annotations

import pytest
from unit.builders import job, search, trial

from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.progress import Listing, SearchSnapshot
from airflow_provider_modelarts.core.selection import (
    Bound,
    Criterion,
    OnNotBetter,
    Scope,
    SelectionOptions,
    caveat,
    missed_threshold,
    rank_snapshot,
    read_selection_options,
)
from airflow_provider_modelarts.core.xcom import chosen_records
from airflow_provider_modelarts.exceptions import (
    ModelArtsConfigurationError,
    ModelArtsNoBestTrialError,
    ModelArtsProtocolError,
)

DEFAULTS = {
    "metric": None,
    "mode": None,
    "scope": "best",
    "top_k": 1,
    "constraints": None,
    "only_if_better_than": None,
    "on_not_better": "skip",
}


def wish_of(**arguments):
    """Return the wish of an operator with its defaults, but for some arguments."""
    return read_selection_options(**{**DEFAULTS, **arguments})


def look_at(*trials, **objectives):
    """Return a look at a Completed search that optimises acc for max, unless said otherwise."""
    return SearchSnapshot(
        job("Completed", search=search(**(objectives or {"acc": "max"}))), Listing(trials, len(trials))
    )


THREE = look_at(
    trial("t0", best=0.5, config={"lr": 0.1}, metrics={"loss": 0.3}),
    trial("t1", best=0.9, config={"lr": 0.2}, metrics={"loss": 0.2}),
    trial("t2", best=0.7, config={"lr": 0.3}, metrics={"loss": 0.1}),
    trial("t3", "ERROR", config={"lr": 0.4}),
)


def test_wish_of_the_defaults():
    """The default is the one best trial by the search's own objective, without any condition."""
    assert wish_of() == SelectionOptions(None, None, Scope.BEST, 1, None, None, OnNotBetter.SKIP)


@pytest.mark.parametrize(
    ("argument", "value", "field", "understood"),
    [
        ("metric", "loss", "metric", "loss"),
        ("metric", "", "metric", None),
        ("metric", "None", "metric", None),
        ("mode", "min", "mode", Mode.MIN),
        ("mode", "MAX", "mode", Mode.MAX),
        ("mode", Mode.MIN, "mode", Mode.MIN),
        ("mode", "", "mode", None),
        ("mode", "None", "mode", None),
        ("scope", "last", "scope", Scope.LAST),
        ("scope", "Best", "scope", Scope.BEST),
        ("top_k", 3, "top_k", 3),
        ("top_k", "3", "top_k", 3),
        ("top_k", 3.0, "top_k", 3),
        ("top_k", 100, "top_k", 100),
        ("constraints", None, "constraints", None),
        ("constraints", "", "constraints", None),
        ("constraints", {}, "constraints", {}),
        ("constraints", {"loss": {"max": 0.1}}, "constraints", {"loss": Bound(max=0.1)}),
        ("constraints", {"loss": {"max": 1, "min": 1}}, "constraints", {"loss": Bound(min=1.0, max=1.0)}),
        ("constraints", {"loss": {"min": "0"}}, "constraints", {"loss": Bound(min=0.0)}),
        ("constraints", '{"loss": {"max": 0.1, "min": 0}}', "constraints", {"loss": Bound(min=0.0, max=0.1)}),
        (
            "constraints",
            {"loss": {"max": 1}, "f1": '{"min": 0.5}'},
            "constraints",
            {"loss": Bound(max=1.0), "f1": Bound(min=0.5)},
        ),
        ("only_if_better_than", 0.9, "threshold", 0.9),
        ("only_if_better_than", "0.9", "threshold", 0.9),
        ("only_if_better_than", 0, "threshold", 0.0),
        ("only_if_better_than", "0", "threshold", 0.0),
        ("only_if_better_than", "", "threshold", None),
        ("only_if_better_than", "None", "threshold", None),
        ("on_not_better", "fail", "on_not_better", OnNotBetter.FAIL),
        ("on_not_better", "SKIP", "on_not_better", OnNotBetter.SKIP),
    ],
)
def test_wish_of_an_argument(argument, value, field, understood):
    """Arguments are taken with their types, as the text that templates render, and as JSON text."""
    assert getattr(wish_of(**{argument: value}), field) == understood


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("metric", 7, "metric must be the name of a metric"),
        ("metric", ["acc"], "metric must be the name of a metric"),
        ("mode", "up", "mode must be 'max' or 'min', not 'up'"),
        ("mode", 1, "mode must be 'max' or 'min', not 1"),
        ("scope", "first", "scope must be 'best' or 'last', not 'first'"),
        ("scope", None, "scope must be 'best' or 'last', not None"),
        ("top_k", 0, "top_k must be a whole number, at least 1, not 0"),
        ("top_k", "two", "top_k must be a number, not 'two'"),
        ("top_k", None, "top_k must be a number, not None"),
        ("top_k", 1.5, "top_k must be a whole number, at least 1, not 1.5"),
        ("top_k", 101, "top_k must be at most 100, not 101"),
        ("constraints", "loss < 1", "constraints must be a mapping or a JSON object, not 'loss < 1'"),
        ("constraints", [], "constraints must be a mapping or a JSON object, not a list of 0"),
        ("constraints", {"loss": 0.1}, "constraints['loss'] must be a mapping or a JSON object, not 0.1"),
        ("constraints", {"loss": {}}, "constraints['loss'] must have min, max or both, not neither"),
        ("constraints", {"loss": {"below": 1}}, "constraints['loss'] must have min, max or both, not below"),
        (
            "constraints",
            {"loss": {"min": 0, "maximum": 1}},
            "constraints['loss'] must have min, max or both, not min, maximum",
        ),
        ("constraints", {"loss": {"max": "low"}}, "constraints['loss'].max must be a number, not 'low'"),
        ("constraints", {"loss": {"max": None}}, "constraints['loss'].max must be a number, not None"),
        ("constraints", {"a": {"max": 1}, "b": {"min": []}}, "constraints['b'].min must be a number, not a list of 0"),
        ("only_if_better_than", "nan", "only_if_better_than must be a number, not 'nan'"),
        ("only_if_better_than", "high", "only_if_better_than must be a number, not 'high'"),
        ("only_if_better_than", True, "only_if_better_than must be a number, not True"),
        ("on_not_better", "retry", "on_not_better must be 'skip' or 'fail', not 'retry'"),
    ],
)
def test_wish_of_a_wrong_argument(argument, value, said):
    """What cannot be meant is refused before anything is asked for, naming the argument."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        wish_of(**{argument: value})

    assert str(caught.value) == said


def test_wish_of_a_bound_that_nothing_can_meet():
    """A minimum above the maximum is a slip of the pen, not a wish."""
    with pytest.raises(ModelArtsConfigurationError, match=r"constraints\['loss'\]"):
        wish_of(constraints={"loss": {"min": 1, "max": 0}})


@pytest.mark.parametrize(
    ("arguments", "criterion"),
    [
        ({}, Criterion("acc", Mode.MAX, Scope.BEST, is_objective=True)),
        ({"scope": "last"}, Criterion("acc", Mode.MAX, Scope.LAST, is_objective=True)),
        ({"metric": "loss", "mode": "min"}, Criterion("loss", Mode.MIN, Scope.LAST)),
    ],
)
def test_ranking_compares_as_wished(arguments, criterion):
    """Metric, mode and scope of the wish reach the comparison."""
    assert rank_snapshot(THREE, wish_of(**arguments)).criterion == criterion


def test_ranking_meets_the_constraints_as_wished():
    """Constraints of the wish reach the ranking: the best trial by acc loses too much."""
    ranking = rank_snapshot(THREE, wish_of(constraints={"loss": {"max": 0.15}}))

    assert [ranked.trial.trial_id for ranked in ranking.ranked] == ["t2"]


def test_ranking_of_an_unclear_search():
    """A search with two objectives needs a metric; the job is named."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^training job job-1: the search has several objectives"):
        rank_snapshot(look_at(trial(), acc="max", loss="min"), wish_of())


@pytest.mark.parametrize("settings", [None, search()])
def test_ranking_of_a_job_without_a_search(settings):
    """The id of a plain training job in place of a search's is an error of its own."""
    look = SearchSnapshot(job("Completed", search=settings), Listing())

    with pytest.raises(ModelArtsConfigurationError, match=r"^training job job-1 has no readable hyperparameter search"):
        rank_snapshot(look, wish_of())


@pytest.mark.parametrize(
    ("settings", "trials", "said"),
    [
        (search(), [trial()], "training job job-1: the search does not define whether more or less of 'objective'"),
        (search(8), [], "training job job-1: the search does not define whether more or less of 'objective'"),
    ],
)
def test_ranking_of_a_search_whose_objective_nobody_tells(settings, trials, said):
    """Trials or a number of trials show that it is one."""
    with pytest.raises(ModelArtsConfigurationError, match=said):
        rank_snapshot(SearchSnapshot(job("Completed", search=settings), Listing(trials, len(trials))), wish_of())


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        ("Completed", None),
        ("Pending", "Training job job-1 is Pending: its best trial may still change"),
        ("Running", "Training job job-1 is Running: its best trial may still change"),
        ("Terminating", "Training job job-1 is Terminating: its best trial may still change"),
        ("Hibernating", "Training job job-1 is Hibernating: its best trial may still change"),
        ("Failed", "Training job job-1 is Failed: only trials that ended before compete for the best"),
        ("Abnormal", "Training job job-1 is Abnormal: only trials that ended before compete for the best"),
        ("Terminated", "Training job job-1 is Terminated: only trials that ended before compete for the best"),
    ],
)
def test_caveat_of_a_search_that_did_not_run_to_its_end(phase, said):
    """Only the best of a Completed search needs no words beside it."""
    assert caveat(job(phase)) == said


def test_chosen_records_best_first():
    """As many records as wished, the best first, each with its rank."""
    wish = wish_of(top_k=2)

    records = chosen_records(THREE, rank_snapshot(THREE, wish), wish)

    assert [(record["rank"], record["trial_id"], record["value"]) for record in records] == [
        (1, "t1", 0.9),
        (2, "t2", 0.7),
    ]


def test_chosen_records_count_all_trials():
    """Each record names the job and counts all its trials, also those that do not compete."""
    (record,) = chosen_records(THREE, rank_snapshot(THREE, wish_of()), wish_of())

    assert record["training_job_id"] == "job-1"
    assert record["trial_counts"] == {"ERROR": 1, "TERMINATED": 3}


def test_chosen_records_of_fewer_trials_than_wished():
    """Where fewer trials compete than were wished for, all of them are chosen."""
    wish = wish_of(top_k=50)

    assert len(chosen_records(THREE, rank_snapshot(THREE, wish), wish)) == 3


def test_chosen_records_where_no_trial_competes():
    """Without a trial that competes there is an error, not an empty list."""
    look = look_at(trial("t0", "ERROR"))

    with pytest.raises(ModelArtsNoBestTrialError, match=r"^training job job-1: none of 1 trials .* 1 not finished"):
        chosen_records(look, rank_snapshot(look, wish_of()), wish_of())


@pytest.mark.parametrize("top_k", [2, 3])
def test_chosen_records_with_a_config_that_cannot_be_handed_on(top_k):
    """One record that cannot be handed on fails them all; the next best is not taken in its place."""
    look = look_at(trial("t0", best=0.9, config={}), trial("t1", best=0.8), trial("t2", best=0.7, config={}))
    wish = wish_of(top_k=top_k)

    with pytest.raises(ModelArtsProtocolError, match="trial t1 is missing"):
        chosen_records(look, rank_snapshot(look, wish), wish)


def test_chosen_records_do_not_look_at_the_others():
    """The config of a trial that is not chosen need not be readable."""
    look = look_at(trial("t0", best=0.9, config={}), trial("t1", best=0.8))

    assert len(chosen_records(look, rank_snapshot(look, wish_of()), wish_of())) == 1


@pytest.mark.parametrize(
    ("objective", "bar", "said"),
    [
        ("max", 0.91, "the best trial t1 has acc=0.9, which is not better (max) than 0.91"),
        ("max", 0.9, "the best trial t1 has acc=0.9, which is not better (max) than 0.9"),
        ("min", 0.5, "the best trial t0 has acc=0.5, which is not better (min) than 0.5"),
        ("min", 0, "the best trial t0 has acc=0.5, which is not better (min) than 0"),
    ],
)
def test_shortfall_of_a_trial_that_is_not_better(objective, bar, said):
    """A best trial that is worse or as good does not pass the threshold; the message holds both values."""
    look = look_at(*THREE.listing.trials, acc=objective)
    wish = wish_of(only_if_better_than=bar)

    assert missed_threshold(rank_snapshot(look, wish), wish) == said


@pytest.mark.parametrize(
    ("objective", "bar"), [("max", 0.89), ("max", 0), ("max", -1), ("min", 0.51), ("max", None), ("min", None)]
)
def test_shortfall_of_a_trial_that_is_better(objective, bar):
    """A best trial that is strictly better clears the bar, and so does any where there is no bar."""
    look = look_at(*THREE.listing.trials, acc=objective)
    wish = wish_of(only_if_better_than=bar)

    assert missed_threshold(rank_snapshot(look, wish), wish) is None
