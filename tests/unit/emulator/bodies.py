"""Bodies of CreateTrainingJob that run a script in ``/bucket/code``."""

from __future__ import annotations

import copy
from typing import Any

from modelarts_emulator.errors import Refusal
from modelarts_emulator.json_values import ShapeError
from modelarts_emulator.runs.request import checked_body, complete_algorithm, read_command
from modelarts_emulator.runs.search import read_search
from modelarts_emulator.runs.storage import Buckets


def job_body(name: str = "my-job", **parameters: object) -> dict[str, Any]:
    """Return the body of a job that runs the script once."""
    return {
        "kind": "job",
        "metadata": {"name": name, "description": "a test"},
        "algorithm": {
            "code_dir": "/bucket/code/",
            "boot_file": "/bucket/code/train.py",
            "parameters": [{"name": key, "value": str(value)} for key, value in parameters.items()],
            "outputs": [{"name": "train_url", "remote": {"obs": {"obs_url": "obs://bucket/out/"}}}],
        },
        "spec": {"resource": {"flavor_id": "modelarts.vm.cpu.8u", "node_count": 1}},
    }


def search_body(name: str = "my-search", *, samples: int = 4, values: str = "1 2 3 4") -> dict[str, Any]:
    """Return the body of a search for the best value of the parameter ``x``."""
    body = job_body(name, x=1, fail=-1)
    body["algorithm"]["policies"] = {
        "auto_search": {
            "reward_attrs": [{"name": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"}],
            "search_params": [{"name": "x", "param_type": "discrete", "discrete_values": values.split()}],
            "algo_configs": [
                {"name": "tpe_search", "params": [{"key": "num_samples", "value": str(samples), "type": "Integer"}]}
            ],
        }
    }
    return body


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a copy of a body with another value at a dotted path; numbers are indices of lists."""
    copied = copy.deepcopy(body)
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    target: Any = copied
    for key in way:
        target = target[key]
    target[last] = value
    return copied


def refusal(body: dict[str, Any], buckets: Buckets) -> str:
    """Return the number of the code with which a body is refused; blank if the body is accepted."""
    try:
        algorithm = complete_algorithm(checked_body(body), lambda algorithm_id: {})
        read_command(algorithm, buckets)
        read_search(algorithm)
    except ShapeError:
        return "2788"  # the handler's code for a ShapeError
    except Refusal as error:
        return error.code.removeprefix("ModelArts.")
    return ""
