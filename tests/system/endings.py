"""Check with a real Airflow on PostgreSQL when jobs are stopped, and when they continue, while their tasks die.

The arguments are names of checks; all run by default. This script starts and stops all services, on loopback and free
ports. The exit code is 0 only if every check passed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import psutil
from local import ROOT, client_of, print_step
from stage import Stage, expect, open_stage, wait_until, write_script
from throwaway import IS_AIRFLOW_3

from modelarts_emulator import Emulator, SeenRequest, running

SETTINGS = {
    # a worker without a heartbeat is given up after 20 s instead of 5 minutes
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "20",  # the same two in Airflow 2.11
    "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "3",
    # so are the tasks of a scheduler that was killed
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    # a task is killed after three heartbeats without an API server: about 10 s instead of 40
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "2",
}
GRACE_SECONDS = 10  # from SIGTERM to SIGKILL, when a platform ends a worker
LISTING_LAG = 20.0  # seconds until a new job is listed
UNLOADABLE = "import sys; sys.modules['airflow_provider_modelarts.triggers.modelarts'] = None"
THROTTLED = b'{"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached"}'

Run: TypeAlias = Callable[[Stage, Emulator], None]


@dataclass(frozen=True)
class Check:
    """One check.

    :param run: the check; it exits when it fails.
    :param takes: component that no other check may use at the same time, or ``all``.
    :param airflow: lines of Airflow on which the check can run.
    """

    run: Run
    takes: str
    airflow: tuple[int, ...]


CHECKS: dict[str, Check] = {}


def check(*, takes: str = "", airflow: tuple[int, ...] = (2, 3)) -> Callable[[Run], Run]:
    """Register a function as a check, under its name."""

    def register(run: Run) -> Run:
        CHECKS[run.__name__] = Check(run, takes, airflow)
        return run

    return register


@check(takes="triggerer")
def stop_under_faults(stage: Stage, emulator: Emulator) -> None:
    """The job of a deferred task that is marked failed is stopped, although the first stop requests fail."""
    faults = {
        "stop_under_faults_503": {"fault": "503", "times": 2},
        "stop_under_faults_429": {"status": 429, "headers": {"Retry-After": "2"}, "body": THROTTLED},
    }
    start(stage, "deferred", *faults)
    for dag_id, fault in faults.items():
        emulator.respond_next(f"{job_id_of(stage, dag_id)}/actions", **fault)
        stage.mark_failed(dag_id)
    deadline = time.monotonic() + 40
    expect_all(*(partial(expect_stopped_or_logged, stage, dag_id, deadline) for dag_id in faults))


@check(takes="triggerer")
def stalled_triggerer(stage: Stage, emulator: Emulator) -> None:
    """A triggerer that continues after another has taken over its triggers stops no job."""
    airflow, name = stage.airflow, "stalled_triggerer"
    start(stage, "deferred", name)
    owner = f"select triggerer_id from trigger join task_instance on trigger.id = trigger_id where dag_id = '{name}'"
    stalled = airflow.query(owner)
    airflow.start("triggerer", "--skip-serve-logs", name="second_triggerer")
    try:
        with suspended(airflow.processes("triggerer")):
            airflow.wait_for(f"select ({owner}) <> {stalled}", "t")
        expect_running(stage, name, seconds=10)
        expect_success(stage, name)
    finally:
        airflow.end("second_triggerer", signal.SIGTERM)


@check(takes="triggerer")
def unloadable_trigger(stage: Stage, emulator: Emulator) -> None:
    """A triggerer without the provider stops no job while retries are left; after the last try the job is stopped."""
    airflow, name, last = stage.airflow, "unloadable_trigger", "unloadable_trigger_last_try"
    airflow.end("triggerer", signal.SIGTERM)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(UNLOADABLE)
        airflow.start("triggerer", settings={"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"})
        for dag_id in (name, last):
            airflow.trigger(dag_id)
        airflow.wait_for(f"select try_number > 1 from task_instance where dag_id = '{name}'", "t")
        stage.wait_for_task(last, "failed")
        airflow.end("triggerer", signal.SIGKILL)
    airflow.start("triggerer")
    expect_all(partial(expect_success, stage, name), partial(expect_stopped, stage, last))


@check()
def evicted_worker(stage: Stage, emulator: Emulator) -> None:
    """SIGTERM to the supervisor of a task lets its job continue for the retry; without a retry the job is stopped."""
    name, last = "evicted_worker", "evicted_worker_last_try"
    start(stage, "sync", name, last)
    workers = [worker_of(stage, dag_id) for dag_id in (name, last)]
    for supervisor, _ in workers:
        supervisor.terminate()
    _, alive = psutil.wait_procs([task for _, task in workers], timeout=GRACE_SECONDS)
    for supervisor, task in workers:
        if task in alive:
            task.kill()
            supervisor.kill()
    expect_all(partial(expect_adopted, stage, name), partial(expect_stopped, stage, last))


@check()
def late_zombie(stage: Stage, emulator: Emulator) -> None:
    """A worker that continues after a retry has adopted its job does not stop the job."""
    name = "late_zombie"
    start(stage, "sync", name)
    supervisor, task = worker_of(stage, name)
    with suspended([supervisor, task]):
        stage.wait_for_retry(name)
        task.terminate()
    psutil.wait_procs([task], timeout=GRACE_SECONDS)
    expect_running(stage, name, seconds=5)
    expect_success(stage, name)


@check()
def late_success(stage: Stage, emulator: Emulator) -> None:
    """A worker that continues after its retry has succeeded does not stop the job."""
    name, made = "late_success", sum(map(is_creation, emulator.requests))
    emulator.respond_next("/training-jobs", method="POST", drop=True, delay=3, executes=True)
    stage.airflow.trigger(name)
    wait_until(lambda: sum(map(is_creation, emulator.requests)) > made, f"{name} creates a job")
    wait_for_process(stage, name)
    supervisor, task = worker_of(stage, name)
    with suspended([supervisor, task]):
        stage.wait_for_task(name, "success")
    psutil.wait_procs([task], timeout=GRACE_SECONDS)
    expect_running(stage, name, seconds=5)
    stage.finish_jobs(name)


@check()
def ended_while_rendering(stage: Stage, emulator: Emulator) -> None:
    """A task that is ended before it is executed leaves no job."""
    name = "ended_while_rendering"
    stage.airflow.trigger(name)
    wait_for_process(stage, name)
    _, task = worker_of(stage, name)
    stage.mark_failed(name)
    psutil.wait_procs([task], timeout=60)
    found = stage.phases(f"{name}-")  # Airflow 2.11 may notice only after the rendering
    expect(f"{name}: no job is left", found in ([], ["Terminated"]), found)


@check()
def resumed_worker(stage: Stage, emulator: Emulator) -> None:
    """A task that is cleared while it waits keeps its job if it resumes."""
    for name, way in (("resumed_worker", "sync"), ("resumed_trigger", "deferred")):
        start(stage, way, name)
        stage.airflow.clear(name, "train")
    for name in ("resumed_worker", "resumed_trigger"):
        expect_adopted(stage, name)


@check()
def ended_during_creation(stage: Stage, emulator: Emulator) -> None:
    """The job whose creation was not answered before its task was marked failed is stopped after a clear."""
    name = "ended_during_creation"
    emulator.listing_lag = LISTING_LAG
    emulator.respond_next("/training-jobs", method="POST", drop=True, delay=30, executes=True)
    stage.airflow.trigger(name)
    wait_until(lambda: any(map(is_creation, emulator.requests)), f"{name} creates a job")
    expect_restarted(stage, name)
    emulator.listing_lag = 0.0
    expect(f"{name}: no other job was created", len(stage.phases(name)) == 2, stage.phases(name))


@check()
def cleared_during_outage(stage: Stage, emulator: Emulator) -> None:
    """A task that is cleared during an outage of all stop requests has one job afterwards."""
    name = "cleared_during_outage"
    start(stage, "sync", name)
    refuse(emulator, f"{job_id_of(stage, name)}/actions", seconds=60)
    expect_restarted(stage, name)


@check()
def cleared_after_silent_stop(stage: Stage, emulator: Emulator) -> None:
    """A task that is cleared after a stop request without a response has one job afterwards."""
    name = "cleared_after_silent_stop"
    start(stage, "sync", name)
    emulator.respond_next(f"{job_id_of(stage, name)}/actions", drop=True, delay=60)
    expect_restarted(stage, name)


@check(takes="all")
def rolling_restart(stage: Stage, emulator: Emulator) -> None:
    """SIGTERM to all processes of a worker lets its jobs continue for a retry; without a retry they are stopped."""
    name = "rolling_restart"
    # Airflow 2.11 sends the signal to the task once more: cut off in its end, it may get a try that it does not have
    last = ["rolling_restart_last_try"] if IS_AIRFLOW_3 else []
    start(stage, "sync", name, *last)
    processes = stage.airflow.processes("scheduler")
    for process in reversed(processes):
        process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=GRACE_SECONDS)
    for process in alive:
        process.kill()
    stage.airflow.end("scheduler", signal.SIGKILL)
    stage.airflow.start("scheduler")
    expect_all(partial(expect_adopted, stage, name), *(partial(expect_stopped, stage, dag_id) for dag_id in last))


@check(takes="all")
def killed_scheduler(stage: Stage, emulator: Emulator) -> None:
    """A scheduler that is killed without its workers stops no job."""
    airflow, name = stage.airflow, "killed_scheduler"
    start(stage, "sync", name)
    _, task = worker_of(stage, name)
    scheduler = airflow.processes("scheduler")[0]
    workers = [task, *(parent for parent in task.parents() if scheduler in parent.parents())]
    airflow.kill_without("scheduler", workers)
    try:
        airflow.start("scheduler")
        psutil.wait_procs([task], timeout=90)
        expect_adopted(stage, name)
    finally:
        for process in workers:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@check(takes="all", airflow=(3,))
def api_server_outage(stage: Stage, emulator: Emulator) -> None:
    """A task that is killed without an API server leaves its job to the retry; without a retry the job is stopped."""
    airflow, name, last = stage.airflow, "api_server_outage", "api_server_outage_last_try"
    start(stage, "sync", name, last)
    tasks = [worker_of(stage, dag_id)[1] for dag_id in (name, last)]
    airflow.end("api-server", signal.SIGTERM)
    _, alive = psutil.wait_procs(tasks, timeout=90)
    airflow.start("api-server")
    airflow.wait_for_server()
    expect("api_server_outage: the tasks were killed", not alive, alive)
    expect_all(partial(expect_adopted, stage, name), partial(expect_stopped, stage, last))


def start(stage: Stage, way: str, *dag_ids: str) -> None:
    """Start DAGs, and wait until their jobs are Running and polled."""
    for dag_id in dag_ids:
        stage.airflow.trigger(dag_id)
    for dag_id in dag_ids:
        stage.wait_for_poll(dag_id, way)


def job_id_of(stage: Stage, dag_id: str) -> str:
    """Return the id of the job that a task waits for."""
    return str(stage.airflow.xcom(dag_id, "train", "training_job_id"))


def worker_of(stage: Stage, dag_id: str) -> tuple[psutil.Process, psutil.Process]:
    """Return the processes of a task that runs: its supervisor, and its own."""
    task = psutil.Process(int(stage.airflow.query(f"select pid from task_instance where dag_id = '{dag_id}'")))
    return task.parent(), task


def wait_for_process(stage: Stage, dag_id: str) -> None:
    """Wait until the process of a task is known."""
    stage.airflow.wait_for(f"select pid is not null from task_instance where dag_id = '{dag_id}'", "t")


def is_creation(request: SeenRequest) -> bool:
    """Return whether a request creates a job."""
    return request.method == "POST" and request.path.endswith("/training-jobs")


def refuse(emulator: Emulator, path_part: str, *, seconds: float) -> None:
    """Answer all requests to a path with 503 for some time."""
    end = time.monotonic() + seconds

    def on_request(request: SeenRequest) -> None:
        if path_part in request.path and time.monotonic() < end:
            emulator.respond_next(request.path, fault="503")

    emulator.on_request = on_request


@contextmanager
def suspended(processes: list[psutil.Process]) -> Iterator[None]:
    """Suspend processes while the block runs."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def expect_all(*expectations: Callable[[], None]) -> None:
    """Check all expectations, and exit with the messages of those that are not met."""
    failures = []
    for expectation in expectations:
        try:
            expectation()
        except SystemExit as failure:
            failures.append(str(failure))
    if failures:
        sys.exit("; ".join(failures))


def expect_running(stage: Stage, dag_id: str, seconds: float = 0) -> None:
    """Expect one job, which is Running for some time."""
    deadline = time.monotonic() + seconds
    while (phases := stage.phases(f"{dag_id}-")) == ["Running"] and time.monotonic() < deadline:
        time.sleep(0.5)
    expect(f"{dag_id}: one job was created, and it is Running", phases == ["Running"], phases)


def expect_success(stage: Stage, dag_id: str) -> None:
    """Let the training script end, and expect that the task succeeds with the only job."""
    stage.finish_jobs(dag_id)
    stage.wait_for_task(dag_id, "success", "failed")
    state = stage.airflow.query(f"select state from task_instance where dag_id = '{dag_id}'")
    phases = stage.phases(f"{dag_id}-")
    expect(f"{dag_id}: the task succeeds with one job", (state, phases) == ("success", ["Completed"]), (state, phases))


def expect_adopted(stage: Stage, dag_id: str) -> None:
    """Expect that a retry adopts the job, and that the task succeeds."""
    stage.wait_for_retry(dag_id)
    expect_running(stage, dag_id, seconds=3)
    expect_success(stage, dag_id)


def expect_stopped(stage: Stage, dag_id: str) -> None:
    """Expect that the task fails, and that its only job is stopped."""
    stage.wait_for_task(dag_id, "failed")
    stage.wait_for_phases(f"{dag_id}-", "Terminated", seconds=10)
    phases = stage.phases(f"{dag_id}-")
    expect(f"{dag_id}: one job was created, and it is stopped", phases == ["Terminated"], phases)


def expect_stopped_or_logged(stage: Stage, dag_id: str, deadline: float) -> None:
    """Expect that the job of a task is stopped until a time, or that the task's log names it as possibly running."""
    while not (stopped := stage.phases(f"{dag_id}-") == ["Terminated"]) and time.monotonic() < deadline:
        time.sleep(0.5)
    logged = "may still be running" in stage.airflow.task_log(dag_id)
    expect(f"{dag_id}: the job is stopped, or its log names it", stopped or logged, stage.phases(f"{dag_id}-"))


def expect_restarted(stage: Stage, dag_id: str) -> None:
    """Mark a running task as failed, clear it, and expect that only the job of the new try is at work."""
    _, task = worker_of(stage, dag_id)
    stage.mark_failed(dag_id)
    psutil.wait_procs([task], timeout=90)
    stage.airflow.clear(dag_id, "train")
    stage.wait_for_phases(f"{dag_id}-", "Terminated", "Running", seconds=120)
    stage.finish_jobs(dag_id)
    stage.wait_for_task(dag_id, "success")
    phases = stage.phases(f"{dag_id}-")
    expect(f"{dag_id}: the old job is stopped, the new one ends", phases == ["Terminated", "Completed"], phases)


def main() -> None:
    """Run the checks; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="check", help=", ".join(CHECKS))
    names = parser.parse_args().checks or list(CHECKS)
    if unknown := set(names) - set(CHECKS):
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    line = 3 if IS_AIRFLOW_3 else 2
    for name in [name for name in names if line not in CHECKS[name].airflow]:
        print_step(f"{name}: not on Airflow {line}")
        names.remove(name)
    with open_stages() as stages:
        if failed := run_checks(names, stages):
            sys.exit(f"{len(failed)} of {len(names)} checks failed: {', '.join(failed)}")
    print_step(f"{len(names)} checks passed")


@contextmanager
def open_stages() -> Iterator[dict[str, tuple[Stage, Emulator]]]:
    """Start Airflow with two emulators; yield the stage of each check with another emulator, and of the others."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelarts-e2e-")))
        write_script(root)
        lagging = stack.enter_context(running(scenarios=[], root=root))
        settings = {**SETTINGS, "AIRFLOW_CONN_MODELARTS_LAGGING": json.dumps(lagging.connection())}
        dags = ROOT / "tests" / "system" / "endings_dags"
        stage, emulator = stack.enter_context(open_stage(dags, settings=settings))
        client = stack.enter_context(client_of({"connection": lagging.connection()}))
        yield {"": (stage, emulator), "ended_during_creation": (Stage(stage.airflow, client, root), lagging)}


def run_checks(names: list[str], stages: dict[str, tuple[Stage, Emulator]]) -> list[str]:
    """Run checks at once if what they take permits it, and return the names of those that failed."""
    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def passes(name: str) -> bool:
        takes = CHECKS[name].takes
        with locks[takes] if takes else nullcontext():
            return run_check(name, *stages.get(name, stages[""]))

    alone = [name for name in names if CHECKS[name].takes == "all"]
    at_once = [name for name in names if name not in alone]
    with ThreadPoolExecutor(len(CHECKS)) as threads:
        passed = dict(zip(at_once, threads.map(passes, at_once), strict=True))
    passed |= {name: passes(name) for name in alone}
    return [name for name, has_passed in passed.items() if not has_passed]


def run_check(name: str, stage: Stage, emulator: Emulator) -> bool:
    """Run a check, and print and return whether it passed."""
    print_step(f"{name}: {CHECKS[name].run.__doc__}")
    began = time.monotonic()
    try:
        CHECKS[name].run(stage, emulator)
    except (SystemExit, Exception) as failure:
        found = str(failure).replace("FAILED: ", "")
        print(f"FAILED: {name} in {time.monotonic() - began:.0f} s: {found}", flush=True)
        for dag_id in stage.airflow.query(f"select dag_id from dag where dag_id like '{name}%'").split():
            stage.finish_jobs(dag_id)  # its tasks must not disturb later checks
        return False
    print_step(f"{name}: passed in {time.monotonic() - began:.0f} s")
    return True


if __name__ == "__main__":
    main()
