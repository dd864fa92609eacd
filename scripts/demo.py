"""Run a search and a retraining in Airflow on the emulator, and print the results.

All files are in a temporary folder, which is deleted at the end. The exit code is 0 only if the DAG run succeeded.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))

from local import airflow_environment, client_of, print_step, run, run_emulator

from airflow_provider_modelarts.client import ModelArtsClient

DAG_ID = "modelarts_search_and_retrain"


def main() -> int:
    """Run the demo and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="modelarts-demo-") as folder:
        home = Path(folder)
        print_step("Starting the ModelArts emulator")
        with run_emulator(home) as local:
            environment = airflow_environment(home, f"sqlite:///{home / 'airflow.db'}", local)
            print_step("Creating a temporary Airflow")
            run(["db", "migrate"], environment)
            print_step(f"Running the DAG {DAG_ID}: 8 trials of a training script, then the retraining")
            log = run(["dags", "test", DAG_ID], environment)
            with client_of(local) as client:
                show(log, client)
    return 0


def show(log: str, client: ModelArtsClient) -> None:
    """Print progress and ranked trials from the task log, and the accuracy from the training logs."""
    search_id, retraining_id = found(r"Created training job (\S+) ", log, count=2)
    progress = re.findall(
        rf"Training job {search_id} is \w+(?:: \d+/\d+ trials ended.*?(?=\s\[|$))?", log, re.MULTILINE
    )
    (table,) = found(r"Training job \S+ has (\d+ trials by .*?)(?=\s\[airflow|\n\[|\n\d{4}-)", log, count=1)
    print_step("Progress in the task log")
    print("\n".join(dict.fromkeys(progress)))
    print_step("Ranked trials")
    print(table)
    retraining_log = client.get_log_preview(retraining_id)
    print_step("Hyperparameters of the retraining")
    print(*found(r"Training with (\{.*?\})", retraining_log))
    first = client.list_trials(search_id)[0].trial_id
    first_log = client.get_log_preview(search_id).partition(f"==> trial {first} <==")[2]
    print_step("Accuracy on held-out data")
    print(f"{found(HELD_OUT, first_log)[0]}  model of the first trial")
    print(f"{found(HELD_OUT, retraining_log)[0]}  retrained model")


HELD_OUT = r"held_out_acc: ([0-9.]+)"


def found(pattern: str, text: str, count: int | None = None) -> list[str]:
    """Return the matches of a pattern; exit if there are none, or not the expected number."""
    matches: list[str] = re.findall(pattern, text, re.DOTALL)
    if not matches or count not in {None, len(matches)}:
        print(text)
        sys.exit(f"{pattern!r} has {len(matches)} matches, expected {count or 'at least one'}")
    return matches


if __name__ == "__main__":
    main()
