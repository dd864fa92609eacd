"""Imports of the emulator."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("aiohttp", "optuna", "airflow", "airflow_provider_modelarts", "requests")


@pytest.mark.parametrize("module", ["modelarts_emulator", "modelarts_emulator.__main__", "modelarts_emulator.handlers"])
def test_import_loads_neither_libraries_nor_the_provider(module):
    """An import of the emulator loads neither the provider nor a library that only serving or searching requires."""
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
