"""Exactly-once job creation, against a small platform that may lose responses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_modelarts.api.create_once import acquire_job, stop_unanswered
from airflow_provider_modelarts.api.flows import Sleep
from airflow_provider_modelarts.core.job_identity import TaskIdentity
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsError,
    ModelArtsNotFoundError,
    ModelArtsServerError,
    ModelArtsTransportError,
)

TASK = TaskIdentity(prefix="prod", dag_id="dag", task_id="train", run_id="r1", map_index=-1, generation=0)
BODY = {"kind": "job", "metadata": {"description": "nightly"}, "algorithm": {}}
RESET = ModelArtsTransportError("connection reset")
SERVER_ERROR = ModelArtsServerError("oops", status=500, code="ModelArts.2950")


class Platform:
    """Small ModelArts; the next creation raises ``creation_error``, and creates the job if ``creation_arrives``."""

    def __init__(self, *jobs):
        self.jobs = {job["metadata"]["id"]: job for job in jobs}
        self.created = []
        self.slept = 0.0
        self.creation_error = None
        self.creation_arrives = True
        self.listing_lag = 0  # listings that do not show the newest job yet

    def run(self, flow):
        """Respond to the requests of a flow, and return its result."""
        try:
            step = next(flow)
            while True:
                try:
                    value = self.respond(step)
                except ModelArtsError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(value)
        except StopIteration as end:
            return end.value

    def respond(self, step):
        """Respond to one request."""
        if isinstance(step, Sleep):
            self.slept += step.seconds
            return None
        if step.path.endswith("/training-job-searches"):
            return step.read({"items": self.listed(), "total": len(self.jobs)})
        if step.path.endswith("/actions"):
            return step.read(self.stop(step.path.split("/")[-2]))
        if step.method == "POST":
            return step.read(self.create(json.loads(step.body)))
        job_id = step.path.rpartition("/")[2]
        if job_id not in self.jobs:
            raise ModelArtsNotFoundError("gone", status=400, code="ModelArts.2775")
        return step.read(self.jobs[job_id])

    def listed(self):
        """Return the jobs that a search lists, newest first."""
        jobs = list(self.jobs.values())[::-1]
        if self.created and self.listing_lag > 0:
            self.listing_lag -= 1
            return jobs[1:]
        return jobs

    def stop(self, job_id):
        """Stop a job, and return it."""
        self.jobs[job_id]["status"]["phase"] = "Terminating"
        return self.jobs[job_id]

    def phases(self):
        """Return the phase of each job by its name."""
        return {job["metadata"]["name"]: job["status"]["phase"] for job in self.jobs.values()}

    def create(self, body):
        """Create a job, raise ``creation_error``, or both."""
        name = body["metadata"]["name"]
        if any(job["metadata"]["name"] == name for job in self.jobs.values()):
            raise ModelArtsApiError("duplicate name", status=400, code="ModelArts.2751")
        created = job(name, "Creating", description=body["metadata"]["description"])
        if self.creation_error is None or self.creation_arrives:
            self.created.append(name)
            self.jobs[created["metadata"]["id"]] = created
        if self.creation_error is not None:
            error, self.creation_error = self.creation_error, None
            raise error
        return created


def acquire(platform, remembered_id=None, *, identity=TASK, since=0.0):
    """Return the job that a task acquires."""
    return platform.run(acquire_job(BODY, identity, since=since, remembered_id=remembered_id))


def job(name, phase, description=None):
    """Return a job in the form of the platform; its description holds the mark of the task by default."""
    description = f"nightly {TASK.mark}" if description is None else description
    return {
        "metadata": {"id": f"id-of-{name}", "name": name, "description": description},
        "status": {"phase": phase},
        "algorithm": {},
    }


def test_first_try_creates_a_job_with_name_and_mark():
    """The job has the task's name, and its description holds the user's text and the task's mark."""
    platform = Platform()

    acquired = acquire(platform)

    assert not acquired.adopted
    assert platform.created == [TASK.name]
    assert acquired.job.description == f"nightly {TASK.mark}"


@pytest.mark.parametrize("phase", ["Creating", "Pending", "Running", "Completed", "Somewhere"])
def test_retry_adopts_job_that_has_not_failed(phase):
    """A retry adopts a job that has neither failed nor stopped, rather than pay for a second one."""
    platform = Platform(job(TASK.name, phase))

    acquired = acquire(platform)

    assert acquired.adopted
    assert platform.created == []


@pytest.mark.parametrize("phase", ["Failed", "Abnormal", "Terminated", "Terminating"])
def test_retry_after_failed_job_creates_another(phase):
    """A retry after a failed or stopped job creates a job under the next name."""
    platform = Platform(job(TASK.name, phase))

    acquire(platform)

    assert platform.created == [f"{TASK.name}-2"]


def test_job_older_than_dag_run_is_not_adopted():
    """A job of a deleted DAG run is not adopted, because its result is stale."""
    platform = Platform(job(TASK.name, "Completed"))

    assert not acquire(platform, since=1.0).adopted
    assert platform.created == [f"{TASK.name}-2"]


def test_remembered_job_older_than_dag_run_is_adopted():
    """A job whose id the task has stored is adopted, even if the clocks disagree."""
    platform = Platform(job(TASK.name, "Completed"))

    assert acquire(platform, f"id-of-{TASK.name}", since=1.0).adopted


def test_cleared_task_stops_its_active_jobs():
    """A cleared task creates a job and stops its older active ones, but no job of another task."""
    platform = Platform(
        job(TASK.name, "Running"),
        job(f"{TASK.name}-2", "Failed"),
        job(f"{TASK.name}-3", "Pending", description=replace(TASK, generation=3).mark),
        job("unrelated", "Running", description="mine"),
    )

    acquired = acquire(platform, identity=replace(TASK, generation=5))

    assert platform.created == [acquired.job.name] == [f"{TASK.name}-4"]
    assert platform.phases() == {
        TASK.name: "Terminating",
        f"{TASK.name}-2": "Failed",
        f"{TASK.name}-3": "Terminating",
        "unrelated": "Running",
        f"{TASK.name}-4": "Creating",
    }


@pytest.mark.parametrize("listing_lag", [0, 2])
def test_job_of_interrupted_creation_is_stopped(listing_lag):
    """A job whose creation was interrupted before the response is found and stopped, even if listings lag."""
    platform = Platform()
    acquire(platform)
    platform.listing_lag = listing_lag

    assert platform.run(stop_unanswered(TASK))
    assert platform.phases() == {TASK.name: "Terminating"}


def test_interrupted_creation_that_never_arrived_stops_nothing():
    """Nothing is stopped if the platform lists no job of the task."""
    assert not Platform().run(stop_unanswered(TASK))


def test_retry_name_follows_that_of_the_newest_job():
    """The name of the third job follows that of the second."""
    platform = Platform(job(TASK.name, "Failed"), job(f"{TASK.name}-2", "Failed"))

    acquire(platform)

    assert platform.created == [f"{TASK.name}-3"]


def test_retry_adopts_the_remembered_job_without_a_search():
    """The stored id is enough to adopt a job: no search is sent."""
    platform = Platform(job(TASK.name, "Running"))
    platform.listed = lambda: pytest.fail("no search is required")

    assert acquire(platform, f"id-of-{TASK.name}").adopted


def test_remembered_job_that_was_deleted_is_replaced():
    """A task whose stored job no longer exists creates a new one."""
    platform = Platform()

    assert not acquire(platform, "id-of-old").adopted
    assert platform.created == [TASK.name]


def test_remembered_job_of_another_generation_is_not_adopted():
    """A cleared task does not adopt a job of an earlier generation, even if its id is still stored."""
    platform = Platform(job(TASK.name, "Completed", description=replace(TASK, generation=1).mark))

    assert not acquire(platform, f"id-of-{TASK.name}").adopted


def test_job_without_the_mark_is_not_adopted():
    """A job with the task's name but without its mark is not adopted, and the creation fails as a duplicate."""
    platform = Platform(job(TASK.name, "Running", description="mine, by hand"))

    with pytest.raises(ModelArtsApiError, match="duplicate name"):
        acquire(platform)

    assert platform.created == []


@pytest.mark.parametrize("error", [RESET, SERVER_ERROR], ids=["reset", "500"])
def test_unanswered_creation_that_arrived_is_adopted(error):
    """A job whose creation response was lost is found by its name and adopted."""
    platform = Platform()
    platform.creation_error = error

    acquired = acquire(platform)

    assert acquired.adopted
    assert platform.created == [TASK.name]


def test_unanswered_creation_that_is_listed_late_is_adopted():
    """A lagging listing is polled until it shows the job."""
    platform = Platform()
    platform.creation_error, platform.listing_lag = RESET, 2

    assert acquire(platform).adopted
    assert platform.created == [TASK.name]
    assert platform.slept > 0


def test_unanswered_creation_that_never_arrived_is_raised():
    """The error names the job, and no second job is created while the first is in doubt."""
    platform = Platform()
    platform.creation_error, platform.creation_arrives = RESET, False

    with pytest.raises(ModelArtsTransportError) as raised:
        acquire(platform)

    assert TASK.name in raised.value.__notes__[0]
    assert platform.created == []


def test_retry_after_a_creation_that_never_arrived_creates_the_job():
    """The next try of the task finds no job of that name, and creates it."""
    platform = Platform()
    platform.creation_error, platform.creation_arrives = RESET, False
    with pytest.raises(ModelArtsTransportError):
        acquire(platform)

    assert not acquire(platform).adopted
    assert platform.created == [TASK.name]


def test_refused_creation_is_raised_at_once():
    """A creation that the platform refuses raises at once, without polling for the job."""
    platform = Platform()
    platform.creation_error = ModelArtsApiError("bad flavor", status=400, code="ModelArts.2763")
    platform.creation_arrives = False

    with pytest.raises(ModelArtsApiError, match="bad flavor"):
        acquire(platform)

    assert platform.slept == 0
