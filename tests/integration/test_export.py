"""Export of the trials of a search to pandas and Optuna."""

from __future__ import annotations

import math
import re
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
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from unit.builders import HOSTILE_VALUES, hostile_trials
from unit.emulator.truth import TRUTH, TRUTH_BY_METRIC

from airflow_provider_modelarts.api.flows import snapshot_for_ranking
from airflow_provider_modelarts.client import ModelArtsClient
from airflow_provider_modelarts.core.jobs import Mode, Objective
from airflow_provider_modelarts.core.search_space import read_search_space
from airflow_provider_modelarts.core.selection import Scope, criterion_for
from airflow_provider_modelarts.export import trials_to_dataframe, trials_to_study
from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from modelarts_emulator import SCENARIOS


def job_and_trials(emulator, job_id):
    """Return a job with the settings of its search, and its trials."""
    with ModelArtsClient(settings_of(emulator)) as client:
        snapshot = client.run(snapshot_for_ranking(job_id))
    return snapshot.job, snapshot.listing.trials


def selected_by_the_operator(job_id, **arguments):
    """Return the record of the trial that the operator selects."""
    run = run_task(lambda: ModelArtsBestTrialOperator(task_id="best_trial", training_job_id=job_id, **arguments))
    assert run.state == "success", run.error
    return run.ti.xcom["best_trial"]


def best_of(study):
    """Return id and value of the best trial of a study."""
    return study.best_trial.user_attrs["trial_id"], study.best_value


def missing_as_none(values):
    """Return the cells of a column, with None for missing values."""
    return [None if pd.isna(value) else value for value in values]


def study_of(emulator, job_id, *, metric=None, mode=None, scope="best"):
    """Return the study of a search, given arguments of the operator."""
    found, trials = job_and_trials(emulator, job_id)
    criterion = criterion_for(found.search, metric=metric, mode=mode and Mode(mode), scope=Scope(scope))
    return trials_to_study(trials, criterion, search_space=read_search_space(found))


BESTS = [(name, {}, truth.best) for name, truth in TRUTH.items() if truth.best]
BESTS += [(name, {"metric": metric, "mode": mode}, best) for name, metric, mode, best in TRUTH_BY_METRIC]


@pytest.mark.parametrize(("scenario", "arguments", "best"), BESTS)
def test_best_trial_of_a_scenario_is_that_of_the_operator(connected, scenario, arguments, best):
    """Optuna's own comparison and the operator both find the documented best trial."""
    job_id = connected.job_id(scenario)
    for _ in range(TRUTH[scenario].looks):
        get_job(connected, job_id)

    selected = selected_by_the_operator(job_id, **arguments)
    study = study_of(connected, job_id, **arguments)

    assert best_of(study) == (selected["trial_id"], selected["value"]) == (best.trial_id, best.value)
    assert study.best_params == selected["config"] == best.config


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
    "tie of minimal values": (
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
    "better trials that do not compete": (
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
def test_best_trial_of_a_table_is_that_of_the_operator(connected, objective, arguments, rows, best):
    """Ties, modes, scopes and other metrics have the same effect in study and task."""
    job_id = connected.add_table(HEADER, rows, objective=objective)

    selected = selected_by_the_operator(job_id, **arguments)
    study = study_of(connected, job_id, **arguments)

    assert best_of(study) == (selected["trial_id"], selected["value"])
    assert selected["trial_id"] == best


@pytest.mark.parametrize("table", TABLES)
def test_best_row_of_a_frame_is_the_best_trial(connected, table):
    """The best value of the frame is that of the best trial: trials that do not compete have no value."""
    objective, arguments, rows, best = TABLES[table]
    found, trials = job_and_trials(connected, connected.add_table(HEADER, rows, objective=objective))
    arguments = {"scope": Scope(arguments.get("scope", "best"))} | (
        {"metric": "loss", "mode": Mode.MIN} if "metric" in arguments else {}
    )
    criterion = criterion_for(found.search, **arguments)

    values = trials_to_dataframe(trials, criterion)["value"]

    row = values.idxmax() if criterion.mode is Mode.MAX else values.idxmin()
    assert trials_to_dataframe(trials, criterion).loc[row, "trial_id"] == best


def test_search_space_of_the_job_is_that_of_the_study(modelarts_emulator):
    """The platform stores bounds and choices as text; the distributions of the study have numbers."""
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


PLOTS = {
    "history": visualization.plot_optimization_history,
    "parallel": visualization.plot_parallel_coordinate,
    "slice": visualization.plot_slice,
    "importances": lambda study: visualization.plot_param_importances(study, evaluator=PedAnovaImportanceEvaluator()),
}


@pytest.mark.filterwarnings("ignore")  # Optuna warns of having few values
@pytest.mark.parametrize("values", HOSTILE_VALUES.values(), ids=HOSTILE_VALUES)
def test_study_of_hostile_values_can_be_plotted_and_stored(values):
    """No hyperparameter value breaks a plot or a database of Optuna."""
    study = trials_to_study(hostile_trials(values), Objective("acc", Mode.MAX))

    for plot in (*PLOTS.values(), visualization.plot_contour):
        assert plot(study).to_json()
    optuna.copy_study(from_study_name=study.study_name, from_storage=study._storage, to_storage="sqlite://")


@pytest.mark.parametrize("scenario", [name for name, truth in TRUTH.items() if truth.best])
def test_optuna_plots_the_study_of_a_scenario(modelarts_emulator, scenario):
    """Every plot has data, and Optuna emits no warning."""
    job_id = modelarts_emulator.job_id(scenario)
    for _ in range(TRUTH[scenario].looks):
        get_job(modelarts_emulator, job_id)
    study = study_of(modelarts_emulator, job_id)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        assert all(plot(study).data for plot in PLOTS.values())


def number_in(cell):
    """Return the finite number in a cell, or None; independent of the reader of the package."""
    found = re.fullmatch(r"(?:tensor\()?(-?\d+(?:\.\d+)?)(?:,.*\))?", cell)
    return float(found[1]) if found else None


@pytest.mark.parametrize("scenario", ["documented", "tie", "nan", "minimise", "stopped-job"])
def test_frame_holds_the_cells_of_the_raw_table(modelarts_emulator, scenario):
    """An independent reader of the platform's response finds the same values."""
    job_id = modelarts_emulator.job_id(scenario)
    items = get_trials(modelarts_emulator, job_id)["items"]
    rows = [dict(zip(items["header"], row, strict=True)) for row in items["data"]]
    rows.sort(key=lambda row: row["config"]["trial_index"])
    _, trials = job_and_trials(modelarts_emulator, job_id)

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


def test_import_loads_no_library():
    """The module can be imported without Airflow, pandas and Optuna."""
    loaded = {name.split(".")[0] for name in modules_after("import airflow_provider_modelarts.export")}

    assert not loaded & {"airflow", "pandas", "numpy", "optuna", "plotly", "requests", "aiohttp"}


def test_export_works_without_airflow():
    """Neither function imports Airflow."""
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
