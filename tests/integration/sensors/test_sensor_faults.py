"""The search sensor with faulty responses: the right outcome or an error, never success for a failure."""

from __future__ import annotations

import json
from functools import partial

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout
from integration.task_runs import POLLERS, mode_arguments, run_task

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.exceptions import ModelArtsApiError, ModelArtsProtocolError, ModelArtsTransportError
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor
from airflow_provider_modelarts.task_exceptions import ModelArtsCallRefusedError, ModelArtsSearchFailedError
from modelarts_emulator import Search, TrialScript


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch):
    """Retry calls at once in this module: the first delay is not a field of the connection."""
    monkeypatch.setattr("airflow_provider_modelarts.api.settings.RetryPolicy", partial(RetryPolicy, 0.002, 0.01))


@pytest.fixture(name="cloud")
def _cloud(modelarts_emulator, connect):
    """Emulator, and an Airflow connection to it with a short timeout."""
    modelarts_emulator.fault_seconds = 0.1
    return connect(modelarts_emulator, timeout="5,0.08")


def wait(job_id, mode="poke", **arguments):
    """Run the sensor in one of its modes to its end."""
    arguments = {"poke_interval": 0.002, **mode_arguments(mode), **arguments}
    return run_task(lambda: ModelArtsHyperparameterSearchSensor(task_id="wait", training_job_id=job_id, **arguments))


def search(*statuses):
    """Return a search whose trials end one after the other, one per poll, in these statuses."""
    trials = [
        TrialScript(
            trial_id=f"t{number}", config={"x": number}, listed=number, starts=number, ends=number + 1, status=status
        )
        for number, status in enumerate(statuses, 1)
    ]
    phases = ((0, "Pending"), (1, "Running"), (len(statuses) + 2, "Completed"))
    return Search(name="faulty", trials=trials, phases=phases, num_samples=len(statuses))


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("mode", POLLERS)
def test_search_is_done_though_responses_are_faulty(modelarts_emulator_factory, connect, mode, seed):
    """Three in ten responses have a transient fault; the summary is that of an undisturbed wait."""
    with modelarts_emulator_factory(scenarios=[], fault_share=0.3, fault_seed=seed, fault_seconds=0.1) as emulator:
        connect(emulator, timeout="5,0.08")
        run = wait(emulator.add_search(search("TERMINATED", "TERMINATED", "TERMINATED")), mode)

    assert run.state == "success", run.message
    assert run.value["trial_counts"] == {"TERMINATED": 3}
    assert sum(emulator.fault_counts.values()) >= 2


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("mode", POLLERS)
def test_failed_trial_is_named_though_responses_are_faulty(modelarts_emulator_factory, connect, mode, seed):
    """Transient faults do not hide the failed trial."""
    with modelarts_emulator_factory(scenarios=[], fault_share=0.3, fault_seed=seed, fault_seconds=0.1) as emulator:
        connect(emulator, timeout="5,0.08")
        run = wait(emulator.add_search(search("TERMINATED", "TERMINATED", "ERROR")), mode)

    assert isinstance(run.error, ModelArtsSearchFailedError)
    assert "1 of 3 trials" in run.message
    assert "ended in ERROR: t3 (ERROR)" in run.message


PERMANENT = {
    "no HTTP": (ModelArtsTransportError, "no response"),
    "HTML": (ModelArtsProtocolError, "Check the endpoint."),
    "redirect": (ModelArtsApiError, "which is not followed with credentials"),
    "no such API": (ModelArtsApiError, "it may have been retired"),
    "clock skew": (ModelArtsCallRefusedError, "signature expired. The clock of this machine"),
}


@pytest.mark.parametrize(
    ("fault", "error", "words"), [(name, *fault) for name, fault in PERMANENT.items()], ids=PERMANENT
)
@pytest.mark.parametrize("mode", POLLERS)
def test_permanent_fault_fails_the_task_with_its_reason(cloud, connect, mode, fault, error, words):
    """The fault is not an outcome of the search: the task fails in each mode, despite soft_fail."""
    connect(cloud, retry_seconds=0.02)
    job_id = cloud.job_id("growing")
    cloud.respond_next(f"/training-jobs/{job_id}", fault=fault, times=1000, after=2)

    run = wait(job_id, mode, soft_fail=True)

    assert (run.state, type(run.error)) == ("failed", error)
    assert words in run.message


@pytest.mark.parametrize("mode", POLLERS)
def test_unknown_phase_is_not_an_end(cloud, mode):
    """If the phase stays unknown, the sensor times out; otherwise the wait continues."""
    job_id = cloud.job_id("documented")
    cloud.respond_next(job_id, fault="unknown phase", times=1000)
    assert isinstance(wait(job_id, mode, timeout=0.05).error, AirflowSensorTimeout)

    other = cloud.job_id("tie")
    cloud.respond_next(other, fault="unknown phase", times=2)
    assert wait(other, mode).value["job_phase"] == "Completed"


def test_unknown_phase_is_named_by_the_timeout(cloud):
    """The message quotes the platform's own word."""
    job_id = cloud.job_id("documented")
    cloud.respond_next(job_id, fault="unknown phase", times=1000)

    assert "Hibernating" in wait(job_id, "deferrable", timeout=0.05).message


@pytest.mark.parametrize("mode", POLLERS)
def test_unknown_status_is_not_the_end_of_a_trial(cloud, mode):
    """The sensor waits for trials that are not done, with any status."""
    job_id = cloud.job_id("pending-forever")
    cloud.respond_next(job_id, fault="unknown status", times=1000)

    assert isinstance(wait(job_id, mode, timeout=0.05).error, AirflowSensorTimeout)


@pytest.mark.parametrize("fault", ["rows reversed", "rows repeated"])
@pytest.mark.parametrize("mode", POLLERS)
def test_rows_in_another_order_or_twice_change_nothing(cloud, mode, fault):
    """At every poll, each trial counts once."""
    job_id = cloud.job_id("growing")
    cloud.respond_next(job_id, fault=fault, times=1000)

    assert wait(job_id, mode).value["trial_counts"] == {"TERMINATED": 8}


@pytest.mark.parametrize("fault", ["page shrinks", "page grows", "rows reversed", "rows repeated"])
@pytest.mark.parametrize("poll", [1, 3])
@pytest.mark.parametrize("mode", POLLERS)
def test_failed_trial_is_named_though_the_table_changes(cloud, mode, poll, fault):
    """One page of one poll differs from the others; the trial in ERROR is still found."""
    job_id = cloud.add_search(search("TERMINATED", "ERROR", "TERMINATED"))
    cloud.respond_next(job_id, fault=fault, after=poll)

    run = wait(job_id, mode)

    assert isinstance(run.error, ModelArtsSearchFailedError)
    assert "t2 (ERROR)" in run.message


@pytest.mark.parametrize("mode", POLLERS)
def test_missing_trials_are_not_a_success(cloud, mode):
    """The platform promises three trials and only ever lists two: the error counts the missing ones."""
    table = [["trial_id", "status", "config"], [["t0", "TERMINATED", {}], ["t1", "TERMINATED", {}]]]
    job_id = cloud.add_table(*table)
    page = {"total": 3, "count": 2, "limit": 50, "offset": 0, "items": {"header": table[0], "data": table[1]}}
    cloud.respond_next("autosearch-trials", body=json.dumps(page).encode(), times=1000)

    run = wait(job_id, mode, settle_seconds=0)

    assert isinstance(run.error, ModelArtsSearchFailedError)
    assert "1 of 3 not listed" in run.message
