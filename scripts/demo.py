"""Run the example DAG through real Airflow on a local ModelArts, and show what it did.

Everything lives in a temporary folder and is gone at the end. The exit code is 0 only if the whole DAG succeeded.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
AIRFLOW = [sys.executable, "-m", "airflow"]
DAG_ID = "modelarts_best_trial"
SCENARIO = "growing"

# The example looks every 30 seconds, as one would at the cloud. The search of the demo takes seconds.
POLICY = """
def task_policy(task):
    if hasattr(task, "poke_interval"):
        task.poke_interval = 0.3
"""


def main() -> int:
    """Run the demo and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="modelarts-demo-") as folder:
        home = Path(folder)
        say("Starting the local ModelArts")
        with emulator(home / "emulator.json") as local:
            environment = airflow_environment(home, local["connection"])
            say("Making a throw-away Airflow")
            run([*AIRFLOW, "db", "migrate"], environment)
            job_id = local["jobs"][SCENARIO]
            say(f"Running the DAG {DAG_ID} on search job {job_id}")
            conf = json.dumps({"training_job_id": job_id})
            log = run([*AIRFLOW, "dags", "test", DAG_ID, "--conf", conf], environment)
    return show(log)


def say(text: str) -> None:
    """Tell what happens next."""
    print(f"==> {text}", flush=True)


@contextmanager
def emulator(ready: Path) -> Iterator[dict[str, Any]]:
    """Run the local ModelArts in a process of its own, and yield what it says of itself."""
    command = [sys.executable, "-m", "airflow_provider_modelarts.emulator", "--ready-file", str(ready)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the local ModelArts did not start")
            time.sleep(0.05)
        yield json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait(timeout=10)


def airflow_environment(home: Path, connection: Mapping[str, object]) -> dict[str, str]:
    """Return the environment of a throw-away Airflow in a folder."""
    (home / "config").mkdir()
    (home / "config" / "airflow_local_settings.py").write_text(POLICY)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **kept,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW_CONN_MODELARTS_DEFAULT": json.dumps(connection),
        "NO_COLOR": "1",
    }


def run(command: list[str], environment: Mapping[str, str]) -> str:
    """Run a command and return what it printed; stop with all of it if it failed."""
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        print(done.stdout)
        sys.exit(f"{' '.join(command[2:4])} failed")
    return done.stdout


def show(log: str) -> int:
    """Print what the log says of the search, and return 1 unless the last task received a config."""
    progress = re.findall(r"Training job \S+ is \w+(?:: \d+/\d+ trials ended.*?(?=\s\[|$))?", log, re.MULTILINE)
    table = re.search(r"Training job \S+ has (\d+ trials by .*?)(?=\s\[airflow|\n\[|\n\d{4}-)", log, re.DOTALL)
    received = re.search(r"Retraining with (\{.*?\})", log)
    say("While the search ran, the sensor said")
    print("\n".join(dict.fromkeys(progress)))
    if not table or not received:
        print(log)
        sys.exit("the log lacks the table of trials, or the config that the last task received")
    say("The operator ranked")
    print(table[1])
    say("The next task received")
    print(received[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
