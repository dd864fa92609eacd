"""Agreement of the sensor's modes: poke, reschedule and deferrable end a task in the same way."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from integration.task_runs import MODES, mode_arguments, run_task
from unit.builders import quick

from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor
from modelarts_emulator import Search, TrialScript, running

MAX_TICK = 4
_numbers = count()

#: Phases of a job, each for a tick or more. The first poll is at tick 1.
beginnings = st.sampled_from(
    [("Running",), ("Running",), ("Creating",), ("Creating", "Running"), ("Pending", "Hibernating")]
)
endings = st.sampled_from(
    [*[("Completed",)] * 4, ("Failed",), ("Abnormal",), ("Terminated",), ("Terminating", "Terminated")]
)
ticks = st.integers(0, MAX_TICK)


def phases_of(beginning, end, durations):
    """Return the script of a job's phases; a phase that begins at the same tick as the next is never polled."""
    at, phases = 0, []
    for phase, duration in zip([*beginning, *end], durations, strict=False):
        phases.append((at, phase))
        at += duration
    return phases


def trial_of(number, listed, starts, ends, status):
    """Return the script of a trial."""
    return TrialScript(
        trial_id=f"t{number}", config={"lr": number}, cells={"acc": f"0.{number}"}, listed=listed, starts=starts,
        ends=ends, status=status,
    )  # fmt: skip


def trials(ends):
    """Return a strategy of the trials of a search."""
    statuses = st.sampled_from(["TERMINATED", "TERMINATED", "TERMINATED", "ERROR", "STOPPED"])
    each = st.tuples(ticks, ticks, ends, statuses)
    return st.lists(each, max_size=4).map(lambda rows: [trial_of(number, *row) for number, row in enumerate(rows)])


def searches(ends_of_trials):
    """Return a strategy of searches."""
    return st.builds(
        Search,
        name=st.just("any"),
        trials=trials(ends_of_trials),
        phases=st.builds(phases_of, beginnings, endings, st.lists(st.integers(1, 3), min_size=4, max_size=4)),
        objectives=st.sampled_from([{}, {"acc": "max"}, {"acc": "max", "loss": "min"}]),
        num_samples=st.none() | st.integers(1, 4),
        algorithm_id=st.sampled_from([None, None, "algorithm-1"]),
        message=st.sampled_from(["", "worker-0 ran out of memory"]),
    )


@dataclass
class Fault:
    """Error response of the platform, once or forever, after some requests for the job."""

    status: int
    code: str
    after: int
    times: int

    def inject(self, emulator, job_id):
        """Inject the fault into the requests of the next task."""
        body = json.dumps({"error_code": self.code, "error_msg": "no"}).encode()
        path = f"/training-jobs/{job_id}"
        emulator.respond_next(path, status=self.status, body=body, after=self.after, times=self.times)


faults = st.builds(
    lambda response, after, times: Fault(*response, after, times),  # type: ignore[call-arg]
    st.sampled_from([(400, "ModelArts.2775"), (401, "APIGW.0301"), (403, "ModelArts.0010"), (500, "X"), (429, "X")]),
    st.integers(1, 5),
    st.sampled_from([1, 1000]),
)

#: Policy of the task. Settle times are too far from those of the emulator for its rounding to matter.
settled = {"settle_seconds": st.just(-1)}
settling = {"settle_seconds": st.just(60)}
tolerance: dict[str, Any] = {
    "expected_trials": st.none() | st.integers(1, 4),
    "max_failed_trials": st.integers(0, 2),
    "accept_stopped": st.booleans(),
}
failure_options = st.sampled_from([{}, {}, {"soft_fail": True}, {"silent_fail": True}, {"never_fail": True}])
histories = st.tuples(searches(st.none() | ticks), st.fixed_dictionaries({**tolerance, **settled})) | st.tuples(
    searches(ticks), st.fixed_dictionaries({**tolerance, **settling})
)


@pytest.fixture(scope="module", name="platform")
def _platform():
    with running(scenarios=[]) as emulator, pytest.MonkeyPatch.context() as patch:
        connection = emulator.connection()
        connection["extra"] |= {"verify": False, "retry_seconds": 0, "project_id": emulator.project_id}
        patch.setenv("AIRFLOW_CONN_MODELARTS_DEFAULT", json.dumps(connection))
        yield emulator


def outcome(emulator, mode, search, fault, arguments):
    """Return the outcome of a task in a mode, without the ids that differ from run to run."""
    job_id = emulator.add_search(replace(search, job_id=f"job-{next(_numbers)}"))
    if fault is not None:
        fault.inject(emulator, job_id)
    run = run_task(
        lambda: ModelArtsHyperparameterSearchSensor(
            task_id="wait", training_job_id=job_id, poke_interval=0.001, timeout=30, **mode_arguments(mode), **arguments
        )
    )
    # the messages of some skips are Airflow's own: compare their cause
    error = run.error.__cause__ if run.state == "skipped" else run.error
    ending = json.dumps([run.state, type(error).__name__, str(error), run.value])
    return re.sub(r" \(request id \w+\)", "", ending.replace(job_id, "the-job"))


def late(*trials, phases=((0, "Running"), (4, "Completed"))):
    """Return a search that ends only after some polls."""
    return Search(name="any", trials=trials, phases=phases, num_samples=2)


LENIENT = {"expected_trials": None, "max_failed_trials": 2, "accept_stopped": True, "settle_seconds": -1}
BROKEN_LATE = late(trial_of(0, 0, 0, 2, "ERROR"), trial_of(1, 0, 0, 3, "TERMINATED"))
STOPPED_LATE = late(trial_of(0, 0, 0, 1, "TERMINATED"), phases=((0, "Running"), (3, "Terminated")))


@settings(quick, max_examples=12)
@example((BROKEN_LATE, LENIENT), None, {})
@example((STOPPED_LATE, LENIENT), None, {})
@example((BROKEN_LATE, LENIENT), Fault(500, "X", after=2, times=1), {"silent_fail": True})
@example((BROKEN_LATE, LENIENT), Fault(401, "APIGW.0301", after=3, times=1000), {"soft_fail": True})
@example((BROKEN_LATE, LENIENT), Fault(400, "ModelArts.2775", after=2, times=1000), {"never_fail": True})
@given(history=histories, fault=st.none() | faults, failure_option=failure_options)
def test_modes_agree_on_every_history(platform, history, fault, failure_option):
    """State, summary, and class and text of the error are the same in all modes."""
    search, policy = history

    first, *others = [outcome(platform, mode, search, fault, {**policy, **failure_option}) for mode in MODES]

    assert others == [first, first]
