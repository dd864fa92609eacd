"""Selection options, and records of the chosen trials."""

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


def options_of(**arguments):
    """Return an operator's default options, except for some arguments."""
    return read_selection_options(**{**DEFAULTS, **arguments})


def snapshot_of(*trials, **objectives):
    """Return a snapshot of a Completed search that maximises acc, or the given objectives."""
    return SearchSnapshot(
        job("Completed", search=search(**(objectives or {"acc": "max"}))), Listing(trials, len(trials))
    )


SNAPSHOT = snapshot_of(
    trial("t0", best=0.5, config={"lr": 0.1}, metrics={"loss": 0.3}),
    trial("t1", best=0.9, config={"lr": 0.2}, metrics={"loss": 0.2}),
    trial("t2", best=0.7, config={"lr": 0.3}, metrics={"loss": 0.1}),
    trial("t3", "ERROR", config={"lr": 0.4}),
)


def test_options_of_the_defaults():
    """The default is the one best trial by the search's own objective, without any condition."""
    assert options_of() == SelectionOptions(None, None, Scope.BEST, 1, None, None, OnNotBetter.SKIP)


@pytest.mark.parametrize(
    ("argument", "value", "field", "expected"),
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
def test_options_of_an_argument(argument, value, field, expected):
    """Arguments are accepted with their types, as rendered text and as JSON text."""
    assert getattr(options_of(**{argument: value}), field) == expected


@pytest.mark.parametrize(
    ("argument", "value", "message"),
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
def test_options_of_an_invalid_argument(argument, value, message):
    """An invalid argument raises an error that names the argument."""
    with pytest.raises(ModelArtsConfigurationError) as caught:
        options_of(**{argument: value})

    assert str(caught.value) == message


def test_options_of_an_impossible_bound():
    """A minimum above the maximum raises an error."""
    with pytest.raises(ModelArtsConfigurationError, match=r"constraints\['loss'\]"):
        options_of(constraints={"loss": {"min": 1, "max": 0}})


@pytest.mark.parametrize(
    ("arguments", "criterion"),
    [
        ({}, Criterion("acc", Mode.MAX, Scope.BEST, is_objective=True)),
        ({"scope": "last"}, Criterion("acc", Mode.MAX, Scope.LAST, is_objective=True)),
        ({"metric": "loss", "mode": "min"}, Criterion("loss", Mode.MIN, Scope.LAST)),
    ],
)
def test_ranking_by_options(arguments, criterion):
    """Metric, mode and scope of the options are the criterion of the ranking."""
    assert rank_snapshot(SNAPSHOT, options_of(**arguments)).criterion == criterion


def test_ranking_with_constraints():
    """Constraints of the options apply to the ranking: the best trial by acc has too high a loss."""
    ranking = rank_snapshot(SNAPSHOT, options_of(constraints={"loss": {"max": 0.15}}))

    assert [ranked.trial.trial_id for ranked in ranking.ranked] == ["t2"]


def test_ranking_of_several_objectives():
    """A search with two objectives requires a metric, and the error names the job."""
    with pytest.raises(ModelArtsConfigurationError, match=r"^training job job-1: the search has several objectives"):
        rank_snapshot(snapshot_of(trial(), acc="max", loss="min"), options_of())


@pytest.mark.parametrize("settings", [None, search()])
def test_ranking_of_a_job_without_a_search(settings):
    """A plain training job raises an error of its own."""
    snapshot = SearchSnapshot(job("Completed", search=settings), Listing())

    with pytest.raises(ModelArtsConfigurationError, match=r"^training job job-1 has no readable hyperparameter search"):
        rank_snapshot(snapshot, options_of())


@pytest.mark.parametrize(
    ("settings", "trials", "message"),
    [
        (search(), [trial()], "training job job-1: the search does not define whether more or less of 'objective'"),
        (search(8), [], "training job job-1: the search does not define whether more or less of 'objective'"),
    ],
)
def test_ranking_of_an_unknown_objective(settings, trials, message):
    """A job with trials, or with a number of trials, is a search, even if its objective is unknown."""
    with pytest.raises(ModelArtsConfigurationError, match=message):
        rank_snapshot(SearchSnapshot(job("Completed", search=settings), Listing(trials, len(trials))), options_of())


@pytest.mark.parametrize(
    ("phase", "message"),
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
def test_caveat_of_a_phase(phase, message):
    """The best trial of any search that is not Completed has a caveat."""
    assert caveat(job(phase)) == message


def test_chosen_records_best_first():
    """The best ``top_k`` trials have records, best first, each with its rank."""
    options = options_of(top_k=2)

    records = chosen_records(SNAPSHOT, rank_snapshot(SNAPSHOT, options), options)

    assert [(record["rank"], record["trial_id"], record["value"]) for record in records] == [
        (1, "t1", 0.9),
        (2, "t2", 0.7),
    ]


def test_chosen_records_count_all_trials():
    """Each record names the job and counts all its trials, including rejected ones."""
    (record,) = chosen_records(SNAPSHOT, rank_snapshot(SNAPSHOT, options_of()), options_of())

    assert record["training_job_id"] == "job-1"
    assert record["trial_counts"] == {"ERROR": 1, "TERMINATED": 3}


def test_chosen_records_of_fewer_trials_than_top_k():
    """All ranked trials are chosen if there are fewer than ``top_k``."""
    options = options_of(top_k=50)

    assert len(chosen_records(SNAPSHOT, rank_snapshot(SNAPSHOT, options), options)) == 3


def test_chosen_records_without_a_ranked_trial():
    """A search without a ranked trial raises an error instead of returning an empty list."""
    snapshot = snapshot_of(trial("t0", "ERROR"))

    with pytest.raises(ModelArtsNoBestTrialError, match=r"^training job job-1: none of 1 trials .* 1 not finished"):
        chosen_records(snapshot, rank_snapshot(snapshot, options_of()), options_of())


@pytest.mark.parametrize("top_k", [2, 3])
def test_chosen_records_with_an_unreadable_config(top_k):
    """One unreadable config among the chosen trials raises an error; the next best trial does not replace it."""
    snapshot = snapshot_of(trial("t0", best=0.9, config={}), trial("t1", best=0.8), trial("t2", best=0.7, config={}))
    options = options_of(top_k=top_k)

    with pytest.raises(ModelArtsProtocolError, match="trial t1 is missing"):
        chosen_records(snapshot, rank_snapshot(snapshot, options), options)


def test_chosen_records_beside_an_unreadable_config():
    """The config of a trial that is not chosen may be unreadable."""
    snapshot = snapshot_of(trial("t0", best=0.9, config={}), trial("t1", best=0.8))

    assert len(chosen_records(snapshot, rank_snapshot(snapshot, options_of()), options_of())) == 1


@pytest.mark.parametrize(
    ("objective", "threshold", "message"),
    [
        ("max", 0.91, "the best trial t1 has acc=0.9, which is not better (max) than 0.91"),
        ("max", 0.9, "the best trial t1 has acc=0.9, which is not better (max) than 0.9"),
        ("min", 0.5, "the best trial t0 has acc=0.5, which is not better (min) than 0.5"),
        ("min", 0, "the best trial t0 has acc=0.5, which is not better (min) than 0"),
    ],
)
def test_missed_threshold_of_a_trial_that_is_not_better(objective, threshold, message):
    """A best trial that is worse or equal misses the threshold, and the message holds both values."""
    snapshot = snapshot_of(*SNAPSHOT.listing.trials, acc=objective)
    options = options_of(only_if_better_than=threshold)

    assert missed_threshold(rank_snapshot(snapshot, options), options) == message


@pytest.mark.parametrize(
    ("objective", "threshold"), [("max", 0.89), ("max", 0), ("max", -1), ("min", 0.51), ("max", None), ("min", None)]
)
def test_missed_threshold_of_a_better_trial(objective, threshold):
    """A strictly better trial meets the threshold, and any trial does if there is no threshold."""
    snapshot = snapshot_of(*SNAPSHOT.listing.trials, acc=objective)
    options = options_of(only_if_better_than=threshold)

    assert missed_threshold(rank_snapshot(snapshot, options), options) is None
