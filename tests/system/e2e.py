"""Run pipelines and failures with a real scheduler, triggerer and server on PostgreSQL; count the created jobs.

This script starts and stops all services, on loopback and free ports. The exit code is 0 only if every check passed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from local import ROOT, airflow_environment, client_of, print_step, run_emulator
from stage import WAITING, Stage, expect, write_script
from throwaway import Airflow, postgresql


def main() -> int:
    """Run all checks, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="modelarts-e2e-") as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o755)
        print_step("Starting PostgreSQL")
        database = stack.enter_context(postgresql(home / "postgresql"))
        print_step("Starting the emulators")
        local = stack.enter_context(run_emulator(home))
        root = Path(local["root"])
        faulty = stack.enter_context(run_emulator(home / "faulty", "--fault-share", "0.3", "--fault-seed", "1"))
        environment = airflow_environment(home, database.address, local)
        environment["AIRFLOW_CONN_MODELARTS_CHAOS"] = connection_to(faulty)
        environment["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "DEBUG"
        environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(create_dags(home, root))
        print_step("Starting Airflow: scheduler, triggerer and server")
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


def create_dags(home: Path, root: Path) -> Path:
    """Return a folder with the example DAGs and the DAGs of the failure checks."""
    write_script(root)
    folder = shutil.copytree(ROOT / "example_dags", home / "dags")
    return shutil.copytree(ROOT / "tests" / "system" / "e2e_dags", folder, dirs_exist_ok=True)


def connection_to(faulty: Mapping[str, Any]) -> str:
    """Return a connection with short timeouts to an emulator with faulty responses."""
    connection = faulty["connection"]
    return json.dumps({**connection, "extra": {**connection["extra"], "timeout": "2,2", "retry_seconds": 30}})


def start(stage: Stage, scripted_search: str) -> None:
    """Start the DAGs that run in the background; the asset event starts the DAG that is scheduled on it."""
    print_step("Starting the DAGs")
    airflow = stage.airflow
    airflow.trigger("restart_triggerer")
    for way in WAITING:
        airflow.trigger(f"time_out_{way}")
    airflow.unpause("modelarts_asset_retrain")
    airflow.trigger("modelarts_asset_search")
    airflow.trigger("modelarts_search_and_retrain")
    airflow.trigger("modelarts_best_trial", training_job_id=scripted_search)


def check_chaos(stage: Stage, root: Path) -> None:
    """With 30 % faulty responses and three kills of the triggerer, no search is lost, wrong or created twice.

    Expected values are read from the files of the emulator.
    """
    print_step("Running 30 searches with 30 % faulty responses, and killing the triggerer three times")
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
    """Neither a shutdown nor a kill of the triggerer stops or loses a job."""
    print_step("Restarting the triggerer during a wait")
    for how in (signal.SIGTERM, signal.SIGKILL):
        stage.wait_for_poll("restart_triggerer", "deferred")
        stage.airflow.end("triggerer", how)
        stage.airflow.start("triggerer")
    expect("the job keeps running", stage.phases("restart_triggerer-") == ["Running"], "it does not")
    stage.finish_jobs("restart_triggerer")


def check_ended_tasks(stage: Stage) -> None:
    """The link of a waiting task leads to its job; marking the task as failed stops the job."""
    for way in WAITING:
        print_step(f"Marking a waiting task as failed ({way})")
        dag_id = f"end_{way}"
        stage.airflow.trigger(dag_id)
        stage.wait_for_poll(dag_id, way)
        job_id = stage.airflow.xcom(dag_id, "train", "training_job_id")
        links = stage.airflow.call("GET", f"{stage.run_path(dag_id)}/taskInstances/train/links")
        link = (links.get("extra_links") or links)["ModelArts training job"]
        expect("the link leads to the job", link.endswith(f"/training/detail/{job_id}"), links)
        stage.mark_failed(dag_id)
        stage.wait_for_phases(f"{dag_id}-", "Terminated")
        expect("one job was created, and is stopped", stage.phases(f"{dag_id}-") == ["Terminated"], dag_id)


def check_cleared_tasks(stage: Stage) -> None:
    """Clearing a task stops its job, and creates a second one."""
    for way in WAITING:
        print_step(f"Clearing a waiting task ({way})")
        dag_id = f"clear_{way}"
        stage.airflow.trigger(dag_id)
        stage.wait_for_poll(dag_id, way)
        stage.airflow.clear(dag_id, "train")
        stage.wait_for_phases(f"{dag_id}-", "Terminated", "Running")
        stage.finish_jobs(dag_id)
        stage.wait_for_task(dag_id, "success")
        expect(
            "two jobs were created, and the first was stopped",
            stage.phases(f"{dag_id}-") == ["Terminated", "Completed"],
            dag_id,
        )


def check_killed_worker(stage: Stage) -> None:
    """After SIGKILL of a worker during a wait, the retry adopts the same job."""
    print_step("Killing a worker during a wait")
    stage.airflow.trigger("kill_worker")
    stage.wait_for_poll("kill_worker", "sync")
    os.kill(int(stage.airflow.query("select pid from task_instance where dag_id = 'kill_worker'")), signal.SIGKILL)
    stage.wait_for_retry("kill_worker")
    stage.finish_jobs("kill_worker")
    stage.wait_for_task("kill_worker", "success")
    expect("one job was created", stage.phases("kill_worker-") == ["Completed"], stage.phases("kill_worker-"))


def check_execution_timeout(stage: Stage) -> None:
    """A task that exceeds its execution_timeout fails, and its job is stopped."""
    for way in WAITING:
        print_step(f"Waiting for the execution_timeout of a task ({way})")
        dag_id = f"time_out_{way}"
        stage.wait_for_task(dag_id, "failed")
        stage.wait_for_phases(f"{dag_id}-", "Terminated")
        expect("one job was created, and is stopped", stage.phases(f"{dag_id}-") == ["Terminated"], dag_id)


def check_pipelines(stage: Stage) -> None:
    """The example DAGs succeed, and the best config reaches the retraining."""
    airflow = stage.airflow
    for dag_id, searched in (
        ("modelarts_search_and_retrain", "modelarts_search_and_retrain"),
        ("modelarts_asset_retrain", "modelarts_asset_search"),
    ):
        print_step(f"Waiting for {dag_id}")
        airflow.wait_for_run(dag_id)
        trials = stage.client.list_trials(airflow.xcom(searched, "search", "training_job_id"))
        best = max(trials, key=lambda trial: float(str(trial.raw["best_reward"])))
        (path,) = (stage.root / "demo-bucket" / dag_id).glob("*/retrain-1/model.json")
        given = json.loads(path.read_text())["arguments"]
        expect("the retraining received the best config", given.items() >= (best.config or {}).items(), given)
    print_step("Waiting for modelarts_best_trial and restart_triggerer")
    airflow.wait_for_run("modelarts_best_trial")
    config = airflow.xcom("modelarts_best_trial", "retrain")
    expect("the downstream task received the best config", config == {"batch_size": 64, "learning_rate": 0.02}, config)
    airflow.wait_for_run("restart_triggerer")
    phases = stage.phases("restart_triggerer-")
    expect("one job after two restarts of the triggerer", phases == ["Completed"], phases)


def check_nothing_is_left(stage: Stage) -> None:
    """Neither active jobs nor triggers remain."""
    active = [phase for phase in stage.phases() if phase not in {"Completed", "Failed", "Terminated"}]
    expect("no job is active", not active, active)
    deferrals = stage.airflow.query("select count(*) from task_instance where trigger_id is not null")
    expect("no trigger is left", deferrals == "0", deferrals)


def check_secrets(stage: Stage, secret: str) -> None:
    """Neither the secret access key nor a signature is in the metadata database or in a log of level DEBUG."""
    print_step("Searching the metadata database and all logs for secrets")
    found = [name for name, text in stage.airflow.written_texts() if secret in text or "Signature=" in text]
    expect("no secrets", not found, found)


if __name__ == "__main__":
    sys.exit(main())
