"""From an algorithm to the command line, folder and environment of its script."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, child, describe, integer, text
from modelarts_emulator.errors import bad_request
from modelarts_emulator.runs.buckets import Buckets

# what a script may see of the emulator's own environment: enough to start, nothing to steal
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TMPDIR", "TZ")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_VARIABLES = 100
_LONGEST_VARIABLE = 4096
_FLAGS = {"true", "false", "0", "1"}


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a script.

    :param parameters: values of the job's parameters, as text.
    :param folders: paths of inputs and outputs that are passed as arguments.
    :param outputs: folders that must be there before it starts.
    """

    code_dir: Path
    boot_file: Path
    parameters: Mapping[str, str]
    folders: Mapping[str, str]
    outputs: tuple[Path, ...]
    environment: Mapping[str, str]

    def argv(self, drawn: Mapping[str, str]) -> list[str]:
        """Return the command line.

        :param drawn: what a search has drawn, in the place of the job's own values.
        """
        values = {**self.parameters, **drawn, **self.folders}
        return [sys.executable, str(self.boot_file), *(f"--{name}={value}" for name, value in values.items())]


def read_command(algorithm: Mapping[str, JSON], buckets: Buckets) -> Command:
    """Return how to start the script of an algorithm, or refuse it."""
    code_dir, boot_file = _code(algorithm, buckets)
    inputs = dict(_folders(algorithm.get("inputs"), "inputs", buckets))
    outputs = dict(_folders(algorithm.get("outputs"), "outputs", buckets))
    for name, (path, _) in inputs.items():
        if not path.exists():
            raise bad_request("2791", f"The input {name} does not exist.")
    for name, (path, _) in outputs.items():
        if path.exists() and not path.is_dir():
            raise bad_request("2791", f"The output {name} is no folder.")
    folders = {**inputs, **outputs}
    own = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return Command(
        code_dir=code_dir,
        boot_file=boot_file,
        parameters=dict(_parameters(algorithm.get("parameters"))),
        folders={name: str(path) for name, (path, by_variable) in folders.items() if not by_variable},
        outputs=tuple(path for path, _ in outputs.values()),
        environment={
            **own,
            "PYTHONUNBUFFERED": "1",  # else nobody sees a metric before the script has ended
            **{name: str(path) for name, (path, by_variable) in folders.items() if by_variable},
            **_environments(algorithm.get("environments")),
        },
    )


def _code(algorithm: Mapping[str, JSON], buckets: Buckets) -> tuple[Path, Path]:
    if not algorithm.get("code_dir"):
        raise bad_request(
            "2757", "algorithm.code_dir and algorithm.boot_file are needed: only scripts can be run here."
        )
    code_dir = buckets.local(algorithm["code_dir"], "code_dir")
    if not code_dir.is_dir():
        raise bad_request("2757", f"The code_dir {describe(algorithm['code_dir'])} is no folder.")
    if not algorithm.get("boot_file"):
        raise bad_request("2758", "algorithm.boot_file is missing.")
    boot_file = buckets.local(algorithm["boot_file"], "boot_file")
    if not boot_file.is_relative_to(code_dir) or not boot_file.is_file():
        raise bad_request("2758", f"The boot_file {describe(algorithm['boot_file'])} is no file in the code_dir.")
    return code_dir, boot_file


def _parameters(entries: JSON) -> Iterator[tuple[str, str]]:
    seen = set()
    for entry in as_list(entries or [], "algorithm.parameters"):
        parameter = as_object(entry, "an entry of algorithm.parameters")
        name, value = parameter.get("name"), parameter.get("value")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in seen:
            raise bad_request("2767", f"A parameter cannot be named {describe(name)}, or is named so twice.")
        seen.add(name)
        if value is not None and not isinstance(value, str):
            raise bad_request("2765", f"The value of the parameter {name} must be text, not {describe(value)}.")
        written = value or ""
        _check_value(name, written, as_object(parameter.get("constraint") or {}, f"the constraint of {name}"))
        yield name, written


def _check_value(name: str, value: str, constraint: Mapping[str, JSON]) -> None:
    if value == "":
        return
    kind = constraint.get("type")
    if (
        (kind == "Integer" and integer(value) is None)
        or (kind == "Float" and cells.number(value) is None)
        or (kind == "Boolean" and value.lower() not in _FLAGS)
    ):
        raise bad_request("2765", f"The value of the parameter {name} is no {kind}.")
    allowed = constraint.get("valid_range")
    if not isinstance(allowed, list) or not allowed:
        return
    if constraint.get("valid_type") == "Choice" and value not in [text(choice) for choice in allowed]:
        raise bad_request("2769", f"The value of the parameter {name} is none of its choices.")
    if constraint.get("valid_type") == "Range" and not _in_range(value, allowed):
        raise bad_request("2770", f"The value of the parameter {name} is out of its range.")


def _in_range(value: str, bounds: list[JSON]) -> bool:
    numbers = [cells.number(number) for number in (bounds[0], value, bounds[-1])]
    low, given, high = numbers
    return low is not None and given is not None and high is not None and low <= given <= high


def _folders(entries: JSON, what: str, buckets: Buckets) -> Iterator[tuple[str, tuple[Path, bool]]]:
    """Yield name, folder and whether it is passed as a variable of the environment."""
    for entry in as_list(entries or [], what):
        name, url = child(entry, "name"), child(entry, "remote", "obs", "obs_url")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad_request("2753", f"One of the {what} cannot be named {describe(name)}.")
        if not url:
            raise bad_request("2753", f"{name} of the {what} has no remote.obs.obs_url; nothing else can be read here.")
        yield name, (buckets.local(url, name), child(entry, "access_method") == "env")


def _environments(given: JSON) -> dict[str, str]:
    variables = as_object(given or {}, "algorithm.environments")
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or not isinstance(value, str) or len(value) > _LONGEST_VARIABLE:
            raise bad_request("2788", f"algorithm.environments: {describe(name)} or its value is not allowed.")
    if len(variables) > _MOST_VARIABLES:
        raise bad_request("2788", f"algorithm.environments holds more than {_MOST_VARIABLES} variables.")
    return {name: text(value) for name, value in variables.items()}
