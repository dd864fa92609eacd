"""Cost of a package when Airflow parses a DAG file, compared with providers for other clouds.

Each measurement runs in a new interpreter. It first imports the baseline (the Airflow SDK with the names that operators
use, and the base class of triggers), then the candidate: operators, sensors and triggers of this package or of another
provider, or a DAG file of ``example_dags``, as the Airflow DAG bag does. All candidates take turns in each round. A
first round, which compiles modules and fills disk caches, is not counted.
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

#: Measures one candidate in its own interpreter, and prints the figures on the last line.
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

#: A DAG file without a provider: the share of Airflow itself in the other DAG files.
EMPTY = """
from airflow.providers.common.compat.sdk import DAG, BaseOperator
with DAG("empty", schedule=None):
    BaseOperator(task_id="task")
"""

#: Import of a file as in the Airflow DAG bag.
PARSE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("parsed_dag_file", {path!r})
sys.modules["parsed_dag_file"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Import to measure.

    :param package: distribution with the imported modules.
    :param baseline: imported before, and not measured.
    """

    name: str
    package: str
    measured: str
    baseline: str = AIRFLOW


def _modules(*names: str) -> str:
    return "\n".join(f"import {name}" for name in names)


CANDIDATES = [
    Candidate("Airflow, the baseline of all other rows", "apache-airflow", AIRFLOW, BARE),
    Candidate(
        "**this package**: operators, sensors, triggers",
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
    Candidate("DAG file with one core Airflow task", "apache-airflow", EMPTY),
    *(
        Candidate(f"DAG file {path.name}", "airflow-provider-modelarts", PARSE.format(path=str(path)))
        for path in sorted(EXAMPLES.glob("*.py"))
    ),
]


@dataclass(frozen=True, slots=True)
class Import:
    """CPU and wall time of an import in milliseconds, and the added modules."""

    cpu: float
    wall: float
    modules: Sequence[str]

    @property
    def libraries(self) -> list[str]:
        """Top-level packages of third parties among the modules, without Airflow and this package."""
        tops = {name.partition(".")[0] for name in self.modules}
        return sorted(tops & _packages() - {"airflow", "airflow_provider_modelarts"})


@cache
def _packages() -> frozenset[str]:
    return frozenset(name for name in packages_distributions() if name.isidentifier() and not name.startswith("_"))


def measure(candidate: Candidate, home: str) -> Import:
    """Import a candidate in a new interpreter, with the Airflow home in a folder."""
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
        len(added.modules) or "0, all already loaded",
        _named(added.libraries),
    ]


def _named(libraries: Sequence[str]) -> str:
    if not libraries:
        return "none"
    return ", ".join(libraries) if len(libraries) <= 6 else f"{', '.join(libraries[:6])} and {len(libraries) - 6} more"


def main() -> None:
    """Measure all candidates in several rounds, and print the figures."""
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

    print(f"{conditions('requests', AMAZON, GOOGLE)}; {options.rounds} rounds, median (min-max)")
    print_table(
        "Cost beyond the baseline, in a new interpreter",
        ["", "CPU ms", "wall ms", "modules added", "third-party packages added"],
        [row_of(candidate, imports.get(candidate.name, [])) for candidate in CANDIDATES],
    )


if __name__ == "__main__":
    main()
