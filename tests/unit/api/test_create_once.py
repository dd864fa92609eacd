"""Exactly-once job creation, against a small platform that may lose responses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_modelarts.api.create_once import JobRequest, Posted, acquire_job, stop_unanswered
from airflow_provider_modelarts.api.flows import Sleep
from airflow_provider_modelarts.core.job_identity import OnClear, TaskIdentity, Training
from airflow_provider_modelarts.exceptions import (
    ModelArtsApiError,
    ModelArtsConfigurationError,
    ModelArtsError,
    ModelArtsNotFoundError,
    ModelArtsServerError,
    ModelArtsTransportError,
)

NOW = 1_000_000.0
#: A task of Airflow 3.3, whose names are proof, and one of Airflow 3.0, in a run that began an hour ago.
TASK = TaskIdentity(
    prefix="prod", dag_id="dag", task_id="train", run_id="r1", map_index=-1, generation=2, nonce="5ca1ab1e",
    nonce_is_proof=True,
)  # fmt: skip
OLD = replace(TASK, nonce="", nonce_is_proof=False, since=NOW - 3600)
BODY = {"kind": "job", "metadata": {"description": "nightly"}, "algorithm": {}}
RESET = ModelArtsTransportError("connection reset")
SERVER_ERROR = ModelArtsServerError("oops", status=500, code="ModelArts.2950")
HEALTHY = frozenset({"Completed"})


class Platform:
    """Small ModelArts; the next creation raises ``creation_error``, and creates the job if ``creation_arrives``."""

    def __init__(self, *jobs):
        self.jobs = {job["metadata"]["id"]: job for job in jobs}
        self.created = []
        self.slept = 0.0
        self.creation_error = None
        self.creation_arrives = True
        self.reserved = set()  # names that are in use although no job has them
        self.listing_lag = 0  # seconds before a created job is listed
        self.lists_descriptions = True
        self.now = NOW

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
            self.now += step.seconds
            return None
        if step.path.endswith("/training-job-searches"):
            items = self.listed(json.loads(step.body)["workspace_id"])
            return step.read({"items": items, "total": len(items)})
        if step.path.endswith("/actions"):
            return step.read(self.stop(step.path.split("/")[-2]))
        if step.method == "POST":
            return step.read(self.create(json.loads(step.body)))
        job_id = step.path.rpartition("/")[2]
        if job_id not in self.jobs:
            raise ModelArtsNotFoundError("gone", status=400, code="ModelArts.2775")
        return step.read(self.jobs[job_id])

    def listed(self, workspace_id):
        """Return the jobs that a search lists, newest first."""
        return [
            listed_form(job, described=self.lists_descriptions)
            for job in list(self.jobs.values())[::-1]
            if job["metadata"]["workspace_id"] == workspace_id and self.is_listed(job)
        ]

    def is_listed(self, job):
        """Return whether a search lists a job already."""
        return self.now * 1000 >= job["metadata"]["create_time"] + self.listing_lag * 1000

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
        if name in self.reserved or any(job["metadata"]["name"] == name for job in self.jobs.values()):
            raise ModelArtsApiError("duplicate name", status=400, code="ModelArts.2751")
        created = job(name, "Creating", self.now, body=body)
        if self.creation_error is None or self.creation_arrives:
            self.created.append(name)
            self.jobs[created["metadata"]["id"]] = created
        if self.creation_error is not None:
            error, self.creation_error = self.creation_error, None
            raise error
        return created


class Log:
    """Creation log that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def begin(self, name):
        """Note a creation."""
        self.lines.append(name)

    def refuse(self):
        """Note a refusal."""
        self.lines.append("refused")


def acquire(platform, identity=TASK, *, body=BODY, healthy=HEALTHY, log=None, **changes):
    """Return the job that a task acquires; ended jobs in the phases ``healthy`` are worth adopting."""

    def is_healthy(found):
        yield Sleep(0)
        return found.phase_text in healthy

    request = JobRequest(identity, body, search_seconds=20.0, **changes)
    flow = acquire_job(request, is_healthy=is_healthy, log=log or Log(), clock=lambda: platform.now)
    return platform.run(flow)


def job(name, phase, created=NOW, body=BODY, description=None):
    """Return a job in the form of the platform; its description holds the mark of the task by default."""
    metadata = {"id": f"id-of-{name}", "workspace_id": "0", **body["metadata"], "name": name}
    metadata["create_time"] = int(created * 1000)
    if description is not None:
        metadata["description"] = description
    elif "[airflow" not in metadata["description"]:
        metadata["description"] = TASK.described("nightly", Training.of(body))
    return {"metadata": metadata, "status": {"phase": phase}, "algorithm": body["algorithm"]}


def listed_form(document, *, described):
    """Return a job as a search lists it."""
    hidden = set() if described else {"description"}
    return {**document, "metadata": {name: value for name, value in document["metadata"].items() if name not in hidden}}


def test_first_try_creates_a_job_with_name_and_mark():
    """The job has the task's name, and its description holds the user's text and the task's mark."""
    platform = Platform()

    acquired = acquire(platform)

    assert not acquired.adopted
    assert platform.created == [TASK.name()]
    assert acquired.job.description == TASK.described("nightly", Training.of(BODY))


@pytest.mark.parametrize("identity", [TASK, OLD], ids=["3.3", "3.0"])
@pytest.mark.parametrize("phase", ["Creating", "Pending", "Running", "Completed", "Somewhere"])
def test_retry_adopts_a_job_that_is_active_or_healthy(identity, phase):
    """A retry pays for no second job."""
    platform = Platform(job(identity.name(), phase))

    assert acquire(platform, identity).adopted
    assert platform.created == []


@pytest.mark.parametrize("phase", ["Failed", "Abnormal", "Terminated", "Terminating", "Completed"])
def test_retry_after_a_job_that_is_not_healthy_creates_another(phase):
    """The second job has the next name, also if the first is Completed without an outcome of use."""
    platform = Platform(job(TASK.name(), phase))

    acquire(platform, healthy=())

    assert platform.created == [TASK.name(2)]


def test_retry_adopts_a_failure_that_is_final():
    """A job that failed for good is adopted: the wait fails at once, and no second job fails alike."""
    platform = Platform(job(TASK.name(), "Failed"))

    assert acquire(platform, healthy={"Failed"}).adopted


@pytest.mark.parametrize(
    ("identity", "created"), [(OLD, NOW - 4000), (replace(TASK, nonce="0ddba11e"), NOW)], ids=["older", "other nonce"]
)
def test_job_of_a_deleted_run_is_not_adopted(identity, created):
    """A job of a deleted DAG run, whose result is stale, is left alone."""
    name = OLD.name() if identity is OLD else TASK.name()
    platform = Platform(job(name, "Running", created))

    acquired = acquire(platform, identity)

    assert not acquired.adopted
    assert platform.phases()[name] == "Running"
    assert [other.name for other in acquired.left] == [name]
    assert acquired.superseded == ()


def test_cleared_task_stops_its_active_jobs():
    """A cleared task creates a job and stops its older active ones, but no job of another task."""
    before = replace(TASK, generation=1)
    platform = Platform(
        job(before.name(), "Running"), job(before.name(2), "Failed"), job(before.name(3), "Pending"),
        job("unrelated", "Running"),
    )  # fmt: skip

    acquired = acquire(platform)

    assert platform.created == [acquired.job.name] == [TASK.name()]
    assert platform.phases() == {
        before.name(): "Terminating",
        before.name(2): "Failed",
        before.name(3): "Terminating",
        "unrelated": "Running",
        TASK.name(): "Creating",
    }


def test_cleared_task_that_may_not_stop_leaves_its_active_job():
    """``cancel_on_kill=False`` never stops a job."""
    before = replace(TASK, generation=1)
    platform = Platform(job(before.name(), "Running"))

    acquire(platform, stops_others=False)

    assert platform.phases() == {before.name(): "Running", TASK.name(): "Creating"}


@pytest.mark.parametrize("phase", ["Running", "Completed"])
def test_cleared_task_that_resumes_adopts_the_earlier_job(phase):
    """``on_clear="resume"`` takes the healthy job from before the clear."""
    before = replace(TASK, generation=1)
    platform = Platform(job(before.name(), phase))

    assert acquire(platform, on_clear=OnClear.RESUME).job.name == before.name()
    assert platform.created == []


def test_cleared_task_that_resumes_needs_the_description():
    """A listing without descriptions hides no other training."""
    before = replace(TASK, generation=1)
    other = {**BODY, "spec": {"resource": {"node_count": 2}}}
    platform = Platform(job(before.name(), "Completed", body=other))
    platform.lists_descriptions = False

    assert not acquire(platform, on_clear=OnClear.RESUME).adopted


@pytest.mark.parametrize("phase", ["Failed", "Terminated"])
def test_cleared_task_that_resumes_after_a_failure_creates_a_job(phase):
    """There is nothing to resume."""
    platform = Platform(job(replace(TASK, generation=1).name(), phase))

    assert not acquire(platform, on_clear=OnClear.RESUME).adopted


def test_cleared_task_stops_the_stored_job_that_is_not_listed():
    """The listing lags, but the id is stored."""
    before = replace(TASK, generation=1)
    platform = Platform(job(before.name(), "Running"))
    platform.listing_lag = 1000

    acquire(platform, known_id=f"id-of-{before.name()}")

    assert platform.phases() == {before.name(): "Terminating", TASK.name(): "Creating"}


@pytest.mark.parametrize("listing_lag", [0, 3, 30])
def test_job_of_interrupted_creation_is_stopped(listing_lag):
    """A job whose creation was interrupted before the response is found and stopped, even if listings lag."""
    platform = Platform()
    acquire(platform)
    platform.listing_lag = listing_lag

    assert platform.run(stop_unanswered(JobRequest(TASK, BODY), 90.0))
    assert platform.phases() == {TASK.name(): "Terminating"}


def test_interrupted_creation_that_never_arrived_stops_nothing():
    """Nothing is stopped if the platform lists no job of the task."""
    assert not Platform().run(stop_unanswered(JobRequest(TASK, BODY), 90.0))


def test_retry_adopts_the_stored_job_without_a_search():
    """The stored id is enough to adopt a job: no search is sent."""
    platform = Platform(job(TASK.name(), "Running"))
    platform.listed = lambda _: pytest.fail("no search is required")

    assert acquire(platform, known_id=f"id-of-{TASK.name()}", known_is_own=True).adopted


def test_retry_adopts_the_stored_job_under_any_name():
    """The prefix of the deployment was edited, or the job was resumed from before a clear."""
    platform = Platform(job("another-name", "Running"))

    assert acquire(platform, known_id="id-of-another-name", known_is_own=True).adopted


def test_stored_job_that_was_deleted_is_replaced():
    """A task whose stored job no longer exists creates a new one."""
    platform = Platform()

    assert not acquire(platform, known_id="id-of-old").adopted
    assert platform.created == [TASK.name()]


@pytest.mark.parametrize("identity", [TASK, OLD], ids=["3.3", "3.0"])
@pytest.mark.parametrize("lists_descriptions", [True, False])
@pytest.mark.parametrize("description", ["edited by hand", ""])
def test_job_with_an_edited_description_is_adopted(identity, description, lists_descriptions):
    """Neither an edit in the console nor a listing without descriptions costs a second job."""
    platform = Platform(job(identity.name(), "Running", description=description))
    platform.lists_descriptions = lists_descriptions

    assert acquire(platform, identity).adopted


def test_listing_without_descriptions_hides_no_other_training():
    """The description of a job that a listing leaves out is read from the job itself."""
    other = {**BODY, "algorithm": {"boot_file": "/b/other.py"}}
    platform = Platform(job(OLD.name(), "Running", NOW - 3590, body=other))
    platform.lists_descriptions = False

    assert acquire(platform, OLD).job.name == OLD.name(2)


def test_job_of_another_workspace():
    """A retry searches the workspace of its body."""
    body = {**BODY, "metadata": {**BODY["metadata"], "workspace_id": "w1"}}
    platform = Platform()
    acquire(platform, body=body)

    assert acquire(platform, body=body).adopted


@pytest.mark.parametrize("error", [RESET, SERVER_ERROR], ids=["reset", "500"])
@pytest.mark.parametrize("lag", [0, 15])
def test_unanswered_creation_that_arrived_is_adopted(error, lag):
    """A job whose creation response was lost is found by its name and adopted, even if listings lag."""
    platform = Platform()
    platform.creation_error, platform.listing_lag = error, lag

    acquired = acquire(platform)

    assert acquired.adopted
    assert platform.created == [TASK.name()]


def test_unanswered_creation_that_never_arrived_is_raised():
    """The error names the job, and no second job is created while the first is in doubt."""
    platform = Platform()
    platform.creation_error, platform.creation_arrives = RESET, False

    with pytest.raises(ModelArtsTransportError) as raised:
        acquire(platform)

    assert TASK.name() in raised.value.__notes__[0]
    assert (platform.created, platform.slept) == ([], 20.0)


def test_retry_after_a_creation_that_never_arrived_searches_for_five_minutes():
    """Listings may lag: only then is a second job created."""
    platform = Platform()

    acquire(platform, posted=Posted(TASK.name(), NOW - 100))

    assert platform.created == [TASK.name(2)]
    assert platform.slept == 200.0


def test_retry_after_reserved_names_tries_the_next():
    """The name of the last try was refused, and no job has it."""
    platform = Platform()
    platform.reserved = {TASK.name(number) for number in range(1, 6)}

    assert acquire(platform, posted=Posted(TASK.name(5), NOW - 400)).job.name == TASK.name(6)


def test_retry_after_a_creation_that_arrived_late_adopts_it():
    """The retry searches until the listing shows the job of the first try."""
    platform = Platform()
    platform.creation_error, platform.listing_lag = RESET, 60
    with pytest.raises(ModelArtsTransportError):
        acquire(platform)

    assert acquire(platform, posted=Posted(TASK.name(), NOW)).adopted
    assert platform.created == [TASK.name()]


def test_cleared_task_waits_for_the_job_of_an_unanswered_creation():
    """The job from before the clear is stopped as soon as it is listed."""
    before = replace(TASK, generation=1)
    platform = Platform(job(before.name(), "Running", NOW - 5))
    platform.listing_lag = 60

    acquire(platform, posted=Posted(before.name(), NOW - 5))

    assert platform.phases() == {before.name(): "Terminating", TASK.name(): "Creating"}


def test_creation_is_recorded_before_it_is_sent():
    """The record outlives the process; a refusal ends it."""
    log, platform = Log(), Platform()
    platform.creation_error = ModelArtsApiError("bad flavor", status=400, code="ModelArts.2763")
    platform.creation_arrives = False

    with pytest.raises(ModelArtsApiError, match="bad flavor"):
        acquire(platform, log=log)

    assert log.lines == [TASK.name(), "refused"]
    assert platform.slept == 0


def test_creation_that_cannot_be_sent_is_not_recorded():
    """A body that is not JSON is an error before the record."""
    log = Log()
    body = {**BODY, "spec": {"resource": {"node_count": float("nan")}}}

    with pytest.raises(ModelArtsConfigurationError, match="the body is not JSON"):
        acquire(Platform(), body=body, log=log)

    assert log.lines == []


def test_reserved_name_is_followed_by_the_next():
    """The platform refuses the name of a deleted job: after a search that finds nothing, the next number is taken."""
    platform = Platform()
    platform.reserved = {TASK.name(), TASK.name(2)}

    assert acquire(platform).job.name == TASK.name(3)
    assert platform.slept == 40.0


def test_reserved_names_without_end_are_an_error():
    """After five names the refusal is raised."""
    platform = Platform()
    platform.reserved = {TASK.name(number) for number in range(1, 10)}

    with pytest.raises(ModelArtsApiError, match="duplicate name"):
        acquire(platform)


def test_taken_name_of_a_job_that_is_listed_late_is_adopted():
    """A refused name may be that of the task's own job."""
    platform = Platform(job(TASK.name(), "Running", NOW))
    platform.listing_lag = 10

    assert acquire(platform).adopted


def test_name_of_a_foreign_job_is_not_tried():
    """On Airflow 3.0 a foreign job may have the task's name."""
    platform = Platform(job(OLD.name(), "Running", NOW - 9000))

    assert acquire(platform, OLD).job.name == OLD.name(2)
    assert platform.slept == 0
