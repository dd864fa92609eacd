"""The search sensor on the emulator, in its three modes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
)
from integration.task_runs import MODES, POLLERS, mode_arguments, run_task

from airflow_provider_modelarts.exceptions import ModelArtsNotFoundError, ModelArtsProtocolError, ModelArtsServerError
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor
from airflow_provider_modelarts.task_exceptions import ModelArtsCallRefusedError, ModelArtsSearchFailedError
from modelarts_emulator.server import running

# State of the task for each scenario of the emulator.
ENDS = {
    "documented": "success",
    "growing": "success",
    "large": "success",
    "failing-trial": "failed",
    "failing-job": "failed",
    "abnormal-job": "failed",
    "stopped-job": "failed",
    "tie": "success",
    "nan": "success",
    "minimise": "success",
    "algorithm-search": "success",
    "no-search": "failed",
    "two-objectives": "success",
    "unknown-status": "success",
    "lagging": "success",
    "never-settles": "failed",
    "silent": "success",
}


def wait(job_id, mode="poke", **arguments):
    """Run the sensor in one of its modes to its end."""
    arguments = {"poke_interval": 0.002, **mode_arguments(mode), **arguments}
    return run_task(lambda: ModelArtsHyperparameterSearchSensor(task_id="wait", training_job_id=job_id, **arguments))


@pytest.mark.parametrize("soft_fail", [False, True], ids=["plain", "soft_fail"])
@pytest.mark.parametrize("scenario", ENDS)
@pytest.mark.parametrize("mode", POLLERS)
def test_sensor_ends_as_the_search_does(connected, mode, scenario, soft_fail):
    """Every mode has the same outcome; soft_fail turns a failure into a skip."""
    run = wait(connected.job_id(scenario), mode, soft_fail=soft_fail)

    assert run.state == ("skipped" if soft_fail and ENDS[scenario] == "failed" else ENDS[scenario])
    if run.state == "failed":
        assert isinstance(run.error, ModelArtsSearchFailedError)


@pytest.mark.parametrize("scenario", ENDS)
def test_modes_return_the_same_summary_and_message(connect, scenario):
    """The three modes agree for every scenario of the emulator."""
    runs = []
    for mode in MODES:
        with running() as emulator:
            connect(emulator)
            runs.append(wait(emulator.job_id(scenario), mode))

    first, *others = [(run.state, run.value, run.error and run.message) for run in runs]
    assert others == [first, first]


@pytest.mark.parametrize("mode", POLLERS)
def test_summary_is_returned_in_every_mode(connected, mode):
    """The XCom of the sensor is a summary of the search."""
    run = wait(connected.job_id("documented"), mode)

    assert run.value == {
        "schema_version": 1,
        "training_job_id": connected.job_id("documented"),
        "job_phase": "Completed",
        "trials": 8,
        "expected_trials": 8,
        "trial_counts": {"TERMINATED": 8},
        "message": "all 8 trials of training job 00000000-0000-4000-8000-documented have ended",
    }


@pytest.mark.parametrize("mode", POLLERS)
def test_search_with_trials_to_come_is_not_done(connected, mode):
    """Three of eight trials are listed and all three are TERMINATED: the search is still running."""
    job_id = connected.add_running_search(num_samples=8, terminated=3)

    run = wait(job_id, mode, timeout=0.05)

    assert run.state == "failed"
    assert isinstance(run.error, AirflowSensorTimeout)


@pytest.mark.parametrize("mode", POLLERS)
def test_search_with_all_expected_trials_is_done(connected, mode):
    """expected_trials takes precedence over the search's own number."""
    job_id = connected.add_running_search(num_samples=8, terminated=3)

    run = wait(job_id, mode, expected_trials="3")

    assert run.state == "success"
    assert run.value["trial_counts"] == {"TERMINATED": 3}


@pytest.mark.parametrize("mode", POLLERS)
def test_failed_trial_ends_the_wait_at_once_with_its_id(connected, mode):
    """A trial in ERROR never becomes TERMINATED: a longer wait is useless."""
    run = wait(connected.job_id("failing-trial"), mode)

    assert run.state == "failed"
    assert "fa110001" in run.message
    assert "max_failed_trials is 0" in run.message


@pytest.mark.parametrize("mode", POLLERS)
def test_tolerated_failed_trial_does_not_end_the_wait(connected, mode):
    """max_failed_trials lets the search run to its end."""
    run = wait(connected.job_id("failing-trial"), mode, max_failed_trials=1)

    assert run.state == "success"
    assert run.value["trial_counts"]["ERROR"] == 1


@pytest.mark.parametrize("mode", POLLERS)
def test_stopped_search_is_done_if_accepted(connected, mode):
    """accept_stopped=True treats the search as completed, with the trials that ended before."""
    run = wait(connected.job_id("stopped-job"), mode, accept_stopped="true")

    assert run.state == "success"
    assert run.value["job_phase"] == "Terminated"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_timeout_is_a_sensor_timeout(connected, mode, soft_fail):
    """A search that does not end in time fails the sensor in Airflow's own class, or skips."""
    run = wait(connected.job_id("pending-forever"), mode, timeout=0.05, soft_fail=soft_fail)

    assert run.state == ("skipped" if soft_fail else "failed")
    assert soft_fail or isinstance(run.error, AirflowSensorTimeout)


def test_timeout_of_a_deferred_wait_names_its_last_progress(connected):
    """The message names the job and the statuses of its trials."""
    job_id = connected.job_id("pending-forever")

    run = wait(job_id, "deferrable", timeout=0.05)

    assert job_id in run.message
    assert "PENDING" in run.message


def test_execution_timeout_applies_while_deferred(connected):
    """Airflow does not apply execution_timeout while a task is deferred; the trigger does."""
    limit = timedelta(seconds=0.05)

    run = wait(connected.job_id("pending-forever"), "deferrable", execution_timeout=limit)

    assert isinstance(run.error, AirflowTaskTimeout)


CALLS = {
    "server error": (500, b'{"error_code":"ModelArts.2950","error_msg":"oops"}', ModelArtsServerError),
    "not found": (400, b'{"error_code":"ModelArts.2775","error_msg":"gone"}', ModelArtsNotFoundError),
    "html": (200, b"<html>", ModelArtsProtocolError),
}


@pytest.mark.parametrize("soft_fail", [False, True], ids=["plain", "soft_fail"])
@pytest.mark.parametrize(("status", "body", "error"), CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("mode", POLLERS)
@pytest.mark.parametrize("poll", [1, 3], ids=["first poll", "third poll"])
def test_failed_call_keeps_its_class(connected_once, mode, status, body, error, soft_fail, poll):
    """A failed call is not an outcome of the search: the task fails despite soft_fail, and may be retried."""
    job_id = connected_once.job_id("pending-forever")
    connected_once.respond_next(f"/training-jobs/{job_id}", status=status, body=body, times=100, after=poll - 1)

    run = wait(job_id, mode, timeout=5, soft_fail=soft_fail)

    assert run.state == "failed"
    assert type(run.error) is error
    assert not isinstance(run.error, AirflowException)


REFUSED = b'{"error_code": "APIGW.0301", "error_msg": "verify aksk signature fail"}'


@pytest.mark.parametrize("soft_fail", [False, True], ids=["plain", "soft_fail"])
@pytest.mark.parametrize("mode", POLLERS)
@pytest.mark.parametrize("poll", [1, 3], ids=["first poll", "third poll"])
def test_refused_key_stops_the_retries_of_the_task(connected, mode, soft_fail, poll):
    """Five bad signatures lock an access key: neither call nor task is retried, and soft_fail is ignored."""
    job_id = connected.job_id("pending-forever")
    connected.respond_next(f"/training-jobs/{job_id}", status=401, body=REFUSED, times=100, after=poll - 1)

    run = wait(job_id, mode, timeout=5, soft_fail=soft_fail)

    assert run.state == "failed"
    assert isinstance(run.error, ModelArtsCallRefusedError)
    assert isinstance(run.error, AirflowFailException)
    assert "verify aksk signature fail" in run.message


@pytest.mark.parametrize("mode", POLLERS)
def test_never_fail_skips_after_a_failed_call(connected_once, mode):
    """A failed call skips the task in every mode."""
    job_id = connected_once.job_id("pending-forever")
    connected_once.respond_next(f"/training-jobs/{job_id}", status=500, body=b"{}", times=100, after=1)

    assert wait(job_id, mode, timeout=5, never_fail=True).state == "skipped"


@pytest.mark.parametrize("mode", POLLERS)
def test_silent_fail_continues_after_a_failed_call(connected_once, mode):
    """silent_fail logs the error, and the next poll succeeds."""
    job_id = connected_once.job_id("growing")
    connected_once.respond_next(f"/training-jobs/{job_id}", status=500, body=b"{}", times=1, after=1)

    assert wait(job_id, mode, silent_fail=True).state == "success"


BAD_ARGUMENTS = {
    "training_job_id": "../../etc/passwd",
    "expected_trials": "many",
    "max_failed_trials": -1,
    "accept_stopped": "perhaps",
    "settle_seconds": "soon",
    "region": "nowhere/else",
}


@pytest.mark.parametrize(("name", "value"), BAD_ARGUMENTS.items())
@pytest.mark.parametrize("mode", POLLERS)
def test_bad_argument_is_named_before_any_request(connected, mode, name, value):
    """The message names the argument."""
    arguments = {"training_job_id": connected.job_id("growing"), name: value}

    run = wait(arguments.pop("training_job_id"), mode, **arguments)

    assert isinstance(run.error, ModelArtsCallRefusedError)
    assert name in run.message
    assert connected.requests == []


def test_missing_region_is_named(connected, monkeypatch):
    """The message names the connection too."""
    monkeypatch.setenv("AIRFLOW_CONN_MODELARTS_DEFAULT", '{"conn_type": "modelarts", "login": "AK", "password": "SK"}')

    run = wait(connected.job_id("growing"))

    assert "connection 'modelarts_default': no region" in run.message


def test_search_settings_of_an_algorithm_are_looked_up_once(connected):
    """A job that holds only an algorithm id costs one more request during the wait, and one at its end."""
    wait(connected.job_id("algorithm-search"), "poke")

    assert sum("/algorithms/" in request.path for request in connected.requests) == 2


def test_trials_of_a_starting_job_are_not_requested(connected):
    """A job that is Creating or Pending has no trials."""
    wait(connected.job_id("growing"), "poke")

    paths = [request.path for request in connected.requests if "/training-jobs/" in request.path]
    assert [path.endswith("autosearch-trials") for path in paths[:4]] == [False, False, False, True]


def test_log_has_one_line_per_change(connected, task_log):
    """A poll without a change logs no line."""
    wait(connected.job_id("pending-forever"), "poke", timeout=0.05)

    assert task_log().count("trials ended (1 PENDING)") == 1


def test_log_names_counts_and_best_value(connected, task_log):
    """A line counts the ended trials and names the best one so far."""
    wait(connected.job_id("documented"), "poke")

    assert "8/8 trials ended (8 TERMINATED), best acc=0.25 by ae5503c0" in task_log()
