"""The training-job sensor on the emulator, in its three modes."""

from __future__ import annotations

import pytest
from integration.task_runs import POLLERS, mode_arguments, run_task

from airflow_provider_modelarts.sensors.modelarts import ModelArtsTrainingJobSensor
from airflow_provider_modelarts.task_exceptions import ModelArtsSearchFailedError


def wait(job_id, mode, **arguments):
    """Run the sensor in one of its modes to its end."""
    arguments = {"poke_interval": 0.002, **mode_arguments(mode), **arguments}
    return run_task(lambda: ModelArtsTrainingJobSensor(task_id="wait", training_job_id=job_id, **arguments))


@pytest.mark.parametrize("mode", POLLERS)
def test_completed_job_is_done(connected, mode):
    """A job that runs through all phases to Completed ends the wait, with a summary."""
    run = wait(connected.job_id("growing"), mode)

    assert run.state == "success"
    assert run.value["training_job_id"] == connected.job_id("growing")
    assert run.value["job_phase"] == "Completed"


@pytest.mark.parametrize("soft_fail", [False, True], ids=["plain", "soft_fail"])
@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("failing-job", "is Failed: worker-0: CUDA out of memory"),
        ("abnormal-job", "is Abnormal"),
        ("stopped-job", "was stopped before it ended"),
    ],
)
@pytest.mark.parametrize("mode", POLLERS)
def test_job_that_failed_or_was_stopped_fails_with_the_reason(connected, mode, scenario, words, soft_fail):
    """No retry can succeed with the same job; soft_fail skips the task."""
    run = wait(connected.job_id(scenario), mode, soft_fail=soft_fail)

    assert run.state == ("skipped" if soft_fail else "failed")
    assert soft_fail or isinstance(run.error, ModelArtsSearchFailedError)
    assert soft_fail or words in run.message


@pytest.mark.parametrize("mode", POLLERS)
def test_stopped_job_is_done_if_accepted(connected, mode):
    """accept_stopped treats the job as completed."""
    assert wait(connected.job_id("stopped-job"), mode, accept_stopped="yes").state == "success"


@pytest.mark.parametrize("mode", POLLERS)
def test_link_to_the_console_is_pushed_at_once(connected, mode):
    """The link works during the wait: its URL is pushed with the first poll."""
    job_id = connected.job_id("pending-forever")

    run = wait(job_id, mode, timeout=0.02)

    assert run.ti.xcom["modelarts_training_job_link"] == (
        f"https://console.huaweicloud.com/modelarts/?region={connected.region}#/training/detail/{job_id}"
    )
