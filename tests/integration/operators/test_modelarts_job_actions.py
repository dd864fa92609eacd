"""The operators that act on an existing job, on the emulator."""

from __future__ import annotations

import pytest
from integration.emulator.bench import WAITING_SCRIPT
from integration.task_runs import run_task

from airflow_provider_modelarts.operators.modelarts import (
    ModelArtsDeleteTrainingJobOperator,
    ModelArtsStopTrainingJobOperator,
    ModelArtsStopTrialOperator,
)
from airflow_provider_modelarts.task_exceptions import ModelArtsCallRefusedError


@pytest.fixture(name="waiting")
def _waiting(bench, connect):
    """Id of a search whose first two trials run until they are stopped."""
    connect(bench.emulator)
    bench.write(WAITING_SCRIPT)
    job_id = bench.create(bench.search_body(samples=3))
    bench.waiting(2)
    return job_id


def act(operator, **arguments):
    """Run one of the operators."""
    return run_task(lambda: operator(task_id="act", **arguments))


def changes(bench):
    """Return the last parts of the paths of all requests that change something."""
    return [
        (request.method, request.path.rpartition("/")[2])
        for request in bench.emulator.requests
        if request.method != "GET" and "/training-jobs/" in request.path
    ]


def test_job_is_stopped(bench, waiting, task_log):
    """The second task does nothing, and succeeds."""
    first = act(ModelArtsStopTrainingJobOperator, training_job_id=waiting)
    phase = bench.ended(waiting)["status"]["phase"]
    second = act(ModelArtsStopTrainingJobOperator, training_job_id=waiting)

    assert (first.state, phase, second.state) == ("success", "Terminated", "success")
    log = task_log()
    assert f"Training job {waiting} is being stopped" in log
    assert f"Training job {waiting} has already ended" in log


def test_job_is_deleted(bench, waiting, task_log):
    """The second task does nothing, and succeeds."""
    states = [act(ModelArtsDeleteTrainingJobOperator, training_job_id=waiting).state for _ in range(2)]

    assert states == ["success", "success"]
    assert bench.call("GET", waiting).refusal == (400, "ModelArts.2775")
    assert f"Training job {waiting} no longer exists" in task_log()


def test_trial_is_stopped_early(bench, waiting, task_log):
    """The trial ends, the search continues; the second task sends no request to stop it."""
    trial_id = bench.rows(waiting)[0]["trial_id"]

    first = act(ModelArtsStopTrialOperator, training_job_id=waiting, trial_id=trial_id)
    bench.waiting(3, waiting)
    second = act(ModelArtsStopTrialOperator, training_job_id=waiting, trial_id=trial_id)

    assert (first.state, second.state) == ("success", "success")
    assert bench.statuses(waiting) == ["TERMINATED", "RUNNING", "RUNNING"]
    assert changes(bench) == [("POST", trial_id)]
    assert f"Trial {trial_id} of training job {waiting} has already ended" in task_log()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trial_id": "no-such"}, "lists no trial 'no-such'"),
        ({"training_job_id": "../x"}, "training_job_id must be 1 to 64 letters"),
        ({"training_job_id": ""}, "training_job_id must be 1 to 64 letters"),
    ],
)
def test_wrong_id_is_named(bench, waiting, arguments, message):
    """No trial is stopped, and the task is not retried."""
    run = act(ModelArtsStopTrialOperator, **{"training_job_id": waiting, "trial_id": "t0", **arguments})

    assert isinstance(run.error, ModelArtsCallRefusedError)
    assert message in run.message
    assert changes(bench) == []
