"""Stage of the end-to-end runs: an Airflow with real components on PostgreSQL, and an emulator in this process."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local import ROOT, airflow_environment, client_of, print_step
from throwaway import IS_AIRFLOW_3, Airflow, postgresql

from airflow_provider_modelarts.client import ModelArtsClient
from modelarts_emulator import Emulator, running

WAIT = """
import argparse, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--gate")
gate = pathlib.Path(__file__).with_name(parser.parse_known_args()[0].gate)
while not gate.exists():
    time.sleep(0.1)
"""
WAITING = {"sync": "running", "deferred": "deferred"}  # mode of a wait -> state of its task


@dataclass
class Stage:
    """Airflow with an emulator."""

    airflow: Airflow
    client: ModelArtsClient
    root: Path

    def phases(self, name: str = "") -> list[str]:
        """Return the phases of the jobs with this name prefix, oldest first."""
        jobs = self.client.search_training_jobs(filters=[("name", "like", [name])]).jobs
        return [job.phase_text for job in reversed(jobs) if job.name.startswith(name)]

    def finish_jobs(self, dag_id: str) -> None:
        """Let the training scripts of a DAG end."""
        (self.root / "demo-bucket" / "faults" / dag_id).touch()

    def wait_for_task(self, dag_id: str, *states: str) -> None:
        """Wait until the only task of a DAG has one of these states."""
        self.airflow.wait_for(f"select state from task_instance where dag_id = '{dag_id}'", *states)

    def wait_for_poll(self, dag_id: str, way: str) -> None:
        """Wait until the job of a task is Running, and a worker or the triggerer polls it."""
        self.wait_for_task(dag_id, WAITING[way])
        self.wait_for_phases(f"{dag_id}-", "Running")
        stored = "select count(*) > 0 from xcom where key = 'training_job_id'"
        self.airflow.wait_for(f"{stored} and dag_id = '{dag_id}'", "t")
        if way == "deferred":
            assigned = "select count(triggerer_id) from trigger join task_instance on trigger.id = trigger_id"
            self.airflow.wait_for(f"{assigned} where dag_id = '{dag_id}'", "1")
            time.sleep(2)  # from the assignment of a trigger to its start

    def wait_for_retry(self, dag_id: str) -> None:
        """Wait until a later try of the only task of a DAG waits for a job."""
        stored = "select max(timestamp) from xcom where xcom.dag_id = task.dag_id and key = 'training_job_id'"
        waits = f"state in ('running', 'deferred') and try_number > 1 and ({stored}) > start_date"
        self.airflow.wait_for(f"select {waits} from task_instance as task where dag_id = '{dag_id}'", "t")

    def mark_failed(self, dag_id: str) -> None:
        """Mark the only task of a DAG as failed, as a user does."""
        body = {"new_state": "failed", **({} if IS_AIRFLOW_3 else {"dry_run": False})}
        self.airflow.call("PATCH", f"{self.run_path(dag_id)}/taskInstances/train", body)

    def wait_for_phases(self, name: str, *wanted: str, seconds: float = 60) -> None:
        """Wait until jobs have these phases; exit after the timeout."""
        deadline = time.monotonic() + seconds
        while (found := self.phases(name)) != [*wanted]:
            if time.monotonic() > deadline:
                sys.exit(f"jobs {name}: expected phases {wanted}, found {found}")
            time.sleep(0.3)

    def run_path(self, dag_id: str) -> str:
        """Return the REST API path of the only run of a DAG."""
        run_id = self.airflow.query(f"select run_id from dag_run where dag_id = '{dag_id}'")
        return f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


@contextmanager
def open_stage(dags: Path, *, settings: Mapping[str, str]) -> Iterator[tuple[Stage, Emulator]]:
    """Start PostgreSQL, an emulator and Airflow; yield the stage, and the emulator for its faults.

    The script ``/demo-bucket/faults/wait.py`` runs until the file that its argument ``gate`` names exists.

    :param dags: file or folder of the DAGs.
    :param settings: environment variables of all components of Airflow.
    """
    with tempfile.TemporaryDirectory(prefix="modelarts-e2e-") as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o755)
        print_step("Starting PostgreSQL and an emulator")
        database = stack.enter_context(postgresql(home / "postgresql"))
        root = home / "obs"
        shutil.copytree(ROOT / "example_dags" / "training", root / "demo-bucket" / "code")
        write_script(root)
        emulator = stack.enter_context(running(scenarios=[], root=root))
        local = {"connection": emulator.connection()}
        environment = {**airflow_environment(home, database.address, local), **settings}
        environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(dags)
        print_step("Starting Airflow: scheduler, triggerer and server")
        airflow = stack.enter_context(Airflow(home, environment, database))
        yield Stage(airflow, stack.enter_context(client_of(local)), root), emulator


def write_script(root: Path, name: str = "wait.py", text: str = WAIT) -> None:
    """Write a training script to the bucket of an emulator; by default, one that runs until its gate file exists."""
    script = root / "demo-bucket" / "faults" / name
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(text)


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until a condition holds; exit after the timeout."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"after {seconds} seconds it is not true that {what}")
        time.sleep(0.1)


def expect(what: str, holds: bool, found: Any) -> None:
    """Print a check that passed; exit at one that failed."""
    if not holds:
        sys.exit(f"FAILED: {what}: {found}")
    print(f"    ok: {what}", flush=True)
