"""The operators that create jobs, on the emulator."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException, Asset
from integration.task_runs import TaskInstance, context_of, run_task

from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook
from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsBestTrialOperator,
    ModelArtsHyperparameterSearchOperator,
    ModelArtsTrainingJobOperator,
)
from airflow_provider_modelarts.task_exceptions import (
    ModelArtsCallRefusedError,
    ModelArtsSearchFailedError,
    ModelArtsTrainingJobFailedError,
)

BOTH_MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])


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
    operator = arguments.pop("operator", ModelArtsHyperparameterSearchOperator)
    return run_task(lambda: operator(task_id="search", body=body, **arguments), ti)


def jobs():
    """Return all created jobs, newest first."""
    return ModelArtsHook().search_training_jobs().jobs


def ended(training_job_id, seconds=60):
    """Wait for the end of a job, and return it."""
    deadline = time.monotonic() + seconds
    while not (job := ModelArtsHook().get_training_job(training_job_id)).phase.is_terminal:
        assert time.monotonic() < deadline, "the job is still running"
        time.sleep(0.02)
    return job


@BOTH_MODES
def test_job_runs_with_the_given_hyperparameters(cloud, body, tmp_path, deferrable):
    """The script receives the hyperparameters, and the task returns the paths of the outputs."""
    run = train(body(), hyperparameters={"learning_rate": 0.25, "layers": 3}, deferrable=deferrable)

    assert run.state == "success", run.message
    arguments = json.loads((tmp_path / "bucket" / "out" / "arguments.json").read_text())
    assert {"--learning_rate=0.25", "--layers=3"} <= set(arguments)
    assert run.value["job_phase"] == "Completed"
    assert run.value["outputs"] == {"train_url": "/bucket/out/"}
    assert run.value["training_job_id"] == run.ti.xcom["training_job_id"]


@BOTH_MODES
def test_failed_job_raises_its_reason_and_may_be_retried(cloud, body, deferrable):
    """The error holds the job's id and the script's last lines, and lets Airflow's retries apply."""
    run = train(body(fail="gpu0"), deferrable=deferrable)

    assert isinstance(run.error, ModelArtsTrainingJobFailedError)
    assert isinstance(run.error, AirflowException)
    assert not isinstance(run.error, AirflowFailException)
    assert run.ti.xcom["training_job_id"] in run.message
    assert run.message.splitlines()[-2:] == ["worker-0: acc: 0.800000", "worker-0: out of memory: gpu0"]


def test_hyperparameters_of_a_skipped_task_are_an_error(cloud, body):
    """The output of a skipped task is None: a training with the values of the body would look like success."""
    with DAG("dag", schedule=None):
        best = ModelArtsBestTrialOperator(task_id="best", training_job_id="job")
        operator = ModelArtsTrainingJobOperator(task_id="train", body=body(), hyperparameters=best.output)
    operator.hyperparameters = None  # Airflow resolves the output of a skipped task to None

    with pytest.raises(ModelArtsCallRefusedError, match="hyperparameters rendered to an empty value"):
        operator.execute(context_of(TaskInstance()))

    assert cloud.requests == []


def test_hyperparameters_that_are_an_empty_mapping_are_none(cloud, body):
    """A template can set no hyperparameters on purpose."""
    assert train(body(), hyperparameters="{}").state == "success"


def test_value_in_a_body_that_looks_like_a_file_name_is_a_value(tmp_path, body):
    """Only a whole argument names a file, even if a file with the name of a value exists beside the DAG."""
    (tmp_path / "config.json").write_text('{"algorithm": {"boot_file": "{{ 1 + 1 }}"}}')
    with DAG("dag", schedule=None) as dag:
        value = ModelArtsTrainingJobOperator(task_id="value", body=body(config="config.json"))
        file = ModelArtsTrainingJobOperator(
            task_id="file", body="config.json", hyperparameters={"coco": "coco/train.json"}
        )
    dag.fileloc = str(tmp_path / "dag.py")
    for operator in (value, file):
        operator.render_template_fields({})

    assert value.job_body() == ModelArtsTrainingJobOperator(task_id="t", body=body(config="config.json")).job_body()
    assert file.job_body()["algorithm"] == {
        "boot_file": "2",
        "parameters": [{"name": "coco", "value": "coco/train.json"}],
    }


@BOTH_MODES
def test_failed_call_of_a_wait_says_that_the_job_may_still_be_running(cloud, connect, body, deferrable):
    """A task without retries leaves a job that costs money."""
    connect(cloud, retry_seconds=0)
    job_id = train(body(sleep=30), wait_for_completion=False).value["training_job_id"]
    cloud.respond_next(job_id, method="GET", status=503, after=deferrable)

    run = train(body(sleep=30), TaskInstance(), deferrable=deferrable)

    assert run.state == "failed"
    assert f"Training job {job_id} may still be running: a retry adopts it." in run.message
    assert 'set on_clear="resume" on the task and clear it to adopt the job' in run.message


def test_job_id_is_pushed_before_the_wait(cloud, body):
    """The id and the link are available while the job runs."""
    run = train(body(sleep=5), wait_for_completion=False)

    assert run.state == "success"
    assert run.ti.xcom["training_job_id"] == run.value["training_job_id"]
    assert run.ti.xcom["modelarts_training_job_link"].endswith(f"#/training/detail/{run.value['training_job_id']}")


@BOTH_MODES
def test_retry_adopts_the_job_of_the_first_try(cloud, body, deferrable):
    """A worker died: the next try of the task waits for the same job."""
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
    """The same run, created again, trains again, even at its second try."""
    first = train(body())

    again = train(body(), replace(first.ti, run_row=2, try_number=2, xcom={}))

    assert again.value["training_job_id"] != first.value["training_job_id"]
    assert len(jobs()) == 2


def test_mapped_tasks_create_a_job_each(cloud, body):
    """Tasks that differ only in their map index do not share a job."""
    for index in range(3):
        train(body(), TaskInstance(map_index=index))

    assert len(jobs()) == 3


@BOTH_MODES
def test_search_returns_the_config_of_its_best_trial(cloud, body, deferrable):
    """The script's metric is highest at 0.3: the chosen learning rate is the nearest that was tried."""
    run = search(body(), deferrable=deferrable)

    assert run.state == "success", run.message
    trials = ModelArtsHook().list_trials(run.ti.xcom["training_job_id"])
    nearest = min(trials, key=lambda trial: abs(trial.config["learning_rate"] - 0.3))
    assert len(trials) == 4
    assert run.value["learning_rate"] == nearest.config["learning_rate"]
    assert run.ti.xcom["best_trial"]["trial_id"] == nearest.trial_id


@BOTH_MODES
def test_search_stops_when_its_goal_is_reached(cloud, body, deferrable):
    """The best trial so far is selected, and the search is stopped."""
    algorithm = {"name": "tpe_search", "num_samples": 50, "seed": 1}

    run = search(body(), deferrable=deferrable, stop_when=0.4, algorithm=algorithm)

    assert run.state == "success", run.message
    job = ended(run.ti.xcom["training_job_id"])
    assert job.phase_text == "Terminated"
    assert run.ti.xcom["best_trial"]["value"] >= 0.4


def test_call_that_fails_after_the_goal_costs_no_second_search(cloud, connect, body):
    """The retry adopts the search, which must not be stopped before its trials are read."""

    class FailsOnce(ModelArtsHyperparameterSearchOperator):
        def choose(self, context, training_job_id):
            if context["ti"].try_number == 1:
                cloud.respond_next(training_job_id, method="GET", status=503)
            return super().choose(context, training_job_id)

    connect(cloud, retry_seconds=0)
    searching = {"operator": FailsOnce, "stop_when": 0.0, "algorithm": {"name": "tpe_search", "num_samples": 50}}
    first = search(body(sleep=0.1), TaskInstance(max_tries=1), **searching)
    second = search(body(sleep=0.1), first.ti.next_try(), **searching)

    assert (first.state, second.state) == ("failed", "success"), second.message
    assert [ended(job.id).phase_text for job in jobs()] == ["Terminated"]


def test_search_without_a_better_trial_is_stopped_at_its_goal(cloud, body):
    """The task is skipped; the rest of the search is not required."""
    run = search(
        body(sleep=0.1),
        stop_when=0.0,
        only_if_better_than=2.0,
        algorithm={"name": "tpe_search", "num_samples": 50},
    )

    assert run.state == "skipped"
    assert [ended(job.id).phase_text for job in jobs()] == ["Terminated"]


def test_search_with_a_failing_trial_is_stopped(cloud, body):
    """A search whose task has failed does not run on at the user's cost."""
    run = search(body(fail="always"), algorithm={"name": "tpe_search", "num_samples": 50})

    assert isinstance(run.error, ModelArtsSearchFailedError)
    assert "ended in ERROR" in run.message
    assert run.ti.xcom["training_job_id"] in run.message
    assert "out of memory: always" in run.message
    assert ended(run.ti.xcom["training_job_id"]).phase.is_terminal


@BOTH_MODES
def test_asset_events_carry_the_result(cloud, body, deferrable):
    """A DAG scheduled on an asset receives the best trial, or the summary of the training job."""
    best, model = Asset("modelarts://best"), Asset("modelarts://model")

    found = search(body(), outlets=[best], deferrable=deferrable)
    trained = train(body(), outlets=[model], deferrable=deferrable)

    assert found.outlet_events[best].extra == {"best_trial": found.ti.xcom["best_trial"]}
    assert trained.outlet_events[model].extra == {"training_job": trained.value}


def test_search_without_a_better_trial_is_skipped(cloud, body):
    """Airflow then skips the retraining downstream."""
    best = Asset("modelarts://best")
    run = search(body(), only_if_better_than=2.0, outlets=[best])

    assert run.state == "skipped"
    assert best not in run.outlet_events


NO_TERMS = {"search_space": None, "objective": None, "algorithm": None}
BAD = {
    "body without text": ({"body": "not json"}, "body must be"),
    "nameless search": ({"search_space": {}}, "search_space names no hyperparameter"),
    "half a search": ({"objective": None}, "a search also requires objective"),
    "two searches": ({"policies": {"auto_search": {}}}, "not both"),
    "unknown algorithm": ({"algorithm": {"name": "guess", "num_samples": 3}}, "algorithm.name must be one of"),
    "empty range": ({"search_space": {"learning_rate": {"min": 1, "max": 1}}}, "min 1.0 must be below max 1.0"),
    "list for a value": ({"hyperparameters": {"layers": [1, 2]}}, "hyperparameter 'layers' must be"),
    "hyperparameters of a task that pushed nothing": (
        {"hyperparameters": "None"},
        "hyperparameters rendered to an empty",
    ),
    "hyperparameters that rendered to nothing": ({"hyperparameters": ""}, "hyperparameters rendered to an empty"),
    "bad interval": ({"poll_interval": "often"}, "poll_interval must be a number"),
    "no interval": ({"poll_interval": 0}, "poll_interval must be above 0 seconds, not 0"),
    "bad threshold": ({"only_if_better_than": "high"}, "only_if_better_than must be a number"),
    "unknown parameter": (
        {"search_space": {"momentum": [0.8, 0.9]}},
        "search_space['momentum'] is not a parameter of the job: algorithm.parameters of the body has learning_rate",
    ),
    "no values": ({"search_space": {"learning_rate": []}}, "search_space['learning_rate'] has no values"),
    "range upside down": ({"search_space": {"learning_rate": {"min": 2, "max": 1}}}, "min 2.0 must be below max 1.0"),
    "metric without mode": ({"objective": {"metric": "acc", "regex": "acc: (.*)"}}, "objective lacks mode"),
    "raw metric without mode": (
        {**NO_TERMS, "policies": {"auto_search": {"reward_attrs": [{"name": "acc"}], "search_params": []}}},
        "does not define whether more or less of 'objective' is better: give mode",
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
def test_bad_argument_is_named_before_any_request(cloud, body, arguments, message):
    """The message names the argument, and no job is created."""
    run = search(**{"body": body(), **arguments})

    assert isinstance(run.error, ModelArtsCallRefusedError)
    assert message in run.message
    assert cloud.requests == []
