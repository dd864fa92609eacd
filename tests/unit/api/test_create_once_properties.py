"""Any history of jobs, tries, clears and recreated runs: one job at work, and never the result of another request."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.api.test_create_once import Platform
from unit.builders import quick

from airflow_provider_modelarts.api.create_once import JobRequest, Posted, acquire_job
from airflow_provider_modelarts.core.job_identity import OnClear, TaskIdentity
from airflow_provider_modelarts.exceptions import ModelArtsError, ModelArtsTransportError

RETRIES = 2
AT_WORK = {"Creating", "Running"}


@dataclass
class Airflow:
    """One task of one Airflow line, with what Airflow keeps of it.

    :param line: ``3.3`` has a task state store, ``2.11`` a row id, ``3.0`` neither.
    :param skew: seconds by which the platform's clock is ahead.
    """

    line: str
    platform: Platform
    skew: float
    row: int = 1
    generation: int = RETRIES
    clears: int = 0
    body: int = 1
    started: float = 0.0
    stored: dict[str, object] = field(default_factory=dict)
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)  # job name -> row of its run, and its body

    def recreate_run(self, body):
        """Delete the run, and create it again under the same id."""
        self.row, self.generation, self.clears, self.stored = self.row + 1, RETRIES, 0, {}
        self.started, self.body = self.platform.now - self.skew, body

    def clear(self, body):
        """Clear the task after its run has ended; without a store, a job must be listed by then."""
        self.platform.now += 0 if self.line == "3.3" else self.platform.listing_lag
        self.generation, self.clears = self.generation + 1, self.clears + 1
        self.body = body if self.line != "3.0" else self.body

    def identity(self):
        """Return the identity of the task."""
        known = TaskIdentity("", "dag", "train", "run", -1, self.generation)
        if self.line == "3.3":
            return replace(known, nonce=self.stored.setdefault("nonce", f"{self.row:08x}"), nonce_is_proof=True)
        since = self.started if self.clears == 0 else None
        return replace(known, since=since, nonce=f"{self.row:08x}" if self.line == "2.11" else "")

    def run_try(self, on_clear, fault):
        """Acquire a job as one try does; return it, or None if the try failed."""
        self.platform.creation_error = None if fault == "none" else ModelArtsTransportError("reset")
        self.platform.creation_arrives = fault == "response lost"
        posted = self.stored.get("posted")
        request = JobRequest(
            self.identity(),
            body_of(self.body),
            on_clear,
            known_id=self.stored.get("id"),
            posted=posted,
            search_seconds=4.0,
        )
        before = set(self.platform.created)
        flow = acquire_job(request, is_healthy=self.is_healthy, log=self, clock=lambda: self.platform.now)
        try:
            return self.platform.run(flow)
        except ModelArtsError:
            return None
        finally:
            for name in set(self.platform.created) - before:
                self.rows[name] = self.row, self.body

    def is_healthy(self, job):
        """Return whether to adopt a job that is not active."""
        yield from ()
        return job.phase_text == "Completed"

    def begin(self, name):
        """Store a creation, where Airflow has a store."""
        if self.line == "3.3":
            self.stored["posted"] = Posted(name, self.platform.now)

    def refuse(self):
        """Forget a refused creation."""
        self.stored.pop("posted", None)

    def finish(self, job):
        """Store the job, where Airflow has a store."""
        if self.line == "3.3":
            self.stored.pop("posted", None)
            self.stored["id"] = job.id

    def at_work(self):
        """Return the jobs at work that this run has created."""
        phases = self.platform.phases()
        return [name for name, (row, _) in self.rows.items() if row == self.row and phases[name] in AT_WORK]

    def at_work_since_clear(self):
        """Return the jobs at work that the tries since the last clear have created, and the platform lists."""
        own = [name for name in self.at_work() if self.identity().read_name(name).generation == self.generation]
        return [name for name in own if self.platform.is_listed(self.platform.jobs[f"id-of-{name}"])]


def body_of(number):
    """Return a body with one hyperparameter."""
    parameters = [{"name": "lr", "value": str(number)}]
    return {"kind": "job", "metadata": {"description": ""}, "algorithm": {"parameters": parameters}}


FAULTS = st.sampled_from(["none", "none", "response lost", "request lost"])
BODIES = st.integers(1, 3)
STEPS = st.one_of(
    st.tuples(st.just("try"), st.sampled_from(OnClear), FAULTS),
    st.tuples(st.just("clear"), BODIES, st.just(None)),
    st.tuples(st.just("recreate"), BODIES, st.just(None)),
    st.tuples(st.just("end job"), st.sampled_from(["Completed", "Failed", "Terminated"]), st.just(None)),
    st.tuples(st.just("edit description"), st.just(None), st.just(None)),
    st.tuples(st.just("pass time"), st.floats(0, 4000), st.just(None)),
)


@pytest.mark.parametrize("line", ["3.3", "2.11", "3.0"])
@settings(quick, max_examples=300)
@given(
    steps=st.lists(STEPS, min_size=2, max_size=14),
    skew=st.floats(-250, 250),
    lag=st.sampled_from([0, 2]),
    described=st.booleans(),
)
def test_any_history_has_one_job_at_work_and_no_result_of_another_request(line, steps, skew, lag, described):
    """After each try at most one job of the run is at work; that of another run is adopted for its own request only."""
    platform = Platform()
    platform.listing_lag, platform.lists_descriptions = lag, described
    airflow = Airflow(line, platform, skew)
    airflow.started = platform.now - skew
    for step, first, second in steps:
        if step == "try":
            working = airflow.at_work_since_clear()
            acquired = airflow.run_try(first, second)
            if acquired is not None:
                airflow.finish(acquired.job)
                check(airflow, acquired, working)
        elif step == "clear":
            airflow.clear(first)
        elif step == "recreate":
            airflow.recreate_run(first)
        elif step == "pass time":
            platform.now += first
        else:
            change_newest(platform, step, first)


def check(airflow, acquired, working):
    """Check the job of a try.

    :param working: the jobs at work that the tries before have created.
    """
    row, body = airflow.rows[acquired.job.name]
    assert len(airflow.at_work()) <= 1
    assert not working or acquired.job.name in working, "a retry pays twice"
    if row != airflow.row:
        assert airflow.line == "3.0", "only without a nonce can a job of an earlier run be adopted"
        assert body == airflow.body


def change_newest(platform, step, phase):
    """End the newest job, or edit its description."""
    for job in list(platform.jobs.values())[-1:]:
        if step == "edit description":
            job["metadata"]["description"] = "edited by hand"
        elif job["status"]["phase"] in AT_WORK:
            job["status"]["phase"] = phase


def test_history_is_told_by_the_names():
    """The simulation itself: a recreated run has other rows, a clear another generation."""
    airflow = Airflow("3.3", Platform(), 0.0)
    first = airflow.run_try(OnClear.RESTART, "none")
    airflow.finish(first.job)
    airflow.clear(2)
    second = airflow.run_try(OnClear.RESTART, "none")

    assert json.dumps(airflow.platform.phases()) == json.dumps(
        {first.job.name: "Terminating", second.job.name: "Creating"}
    )
