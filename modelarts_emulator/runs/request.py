"""Body of CreateTrainingJob, checked before the job starts, and the command line of its script."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelarts_emulator.errors import bad_body, bad_request
from modelarts_emulator.json_values import JSON, as_list, as_object, child, describe, integer, number, text
from modelarts_emulator.runs.storage import Buckets
from modelarts_emulator.vocabulary import DEFAULT_WORKSPACE

Algorithms = Callable[[str], Mapping[str, JSON]]

_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_KINDS = ("job", "autosearch_job")
_MAX_DESCRIPTION = 256  # limit of the platform
_MAX_DEPTH = 100  # deeper values may exceed Python's recursion limit when they are written

# variables of the emulator's own environment for scripts: enough to start, and no secrets
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TMPDIR", "TZ")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_VARIABLES = 100  # limits of the platform
_MAX_VARIABLE = 4096
_FLAGS = {"true", "false", "0", "1"}


def checked_body(body: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return a body with a valid kind, name, workspace id and description, or refuse it."""
    _check_texts(body)
    if body.get("kind") not in _KINDS:
        raise bad_request("2788", f"kind must be {' or '.join(_KINDS)} here, not {describe(body.get('kind'))}.")
    metadata = as_object(body.get("metadata"), "metadata")
    name = metadata.get("name")
    if not isinstance(name, str) or not _WORD.fullmatch(name):
        raise bad_request("0104", f"metadata.name must be 1 to 64 letters, digits, '-' and '_', not {describe(name)}.")
    checked: dict[str, JSON] = {
        "workspace_id": checked_workspace_id(metadata.get("workspace_id")),
        "description": checked_description(metadata.get("description")),
    }
    return {**body, "metadata": {**metadata, **checked}}


def checked_workspace_id(workspace_id: JSON) -> str:
    """Return a workspace id; the default for None. Every valid id is that of a workspace."""
    if workspace_id is None:
        return DEFAULT_WORKSPACE
    if not isinstance(workspace_id, str) or not _WORD.fullmatch(workspace_id):
        given = describe(workspace_id)
        raise bad_request("0104", f"workspace_id must be 1 to 64 letters, digits, '-' and '_', not {given}.")
    return workspace_id


def checked_description(description: JSON) -> str:
    """Return a description of at most 256 characters; blank for None."""
    if description is None:
        return ""
    if not isinstance(description, str) or len(description) > _MAX_DESCRIPTION:
        raise bad_request("0104", f"A description must be text of at most {_MAX_DESCRIPTION} characters.")
    _check_texts(description)
    return description


def complete_algorithm(body: Mapping[str, JSON], algorithms: Algorithms) -> dict[str, JSON]:
    """Return the algorithm of a body. A managed algorithm supplies the fields that the body leaves out.

    :param algorithms: returns an algorithm by its id, or refuses the id.
    """
    given = as_object(body.get("algorithm"), "algorithm")
    if not given.get("id"):
        return given
    managed = dict(algorithms(text(given["id"])))
    config = child(managed, "job_config")
    search = child(managed, "advanced_config", "auto_search")
    inherited: dict[str, JSON] = {
        **(config if isinstance(config, dict) else {}),
        "name": child(managed, "metadata", "name"),
        "policies": {"auto_search": search} if search else {},
    }
    own = {key: value for key, value in given.items() if value}
    if not child(given, "policies", "auto_search"):
        own.pop("policies", None)
    return {**inherited, **own}


def _check_texts(value: JSON | Mapping[str, JSON]) -> None:
    """Refuse values that no process accepts or no JSON holds: NUL, lone surrogates, NaN, too many levels."""
    if _is_deep(value):
        raise bad_body()
    try:
        json.dumps(value, ensure_ascii=False).encode()
        escaped = json.dumps(value, allow_nan=False)
    except ValueError:
        raise bad_body() from None
    if _NUL.search(escaped):
        raise bad_body()


def _is_deep(value: JSON | Mapping[str, JSON]) -> bool:
    level: list[object] = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in _parts(outer)]
    return bool(level)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


@dataclass(frozen=True, slots=True)
class Command:
    """Command line, folder and environment of a script.

    :param parameters: parameters of the job, as text.
    :param folders: paths of inputs and outputs that are passed as arguments.
    :param outputs: folders to create before the script starts.
    """

    code_dir: Path
    boot_file: Path
    parameters: Mapping[str, str]
    folders: Mapping[str, str]
    outputs: tuple[Path, ...]
    environment: Mapping[str, str]

    def argv(self, drawn: Mapping[str, str]) -> list[str]:
        """Return the command line.

        :param drawn: values that a search has drawn; they take precedence over the job's own.
        """
        values = {**self.parameters, **drawn, **self.folders}
        return [sys.executable, str(self.boot_file), *(f"--{name}={value}" for name, value in values.items())]


def read_command(algorithm: Mapping[str, JSON], buckets: Buckets) -> Command:
    """Return the command of an algorithm's script, or refuse it."""
    code_dir, boot_file = _code(algorithm, buckets)
    inputs = dict(_folders(algorithm.get("inputs"), "inputs", buckets))
    outputs = dict(_folders(algorithm.get("outputs"), "outputs", buckets))
    for name, (path, _) in inputs.items():
        if not path.exists():
            raise bad_request("2791", f"The input {name} does not exist.")
    for name, (path, _) in outputs.items():
        if path.exists() and not path.is_dir():
            raise bad_request("2791", f"The output {name} is not a folder.")
    folders = {**inputs, **outputs}
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return Command(
        code_dir=code_dir,
        boot_file=boot_file,
        parameters=dict(_parameters(algorithm.get("parameters"))),
        folders={name: str(path) for name, (path, by_variable) in folders.items() if not by_variable},
        outputs=tuple(path for path, _ in outputs.values()),
        environment={
            **inherited,
            "PYTHONUNBUFFERED": "1",  # else metrics appear only when the script has ended
            **{name: str(path) for name, (path, by_variable) in folders.items() if by_variable},
            **_environments(algorithm.get("environments")),
        },
    )


def _code(algorithm: Mapping[str, JSON], buckets: Buckets) -> tuple[Path, Path]:
    if not algorithm.get("code_dir"):
        raise bad_request(
            "2757", "algorithm.code_dir and algorithm.boot_file are required: the emulator runs scripts only."
        )
    code_dir = buckets.local(algorithm["code_dir"], "code_dir")
    if not code_dir.is_dir():
        raise bad_request("2757", f"The code_dir {describe(algorithm['code_dir'])} is not a folder.")
    if not algorithm.get("boot_file"):
        raise bad_request("2758", "algorithm.boot_file is missing.")
    boot_file = buckets.local(algorithm["boot_file"], "boot_file")
    if not boot_file.is_relative_to(code_dir) or not boot_file.is_file():
        raise bad_request("2758", f"The boot_file {describe(algorithm['boot_file'])} is not a file in the code_dir.")
    return code_dir, boot_file


def _parameters(entries: JSON) -> Iterator[tuple[str, str]]:
    seen = set()
    for entry in as_list(entries or [], "algorithm.parameters"):
        parameter = as_object(entry, "an entry of algorithm.parameters")
        name, value = parameter.get("name"), parameter.get("value")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in seen:
            raise bad_request("2767", f"A parameter cannot be named {describe(name)}, or two have this name.")
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
        or (kind == "Float" and number(value) is None)
        or (kind == "Boolean" and value.lower() not in _FLAGS)
    ):
        raise bad_request("2765", f"The value of the parameter {name} is not of type {kind}.")
    allowed = constraint.get("valid_range")
    if not isinstance(allowed, list) or not allowed:
        return
    if constraint.get("valid_type") == "Choice" and value not in [text(choice) for choice in allowed]:
        raise bad_request("2769", f"The value of the parameter {name} is not one of its choices.")
    if constraint.get("valid_type") == "Range" and not _in_range(value, allowed):
        raise bad_request("2770", f"The value of the parameter {name} is out of its range.")


def _in_range(value: str, bounds: list[JSON]) -> bool:
    low, given, high = (number(bound) for bound in (bounds[0], value, bounds[-1]))
    return low is not None and given is not None and high is not None and low <= given <= high


def _folders(entries: JSON, what: str, buckets: Buckets) -> Iterator[tuple[str, tuple[Path, bool]]]:
    """Yield name, folder, and whether the folder is passed as an environment variable."""
    for entry in as_list(entries or [], what):
        name, url = child(entry, "name"), child(entry, "remote", "obs", "obs_url")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad_request("2753", f"One of the {what} cannot be named {describe(name)}.")
        if not url:
            raise bad_request("2753", f"{name} of the {what} has no remote.obs.obs_url; the emulator reads no other.")
        yield name, (buckets.local(url, name), child(entry, "access_method") == "env")


def _environments(given: JSON) -> dict[str, str]:
    variables = as_object(given or {}, "algorithm.environments")
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name) or not isinstance(value, str) or len(value) > _MAX_VARIABLE:
            raise bad_request("2788", f"algorithm.environments: {describe(name)} or its value is not allowed.")
    if len(variables) > _MAX_VARIABLES:
        raise bad_request("2788", f"algorithm.environments holds more than {_MAX_VARIABLES} variables.")
    return {name: text(value) for name, value in variables.items()}
