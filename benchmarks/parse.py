"""What a package adds to the parsing of a DAG file, next to the providers for other clouds.

Every measurement has a fresh interpreter. It first imports what any DAG file needs (the baseline: Airflow's SDK, the
names that operators take from it, the base of triggers), and then what is measured: our operators, sensors and
triggers, those of a peer, or a whole DAG file of ``example_dags``, in the way of Airflow's DAG bag. All candidates take
turns in each round; a first round, which compiles and warms the disk, is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from figures import conditions, installed, print_table, spread

EXAMPLES = Path(__file__).resolve().parent.parent / "example_dags"
AMAZON = "apache-airflow-providers-amazon"
GOOGLE = "apache-airflow-providers-google"

BARE = ""
AIRFLOW = """
try:
    import airflow.sdk
except ImportError:  # before Airflow 3
    import airflow
import airflow.triggers.base
from airflow.providers.common.compat import version_compat
from airflow.providers.common.compat.sdk import (
    DAG, AirflowException, AirflowFailException, AirflowSensorTimeout, AirflowSkipException, AirflowTaskTimeout, Asset,
    BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, Param, PokeReturnValue, TaskDeferred, Variable, XCom,
    conf, task,
)
"""

#: Measures one thing in the interpreter that runs it, and prints the figures on its last line.
MEASURE = """
import json, sys, time
baseline, measured = sys.argv[1:]
exec(baseline, {})
before = set(sys.modules)
cpu, wall = time.process_time(), time.perf_counter()
exec(measured, {})
times = [1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall)]
print(json.dumps([*times, sorted(set(sys.modules) - before)]))
"""

#: A DAG file without any provider, to tell what in the others is Airflow's.
EMPTY = """
from airflow.providers.common.compat.sdk import DAG, BaseOperator
with DAG("empty", schedule=None):
    BaseOperator(task_id="task")
"""

#: What Airflow's DAG bag does with a file.
PARSE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("parsed_dag_file", {path!r})
sys.modules["parsed_dag_file"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something to import.

    :param package: the distribution that has it.
    :param baseline: what is imported before, and not measured.
    """

    name: str
    package: str
    measured: str
    baseline: str = AIRFLOW


def _modules(*names: str) -> str:
    return "\n".join(f"import {name}" for name in names)


CANDIDATES = [
    Candidate("Airflow, the baseline of all others", "apache-airflow", AIRFLOW, BARE),
    Candidate(
        "**ours**: operators, sensors, triggers",
        "airflow-provider-modelarts",
        _modules(*(f"airflow_provider_modelarts.{kind}.modelarts" for kind in ("operators", "sensors", "triggers"))),
    ),
    Candidate("requests", "requests", _modules("requests")),
    Candidate("requests, in a bare interpreter", "requests", _modules("requests"), BARE),
    Candidate(
        "Amazon SageMaker: operators, sensors, triggers",
        AMAZON,
        _modules(*(f"airflow.providers.amazon.aws.{kind}.sagemaker" for kind in ("operators", "sensors", "triggers"))),
    ),
    Candidate(
        "Google Vertex AI: operators of hyperparameter tuning",
        GOOGLE,
        _modules("airflow.providers.google.cloud.operators.vertex_ai.hyperparameter_tuning_job"),
    ),
    Candidate("DAG file with one task of Airflow's own", "apache-airflow", EMPTY),
    *(
        Candidate(f"DAG file {path.name}", "airflow-provider-modelarts", PARSE.format(path=str(path)))
        for path in sorted(EXAMPLES.glob("*.py"))
    ),
]


@dataclass(frozen=True, slots=True)
class Import:
    """What an import took, in milliseconds, and which modules it added."""

    cpu: float
    wall: float
    modules: Sequence[str]

    @property
    def libraries(self) -> list[str]:
        """The top-level packages of third parties among the modules; Airflow and this package are none."""
        tops = {name.partition(".")[0] for name in self.modules}
        return sorted(tops & _packages() - {"airflow", "airflow_provider_modelarts"})


@cache
def _packages() -> frozenset[str]:
    return frozenset(name for name in packages_distributions() if name.isidentifier() and not name.startswith("_"))


def measure(candidate: Candidate, home: str) -> Import:
    """Import it in a fresh interpreter, with an Airflow that has its files in a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE, candidate.baseline, candidate.measured],
        env={**kept, "AIRFLOW_HOME": home, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{candidate.name}: {done.stderr}")
    return Import(*json.loads(done.stdout.splitlines()[-1]))


def row_of(candidate: Candidate, imports: Sequence[Import]) -> list[object]:
    """Return a row of the table."""
    if not imports:
        return [candidate.name, f"{candidate.package} is not installed", "-", "-", "-"]
    added = imports[-1]
    return [
        candidate.name,
        spread([one.cpu for one in imports]),
        spread([one.wall for one in imports]),
        len(added.modules) or "0, all were loaded",
        _named(added.libraries),
    ]


def _named(libraries: Sequence[str]) -> str:
    if not libraries:
        return "none"
    return ", ".join(libraries) if len(libraries) <= 6 else f"{', '.join(libraries[:6])} and {len(libraries) - 6} more"


def main() -> None:
    """Measure all candidates in turn, several times, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()

    imports: dict[str, list[Import]] = {
        candidate.name: [] for candidate in CANDIDATES if installed(candidate.package) is not None
    }
    with tempfile.TemporaryDirectory(prefix="modelarts-parse-") as home:
        for number in range(options.rounds + 1):
            for candidate in CANDIDATES:
                if candidate.name in imports:
                    imported = measure(candidate, home)
                    imports[candidate.name] += [imported] if number else []

    print(f"{conditions('requests', AMAZON, GOOGLE)}; {options.rounds} rounds, median (least-most)")
    print_table(
        "Beyond the baseline, in a fresh interpreter",
        ["", "CPU ms", "wall ms", "modules added", "third-party packages added"],
        [row_of(candidate, imports.get(candidate.name, [])) for candidate in CANDIDATES],
    )


if __name__ == "__main__":
    main()
