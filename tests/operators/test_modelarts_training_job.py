"""The operators that create jobs, on a local ModelArts that runs them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, Asset
from task_runs import TaskInstance, run_task

from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook
from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsHyperparameterSearchOperator,
    ModelArtsTrainingJobOperator,
)
from airflow_provider_modelarts.task_exceptions import ModelArtsCallRefusedError, ModelArtsTrainingJobFailedError

WAYS = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


def train(body, ti=None, **arguments):
    """Run the training-job operator."""
    arguments = {"poll_interval": 0.05, "deferrable": False, **arguments}
    return run_task(lambda: ModelArtsTrainingJobOperator(task_id="train", body=body, **arguments), ti)


def search(body, ti=None, **arguments):
    """Run the search operator."""
    arguments = {
        "poll_interval": 0.05,
        "deferrable": False,
        "search_space": {"learning_rate": {"min": 0.0, "max": 1.0}},
        "objective": {"metric": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"},
        "algorithm": {"name": "tpe_search", "num_samples": 4, "seed": 1},
        **arguments,
    }
    return run_task(lambda: ModelArtsHyperparameterSearchOperator(task_id="search", body=body, **arguments), ti)


def jobs():
    """Return the jobs that were created, newest first."""
    return ModelArtsHook().search_training_jobs().jobs


def ended(training_job_id, seconds=10):
    """Wait for the end of a job, and return it."""
    deadline = time.monotonic() + seconds
    while not (job := ModelArtsHook().get_training_job(training_job_id)).phase.is_terminal:
        assert time.monotonic() < deadline, "the job does not end"
        time.sleep(0.02)
    return job


@WAYS
def test_job_runs_with_the_given_hyperparameters(cloud, body, tmp_path, deferrable):
    """The script really receives what the task was given, and the task returns where the outputs are."""
    run = train(body(), hyperparameters={"learning_rate": 0.25, "layers": 3}, deferrable=deferrable)

    assert run.state == "success", run.message
    arguments = json.loads((tmp_path / "bucket" / "out" / "arguments.json").read_text())
    assert {"--learning_rate=0.25", "--layers=3"} <= set(arguments)
    assert run.value["job_phase"] == "Completed"
    assert run.value["outputs"] == {"train_url": "/bucket/out/"}
    assert run.value["training_job_id"] == run.ti.xcom["training_job_id"]


@WAYS
def test_failed_job_tells_why_and_may_be_retried(cloud, body, deferrable):
    """The error holds the job's id and the script's last lines, and lets Airflow's retries apply."""
    run = train(body(fail="gpu0"), deferrable=deferrable)

    assert isinstance(run.error, ModelArtsTrainingJobFailedError)
    assert isinstance(run.error, AirflowException)
    assert not isinstance(run.error, AirflowFailException)
    assert run.ti.xcom["training_job_id"] in run.message
    assert run.message.splitlines()[-2:] == ["worker-0: acc: 0.800000", "worker-0: out of memory: gpu0"]


def test_job_id_is_pushed_before_the_waiting(cloud, body):
    """Whoever watches the DAG run can follow the job while it runs."""
    run = train(body(sleep=5), wait_for_completion=False)

    assert run.state == "success"
    assert run.ti.xcom["training_job_id"] == run.value["training_job_id"]
    assert run.ti.xcom["modelarts_training_job_link"].endswith(f"#/training/detail/{run.value['training_job_id']}")


@WAYS
def test_retry_adopts_the_job_of_the_first_try(cloud, body, deferrable):
    """A worker died: the next try of the same task goes on with the same job."""
    first = train(body(sleep=0.3), wait_for_completion=False)

    second = train(body(sleep=0.3), first.ti.next_try(), deferrable=deferrable)

    assert second.state == "success"
    assert second.value["training_job_id"] == first.value["training_job_id"]
    assert len(jobs()) == 1


def test_retry_after_a_failed_job_creates_a_new_one(cloud, body):
    """A node fault must not end the pipeline."""
    first = train(body(fail="node"))

    train(body(), first.ti.next_try())

    assert [job.name.removeprefix(jobs()[-1].name) for job in jobs()] == ["-2", ""]


def test_run_that_was_deleted_leaves_no_result_behind(cloud, body):
    """The same run, made anew, trains: it does not hand on what was trained before it began."""
    first = train(body())
    later = first.ti.run_started + timedelta(minutes=6)

    again = train(body(), replace(first.ti, run_started=later, xcom={}))

    assert again.value["training_job_id"] != first.value["training_job_id"]
    assert len(jobs()) == 2


def test_mapped_tasks_create_a_job_each(cloud, body):
    """Tasks that differ only in their map index do not share a job."""
    for index in range(3):
        train(body(), TaskInstance(map_index=index))

    assert len(jobs()) == 3


@WAYS
def test_search_returns_the_config_of_its_best_trial(cloud, body, deferrable):
    """The script's metric is highest at 0.3: the chosen learning rate is the nearest that was tried."""
    run = search(body(), deferrable=deferrable)

    assert run.state == "success", run.message
    trials = ModelArtsHook().list_trials(run.ti.xcom["training_job_id"])
    nearest = min(trials, key=lambda trial: abs(trial.config["learning_rate"] - 0.3))
    assert len(trials) == 4
    assert run.value["learning_rate"] == nearest.config["learning_rate"]
    assert run.ti.xcom["best_trial"]["trial_id"] == nearest.trial_id


@WAYS
def test_search_stops_when_its_goal_is_reached(cloud, body, deferrable):
    """stop_when takes the best so far, and what still runs is stopped."""
    algorithm = {"name": "tpe_search", "num_samples": 50, "seed": 1}

    run = search(body(), deferrable=deferrable, stop_when=0.4, algorithm=algorithm)

    assert run.state == "success", run.message
    job = ended(run.ti.xcom["training_job_id"])
    assert job.phase_text == "Terminated"
    assert run.ti.xcom["best_trial"]["value"] >= 0.4


def test_search_with_a_failing_trial_is_stopped(cloud, body):
    """A search that the task gave up does not go on at the user's cost."""
    run = search(body(fail="always"), algorithm={"name": "tpe_search", "num_samples": 50})

    assert isinstance(run.error, ModelArtsTrainingJobFailedError)
    assert "ended in ERROR" in run.message
    assert run.ti.xcom["training_job_id"] in run.message
    assert "out of memory: always" in run.message
    assert ended(run.ti.xcom["training_job_id"]).phase.is_terminal


@WAYS
def test_events_of_assets_carry_what_was_found(cloud, body, deferrable):
    """A DAG that is scheduled on an asset receives the best trial of the search, or the job that was trained."""
    best, model = Asset("modelarts://best"), Asset("modelarts://model")

    found = search(body(), outlets=[best], deferrable=deferrable)
    trained = train(body(), outlets=[model], deferrable=deferrable)

    assert found.outlet_events[best].extra == {"best_trial": found.ti.xcom["best_trial"]}
    assert trained.outlet_events[model].extra == {"training_job": trained.value}


def test_search_is_not_handed_on_unless_better(cloud, body):
    """The champion stays: the task is skipped, and so is the retraining after it."""
    best = Asset("modelarts://best")
    run = search(body(), only_if_better_than=2.0, outlets=[best])

    assert run.state == "skipped"
    assert best not in run.outlet_events


NO_TERMS = {"search_space": None, "objective": None, "algorithm": None}
BAD = {
    "body without text": ({"body": "not json"}, "body must be"),
    "nameless search": ({"search_space": {}}, "search_space names no hyperparameter"),
    "half a search": ({"objective": None}, "objective must be given too"),
    "two searches": ({"policies": {"auto_search": {}}}, "not both"),
    "unknown algorithm": ({"algorithm": {"name": "guess", "num_samples": 3}}, "algorithm.name must be one of"),
    "empty range": ({"search_space": {"learning_rate": {"min": 1, "max": 1}}}, "min 1.0 must be below max 1.0"),
    "list for a value": ({"hyperparameters": {"layers": [1, 2]}}, "hyperparameter 'layers' must be"),
    "bad interval": ({"poll_interval": "often"}, "poll_interval must be a number"),
    "no interval": ({"poll_interval": 0}, "poll_interval must be above 0 seconds, not 0"),
    "bad bar": ({"only_if_better_than": "high"}, "only_if_better_than must be a number"),
    "unknown parameter": (
        {"search_space": {"momentum": [0.8, 0.9]}},
        "search_space['momentum'] is no parameter of the job: algorithm.parameters of the body has learning_rate",
    ),
    "no values": ({"search_space": {"learning_rate": []}}, "search_space['learning_rate'] has no values"),
    "range upside down": ({"search_space": {"learning_rate": {"min": 2, "max": 1}}}, "min 2.0 must be below max 1.0"),
    "metric without mode": ({"objective": {"metric": "acc", "regex": "acc: (.*)"}}, "objective lacks mode"),
    "raw metric without mode": (
        {**NO_TERMS, "policies": {"auto_search": {"reward_attrs": [{"name": "acc"}], "search_params": []}}},
        "does not tell whether more or less of 'objective' is better: give mode",
    ),
    "two objectives": (
        {
            **NO_TERMS,
            "policies": {
                "auto_search": {"reward_attrs": [{"name": "acc", "mode": "max"}, {"name": "loss", "mode": "min"}]}
            },
        },
        "the search has several objectives (acc, loss): name one with metric=",
    ),
    "contrary mode": ({"mode": "min"}, "mode='min' contradicts the search"),
    "bad goal": ({"stop_when": "soon"}, "stop_when must be a number"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_argument_is_named_before_anything_is_paid(cloud, body, arguments, message):
    """The message names the argument, and no job comes of it."""
    run = search(**{"body": body(), **arguments})

    assert isinstance(run.error, ModelArtsCallRefusedError)
    assert message in run.message
    assert cloud.requests == []
