"""The example DAGs run through real Airflow, on the local ModelArts and a database of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "example_dags"
AIRFLOW = [sys.executable, "-m", "airflow"]


@pytest.fixture(scope="module", name="home")
def _home(tmp_path_factory):
    """A folder with an Airflow whose sensors do not wait 30 seconds between two looks."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "config").mkdir()
    policy = "def task_policy(task):\n    if hasattr(task, 'poke_interval'):\n        task.poke_interval = 0.05\n"
    (home / "config" / "airflow_local_settings.py").write_text(policy)
    done = airflow(home, {}, "db", "migrate")
    assert done.returncode == 0, done.stdout
    return home


def airflow(home, connection, *arguments):
    """Run an Airflow command in a home of its own."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_MODELARTS_DEFAULT": json.dumps(connection),
        "NO_COLOR": "1",
    }
    command = [*AIRFLOW, *arguments]
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def test_every_example_has_a_test():
    """A new example DAG needs a run of its own below."""
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"modelarts_best_trial", "modelarts_top_k"}


def test_best_trial_example_hands_the_winner_to_the_next_task(home, modelarts_emulator):
    """The chain of sensor, operator and a task that receives the config with its types."""
    conf = json.dumps({"training_job_id": modelarts_emulator.job_id("growing")})

    run = airflow(home, modelarts_emulator.connection(), "dags", "test", "modelarts_best_trial", "--conf", conf)

    assert run.returncode == 0, run.stdout
    assert "Retraining with {'batch_size': 64, 'learning_rate': 0.02}" in run.stdout


def test_top_k_example_starts_a_task_for_each_of_the_best(home, modelarts_emulator):
    """Three mapped tasks, each with one of the three best trials."""
    conf = json.dumps({"training_job_id": modelarts_emulator.job_id("documented")})

    run = airflow(home, modelarts_emulator.connection(), "dags", "test", "modelarts_top_k", "--conf", conf)

    assert run.returncode == 0, run.stdout
    assert set(re.findall(r"which reached acc=([0-9.]+)", run.stdout)) == {"0.25", "0.1875"}
    assert set(re.findall(r"Retraining with (\{.*?\})", run.stdout)) == {
        "{'batch_size': 32, 'learning_rate': 0.0340820322164706}",
        "{'batch_size': 16, 'learning_rate': 0.04015387428829642}",
        "{'batch_size': 32, 'learning_rate': 0.008413169003970163}",
    }


def test_failing_search_fails_the_example(home, modelarts_emulator):
    """Green on failure would be worse than no pipeline: the run fails, and nothing is retrained."""
    conf = json.dumps({"training_job_id": modelarts_emulator.job_id("failing-job")})

    run = airflow(home, modelarts_emulator.connection(), "dags", "test", "modelarts_best_trial", "--conf", conf)

    assert run.returncode != 0
    assert "Retraining with" not in run.stdout
    assert "is Failed" in run.stdout
