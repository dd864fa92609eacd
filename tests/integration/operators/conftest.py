"""Emulator that runs jobs, with a bucket for their script."""

from __future__ import annotations

import pytest

# Prints its metric as training scripts do. --sleep makes it slow, --fail makes it fail, as does a rate above --most;
# --gate is a file it waits for.
SCRIPT = """
import argparse, json, pathlib, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float)
parser.add_argument("--sleep", type=float, default=0)
parser.add_argument("--gate", type=pathlib.Path)
parser.add_argument("--fail", default="")
parser.add_argument("--most", type=float, default=1)
parser.add_argument("--train_url", type=pathlib.Path)
given, _ = parser.parse_known_args()
print("acc: %.6f" % (1 - abs(given.learning_rate - 0.3)), flush=True)
time.sleep(given.sleep)
while given.gate and not given.gate.exists():
    time.sleep(0.01)
if given.train_url:
    given.train_url.mkdir(parents=True, exist_ok=True)
    (given.train_url / "arguments.json").write_text(json.dumps(sys.argv[1:]))
if given.learning_rate > given.most:
    sys.exit("diverged")
if given.fail:
    sys.exit("out of memory: " + given.fail)
"""


@pytest.fixture(name="cloud")
def _cloud(modelarts_emulator_factory, connect, tmp_path):
    """Emulator with a training script in a bucket, and the Airflow connection to it."""
    code = tmp_path / "bucket" / "code"
    code.mkdir(parents=True)
    (code / "train.py").write_text(SCRIPT)
    with modelarts_emulator_factory(scenarios=[], root=tmp_path) as emulator:
        yield connect(emulator)


@pytest.fixture(name="body")
def _body():
    """Return a function that makes the body of a job with the given parameters."""

    def make(**values):
        values = {"learning_rate": 0.1, **values}
        return {
            "kind": "job",
            "metadata": {"description": "a test"},
            "algorithm": {
                "code_dir": "/bucket/code/",
                "boot_file": "/bucket/code/train.py",
                "parameters": [{"name": name, "value": str(value)} for name, value in values.items()],
                "outputs": [{"name": "train_url", "remote": {"obs": {"obs_url": "/bucket/out/"}}}],
            },
            "spec": {"resource": {"flavor_id": "modelarts.vm.cpu.8u", "node_count": 1}},
        }

    return make
