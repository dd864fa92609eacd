"""What CreateTrainingJob is sent, checked before anything is done; what the scripts need is checked by ``commands``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping

from airflow_provider_modelarts.core.json_values import JSON, as_object, child, describe, text
from modelarts_emulator.errors import bad_body, bad_request

Algorithms = Callable[[str], Mapping[str, JSON]]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LONGEST_DESCRIPTION = 256
_DEEPEST = 100
_KINDS = ("job", "autosearch_job")


def checked_body(body: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return a body whose kind, name and description are those of a job, or refuse it."""
    _check_texts(body)
    if body.get("kind") not in _KINDS:
        raise bad_request("2788", f"kind must be {' or '.join(_KINDS)} here, not {describe(body.get('kind'))}.")
    metadata = as_object(body.get("metadata"), "metadata")
    name = metadata.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise bad_request("0104", f"metadata.name must be 1 to 64 letters, digits, '-' and '_', not {describe(name)}.")
    description = checked_description(metadata.get("description"))
    return {**body, "metadata": {**metadata, "description": description}}


def checked_description(description: JSON) -> str:
    """Return a description of at most 256 characters; blank for none."""
    if description is None:
        return ""
    if not isinstance(description, str) or len(description) > _LONGEST_DESCRIPTION:
        raise bad_request("0104", f"A description must be text of at most {_LONGEST_DESCRIPTION} characters.")
    _check_texts(description)
    return description


def whole_algorithm(body: Mapping[str, JSON], algorithms: Algorithms) -> dict[str, JSON]:
    """Return the algorithm of a body; a managed one supplies what the body leaves out.

    :param algorithms: finds an algorithm by its id, or refuses it.
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
    """Refuse what no process can be told, or not be written again: NUL, halves of characters, NaN, too many levels."""
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
    """Return whether a value is nested deeper than can be trusted to be written again."""
    level: list[object] = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _parts(outer)]
    return bool(level)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()
