"""A local ModelArts with a training script, for the tests of jobs that really run."""

from __future__ import annotations

import pytest
from emulator.bench import SCRIPT, Bench


@pytest.fixture(name="bench")
def _bench(modelarts_emulator_factory, tmp_path):
    """A local ModelArts that holds nothing but a bucket with a training script."""
    with modelarts_emulator_factory(scenarios=[], root=tmp_path) as emulator:
        bench = Bench(emulator)
        bench.write(SCRIPT)
        yield bench
