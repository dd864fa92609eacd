"""The example DAGs, run by Airflow on the emulator and a database of their own.

The DAG that is scheduled on an asset needs a scheduler: ``scripts/e2e.py`` runs it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_modelarts.client import ModelArtsClient

EXAMPLES = Path(__file__).resolve().parents[3] / "example_dags"
POLICY = """
def task_policy(task):
    for name in ("poke_interval", "poll_interval"):
        if hasattr(task, name):
            setattr(task, name, 0.1)
    if task.task_type == "ModelArtsTrainingJobOperator" and hasattr(task, "partial_kwargs"):  # it is mapped
        task.partial_kwargs["poll_interval"] = 0.1
"""

#: Airflow's command line, which starts once for all commands: starting takes longer than a whole DAG.
COMMANDS = """
import json, os, sys
from airflow.cli.cli_parser import get_parser
for line in sys.stdin:
    connection, command = json.loads(line)
    os.environ["AIRFLOW_CONN_MODELARTS_DEFAULT"] = connection
    try:
        arguments = get_parser().parse_args(command)
        arguments.func(arguments)
        end = 0
    except SystemExit as error:
        end = error.code
    print(f"\\nEND {end}", flush=True)
"""


class Airflow:
    """The command line of an Airflow in a home of its own, whose tasks do not wait 30 seconds between two looks."""

    def __init__(self, home):
        (home / "config").mkdir()
        (home / "config" / "airflow_local_settings.py").write_text(POLICY)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "NO_COLOR": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMANDS],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, connection, *command):
        """Run a command; return how it ended, and what it printed."""
        self.process.stdin.write(json.dumps([json.dumps(connection), command]) + "\n")
        self.process.stdin.flush()
        printed = []
        for line in self.process.stdout:
            if line.startswith("END "):
                return line.removeprefix("END ").strip(), "".join(printed)
            printed.append(line)
        raise AssertionError("".join(printed))


@pytest.fixture(scope="module", name="home")
def _home(tmp_path_factory):
    """An Airflow with a database of its own."""
    airflow = Airflow(tmp_path_factory.mktemp("airflow"))
    try:
        end, printed = airflow.run({}, "db", "migrate")
        assert end == "0", printed
        yield airflow
    finally:
        airflow.process.kill()  # to end by itself takes it seconds
        airflow.process.wait()


@pytest.fixture(name="cloud")
def _cloud(modelarts_emulator_factory, tmp_path):
    """A local ModelArts whose bucket has the training script of the examples."""
    shutil.copytree(EXAMPLES / "training", tmp_path / "demo-bucket" / "code")
    with modelarts_emulator_factory(root=tmp_path) as emulator:
        yield emulator


def run_dag(home, emulator, dag_id, **conf):
    """Run a DAG to its end in one process, and return what it printed."""
    end, printed = home.run(emulator.connection(), "dags", "test", dag_id, "--conf", json.dumps(conf))
    assert end == "0", printed
    return printed


def created_jobs(emulator):
    """Return the jobs that were created, oldest first."""
    with ModelArtsClient(emulator.settings()) as client:
        jobs = client.search_training_jobs().jobs
    return [job for job in reversed(jobs) if "[airflow " in job.description]


def models(root, task):
    """Return what the training jobs of a task have written about the models that they trained."""
    paths = sorted((root / "demo-bucket").glob(f"modelarts_*/*/{task}*/model.json"))
    return [json.loads(path.read_text()) for path in paths]


def best_row(emulator, job_id):
    """Return the trial with the highest accuracy, found without this package's own choosing."""
    with ModelArtsClient(emulator.settings()) as client:
        return max(client.list_trials(job_id), key=lambda trial: float(trial.raw["best_reward"]))


def test_every_example_has_a_test():
    """A new example DAG needs a run of its own below."""
    there_are = {dag_id for path in EXAMPLES.glob("*.py") for dag_id in re.findall(r'dag_id="(\w+)"', path.read_text())}
    are_run = set(re.findall(r'run_dag\(home, \w+, "(\w+)"', Path(__file__).read_text()))

    assert there_are - are_run == {"modelarts_asset_retrain"}


def test_best_trial_example_hands_the_winner_to_the_next_task(home, modelarts_emulator):
    """The chain of sensor, operator and a task that receives the config with its types."""
    job_id = modelarts_emulator.job_id("growing")

    printed = run_dag(home, modelarts_emulator, "modelarts_best_trial", training_job_id=job_id)

    assert "Retraining with {'batch_size': 64, 'learning_rate': 0.02}" in printed


def test_search_and_retrain_example_trains_with_the_winning_config(home, cloud, tmp_path):
    """The script of the retraining records its arguments: they are those of the best row of the trial table."""
    run_dag(home, cloud, "modelarts_search_and_retrain")
    search, retraining = created_jobs(cloud)
    best = best_row(cloud, search.id)
    (model,) = models(tmp_path, "retrain")

    assert (search.phase_text, retraining.phase_text) == ("Completed", "Completed")
    assert model["arguments"] == {**best.config, "epochs": 10}
    assert 0.75 < model["held_out_acc"] <= 1


def test_search_and_retrain_example_stops_at_its_gate(home, cloud, tmp_path):
    """No trial beats the baseline: the search is skipped, nothing is retrained, and nothing has failed."""
    printed = run_dag(home, cloud, "modelarts_search_and_retrain", baseline=0.999)

    assert "which is not better (max) than 0.999" in printed
    assert len(created_jobs(cloud)) == 1
    assert models(tmp_path, "retrain") == []


def test_champion_challenger_example_retrains_only_for_a_better_one(home, cloud, tmp_path):
    """The first challenger is crowned; the second, no better, is skipped with all that comes after it."""
    first = run_dag(home, cloud, "modelarts_champion_challenger")
    best = best_row(cloud, created_jobs(cloud)[0].id)
    second = run_dag(home, cloud, "modelarts_champion_challenger")

    assert f"The new champion has acc={best.raw['best_reward'].rstrip('0')}" in first
    assert "The new champion" not in second
    assert [job.phase_text for job in created_jobs(cloud)] == ["Completed"] * 3
    assert [model["arguments"]["learning_rate"] for model in models(tmp_path, "retrain")] == [
        best.config["learning_rate"]
    ]


def test_top_k_example_retrains_with_each_of_the_best(home, cloud, tmp_path):
    """Three mapped tasks, each with the config of one of the three best trials of the documented answer."""
    job_id = cloud.job_id("documented")

    run_dag(home, cloud, "modelarts_top_k", training_job_id=job_id)

    assert [model["arguments"]["learning_rate"] for model in models(tmp_path, "retrain")] == [
        0.0340820322164706,
        0.04015387428829642,
        0.008413169003970163,
    ]
    assert [job.phase_text for job in created_jobs(cloud)] == ["Completed"] * 3


def test_asset_example_searches(home, cloud):
    """The search of the pair runs by itself; the other DAG is started by a scheduler."""
    printed = run_dag(home, cloud, "modelarts_asset_search")

    assert [job.phase_text for job in created_jobs(cloud)] == ["Completed"]
    assert "4 trials by acc (max), best first" in printed


def test_failing_search_fails_the_example(home, modelarts_emulator):
    """Green on failure would be worse than no pipeline: the run fails, and nothing is retrained."""
    conf = json.dumps({"training_job_id": modelarts_emulator.job_id("failing-job")})

    end, printed = home.run(modelarts_emulator.connection(), "dags", "test", "modelarts_best_trial", "--conf", conf)

    assert end != "0"
    assert "Retraining with" not in printed
    assert "is Failed" in printed
