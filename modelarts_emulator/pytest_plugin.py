"""Pytest fixtures for tests of DAGs, to be enabled by name.

Put ``pytest_plugins = ["modelarts_emulator.pytest_plugin"]`` into the ``conftest.py`` at the root of the tests, or run
``pytest -p modelarts_emulator.pytest_plugin``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from modelarts_emulator import Emulator, running


@pytest.fixture(name="modelarts_emulator")
def _modelarts_emulator() -> Iterator[Emulator]:
    """A running ModelArts emulator, new for each test."""
    with running() as emulator:
        yield emulator


@pytest.fixture(name="modelarts_emulator_factory")
def _modelarts_emulator_factory() -> Callable[..., AbstractContextManager[Emulator]]:
    """A function that runs another emulator for a ``with`` block; it takes the options of ``Emulator``."""
    return running
