"""The example DAGs run in Airflow, on the emulator and a temporary database.

The DAG that is scheduled on an asset requires a scheduler: ``tests/system/e2e.py`` runs it.
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
from integration.emulated import settings_of

from airflow_provider_modelarts.client import ModelArtsClient

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
POLICY = """
def task_policy(task):
    for name in ("poke_interval", "poll_interval"):
        if hasattr(task, name):
            setattr(task, name, 0.1)
    if task.task_type == "ModelArtsTrainingJobOperator" and hasattr(task, "partial_kwargs"):  # it is mapped
        task.partial_kwargs["poll_interval"] = 0.1
"""

#: Airflow's command line, started once for all commands: the start takes longer than a DAG run.
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
    """Command line of an Airflow with a temporary home and a short poll interval."""

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
        """Run a command; return exit code and output."""
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
    """Return an Airflow with a temporary database."""
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
    """Return an emulator with the training script of the examples in its bucket."""
    shutil.copytree(EXAMPLES / "training", tmp_path / "demo-bucket" / "code")
    with modelarts_emulator_factory(root=tmp_path) as emulator:
        yield emulator


def run_dag(home, emulator, dag_id, **conf):
    """Run a DAG in one process, and return the output."""
    end, printed = home.run(emulator.connection(), "dags", "test", dag_id, "--conf", json.dumps(conf))
    assert end == "0", printed
    return printed


def created_jobs(emulator):
    """Return the jobs created by tasks, oldest first."""
    with ModelArtsClient(settings_of(emulator)) as client:
        jobs = client.search_training_jobs().jobs
    return [job for job in reversed(jobs) if "[airflow " in job.description]


def models(root, task):
    """Return the model files of the training jobs of a task."""
    paths = sorted((root / "demo-bucket").glob(f"modelarts_*/*/{task}*/model.json"))
    return [json.loads(path.read_text()) for path in paths]


def best_row(emulator, job_id):
    """Return the trial with the highest accuracy, without the selection of this package."""
    with ModelArtsClient(settings_of(emulator)) as client:
        return max(client.list_trials(job_id), key=lambda trial: float(trial.raw["best_reward"]))


def test_every_example_has_a_test():
    """Every example DAG has a test below."""
    examples = {dag_id for path in EXAMPLES.glob("*.py") for dag_id in re.findall(r'dag_id="(\w+)"', path.read_text())}
    tested = set(re.findall(r'run_dag\(home, \w+, "(\w+)"', Path(__file__).read_text()))

    assert examples - tested == {"modelarts_asset_retrain"}


def test_best_trial_example_passes_the_best_config_downstream(home, modelarts_emulator):
    """The downstream task receives the config with its types."""
    job_id = modelarts_emulator.job_id("growing")

    printed = run_dag(home, modelarts_emulator, "modelarts_best_trial", training_job_id=job_id)

    assert "Retraining with {'batch_size': 64, 'learning_rate': 0.02}" in printed


def test_search_and_retrain_example_trains_with_the_best_config(home, cloud, tmp_path):
    """The arguments of the retraining are the config of the best row of the trial table."""
    run_dag(home, cloud, "modelarts_search_and_retrain")
    search, retraining = created_jobs(cloud)
    best = best_row(cloud, search.id)
    (model,) = models(tmp_path, "retrain")

    assert (search.phase_text, retraining.phase_text) == ("Completed", "Completed")
    assert model["arguments"] == {**best.config, "epochs": 10}
    assert 0.75 < model["held_out_acc"] <= 1


def test_search_and_retrain_example_skips_below_the_baseline(home, cloud, tmp_path):
    """If no trial beats the baseline, the search task and the retraining are skipped, and no task fails."""
    printed = run_dag(home, cloud, "modelarts_search_and_retrain", baseline=0.999)

    assert "which is not better (max) than 0.999" in printed
    assert len(created_jobs(cloud)) == 1
    assert models(tmp_path, "retrain") == []


def test_champion_challenger_example_retrains_only_for_a_better_one(home, cloud, tmp_path):
    """The first challenger becomes the champion; the second is not better, and is skipped with its downstream tasks."""
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
    """Three mapped tasks, each with the config of one of the three best trials of the documented response."""
    job_id = cloud.job_id("documented")

    run_dag(home, cloud, "modelarts_top_k", training_job_id=job_id)

    assert [model["arguments"]["learning_rate"] for model in models(tmp_path, "retrain")] == [
        0.0340820322164706,
        0.04015387428829642,
        0.008413169003970163,
    ]
    assert [job.phase_text for job in created_jobs(cloud)] == ["Completed"] * 3


def test_asset_example_searches(home, cloud):
    """The search runs without a scheduler; the second DAG requires one."""
    printed = run_dag(home, cloud, "modelarts_asset_search")

    assert [job.phase_text for job in created_jobs(cloud)] == ["Completed"]
    assert "4 trials by acc (max), best first" in printed


def test_failing_search_fails_the_example(home, modelarts_emulator):
    """If the search fails, the DAG run fails, and nothing is retrained."""
    conf = json.dumps({"training_job_id": modelarts_emulator.job_id("failing-job")})

    end, printed = home.run(modelarts_emulator.connection(), "dags", "test", "modelarts_best_trial", "--conf", conf)

    assert end != "0"
    assert "Retraining with" not in printed
    assert "is Failed" in printed
