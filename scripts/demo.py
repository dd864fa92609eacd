"""Search and retrain through real Airflow on a local ModelArts, and show what came of it.

Everything lives in a temporary folder and is gone at the end. The exit code is 0 only if the whole DAG succeeded.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))

from local import airflow_environment, client_of, local_modelarts, run, say

from airflow_provider_modelarts.client import ModelArtsClient

DAG_ID = "modelarts_search_and_retrain"


def main() -> int:
    """Run the demo and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="modelarts-demo-") as folder:
        home = Path(folder)
        say("Starting the local ModelArts")
        with local_modelarts(home) as local:
            environment = airflow_environment(home, f"sqlite:///{home / 'airflow.db'}", local)
            say("Making a throw-away Airflow")
            run(["db", "migrate"], environment)
            say(f"Running the DAG {DAG_ID}: 8 trials of a real training script, then the retraining")
            log = run(["dags", "test", DAG_ID], environment)
            with client_of(local) as client:
                show(log, client)
    return 0


def show(log: str, client: ModelArtsClient) -> None:
    """Print what the log says of the search, and what the scripts have printed of their models."""
    search_id, retraining_id = found(r"Created training job (\S+) ", log, count=2)
    progress = re.findall(
        rf"Training job {search_id} is \w+(?:: \d+/\d+ trials ended.*?(?=\s\[|$))?", log, re.MULTILINE
    )
    (table,) = found(r"Training job \S+ has (\d+ trials by .*?)(?=\s\[airflow|\n\[|\n\d{4}-)", log, count=1)
    say("While the search ran, the task said")
    print("\n".join(dict.fromkeys(progress)))
    say("It ranked")
    print(table)
    retraining_log = client.get_log_preview(retraining_id)
    say("The retraining script received")
    print(*found(r"Training with (\{.*?\})", retraining_log))
    first = client.list_trials(search_id)[0].trial_id
    first_log = client.get_log_preview(search_id).partition(f"==> trial {first} <==")[2]
    say("Accuracy on held-out data")
    print(f"{found(HELD_OUT, first_log)[0]}  model of the first trial")
    print(f"{found(HELD_OUT, retraining_log)[0]}  retrained model")


HELD_OUT = r"held_out_acc: ([0-9.]+)"


def found(pattern: str, text: str, count: int | None = None) -> list[str]:
    """Return what a pattern finds; stop if it finds nothing, or not as often as it should."""
    matches: list[str] = re.findall(pattern, text, re.DOTALL)
    if not matches or count not in {None, len(matches)}:
        print(text)
        sys.exit(f"{pattern!r} was found {len(matches)} times")
    return matches


if __name__ == "__main__":
    main()
