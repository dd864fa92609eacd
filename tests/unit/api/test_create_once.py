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

ME = TaskIdentity(prefix="prod", dag_id="dag", task_id="train", run_id="r1", map_index=-1, generation=0)
BODY = {"kind": "job", "metadata": {"description": "nightly"}, "algorithm": {}}
LOST = ModelArtsTransportError("connection reset")
BROKEN = ModelArtsServerError("oops", status=500, code="ModelArts.2950")


class Platform:
    """Keeps jobs; ``lose`` makes the next creation raise, after or before the job has come to be."""

    def __init__(self, *jobs):
        self.jobs = {job["metadata"]["id"]: job for job in jobs}
        self.created = []
        self.slept = 0.0
        self.lose = None
        self.arrives = True
        self.seen_after = 0  # looks that do not yet show the newest job

    def run(self, flow):
        """Answer the requests of a flow, and return its result."""
        try:
            step = next(flow)
            while True:
                try:
                    value = self.answer(step)
                except ModelArtsError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(value)
        except StopIteration as end:
            return end.value

    def answer(self, step):
        """Answer one request."""
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
        """Return the jobs that a search shows, newest first."""
        jobs = list(self.jobs.values())[::-1]
        if self.created and self.seen_after > 0:
            self.seen_after -= 1
            return jobs[1:]
        return jobs

    def stop(self, job_id):
        """Stop a job."""
        self.jobs[job_id]["status"]["phase"] = "Terminating"
        return self.jobs[job_id]

    def phases(self):
        """Return the phase of each job by its name."""
        return {job["metadata"]["name"]: job["status"]["phase"] for job in self.jobs.values()}

    def create(self, body):
        """Create a job, or lose it."""
        name = body["metadata"]["name"]
        if any(job["metadata"]["name"] == name for job in self.jobs.values()):
            raise ModelArtsApiError("duplicate name", status=400, code="ModelArts.2751")
        created = job(name, "Creating", description=body["metadata"]["description"])
        if self.lose is None or self.arrives:
            self.created.append(name)
            self.jobs[created["metadata"]["id"]] = created
        if self.lose is not None:
            lost, self.lose = self.lose, None
            raise lost
        return created


def acquire(platform, remembered_id=None, *, identity=ME, since=0.0):
    """Acquire the job of a task."""
    return platform.run(acquire_job(BODY, identity, since=since, remembered_id=remembered_id))


def job(name, phase, description=None):
    """Return a job as the platform answers it; by default with the mark of our task."""
    description = f"nightly {ME.mark}" if description is None else description
    return {
        "metadata": {"id": f"id-of-{name}", "name": name, "description": description},
        "status": {"phase": phase},
        "algorithm": {},
    }


def test_first_try_creates_a_job_with_name_and_mark():
    """The job carries the task's name, and its description the user's words and our mark."""
    platform = Platform()

    acquired = acquire(platform)

    assert not acquired.adopted
    assert platform.created == [ME.name]
    assert acquired.job.description == f"nightly {ME.mark}"


@pytest.mark.parametrize("phase", ["Creating", "Pending", "Running", "Completed", "Somewhere"])
def test_retry_adopts_a_job_at_work_or_completed(phase):
    """What an earlier try created is paid for: it is not created again."""
    platform = Platform(job(ME.name, phase))

    acquired = acquire(platform)

    assert acquired.adopted
    assert platform.created == []


@pytest.mark.parametrize("phase", ["Failed", "Abnormal", "Terminated", "Terminating"])
def test_retry_creates_the_next_after_a_job_that_broke(phase):
    """A node fault must not end the pipeline: a retry starts anew, under the next name."""
    platform = Platform(job(ME.name, phase))

    acquire(platform)

    assert platform.created == [f"{ME.name}-2"]


def test_job_from_before_is_not_adopted():
    """What bears the name is left from a DAG run that was deleted: its result would be a stale one."""
    platform = Platform(job(ME.name, "Completed"))

    assert not acquire(platform, since=1.0).adopted
    assert platform.created == [f"{ME.name}-2"]


def test_job_that_the_task_has_stored_is_adopted_whatever_the_clocks_say():
    """What it stored is its own."""
    platform = Platform(job(ME.name, "Completed"))

    assert acquire(platform, f"id-of-{ME.name}", since=1.0).adopted


def test_cleared_task_stops_what_it_left_at_work():
    """Clearing means anew, not twice at once: of one task instance, only the newest job is at work."""
    platform = Platform(
        job(ME.name, "Running"),
        job(f"{ME.name}-2", "Failed"),
        job(f"{ME.name}-3", "Pending", description=replace(ME, generation=3).mark),
        job("somebody-elses", "Running", description="mine"),
    )

    acquired = acquire(platform, identity=replace(ME, generation=5))

    assert platform.created == [acquired.job.name] == [f"{ME.name}-4"]
    assert platform.phases() == {
        ME.name: "Terminating",
        f"{ME.name}-2": "Failed",
        f"{ME.name}-3": "Terminating",
        "somebody-elses": "Running",
        f"{ME.name}-4": "Creating",
    }


@pytest.mark.parametrize("seen_after", [0, 2])
def test_creation_that_was_broken_off_is_stopped(seen_after):
    """The task was ended while it waited for the answer: what came of it is looked for, and stopped."""
    platform = Platform()
    acquire(platform)
    platform.seen_after = seen_after

    assert platform.run(stop_unanswered(ME))
    assert platform.phases() == {ME.name: "Terminating"}


def test_creation_that_never_arrived_leaves_nothing_to_stop():
    """Nothing came of it."""
    assert not Platform().run(stop_unanswered(ME))


def test_retry_counts_on_from_the_newest():
    """The third job follows the second."""
    platform = Platform(job(ME.name, "Failed"), job(f"{ME.name}-2", "Failed"))

    acquire(platform)

    assert platform.created == [f"{ME.name}-3"]


def test_retry_adopts_the_remembered_job_without_a_search():
    """The stored id is enough, and is asked for first."""
    platform = Platform(job(ME.name, "Running"))
    platform.listed = lambda: pytest.fail("no search is needed")

    assert acquire(platform, f"id-of-{ME.name}").adopted


def test_remembered_job_that_is_gone_is_created_anew():
    """Somebody deleted it."""
    platform = Platform()

    assert not acquire(platform, "id-of-old").adopted
    assert platform.created == [ME.name]


def test_remembered_job_of_another_generation_is_not_adopted():
    """Clearing a task begins anew, whatever the store still holds."""
    platform = Platform(job(ME.name, "Completed", description=replace(ME, generation=1).mark))

    assert not acquire(platform, f"id-of-{ME.name}").adopted


def test_job_of_somebody_else_is_not_adopted():
    """A name alone proves nothing: without our mark a job is not ours, and ours gets no name that is taken."""
    platform = Platform(job(ME.name, "Running", description="mine, by hand"))

    with pytest.raises(ModelArtsApiError, match="duplicate name"):
        acquire(platform)

    assert platform.created == []


@pytest.mark.parametrize("lost", [LOST, BROKEN], ids=["reset", "500"])
def test_unanswered_creation_that_arrived_is_found_by_name(lost):
    """The answer was lost, the job was not: it is taken, and no second one is paid for."""
    platform = Platform()
    platform.lose = lost

    acquired = acquire(platform)

    assert acquired.adopted
    assert platform.created == [ME.name]


def test_unanswered_creation_that_shows_late_is_found():
    """A listing may lag behind: it is looked at again, with pauses."""
    platform = Platform()
    platform.lose, platform.seen_after = LOST, 2

    assert acquire(platform).adopted
    assert platform.created == [ME.name]
    assert platform.slept > 0


def test_unanswered_creation_that_never_arrived_is_raised():
    """No second job is created while the first is in doubt: the next try of the task looks again."""
    platform = Platform()
    platform.lose, platform.arrives = LOST, False

    with pytest.raises(ModelArtsTransportError) as raised:
        acquire(platform)

    assert ME.name in raised.value.__notes__[0]
    assert platform.created == []


def test_retry_after_a_creation_that_never_arrived_creates_the_job():
    """It looked for the name, and there is none."""
    platform = Platform()
    platform.lose, platform.arrives = LOST, False
    with pytest.raises(ModelArtsTransportError):
        acquire(platform)

    assert not acquire(platform).adopted
    assert platform.created == [ME.name]


def test_refused_creation_is_raised_at_once():
    """A body that the platform refuses is no lost answer."""
    platform = Platform()
    platform.lose, platform.arrives = ModelArtsApiError("bad flavor", status=400, code="ModelArts.2763"), False

    with pytest.raises(ModelArtsApiError, match="bad flavor"):
        acquire(platform)

    assert platform.slept == 0
