"""Trials of a search in pandas and in Optuna."""

from __future__ import annotations

import math
import sys

import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from unit.builders import HOSTILE_VALUES, hostile_trials, trial

from airflow_provider_modelarts.core.jobs import Mode, Objective
from airflow_provider_modelarts.core.search_space import Choices, Interval
from airflow_provider_modelarts.core.selection import Criterion, Scope
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError
from airflow_provider_modelarts.export import trials_to_dataframe, trials_to_study

ACC = Objective("acc", Mode.MAX)
LOSS = Objective("loss", Mode.MIN)
FIXED_COLUMNS = ["number", "value", "duration", "state", "trial_id", "status"]


def best_of(study):
    """Return id and value of the best trial of a study."""
    return study.best_trial.user_attrs["trial_id"], study.best_value


STATES = {
    "best": (trial("t", "TERMINATED", 0.5), "COMPLETE", 0.5),
    "without a value": (trial("t", "TERMINATED"), "FAIL", None),
    "not a number": (trial("t", "TERMINATED", math.nan), "FAIL", None),
    "infinite": (trial("t", "TERMINATED", math.inf), "FAIL", None),
    "failed": (trial("t", "ERROR", 0.5), "FAIL", None),
    "running": (trial("t", "RUNNING", 0.5), "RUNNING", None),
    "paused": (trial("t", "PAUSED", 0.5), "RUNNING", None),
    "pending": (trial("t", "PENDING"), "WAITING", None),
    "unknown and done": (trial("t", "EARLY_STOPPED", 0.5, done=True), "FAIL", None),
    "unknown": (trial("t", "MIGRATING", 0.5), "RUNNING", None),
}


@pytest.mark.parametrize(("one", "state", "value"), STATES.values(), ids=STATES)
def test_only_a_trial_that_competes_is_complete(one, state, value):
    """Only a trial that competes is COMPLETE, in the study and in the data frame."""
    (frozen,) = trials_to_study([one], ACC).trials
    (row,) = trials_to_dataframe([one]).to_dict("records")

    assert (frozen.state.name, frozen.value) == (state, value)
    assert row["state"] == state
    assert row["value"] == value if value is not None else math.isnan(row["value"])


@pytest.mark.parametrize(
    ("objective", "direction", "value"),
    [
        (ACC, StudyDirection.MAXIMIZE, 0.9),
        (LOSS, StudyDirection.MINIMIZE, 0.9),
        (Criterion("acc", Mode.MAX, Scope.LAST, is_objective=True), StudyDirection.MAXIMIZE, 0.4),
        (Criterion("loss", Mode.MIN), StudyDirection.MINIMIZE, 0.25),
    ],
)
def test_objective_decides_direction_and_value(objective, direction, value):
    """An objective means the best report of the platform's own metric; a criterion may be any other metric."""
    one = trial(best=0.9, reward=0.4, metrics={"loss": 0.25})

    study = trials_to_study([one], objective)

    assert (study.direction, study.best_value) == (direction, value)
    assert trials_to_dataframe([one], objective)["value"].tolist() == [value]


@pytest.mark.parametrize(("given", "name"), [({}, "acc (max)"), ({"study_name": "mine"}, "mine")])
def test_study_has_a_name(given, name):
    """The default name of a study is the metric with its mode."""
    assert trials_to_study([], ACC, **given).study_name == name


def test_trial_keeps_its_origin():
    """A trial keeps its id, the platform's own word for its status, and all metrics."""
    one = trial("t7", "early_stopped", done=True, metrics={"acc": 0.5, "loss": math.inf})

    (frozen,) = trials_to_study([one], ACC).trials

    assert frozen.user_attrs == {
        "trial_id": "t7",
        "status": "early_stopped",
        "metrics": {"acc": 0.5, "loss": math.inf},
    }
    (row,) = trials_to_dataframe([one]).to_dict("records")
    assert (row["trial_id"], row["status"], row["metrics_acc"], row["metrics_loss"]) == (
        "t7",
        "early_stopped",
        0.5,
        math.inf,
    )


@pytest.mark.parametrize(
    ("duration", "in_study", "in_frame"),
    [(12.5, 12.5, 12.5), (0, 0, 0), (None, 0, None), (-1, 0, None), (math.nan, 0, None), (1e300, 0, None)],
)
def test_duration_of_a_trial(duration, in_study, in_frame):
    """An unknown duration is missing in a data frame and 0 in Optuna."""
    ended = trial(best=0.5, duration=duration)

    assert trials_to_study([ended], ACC).trials[0].duration.total_seconds() == in_study
    (cell,) = trials_to_dataframe([ended])["duration"]
    assert cell is pd.NaT if in_frame is None else cell == pd.Timedelta(seconds=in_frame)


def test_duration_of_a_running_trial():
    """A running trial has no duration in Optuna."""
    assert trials_to_study([trial("t", "RUNNING", duration=5)], ACC).trials[0].duration is None


SPACE = {"lr": Interval(0.001, 0.1), "units": Interval(1, 512), "batch": Choices((16, 32, 64)), "kind": Choices(("a",))}
CONFIG = {"lr": 0.01, "units": 64, "batch": 32, "kind": "a"}


def distributions(config, search_space):
    """Return the distributions of a trial's parameters."""
    return trials_to_study([trial(best=0.5, config=config)], ACC, search_space=search_space).trials[0].distributions


def test_distributions_come_from_the_search_space():
    """The distributions hold the bounds and choices of the search space, including those not drawn by any trial."""
    assert distributions(CONFIG, SPACE) == {
        "lr": FloatDistribution(0.001, 0.1),
        "units": IntDistribution(1, 512),
        "batch": CategoricalDistribution((16, 32, 64)),
        "kind": CategoricalDistribution(("a",)),
    }


def test_distributions_without_a_search_space():
    """A distribution comes from the values if the search space is missing, lacks the parameter or lacks a value."""
    inferred = {
        "lr": FloatDistribution(0.5, 0.5),
        "batch": IntDistribution(24, 24),
        "kind": CategoricalDistribution(("b",)),
        "more": CategoricalDistribution((True,)),
    }
    config = {"lr": 0.5, "batch": 24, "kind": "b", "more": True}

    assert distributions(config, SPACE) == inferred
    assert distributions(config, None) == inferred


@pytest.mark.parametrize("values", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES)
def test_study_of_hostile_values(values):
    """Trials with hostile values of one parameter keep their values and their other parameters."""
    study = trials_to_study(hostile_trials(values), ACC)

    assert best_of(study) == ("t2", 0.2)
    assert [one.params["q"] for one in study.trials] == [0.0, 0.25, 0.5]


@pytest.mark.parametrize("values", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES)
def test_frame_of_hostile_values(values):
    """A data frame of hostile values can be printed and written, even if Python cannot print a number."""
    frame = trials_to_dataframe(hostile_trials(values))

    assert frame["params_q"].tolist() == [0.0, 0.25, 0.5]
    assert repr(frame)
    assert frame.to_csv()
    assert frame["params_p"].nunique() <= 3


@pytest.mark.parametrize("name", ["", "__class__", "\ud800", "a_b", "x" * 10_000, "%s{}"])
def test_hostile_names_of_parameters(name):
    """A hostile name of a parameter stays its name in the study and in the data frame."""
    one = trial(best=0.5, config={name: 1})

    shown = name.replace("\ud800", "?")
    assert trials_to_study([one], ACC).best_params == {shown: 1}
    assert f"params_{shown}" in trials_to_dataframe([one])


def test_importances_find_the_parameter_that_matters():
    """The evaluator that works without scikit-learn finds the parameter that decides the value."""
    trials = [
        trial(f"t{n}", best=n * 37 % 101 / 101, index=n, config={"lr": n * 37 % 101 / 101, "seed": n * 13 % 7})
        for n in range(100)
    ]

    importances = get_param_importances(trials_to_study(trials, ACC), evaluator=PedAnovaImportanceEvaluator())

    assert importances["lr"] > 0.9


def missing_as_none(values):
    """Return the cells of a column, with None for missing cells."""
    return [None if pd.isna(value) else value for value in values]


def test_frame_keeps_the_types_of_parameters():
    """Integers stay integers if all trials have one, and missing cells stay missing."""
    configs = [
        {"units": 64, "lr": 0.5, "kind": "a", "flag": True, "some": 1, "layers": [1, 2]},
        {"units": 128, "lr": 1, "kind": "b", "flag": False, "layers": [3]},
    ]
    frame = trials_to_dataframe([trial(f"t{n}", index=n, config=config) for n, config in enumerate(configs)])

    assert str(frame["number"].dtype) == "int64"
    assert str(frame["params_units"].dtype) == "int64"
    assert str(frame["params_lr"].dtype) == "float64"
    assert str(frame["params_flag"].dtype) == "bool"
    assert frame["params_kind"].tolist() == ["a", "b"]
    assert frame["params_layers"].tolist() == ["[1, 2]", "[3]"]
    assert missing_as_none(frame["params_some"]) == [1, None]


def test_frame_has_the_columns_of_optuna_first():
    """A data frame begins with the columns of Optuna's own data frame of the same trials."""
    trials = [trial("t0", best=0.5, index=0, config={"b": 1, "a": 2}, duration=2.5, metrics={"loss": 1, "acc": 0.5})]
    attrs = ("number", "value", "duration", "params", "state")

    frame = trials_to_dataframe(trials)
    optunas = trials_to_study(trials, ACC).trials_dataframe(attrs=attrs)

    assert list(optunas) == ["number", "value", "duration", "params_a", "params_b", "state"]
    assert list(frame) == [*optunas, "trial_id", "status", "metrics_acc", "metrics_loss"]
    assert frame[list(optunas)].to_dict("records") == optunas.to_dict("records")


def test_frame_of_no_trials_has_its_columns():
    """A data frame of no trials has the columns and types of one with trials."""
    empty, full = trials_to_dataframe([]), trials_to_dataframe([trial(duration=1)])

    assert list(empty) == list(full) == FIXED_COLUMNS
    assert len(empty) == 0
    for name in ("number", "value", "duration"):
        assert empty[name].dtype == full[name].dtype


def test_study_of_no_trials_is_empty():
    """A search without trials gives an empty study."""
    assert trials_to_study([], ACC).trials == []


def test_trial_without_a_config_has_no_parameters():
    """A trial without a readable config competes without parameters."""
    one = trial("t", "TERMINATED", 0.5)

    assert trials_to_study([one], ACC).best_params == {}
    assert list(trials_to_dataframe([one])) == FIXED_COLUMNS


@pytest.mark.parametrize(
    ("module", "export", "user"),
    [
        ("pandas", lambda: trials_to_dataframe([]), "a data frame"),
        ("optuna", lambda: trials_to_study([], ACC), "a study"),
    ],
)
def test_missing_library_names_its_extra(monkeypatch, module, export, user):
    """A missing library raises an error that names the command for its installation."""
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ModelArtsConfigurationError) as caught:
        export()

    assert str(caught.value) == (
        f'{user} requires {module}, which is not installed: pip install "airflow-provider-modelarts[{module}]"'
    )
