"""Check with a real Airflow on PostgreSQL which training job a task takes for its own; count the created jobs.

This script starts and stops all services, on loopback and free ports. The exit code is 0 only if every check passed.
Each check has its own emulator, so that its faults disturb no other: the checks run side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from local import ROOT, airflow_environment, client_of, print_step
from stage import Stage, expect, open_stage, wait_until, write_script
from throwaway import IS_AIRFLOW_3, SERVER, Airflow, postgresql

from modelarts_emulator import Emulator, SeenRequest, running

RUN_ID = "the-run"
RETRY_SECONDS = 5  # of all connections: a call fails soon
PARALLEL_CHECKS = 5
LOG_CHARS = 2000  # of a log in the output of a failed check
# the first trial fails, after the others have ended: the search is Completed when it is polled next
FAIL_ONCE = """
import pathlib, sys, time
try:
    pathlib.Path(__file__).with_name("has-failed").mkdir()
except FileExistsError:
    print("acc: 0.5")
else:
    time.sleep(3)
    sys.exit("the data set has no labels")
"""
printing = Lock()  # of one line at a time


class Job(NamedTuple):
    """Training job of the emulator, with its hyperparameter."""

    id: str
    name: str
    phase: str
    x: str


@dataclass
class Scene(Stage):
    """Part of the stage for one check, with its own emulator."""

    name: str
    emulator: Emulator
    dags: Path

    def jobs(self, dag_id: str = "") -> list[Job]:
        """Return the jobs of a DAG, oldest first, also those that no listing contains."""
        jobs = [read_job(job.document()) for job in self.emulator.project.jobs()]
        return [job for job in jobs if job.name.startswith(dag_id and f"{dag_id}-")]

    def phases(self, name: str = "") -> list[str]:
        """Return the phases of the jobs with this name prefix, oldest first."""
        return [job.phase for job in self.jobs() if job.name.startswith(name)]

    def step(self, text: str) -> None:
        """Print the next step of the check."""
        with printing:
            print_step(f"{self.name}: {text}")

    def expect(self, what: str, holds: bool, found: Any) -> None:
        """Print an expectation that holds; end the check at one that does not."""
        with printing:
            expect(f"{self.name}: {what}", holds, found)

    def expect_jobs(self, dag_id: str, *wanted: tuple[str, str]) -> None:
        """Expect that a DAG has created exactly these jobs: hyperparameter and phase of each, oldest first."""
        jobs = self.jobs(dag_id)
        shown = ", ".join(f"x={x} {phase}" for x, phase in wanted)
        self.expect(f"the jobs of {dag_id} are: {shown}", [(job.x, job.phase) for job in jobs] == [*wanted], jobs)

    def expect_result(self, dag_id: str, job: Job) -> None:
        """Expect that the task succeeds with the result of a job."""
        state = self.wait_for_end(dag_id)
        self.expect(f"{dag_id} succeeds", state == "success", state)
        result = self.airflow.xcom(dag_id, "train")
        self.expect(f"{dag_id} returns the result of its job", result["training_job_id"] == job.id, result)

    def trigger(self, dag_id: str, x: int = 1) -> None:
        """Start the run of a DAG, and wait until Airflow has accepted it."""
        self.airflow.trigger(dag_id, run_id=RUN_ID, x=x)

    def delete_run(self, dag_id: str) -> None:
        """Delete the run of a DAG. Airflow 3 refuses to delete an active run, which is marked as failed first."""
        path = f"dags/{dag_id}/dagRuns/{RUN_ID}"
        if IS_AIRFLOW_3 and self.airflow.call("GET", path)["state"] == "running":
            self.airflow.call("PATCH", path, {"state": "failed"})
        self.airflow.call("DELETE", path)

    def wait_for_end(self, dag_id: str) -> str:
        """Wait until the run of a DAG has ended, and return its state."""
        return self.airflow.wait_for(f"select state from dag_run where dag_id = '{dag_id}'", "success", "failed")

    def kill_worker(self, dag_id: str) -> None:
        """Kill the worker of the only task of a DAG, and wait until the next try has sent some requests."""
        task = f"from task_instance where dag_id = '{dag_id}'"
        pid, tries = self.airflow.query(f"select pid, try_number {task}").split("|")
        os.kill(int(pid), signal.SIGKILL)
        self.airflow.wait_for(f"select state = 'running' and try_number > {tries} and pid <> {pid} {task}", "t")
        seen = len(self.emulator.requests)
        wait_until(lambda: len(self.emulator.requests) > seen + 3, f"the retry of {dag_id} sends requests")


def read_job(document: Mapping[str, Any]) -> Job:
    """Return the job of a response."""
    metadata, parameters = document["metadata"], document["algorithm"]["parameters"]
    values = {parameter["name"]: parameter["value"] for parameter in parameters}
    return Job(metadata["id"], metadata["name"], document["status"]["phase"], values["x"])


def check_recreated_run(scene: Scene) -> None:
    """Check that a run which takes the place of a deleted one trains what it asks for, also if its first try fails."""
    for dag_id, is_refused in (("recreated_run", False), ("recreated_run_refused", True)):
        scene.step(f"running, deleting and running {dag_id}")
        scene.finish_jobs(dag_id)
        scene.trigger(dag_id, x=1)
        scene.wait_for_end(dag_id)
        scene.delete_run(dag_id)
        if is_refused:
            scene.emulator.respond_next("/training-jobs", method="POST", status=400)
        scene.trigger(dag_id, x=2)
        scene.wait_for_end(dag_id)
        scene.expect_jobs(dag_id, ("1", "Completed"), ("2", "Completed"))
        scene.expect_result(dag_id, scene.jobs(dag_id)[-1])


def check_edited_dag_test(scene: Scene) -> None:
    """Check that ``airflow dags test`` trains its own job after an edit of the DAG, for the same date."""
    scene.finish_jobs("edited_dag_test")
    for x in (1, 2):
        scene.step(f"testing the DAG with x={x}")
        path = scene.dags / "edited.py"
        path.write_text(path.read_text().replace("X = 1", f"X = {x}"))
        scene.airflow.run("dags", "test", "edited_dag_test", "2026-01-01")
    scene.expect_jobs("edited_dag_test", ("1", "Completed"), ("2", "Completed"))
    scene.expect_result("edited_dag_test", scene.jobs("edited_dag_test")[-1])


def check_workspace(scene: Scene) -> None:
    """Check that three tries create one job outside the default workspace of the listing, and a clear one more."""
    scene.trigger("workspace")
    scene.wait_for_poll("workspace", "sync")
    for number in (1, 2):
        scene.step(f"killing the worker of try {number}")
        scene.kill_worker("workspace")
    scene.finish_jobs("workspace")
    scene.expect_result("workspace", scene.jobs("workspace")[-1])
    scene.expect_jobs("workspace", ("1", "Completed"))
    scene.step("clearing the task")
    scene.airflow.clear("workspace", "train")
    wait_until(lambda: len(scene.jobs("workspace")) > 1, "the cleared task creates a job")
    scene.expect_result("workspace", scene.jobs("workspace")[-1])
    scene.expect_jobs("workspace", ("1", "Completed"), ("1", "Completed"))


def check_edited_description(scene: Scene) -> None:
    """Check that a retry adopts a job whose description was changed, or is not listed."""
    for dag_id, lists_descriptions in (("edited_description", True), ("edited_description_unlisted", False)):
        scene.emulator.lists_descriptions = lists_descriptions
        scene.trigger(dag_id)
        scene.wait_for_poll(dag_id, "sync")
        scene.step(f"changing the description of the job, and killing the worker of {dag_id}")
        (job,) = scene.jobs(dag_id)
        path = f"/v2/{{project_id}}/training-jobs/{job.id}"
        scene.client.request("PUT", path, body={"description": "baseline of the week"})
        scene.kill_worker(dag_id)
        scene.finish_jobs(dag_id)
        scene.wait_for_end(dag_id)
        scene.expect_jobs(dag_id, ("1", "Completed"))
        scene.expect_result(dag_id, job)


def check_recreated_run_at_work(scene: Scene) -> None:
    """Check that the job of a deleted run is stopped, or named in the log of the run that takes its place."""
    check_deleted_run(scene)
    dag_id = "recreated_run_at_work"
    scene.trigger(dag_id, x=1)
    scene.wait_for_poll(dag_id, "deferred")
    scene.step("deleting the run without a triggerer, and running it again")
    with without_triggerer(scene.airflow):
        scene.delete_run(dag_id)
        scene.expect_jobs(dag_id, ("1", "Running"))
        scene.trigger(dag_id, x=2)
        scene.wait_for_task(dag_id, "deferred", "success", "failed")
    old, new = scene.jobs(dag_id)[0], scene.jobs(dag_id)[-1]
    is_stopped = old.phase in {"Terminating", "Terminated"}
    log = scene.airflow.task_log(dag_id)
    scene.expect(
        f"the job of the deleted run {'is stopped' if is_stopped else 'keeps running and is named in the log'}",
        is_stopped or (old.phase == "Running" and is_named(old, log)),
        (old, log[-LOG_CHARS:]),
    )
    scene.finish_jobs(dag_id)
    scene.expect_result(dag_id, new)
    scene.expect_jobs(dag_id, ("1", "Terminated" if is_stopped else "Completed"), ("2", "Completed"))


def check_deleted_run(scene: Scene) -> None:
    """Check that deleting a run stops its job."""
    scene.trigger("recreated_run_stopped")
    scene.wait_for_poll("recreated_run_stopped", "deferred")
    scene.step("deleting the run with a triggerer")
    scene.delete_run("recreated_run_stopped")
    scene.wait_for_phases("recreated_run_stopped-", "Terminated")
    scene.expect_jobs("recreated_run_stopped", ("1", "Terminated"))


@contextmanager
def without_triggerer(airflow: Airflow) -> Iterator[None]:
    """Kill the triggerer for the duration of a ``with`` statement."""
    airflow.end("triggerer", signal.SIGKILL)
    try:
        yield
    finally:
        airflow.start("triggerer")


def is_named(job: Job, log: str) -> bool:
    """Return whether a log line names a job, and the setting that separates deployments."""
    return any(job.id in line and "job_name_prefix" in line for line in log.splitlines())


def check_failed_trials(scene: Scene) -> None:
    """Check that a failed trial fails the task at its first try, with the last lines of the script."""
    scene.step("searching with a trial that fails")
    scene.trigger("failed_trials")
    scene.wait_for_end("failed_trials")
    found = scene.airflow.query("select state, try_number from task_instance where dag_id = 'failed_trials'")
    log = scene.airflow.task_log("failed_trials")
    scene.expect("the error has the last lines of the script", "the data set has no labels" in log, log[-LOG_CHARS:])
    scene.expect("one search was created", scene.phases() == ["Completed"], scene.jobs())
    scene.expect("the task fails at its first try", found == "failed|1", found)


def check_two_deployments(scene: Scene) -> None:
    """Check that two deployments with the same DAG and run id in one project leave each other's jobs alone."""
    dag_id = "two_deployments"
    scene.trigger(dag_id, x=1)
    with second_airflow(scene) as airflow:
        second = Scene(airflow, scene.client, scene.root, scene.name, scene.emulator, scene.dags)
        scene.wait_for_poll(dag_id, "sync")
        scene.step("running the DAG in the second Airflow")
        second.trigger(dag_id, x=2)
        wait_until(lambda: scene.phases(f"{dag_id}-") == ["Running"] * 2, "both deployments have a job")
        first_job = scene.jobs(dag_id)[0]
        wait_until(lambda: is_named(first_job, airflow.task_log(dag_id)), "the log names the job of the first")
        scene.step("clearing the task in the second Airflow")
        airflow.clear(dag_id, "train")
        scene.wait_for_phases(f"{dag_id}-", "Running", "Terminated", "Running")
        scene.expect_jobs(dag_id, ("1", "Running"), ("2", "Terminated"), ("2", "Running"))
        scene.finish_jobs(dag_id)
        scene.expect_result(dag_id, first_job)
        second.expect_result(dag_id, scene.jobs(dag_id)[-1])
        scene.expect_jobs(dag_id, ("1", "Completed"), ("2", "Terminated"), ("2", "Completed"))


@contextmanager
def second_airflow(scene: Scene) -> Iterator[Airflow]:
    """Start another Airflow on its own database, with the DAGs and the emulator of a scene."""
    with tempfile.TemporaryDirectory(prefix="modelarts-e2e-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        scene.step("starting the second Airflow")
        with postgresql(home / "postgresql") as database:
            environment = {
                **airflow_environment(home, database.address, {"connection": connection_to(scene.emulator)}),
                **connections({scene.name: scene.emulator}),
                "AIRFLOW__CORE__DAGS_FOLDER": str(scene.dags),
            }
            with Airflow(home, environment, database, ("scheduler", "dag-processor", SERVER)) as airflow:
                yield airflow


def check_restart_after_outage(scene: Scene) -> None:
    """Check that clearing a task that failed in an outage stops its job, and creates another."""
    fail_in_outage(scene, "restart_after_outage", "sync")
    scene.wait_for_phases("restart_after_outage-", "Terminated", "Running")
    scene.finish_jobs("restart_after_outage")
    scene.expect_result("restart_after_outage", scene.jobs()[-1])
    scene.expect_jobs("restart_after_outage", ("1", "Terminated"), ("1", "Completed"))


def check_resume_after_outage(scene: Scene) -> None:
    """Check that clearing a task that failed in an outage resumes its job with ``on_clear="resume"``."""
    fail_in_outage(scene, "resume_after_outage", "deferred")
    scene.wait_for_poll("resume_after_outage", "deferred")
    scene.finish_jobs("resume_after_outage")
    scene.expect_result("resume_after_outage", scene.jobs()[-1])
    scene.expect_jobs("resume_after_outage", ("1", "Completed"))


def fail_in_outage(scene: Scene, dag_id: str, way: str) -> None:
    """Let a task fail in an outage, during which its job goes on; clear it afterwards."""
    scene.trigger(dag_id)
    scene.wait_for_poll(dag_id, way)
    scene.step("waiting until the task fails in an outage")
    with outage(scene.emulator):
        state = scene.wait_for_end(dag_id)
        scene.expect("the task fails", state == "failed", state)
    scene.expect_jobs(dag_id, ("1", "Running"))
    log = scene.airflow.task_log(dag_id)
    names_it = 'on_clear="resume"' in log.replace("\\", "")  # Airflow 3 writes JSON, which escapes quotation marks
    scene.expect("the error names on_clear", names_it, log[-LOG_CHARS:])
    scene.step("clearing the task")
    scene.airflow.clear(dag_id, "train")


@contextmanager
def outage(emulator: Emulator) -> Iterator[None]:
    """Respond with 503 to all requests about a job."""

    def refuse(request: SeenRequest) -> None:
        if "/training-jobs/" in request.path:
            emulator.respond_next(request.path, status=503)

    emulator.on_request = refuse
    try:
        yield
    finally:
        emulator.on_request = None


def check_lagging_listing(scene: Scene) -> None:
    """Check that mapped tasks whose creations got no response find their jobs in a listing that lags behind."""
    scene.emulator.unique_names = False
    scene.emulator.listing_lag = 20
    scene.emulator.respond_next("/training-jobs", method="POST", drop=True, executes=True, times=3)
    scene.finish_jobs("lagging_listing")
    scene.step("losing the responses of three creations")
    scene.trigger("lagging_listing")
    scene.wait_for_end("lagging_listing")
    jobs = scene.jobs()
    scene.expect("each task has one job", sorted(job.x for job in jobs) == ["0", "1", "2"], jobs)
    results = scene.airflow.xcoms("lagging_listing", "train", "return_value")
    found = sorted(result["training_job_id"] for result in results)
    scene.expect("each task returns the result of its job", found == sorted(job.id for job in jobs), results)


def check_clean_log(scene: Scene) -> None:
    """Check that the log of a creating task has no line about missing XComs, and that all links lead somewhere."""
    scene.finish_jobs("clean_log")
    search = scene.emulator.add_running_search(num_samples=2, terminated=1)
    (trial,) = scene.client.list_trials(search)
    scene.step("creating a job, and stopping and deleting another")
    scene.airflow.trigger("clean_log", run_id=RUN_ID, search=search, trial=trial.trial_id)
    scene.airflow.wait_for_run("clean_log")
    tasks = f"dags/clean_log/dagRuns/{RUN_ID}/taskInstances"
    links = [scene.airflow.call("GET", f"{tasks}/{name}/links") for name in ("train", "stop_trial", "stop", "delete")]
    scene.expect("all links lead somewhere", all(all(link.get("extra_links", link).values()) for link in links), links)
    lines = [line for _, text in scene.airflow.written_texts() for line in text.splitlines()]
    missing = [line for line in lines if "XCom not found" in line and "task 'train'" in line and "clean_log" in line]
    scene.expect("no log has a line about a missing XCom", not missing, missing)


CHECKS: Mapping[str, Callable[[Scene], None]] = {  # the longest first
    "two_deployments": check_two_deployments,
    "resume_after_outage": check_resume_after_outage,
    "restart_after_outage": check_restart_after_outage,
    "recreated_run_at_work": check_recreated_run_at_work,
    "edited_description": check_edited_description,
    "workspace": check_workspace,
    "recreated_run": check_recreated_run,
    "lagging_listing": check_lagging_listing,
    "edited_dag_test": check_edited_dag_test,
    "clean_log": check_clean_log,
    "failed_trials": check_failed_trials,
}
ONLY_ON_AIRFLOW_3 = {"two_deployments", "lagging_listing"}


def main() -> int:
    """Run the selected checks, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="check", help=f"all when none is given: {', '.join(CHECKS)}")
    selected = parser.parse_args().checks or [name for name in CHECKS if IS_AIRFLOW_3 or name not in ONLY_ON_AIRFLOW_3]
    if unknown := [name for name in selected if name not in CHECKS]:
        parser.error(f"unknown checks: {', '.join(unknown)}")
    with open_scenes(selected) as scenes, ThreadPoolExecutor(PARALLEL_CHECKS) as threads:
        outcomes = zip(selected, threads.map(passes, scenes), strict=True)
        if failed := [name for name, has_passed in outcomes if not has_passed]:
            sys.exit(f"failed checks: {', '.join(failed)}")  # within the block, so that the logs are kept
    print_step(f"All {len(selected)} checks passed")
    return 0


@contextmanager
def open_scenes(names: Sequence[str]) -> Iterator[list[Scene]]:
    """Start one Airflow, and an emulator for each check."""
    with ExitStack() as stack:
        emulators = {name: stack.enter_context(running(scenarios=[])) for name in names}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelarts-dags-")))
        dags = shutil.copytree(ROOT / "tests" / "system" / "identities_dags", folder / "dags")
        stage, _ = stack.enter_context(open_stage(dags, settings=connections(emulators)))
        yield [open_scene(stack, stage.airflow, name, emulator, dags) for name, emulator in emulators.items()]


def open_scene(stack: ExitStack, airflow: Airflow, name: str, emulator: Emulator, dags: Path) -> Scene:
    """Return the scene of a check, with the scripts of its jobs in the emulator's bucket."""
    write_script(emulator.root)
    write_script(emulator.root, "fail_once.py", FAIL_ONCE)
    client = stack.enter_context(client_of({"connection": connection_to(emulator)}))
    return Scene(airflow, client, emulator.root, name, emulator, dags)


def connections(emulators: Mapping[str, Emulator]) -> dict[str, str]:
    """Return the environment variables of the connections to emulators, by the ids of the connections."""
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection_to(it)) for name, it in emulators.items()}


def connection_to(emulator: Emulator) -> dict[str, Any]:
    """Return a connection whose calls fail soon."""
    connection: dict[str, Any] = emulator.connection()
    return {**connection, "extra": {**connection["extra"], "retry_seconds": RETRY_SECONDS}}


def passes(scene: Scene) -> bool:
    """Run a check, print its outcome, and return whether it passed."""
    began = time.monotonic()
    failure = ""
    try:
        CHECKS[scene.name](scene)
    except (Exception, SystemExit) as error:  # the other checks go on
        failure = str(error) if isinstance(error, SystemExit) else repr(error)
    seconds = f"{time.monotonic() - began:.0f} seconds"
    if failure:
        with printing:
            print(
                f"FAILED after {seconds}: {scene.name}: {failure.removeprefix(f'FAILED: {scene.name}: ')}", flush=True
            )
    else:
        scene.step(f"passed in {seconds}")
    return not failure


if __name__ == "__main__":
    sys.exit(main())
