"""Bodies of CreateTrainingJob: a user's own body with hyperparameters and a search merged in.

The platform wants every value as text (``algorithm.parameters[].value``), and every number of a search too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import cast

from airflow_provider_modelarts.core.coerce import mapping
from airflow_provider_modelarts.core.shapes import JSON, as_list, as_object, child, describe, text
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError


def read_body(body: object) -> dict[str, JSON]:
    """Return a copy of a job body, from a mapping or from JSON text.

    Values of parameters become text again: templates that render to native types have made numbers and flags of them.

    :raises ModelArtsConfigurationError: when it is none, or a part of it has the wrong shape.
    """
    copied = copy.deepcopy(dict(mapping("body", body)))
    job = cast("dict[str, JSON]", copied)
    try:
        metadata = as_object(job.setdefault("metadata", {}), "body.metadata")
        algorithm = as_object(job.setdefault("algorithm", {}), "body.algorithm")
        parameters = as_list(algorithm.get("parameters") or [], "body.algorithm.parameters")
    except ModelArtsProtocolError as error:
        raise ModelArtsConfigurationError(str(error)) from error
    for entry in parameters:
        if isinstance(entry, dict) and entry.get("value") is not None:
            _set(entry, entry["value"])
    job.setdefault("kind", "job")
    job["metadata"] = metadata
    return job


def with_hyperparameters(body: Mapping[str, JSON], hyperparameters: Mapping[str, object]) -> dict[str, JSON]:
    """Return a body whose ``algorithm.parameters`` hold these hyperparameters; new names are added.

    :param hyperparameters: name -> text, number or flag; the types that a trial's config has.
    :raises ModelArtsConfigurationError: for a value that is none of these; it names the hyperparameter.
    """
    job = copy.deepcopy(dict(body))
    algorithm = as_object(job.setdefault("algorithm", {}), "body.algorithm")
    parameters = as_list(algorithm.get("parameters") or [], "body.algorithm.parameters")
    by_name = {text(child(entry, "name")): entry for entry in parameters if isinstance(entry, dict)}
    for name, value in hyperparameters.items():
        if name not in by_name:
            parameters.append(by_name.setdefault(name, {"name": name}))
        _set(by_name[name], value)
    algorithm["parameters"] = parameters
    return job


def _set(entry: dict[str, JSON], value: object) -> None:
    entry["value"] = parameter_text(text(entry.get("name")), value, text(child(entry, "constraint", "type")))


def parameter_text(name: str, value: object, constraint_type: str = "") -> str:
    """Return the text that the platform wants for a hyperparameter.

    Numbers are written by ``repr``, so that they come back as they were. An ``Integer`` parameter takes 32.0 as 32,
    and a flag as 1 or 0; elsewhere a flag is ``True`` or ``False``, as Python writes it.

    :param constraint_type: the platform's type of the parameter (String, Integer, Float, Boolean), if it has one.
    """
    whole = constraint_type == "Integer"
    if isinstance(value, bool):
        return str(int(value)) if whole else str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float) and math.isfinite(value):
        if not whole:
            return repr(float(value))
        if value.is_integer():
            return repr(int(value))
    wanted = "a whole number" if whole else "text, a finite number or a flag"
    raise ModelArtsConfigurationError(f"hyperparameter {name!r} must be {wanted}, not {describe(value)}")
