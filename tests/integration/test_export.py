"""The trials of a search in pandas and in Optuna."""

from __future__ import annotations

import math
import re
import sys
import warnings
from dataclasses import replace

import optuna
import pandas as pd
import pytest
from integration.emulated import settings_of
from integration.emulator.wire import get_job, get_trials
from integration.task_runs import run_task
from integration.test_imports import modules_after
from optuna import visualization
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from unit.builders import trial
from unit.emulator.truth import TRUTH, TRUTH_BY_METRIC

from airflow_provider_modelarts.api.flows import snapshot_for_ranking
from airflow_provider_modelarts.client import ModelArtsClient
from airflow_provider_modelarts.core.jobs import Mode, Objective
from airflow_provider_modelarts.core.search_space import Choices, Interval, read_search_space
from airflow_provider_modelarts.core.selection import Criterion, Scope, criterion_for
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError
from airflow_provider_modelarts.export import trials_to_dataframe, trials_to_study
from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from modelarts_emulator import SCENARIOS

ACC = Objective("acc", Mode.MAX)
LOSS = Objective("loss", Mode.MIN)
FIXED_COLUMNS = ["number", "value", "duration", "state", "trial_id", "status"]


def look_at(emulator, job_id):
    """Return a job, with the settings of its search, and its trials."""
    with ModelArtsClient(settings_of(emulator)) as client:
        look = client.run(snapshot_for_ranking(job_id))
    return look.job, look.listing.trials


def chosen_by_the_operator(job_id, **arguments):
    """Return the record of the trial that the operator chooses."""
    run = run_task(lambda: ModelArtsBestTrialOperator(task_id="best_trial", training_job_id=job_id, **arguments))
    assert run.state == "success", run.error
    return run.ti.xcom["best_trial"]


def study_of(emulator, job_id, *, metric=None, mode=None, scope="best"):
    """Return the study of a search by what the operator's arguments mean."""
    found, trials = look_at(emulator, job_id)
    criterion = criterion_for(found.search, metric=metric, mode=mode and Mode(mode), scope=Scope(scope))
    return trials_to_study(trials, criterion, search_space=read_search_space(found))


def best_of(study):
    """Return id and value of a study's best trial."""
    return study.best_trial.user_attrs["trial_id"], study.best_value


BESTS = [(name, {}, truth.best) for name, truth in TRUTH.items() if truth.best]
BESTS += [(name, {"metric": metric, "mode": mode}, best) for name, metric, mode, best in TRUTH_BY_METRIC]


@pytest.mark.parametrize(("scenario", "arguments", "best"), BESTS)
def test_best_trial_of_a_scenario_is_the_operators(connected, scenario, arguments, best):
    """Optuna's own comparison finds the trial that the operator chose and that the truth names."""
    job_id = connected.job_id(scenario)
    for _ in range(TRUTH[scenario].looks):
        get_job(connected, job_id)

    chosen = chosen_by_the_operator(job_id, **arguments)
    study = study_of(connected, job_id, **arguments)

    assert best_of(study) == (chosen["trial_id"], chosen["value"]) == (best.trial_id, best.value)
    assert study.best_params == chosen["config"] == best.config


HEADER = ["trial_id", "config", "status", "reward_attr", "best_reward", "loss"]
DONE = "TERMINATED"
TABLES = {
    "tie of trials listed backwards": (
        ("acc", "max"),
        {},
        [
            ["t2", {"trial_index": 2}, DONE, "0.1", "0.9", ""],
            ["t1", {"trial_index": 1}, DONE, "0.1", "0.9", ""],
            ["t0", {"trial_index": 0}, DONE, "0.1", "0.3", ""],
        ],
        "t1",
    ),
    "tie with a trial without index": (
        ("acc", "max"),
        {},
        [["t9", {}, DONE, "", "0.9", ""], ["t5", {"trial_index": 5}, DONE, "", "0.9", ""]],
        "t5",
    ),
    "tie without indices": (
        ("acc", "max"),
        {},
        [["b", {}, DONE, "", "0.9", ""], ["a", {}, DONE, "", "0.9", ""]],
        "b",
    ),
    "tie of the least": (
        ("loss", "min"),
        {},
        [
            ["t1", {"trial_index": 1}, DONE, "", "0.5", ""],
            ["t0", {"trial_index": 0}, DONE, "", "0.5", ""],
            ["t2", {"trial_index": 2}, DONE, "", "0.7", ""],
        ],
        "t0",
    ),
    "last report": (
        ("acc", "max"),
        {"scope": "last"},
        [["t0", {"trial_index": 0}, DONE, "0.2", "0.9", ""], ["t1", {"trial_index": 1}, DONE, "0.6", "0.7", ""]],
        "t1",
    ),
    "another metric": (
        ("acc", "max"),
        {"metric": "loss", "mode": "min"},
        [["t0", {"trial_index": 0}, DONE, "", "0.9", "0.5"], ["t1", {"trial_index": 1}, DONE, "", "0.1", "0.4"]],
        "t1",
    ),
    "better ones that do not compete": (
        ("acc", "max"),
        {},
        [
            ["t0", {"trial_index": 0}, "ERROR", "", "0.9", ""],
            ["t1", {"trial_index": 1}, "RUNNING", "", "0.9", ""],
            ["t2", {"trial_index": 2}, DONE, "", "inf", ""],
            ["t3", {"trial_index": 3}, DONE, "", "0.2", ""],
        ],
        "t3",
    ),
}


@pytest.mark.parametrize(("objective", "arguments", "rows", "best"), TABLES.values(), ids=TABLES)
def test_best_trial_of_a_table_is_the_operators(connected, objective, arguments, rows, best):
    """Ties, directions, scopes and other metrics mean the same in the study and in the task."""
    job_id = connected.add_table(HEADER, rows, objective=objective)

    chosen = chosen_by_the_operator(job_id, **arguments)
    study = study_of(connected, job_id, **arguments)

    assert best_of(study) == (chosen["trial_id"], chosen["value"])
    assert chosen["trial_id"] == best


@pytest.mark.parametrize("table", TABLES)
def test_best_row_of_a_frame_is_the_best_trial(connected, table):
    """The first of the best values is that of the best trial, as those that do not compete have none."""
    objective, arguments, rows, best = TABLES[table]
    found, trials = look_at(connected, connected.add_table(HEADER, rows, objective=objective))
    arguments = {"scope": Scope(arguments.get("scope", "best"))} | (
        {"metric": "loss", "mode": Mode.MIN} if "metric" in arguments else {}
    )
    criterion = criterion_for(found.search, **arguments)

    values = trials_to_dataframe(trials, criterion)["value"]

    row = values.idxmax() if criterion.mode is Mode.MAX else values.idxmin()
    assert trials_to_dataframe(trials, criterion).loc[row, "trial_id"] == best


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
    """Study and data frame call it the same, in Optuna's words."""
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
    """An objective is the platform's own, by the best report; a criterion may be any other."""
    one = trial(best=0.9, reward=0.4, metrics={"loss": 0.25})

    study = trials_to_study([one], objective)

    assert (study.direction, study.best_value) == (direction, value)
    assert trials_to_dataframe([one], objective)["value"].tolist() == [value]


@pytest.mark.parametrize(("given", "name"), [({}, "acc (max)"), ({"study_name": "mine"}, "mine")])
def test_study_has_a_name(given, name):
    """Where none is given it tells what is compared."""
    assert trials_to_study([], ACC, **given).study_name == name


def test_trial_tells_where_it_comes_from():
    """Id, the platform's own word for its state, and all metrics."""
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
def test_duration_is_what_the_platform_tells(duration, in_study, in_frame):
    """A data frame can say that it is unknown; Optuna cannot."""
    ended = trial(best=0.5, duration=duration)

    assert trials_to_study([ended], ACC).trials[0].duration.total_seconds() == in_study
    (told,) = trials_to_dataframe([ended])["duration"]
    assert told is pd.NaT if in_frame is None else told == pd.Timedelta(seconds=in_frame)


def test_running_trial_of_a_study_has_not_ended():
    """Optuna knows a duration only of what has ended."""
    assert trials_to_study([trial("t", "RUNNING", duration=5)], ACC).trials[0].duration is None


SPACE = {"lr": Interval(0.001, 0.1), "units": Interval(1, 512), "batch": Choices((16, 32, 64)), "kind": Choices(("a",))}
CONFIG = {"lr": 0.01, "units": 64, "batch": 32, "kind": "a"}


def distributions(config, search_space):
    """Return the distributions of a trial's parameters, with the types of choices."""
    return trials_to_study([trial(best=0.5, config=config)], ACC, search_space=search_space).trials[0].distributions


def test_distributions_come_from_the_search_space():
    """Ends and choices that no trial has drawn are there too."""
    assert distributions(CONFIG, SPACE) == {
        "lr": FloatDistribution(0.001, 0.1),
        "units": IntDistribution(1, 512),
        "batch": CategoricalDistribution((16, 32, 64)),
        "kind": CategoricalDistribution(("a",)),
    }


def test_distributions_come_from_the_values_where_the_space_lacks_them():
    """A value outside of its space, a parameter that is not in it, and a search without a space."""
    inferred = {
        "lr": FloatDistribution(0.5, 0.5),
        "batch": IntDistribution(24, 24),
        "kind": CategoricalDistribution(("b",)),
        "more": CategoricalDistribution((True,)),
    }
    config = {"lr": 0.5, "batch": 24, "kind": "b", "more": True}

    assert distributions(config, SPACE) == inferred
    assert distributions(config, None) == inferred


def test_space_of_the_job_reaches_the_study(modelarts_emulator):
    """Through what the platform wrote down in text."""
    space = [
        {"name": "learning_rate", "param_type": "continuous", "lower_bound": "0.001", "upper_bound": "0.1"},
        {"name": "batch_size", "param_type": "discrete", "discrete_values": ["16", "32", "64", "128"]},
    ]
    job_id = modelarts_emulator.add_search(replace(SCENARIOS["documented"](), name="spacious", space=space))

    study = study_of(modelarts_emulator, job_id)

    assert [one.distributions for one in study.trials] == 8 * [
        {
            "batch_size": CategoricalDistribution((16, 32, 64, 128)),
            "learning_rate": FloatDistribution(0.001, 0.1),
        }
    ]
    assert study.best_params == {"batch_size": 32, "learning_rate": 0.0340820322164706}


HOSTILE = {
    "huge": [10**400, 1, 0.5],
    "huge in hexadecimal": [int("f" * 20_000, 16), 1, 2],
    "beyond 64 bits": [2**63, 2**64, 1],
    "beyond whole floats": [2**53 + 1, 2**53 + 2, 2**53 + 3],
    "not a number": [math.nan, 0.1, 0.2],
    "never a number": [math.nan, math.nan, math.nan],
    "infinite": [math.inf, -math.inf, 1],
    "long": ["x" * 10_000, "y" * 10_000, "x" * 10_000],
    "number or word": [1, "word", 0.5],
    "flag or number": [True, 1, 0],
    "missing": [1, None, 2],
    "missing in a word": ["a", None, "b"],
    "same": [1, 1, 1],
    "lists": [[1], [2], [1]],
    "objects": [{"a": 10**5000}, {"a": 1}, {}],
    "half a character": ["\ud800", "a", "b"],
    "markup": ["<script>", "</script>", "%s{}"],
    "tiny": [5e-324, 0.0, -0.0],
}
PICTURES = {
    "history": visualization.plot_optimization_history,
    "parallel": visualization.plot_parallel_coordinate,
    "slice": visualization.plot_slice,
    "importances": lambda study: visualization.plot_param_importances(study, evaluator=PedAnovaImportanceEvaluator()),
}


def hostile(values):
    """Return trials with values of one parameter, beside a well-behaved one."""
    return [
        trial(f"t{number}", best=number / 10, index=number, config={"p": value, "q": number / 4})
        for number, value in enumerate(values)
    ]


@pytest.mark.filterwarnings("ignore")  # Optuna's, of having few values to learn from
@pytest.mark.parametrize("values", HOSTILE.values(), ids=HOSTILE)
def test_hostile_values_make_a_study_that_can_be_drawn(values):
    """Whatever a training script was given; and the study can be stored in a database."""
    study = trials_to_study(hostile(values), ACC)

    assert best_of(study) == ("t2", 0.2)
    assert [one.params["q"] for one in study.trials] == [0.0, 0.25, 0.5]
    for draw in (*PICTURES.values(), visualization.plot_contour):
        assert draw(study).to_json()
    optuna.copy_study(from_study_name=study.study_name, from_storage=study._storage, to_storage="sqlite://")


@pytest.mark.parametrize("values", HOSTILE.values(), ids=HOSTILE)
def test_hostile_values_make_a_frame_that_can_be_shown(values):
    """Also where Python itself refuses to write a number down."""
    frame = trials_to_dataframe(hostile(values))

    assert frame["params_q"].tolist() == [0.0, 0.25, 0.5]
    assert repr(frame)
    assert frame.to_csv()
    assert frame["params_p"].nunique() <= 3


@pytest.mark.parametrize("name", ["", "__class__", "\ud800", "a_b", "x" * 10_000, "%s{}"])
def test_hostile_names_are_names(name):
    """Of parameters, in both."""
    one = trial(best=0.5, config={name: 1})

    shown = name.replace("\ud800", "?")
    assert trials_to_study([one], ACC).best_params == {shown: 1}
    assert f"params_{shown}" in trials_to_dataframe([one])


@pytest.mark.parametrize("scenario", [name for name, truth in TRUTH.items() if truth.best])
def test_pictures_of_a_scenario(modelarts_emulator, scenario):
    """What Optuna draws of a study works on ours, without a warning."""
    job_id = modelarts_emulator.job_id(scenario)
    for _ in range(TRUTH[scenario].looks):
        get_job(modelarts_emulator, job_id)
    study = study_of(modelarts_emulator, job_id)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        assert all(draw(study).data for draw in PICTURES.values())


def test_importances_find_the_parameter_that_matters():
    """The evaluator that needs no scikit-learn tells a parameter that decides from one that does not."""
    trials = [
        trial(f"t{n}", best=n * 37 % 101 / 101, index=n, config={"lr": n * 37 % 101 / 101, "seed": n * 13 % 7})
        for n in range(100)
    ]

    importances = get_param_importances(trials_to_study(trials, ACC), evaluator=PedAnovaImportanceEvaluator())

    assert importances["lr"] > 0.9


def number_in(cell):
    """Return the finite number in a cell, read by other eyes than the package's; None where there is none."""
    found = re.fullmatch(r"(?:tensor\()?(-?\d+(?:\.\d+)?)(?:,.*\))?", cell)
    return float(found[1]) if found else None


def missing_as_none(values):
    """Return the cells of a column, missing ones as None."""
    return [None if pd.isna(value) else value for value in values]


@pytest.mark.parametrize("scenario", ["documented", "tie", "nan", "minimise", "stopped-job"])
def test_frame_holds_the_cells_of_the_raw_table(modelarts_emulator, scenario):
    """Value by value, as an independent reading of the platform's answer finds them."""
    job_id = modelarts_emulator.job_id(scenario)
    items = get_trials(modelarts_emulator, job_id)["items"]
    rows = [dict(zip(items["header"], row, strict=True)) for row in items["data"]]
    rows.sort(key=lambda row: row["config"]["trial_index"])
    _, trials = look_at(modelarts_emulator, job_id)

    frame = trials_to_dataframe(trials)

    assert frame["number"].tolist() == list(range(len(rows)))
    assert frame["trial_id"].tolist() == [row["trial_id"] for row in rows]
    assert frame["status"].tolist() == [row["status"] for row in rows]
    assert missing_as_none(frame["value"]) == [
        number_in(row["best_reward"]) if row["status"] == "TERMINATED" else None for row in rows
    ]
    assert missing_as_none(frame["duration"].dt.total_seconds()) == pytest.approx(
        [number_in(row["time_total_s"]) for row in rows]
    )
    names = [name for name in rows[0]["config"] if name != "trial_index" and not name.startswith("param/")]
    assert [name for name in frame if name.startswith("params_")] == [f"params_{name}" for name in sorted(names)]
    for name in names:
        assert frame[f"params_{name}"].tolist() == [row["config"][name] for row in rows]
    finite = frame[[name for name in frame if name.startswith("metrics_")]].replace([math.inf, -math.inf], math.nan)
    assert list(finite) == [f"metrics_{name}" for name in sorted({"acc", "loss"} & set(rows[0]))]
    for name in finite:
        assert missing_as_none(finite[name]) == [number_in(row[name.removeprefix("metrics_")]) for row in rows]


def test_frame_keeps_the_types_of_parameters():
    """Whole numbers stay whole where all have one; what is missing is missing."""
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
    """In the names and the order of Optuna's own data frame of the same trials."""
    trials = [trial("t0", best=0.5, index=0, config={"b": 1, "a": 2}, duration=2.5, metrics={"loss": 1, "acc": 0.5})]
    attrs = ("number", "value", "duration", "params", "state")

    frame = trials_to_dataframe(trials)
    optunas = trials_to_study(trials, ACC).trials_dataframe(attrs=attrs)

    assert list(optunas) == ["number", "value", "duration", "params_a", "params_b", "state"]
    assert list(frame) == [*optunas, "trial_id", "status", "metrics_acc", "metrics_loss"]
    assert frame[list(optunas)].to_dict("records") == optunas.to_dict("records")


def test_frame_of_no_trials_has_its_columns():
    """With the types that they have with trials."""
    empty, full = trials_to_dataframe([]), trials_to_dataframe([trial(duration=1)])

    assert list(empty) == list(full) == FIXED_COLUMNS
    assert len(empty) == 0
    for name in ("number", "value", "duration"):
        assert empty[name].dtype == full[name].dtype


def test_study_of_no_trials_is_empty():
    """A search that has just begun has nothing to show yet."""
    assert trials_to_study([], ACC).trials == []


def test_trial_without_a_config_has_no_parameters():
    """Its config cannot be read; it competes all the same."""
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
def test_missing_library_is_told_with_its_remedy(monkeypatch, module, export, user):
    """Who has not installed the extra reads what to type."""
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ModelArtsConfigurationError) as caught:
        export()

    assert str(caught.value) == (
        f'{user} requires {module}, which is not installed: pip install "airflow-provider-modelarts[{module}]"'
    )


def test_import_loads_no_library():
    """A notebook without Airflow can import it, and without pandas and Optuna too."""
    loaded = {name.split(".")[0] for name in modules_after("import airflow_provider_modelarts.export")}

    assert not loaded & {"airflow", "pandas", "numpy", "optuna", "plotly", "requests", "aiohttp"}


def test_export_works_without_airflow():
    """Both functions, to their ends."""
    loaded = modules_after(
        "from airflow_provider_modelarts.core.jobs import Mode, Objective",
        "from airflow_provider_modelarts.core.trials import read_table",
        "from airflow_provider_modelarts.export import trials_to_dataframe, trials_to_study",
        "trials = read_table(['trial_id', 'status', 'config', 'best_reward'], [['t', 'TERMINATED', {'x': 1}, '0.5']])",
        "assert trials_to_dataframe(trials).loc[0, 'value'] == 0.5",
        "assert trials_to_study(trials, Objective('acc', Mode.MAX)).best_params == {'x': 1}",
    )

    assert {"pandas", "optuna"} <= loaded
    assert not [name for name in loaded if name == "airflow" or name.startswith("airflow.")]
