"""Both clients with jobs that run on the emulator."""

from __future__ import annotations

from functools import partial

import pytest
from integration.emulated import settings_of
from integration.emulator.bench import WAITING_SCRIPT

from airflow_provider_modelarts.core.jobs import JobPhase
from airflow_provider_modelarts.core.trials import TrialStatus
from airflow_provider_modelarts.exceptions import ModelArtsApiError, ModelArtsNotFoundError

JOBS = "/v2/{project_id}/training-jobs"


@pytest.fixture(name="call")
def _call(call, bench):
    """Function that calls a method of one of the clients, by name."""
    return partial(call, settings_of(bench.emulator))


def test_job_is_created_and_read(bench, call):
    """A job has typed fields, and the whole response in ``raw``."""
    created = call("create_training_job", bench.body("my-job", x=3))
    bench.ended(created.id)
    job = call("get_training_job", created.id)

    assert (created.name, created.phase, created.description) == ("my-job", JobPhase.CREATING, "a test")
    assert (job.id, job.phase, job.tasks, job.search) == (created.id, JobPhase.COMPLETED, ("worker-0",), None)
    assert job.duration > 0
    assert job.raw["spec"] == {"resource": {"flavor_id": "modelarts.vm.cpu.8u", "node_count": 1}}


def test_name_of_an_existing_job_is_an_error(bench, call):
    """The error carries the platform's code."""
    call("create_training_job", bench.body("my-job", x=3))

    with pytest.raises(ModelArtsApiError) as raised:
        call("create_training_job", bench.body("my-job", x=3))

    assert (raised.value.status, raised.value.code) == (400, "ModelArts.2751")


def test_running_job_is_stopped_once(bench, call):
    """A second stop, and one of a job that no longer exists, returns False."""
    bench.write(WAITING_SCRIPT)
    job_id = call("create_training_job", bench.body()).id
    bench.waiting()
    stopped = call("stop_training_job", job_id)
    phase = bench.ended(job_id)["status"]["phase"]

    assert (stopped, phase) == (True, "Terminated")
    assert call("stop_training_job", job_id) is False
    assert call("stop_training_job", "no-such-job") is False


def test_job_is_deleted_once(bench, call):
    """A deleted job cannot be read, and a second deletion returns False."""
    job_id = call("create_training_job", bench.body(x=3)).id
    bench.ended(job_id)

    assert call("delete_training_job", job_id) is True
    assert call("delete_training_job", job_id) is False
    with pytest.raises(ModelArtsNotFoundError):
        call("get_training_job", job_id)


def test_jobs_are_searched(bench, call):
    """Filters on name and phase select the jobs, which are listed newest first, in pages."""
    for name in ("run-a", "run-b", "other"):
        bench.done(bench.body(name, x=3))
    filters = [("name", "like", ["run-"]), ("phase", "in", ["Completed"])]
    found = call("search_training_jobs", filters=filters)
    page = call("search_training_jobs", filters=filters, limit=1, offset=1)

    assert ([job.name for job in found.jobs], found.total) == (["run-b", "run-a"], 2)
    assert ([job.name for job in page.jobs], page.total) == (["run-a"], 2)


def test_trial_is_read_report_by_report(bench, call):
    """Reports are listed oldest first; only the last one is marked as ended."""
    job_id = bench.done(bench.search_body(samples=1, values="3"))["metadata"]["id"]
    (trial,) = call("list_trials", job_id)
    reports = call("get_trial", job_id, trial.trial_id)

    assert [(report.metrics["acc"], report.ended) for report in reports] == [
        (0.98, False), (0.99, False), (1.0, False), (1.0, True),
    ]  # fmt: skip
    assert {report.trial_id for report in reports} == {trial.trial_id}


def test_running_trial_is_stopped_early(bench, call):
    """The trial ends as TERMINATED, and the search continues with the next one."""
    bench.write(WAITING_SCRIPT)
    job_id = bench.create(bench.search_body(samples=3))
    bench.waiting(2)
    first = call("get_training_job", job_id).id and bench.rows(job_id)[0]["trial_id"]

    assert call("stop_trial", job_id, first) == first
    bench.waiting(3)
    assert {row["trial_id"]: row["status"] for row in bench.rows(job_id)}[first] == TrialStatus.TERMINATED


def test_importance_is_read(bench, call):
    """Each hyperparameter has a mean and a standard deviation."""
    job_id = bench.done(bench.search_body(samples=8))["metadata"]["id"]
    (importance,) = call("get_parameter_importance", job_id)

    assert (importance.name, importance.mean) == ("x", 1.0)
    assert importance.std >= 0


def test_events_are_listed(bench, call):
    """Events are listed newest first; ``level`` and ``limit`` select among them."""
    bench.write("raise SystemExit('no such device')")
    job_id = bench.done(bench.body())["metadata"]["id"]
    (error,) = call("list_events", job_id, level="Error")

    assert (error.level, error.source) == ("Error", "Job")
    assert "no such device" in error.message
    assert [event.message for event in call("list_events", job_id, limit=2)] == [
        error.message, "Training job is Running.",
    ]  # fmt: skip


@pytest.mark.parametrize(("script", "log"), [("print('hello')", "hello\n"), ("", "")], ids=["log", "no log"])
def test_log_is_read(bench, call, script, log):
    """The log of a job without output is empty."""
    bench.write(script)

    assert call("get_log_preview", bench.done(bench.body())["metadata"]["id"]) == log


def test_any_other_operation_is_called(bench, call):
    """``request`` calls operations without a method, such as ChangeTrainingJobDescription."""
    job_id = bench.create(bench.body(x=3))

    assert call("request", "PUT", f"{JOBS}/{job_id}", body={"description": "changed"}) == {}
    assert call("get_training_job", job_id).description == "changed"
