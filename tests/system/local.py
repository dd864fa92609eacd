"""Emulator and temporary Airflow, shared by the demo and the system tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_modelarts.api.settings import read_connection
from airflow_provider_modelarts.client import ModelArtsClient

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW = [sys.executable, "-m", "airflow"]

# The examples poll every 30 seconds, which suits the cloud. Here a training takes seconds, and a job that is not listed
# after half a minute was never created.
_POLICY = """
from airflow_provider_modelarts.api import create_once

create_once.MAX_LISTING_LAG = 30

def task_policy(task):
    for name in ("poke_interval", "poll_interval"):
        if hasattr(task, name):
            setattr(task, name, 0.3)
"""


def print_step(text: str) -> None:
    """Print the next step."""
    print(f"==> {text}", flush=True)


@contextmanager
def run_emulator(home: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Run an emulator with the training script of the examples in its bucket, and yield its ready file."""
    ready, root = home / "emulator.json", home / "obs"
    shutil.copytree(ROOT / "example_dags" / "training", root / "demo-bucket" / "code")
    command = [sys.executable, "-m", "modelarts_emulator", "--scenario", "growing", *options]
    process = subprocess.Popen([*command, "--root", str(root), "--ready-file", str(ready)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the emulator did not start")
            time.sleep(0.05)
        yield json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait(timeout=10)


def client_of(local: Mapping[str, Any]) -> ModelArtsClient:
    """Return a client for the emulator."""
    connection = local["connection"]
    return ModelArtsClient(
        read_connection(
            login=connection["login"],
            password=connection["password"],
            host=None,
            port=None,
            extra=connection["extra"],
        )
    )


def airflow_environment(home: Path, database: str, local: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of an Airflow in a folder, with the example DAGs and a connection to the emulator."""
    (home / "config").mkdir()
    (home / "config" / "airflow_local_settings.py").write_text(_POLICY)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **kept,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW_CONN_MODELARTS_DEFAULT": json.dumps(local["connection"]),
        "NO_COLOR": "1",
    }


def run(arguments: list[str], environment: Mapping[str, str]) -> str:
    """Run an Airflow command and return its output; print the output and exit if it fails."""
    done = subprocess.run(
        [*AIRFLOW, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout)
        sys.exit(f"airflow {' '.join(arguments[:2])} failed")
    return done.stdout
