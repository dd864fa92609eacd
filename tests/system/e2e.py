"""Run pipelines and accidents with a real scheduler, triggerer and server, on PostgreSQL; count what has to be paid.

Everything is started here, on loopback and free ports, and ended here. The exit code is 0 only if every check passed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local import ROOT, airflow_environment, client_of, local_modelarts, say
from throwaway import IS_AIRFLOW_3, Airflow, postgresql

from airflow_provider_modelarts.client import ModelArtsClient

WAIT = """
import argparse, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--gate")
gate = pathlib.Path(__file__).with_name(parser.parse_args().gate)
while not gate.exists():
    time.sleep(0.1)
"""
WAITING = {"sync": "running", "deferred": "deferred"}  # the state of a task that waits in this way


@dataclass
class Stage:
    """An Airflow, and the local ModelArts that it works with."""

    airflow: Airflow
    client: ModelArtsClient
    root: Path

    def phases(self, name: str = "") -> list[str]:
        """Return the phases of the jobs whose names begin with a word, oldest first."""
        jobs = self.client.search_training_jobs(filters=[("name", "like", [name])]).jobs
        return [job.phase_text for job in reversed(jobs) if job.name.startswith(name)]

    def let_jobs_end(self, dag_id: str) -> None:
        """Let the jobs of a DAG with an accident end."""
        (self.root / "demo-bucket" / "faults" / dag_id).touch()

    def wait_for_task(self, dag_id: str, *states: str) -> None:
        """Wait for a state of the only task of a DAG."""
        self.airflow.wait_for(f"select state from task_instance where dag_id = '{dag_id}'", *states)

    def wait_until_waiting(self, dag_id: str, way: str) -> None:
        """Wait until the job of a task runs, and the task waits for it, on a worker or in the triggerer."""
        self.wait_for_task(dag_id, WAITING[way])
        self.wait_for_phases(f"{dag_id}-", "Running")
        if way == "deferred":
            taken = "select count(triggerer_id) from trigger join task_instance on trigger.id = trigger_id"
            self.airflow.wait_for(f"{taken} where dag_id = '{dag_id}'", "1")
            time.sleep(2)  # from being assigned to a triggerer to running in it

    def wait_for_phases(self, name: str, *wanted: str) -> None:
        """Wait until jobs have these phases; stop when time is up."""
        deadline = time.monotonic() + 60
        while (seen := self.phases(name)) != [*wanted]:
            if time.monotonic() > deadline:
                sys.exit(f"wanted {wanted} of {name}, but they are {seen}")
            time.sleep(0.3)

    def run_path(self, dag_id: str) -> str:
        """Return the path of the only run of a DAG in the REST API."""
        run_id = self.airflow.ask(f"select run_id from dag_run where dag_id = '{dag_id}'")
        return f"dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"


def main() -> int:
    """Run everything, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="modelarts-e2e-") as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o755)
        say("Starting PostgreSQL")
        database = stack.enter_context(postgresql(home / "postgresql"))
        say("Starting the local ModelArts")
        local = stack.enter_context(local_modelarts(home))
        root = Path(local["root"])
        faulty = stack.enter_context(local_modelarts(home / "faulty", "--fault-share", "0.3", "--fault-seed", "1"))
        environment = airflow_environment(home, database.address, local)
        environment["AIRFLOW_CONN_MODELARTS_CHAOS"] = connection_to(faulty)
        environment["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "DEBUG"
        environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(make_dags(home, root))
        say("Starting Airflow: scheduler, triggerer and server")
        airflow = stack.enter_context(Airflow(home, environment, database))
        stage = Stage(airflow, stack.enter_context(client_of(local)), root)
        start(stage, local["jobs"]["growing"])
        check_chaos(stage, Path(faulty["root"]))
        check_restarted_triggerer(stage)
        check_ended_tasks(stage)
        check_killed_worker(stage)
        check_cleared_tasks(stage)
        check_execution_timeout(stage)
        check_pipelines(stage)
        check_nothing_is_left(stage)
        check_secrets(stage, local["connection"]["password"])
    return 0


def make_dags(home: Path, root: Path) -> Path:
    """Return a folder with the example DAGs, and those whose tasks have accidents."""
    script = root / "demo-bucket" / "faults" / "wait.py"
    script.parent.mkdir()
    script.write_text(WAIT)
    folder = shutil.copytree(ROOT / "example_dags", home / "dags")
    return shutil.copytree(ROOT / "tests" / "system" / "e2e_dags", folder, dirs_exist_ok=True)


def connection_to(faulty: Mapping[str, Any]) -> str:
    """Return the connection to a local ModelArts whose answers are faulty; nobody waits long for one of them."""
    connection = faulty["connection"]
    return json.dumps({**connection, "extra": {**connection["extra"], "timeout": "2,2", "retry_seconds": 30}})


def start(stage: Stage, scripted_search: str) -> None:
    """Start what goes on by itself; the DAG that is scheduled on an asset is started by that."""
    say("Starting the DAGs")
    airflow = stage.airflow
    airflow.trigger("restart_triggerer")
    for way in WAITING:
        airflow.trigger(f"time_out_{way}")
    airflow.unpause("modelarts_asset_retrain")
    airflow.trigger("modelarts_asset_search")
    airflow.trigger("modelarts_search_and_retrain")
    airflow.trigger("modelarts_best_trial", training_job_id=scripted_search)


def check_chaos(stage: Stage, root: Path) -> None:
    """30 % of all answers are faulty, and the triggerer is killed three times: no search is lost, wrong or paid twice.

    The truth is read from what the local ModelArts has kept on disk.
    """
    say("Running 30 searches while 30 % of all answers are faulty, and killing the triggerer three times")
    airflow, done = stage.airflow, "select count(*) from task_instance where dag_id = 'chaos' and state = 'success'"
    airflow.trigger("chaos")
    for share in (5, 10, 15):
        airflow.wait_for(f"select ({done}) >= {share}", "t", seconds=400)
        airflow.end("triggerer", signal.SIGKILL)
        airflow.start("triggerer")
    airflow.wait_for_run("chaos", seconds=600)
    jobs = [json.loads(path.read_text()) for path in (root / ".modelarts-emulator" / "jobs").glob("*/job.json")]
    best = [max(job["trials"], key=lambda trial: max(map(float, trial["values"]["acc"])))["config"] for job in jobs]
    values = airflow.xcoms("chaos", "search", "return_value")
    expect("30 jobs were created", len(jobs) == 30, len(jobs))
    expect("every task has the config of its best trial", sorted(map(str, values)) == sorted(map(str, best)), values)


def check_restarted_triggerer(stage: Stage) -> None:
    """A triggerer that shuts down, and one that is killed, neither stop nor lose a job."""
    say("Restarting the triggerer in mid-wait")
    for how in (signal.SIGTERM, signal.SIGKILL):
        stage.wait_until_waiting("restart_triggerer", "deferred")
        stage.airflow.end("triggerer", how)
        stage.airflow.start("triggerer")
    expect("the job of the task goes on", stage.phases("restart_triggerer-") == ["Running"], "it does not")
    stage.let_jobs_end("restart_triggerer")


def check_ended_tasks(stage: Stage) -> None:
    """Somebody marks a task as failed: its job is stopped. While the task waited, its link led to the job."""
    for way in WAITING:
        say(f"Ending a task that waits {way}")
        dag_id = f"end_{way}"
        stage.airflow.trigger(dag_id)
        stage.wait_until_waiting(dag_id, way)
        task = f"{stage.run_path(dag_id)}/taskInstances/train"
        job_id = stage.airflow.xcom(dag_id, "train", "training_job_id")
        links = stage.airflow.call("GET", f"{task}/links")
        link = (links.get("extra_links") or links)["ModelArts training job"]
        expect("its link leads to the job", link.endswith(f"/training/detail/{job_id}"), links)
        stage.airflow.call("PATCH", task, {"new_state": "failed", **({} if IS_AIRFLOW_3 else {"dry_run": False})})
        stage.wait_for_phases(f"{dag_id}-", "Terminated")
        expect("one job was created, and is stopped", stage.phases(f"{dag_id}-") == ["Terminated"], dag_id)


def check_cleared_tasks(stage: Stage) -> None:
    """Clearing stops the job, and creates a second one."""
    for way in WAITING:
        say(f"Clearing a task that waits {way}")
        dag_id = f"clear_{way}"
        stage.airflow.trigger(dag_id)
        stage.wait_until_waiting(dag_id, way)
        stage.airflow.clear(dag_id, "train")
        stage.wait_for_phases(f"{dag_id}-", "Terminated", "Running")
        stage.let_jobs_end(dag_id)
        stage.wait_for_task(dag_id, "success")
        expect(
            "two jobs were created, and the first was stopped",
            stage.phases(f"{dag_id}-") == ["Terminated", "Completed"],
            dag_id,
        )


def check_killed_worker(stage: Stage) -> None:
    """SIGKILL in mid-wait: the retry goes on with the same job."""
    say("Killing a worker in mid-wait")
    stage.airflow.trigger("kill_worker")
    stage.wait_until_waiting("kill_worker", "sync")
    os.kill(int(stage.airflow.ask("select pid from task_instance where dag_id = 'kill_worker'")), signal.SIGKILL)
    again = "select state = 'running' and try_number > 1 from task_instance where dag_id = 'kill_worker'"
    stage.airflow.wait_for(again, "t")
    stage.let_jobs_end("kill_worker")
    stage.wait_for_task("kill_worker", "success")
    expect("one job was created", stage.phases("kill_worker-") == ["Completed"], stage.phases("kill_worker-"))


def check_execution_timeout(stage: Stage) -> None:
    """A task that runs past its execution_timeout fails, and its job is stopped."""
    for way in WAITING:
        say(f"Letting a task that waits {way} run out of time")
        dag_id = f"time_out_{way}"
        stage.wait_for_task(dag_id, "failed")
        stage.wait_for_phases(f"{dag_id}-", "Terminated")
        expect("one job was created, and is stopped", stage.phases(f"{dag_id}-") == ["Terminated"], dag_id)


def check_pipelines(stage: Stage) -> None:
    """The examples end well, and what they hand on is what was found."""
    airflow = stage.airflow
    for dag_id, searched in (
        ("modelarts_search_and_retrain", "modelarts_search_and_retrain"),
        ("modelarts_asset_retrain", "modelarts_asset_search"),
    ):
        say(f"Waiting for {dag_id}")
        airflow.wait_for_run(dag_id)
        trials = stage.client.list_trials(airflow.xcom(searched, "search", "training_job_id"))
        best = max(trials, key=lambda trial: float(str(trial.raw["best_reward"])))
        (path,) = (stage.root / "demo-bucket" / dag_id).glob("*/retrain-1/model.json")
        given = json.loads(path.read_text())["arguments"]
        expect("it retrained with the winning config", given.items() >= (best.config or {}).items(), given)
    say("Waiting for modelarts_best_trial and restart_triggerer")
    airflow.wait_for_run("modelarts_best_trial")
    config = airflow.xcom("modelarts_best_trial", "retrain")
    expect("the last task received the winning config", config == {"batch_size": 64, "learning_rate": 0.02}, config)
    airflow.wait_for_run("restart_triggerer")
    phases = stage.phases("restart_triggerer-")
    expect("two restarts of the triggerer left one job", phases == ["Completed"], phases)


def check_nothing_is_left(stage: Stage) -> None:
    """Neither jobs nor triggers."""
    active = [phase for phase in stage.phases() if phase not in {"Completed", "Failed", "Terminated"}]
    expect("no job is left at work", not active, active)
    deferrals = stage.airflow.ask("select count(*) from task_instance where trigger_id is not null")
    expect("no trigger is left", deferrals == "0", deferrals)


def check_secrets(stage: Stage, secret: str) -> None:
    """Neither the secret key nor a signature is in the metadata database or a log, all of which are at DEBUG."""
    say("Looking for secrets in the metadata database and all logs")
    seen = [name for name, text in stage.airflow.written() if secret in text or "Signature=" in text]
    expect("there are none", not seen, seen)


def expect(what: str, holds: bool, seen: Any) -> None:
    """Tell a check that passed, and stop at one that did not."""
    if not holds:
        sys.exit(f"FAILED: {what}: {seen}")
    print(f"    ok: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
