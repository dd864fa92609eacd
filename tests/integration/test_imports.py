"""Cost of imports: DAG files are parsed every few seconds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

DAG_FILE_IMPORTS = [
    "airflow_provider_modelarts.operators.modelarts",
    "airflow_provider_modelarts.sensors.modelarts",
    "airflow_provider_modelarts.triggers.modelarts",
]
LOADING = f"""
import json, sys, warnings
import airflow.providers.common.compat.sdk as sdk
import airflow.triggers.base
sdk.BaseOperator, sdk.BaseSensorOperator, sdk.conf, sdk.DAG
before = {{*sys.modules}}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import {", ".join(DAG_FILE_IMPORTS)}
shown = [f"{{one.filename}}: {{one.message}}" for one in caught]
print("loading:", json.dumps({{"added": sorted({{*sys.modules}} - before), "warnings": shown}}))
"""


def modules_after(*statements: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after some statements."""
    code = "; ".join([*statements, "import sys", "print('loaded:', *sys.modules)"])
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(output.rpartition("loaded:")[2].split())


@pytest.fixture(scope="module", name="loading")
def _loading() -> dict[str, list[str]]:
    """Modules and warnings that the imports of a DAG file add to a process with Airflow."""
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=True)
    report: dict[str, list[str]] = json.loads(done.stdout.rpartition("loading:")[2])
    return report


@pytest.fixture(name="added")
def _added(loading: dict[str, list[str]]) -> list[str]:
    """Modules that the imports of a DAG file load beyond Airflow's own."""
    return loading["added"]


@pytest.mark.parametrize("library", ["requests", "aiohttp", "pendulum", "yarl", "certifi", "asgiref"])
def test_dag_file_imports_load_no_library(added, library):
    """Libraries are imported where they are used, not when a DAG file is parsed."""
    assert not [name for name in added if name.split(".")[0] == library]


def test_dag_file_imports_load_only_thin_modules(added):
    """Core, clients and hook are not loaded when a DAG file is parsed."""
    parts = {name.split(".")[1] for name in added if name.startswith("airflow_provider_modelarts.")}

    assert parts == {"exceptions", "links", "operators", "sensors", "task_exceptions", "task_state", "triggers"}


@pytest.mark.parametrize("module", ["airflow_provider_modelarts.client", "airflow_provider_modelarts.async_client"])
def test_client_works_without_airflow(module):
    """A notebook can use the clients without Airflow."""
    loaded = modules_after(f"import {module}")

    assert not [name for name in loaded if name == "airflow" or name.startswith("airflow.")]
    assert "requests" not in loaded
    assert "aiohttp" not in loaded


def test_dag_file_imports_use_no_deprecated_name(loading):
    """Every name is imported from its current module in the installed Airflow."""
    assert [line for line in loading["warnings"] if "airflow_provider_modelarts" in line] == []
