"""Body of CreateTrainingJob: a user's own body with hyperparameters and a search merged in."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import cast

from airflow_provider_modelarts.core import cells, coerce
from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, child, describe, items, text
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

#: Search algorithms of the platform, and the parameters of each.
ALGORITHMS: Mapping[str, frozenset[str]] = {
    "bayes_opt_search": frozenset({"num_samples", "seed", "kind", "kappa", "xi"}),
    "tpe_search": frozenset({"num_samples", "seed", "gamma", "n_initial_points"}),
    "anneal_search": frozenset({"num_samples", "seed", "avg_best_idx", "shrink_coef"}),
}
_PARAMETER_TYPES = {
    "num_samples": "Integer",
    "seed": "Integer",
    "kind": "String",
    "kappa": "Float",
    "xi": "Float",
    "gamma": "Float",
    "n_initial_points": "Integer",
    "avg_best_idx": "Float",
    "shrink_coef": "Float",
}


def read_body(body: object) -> dict[str, JSON]:
    """Return a copy of a job body, from a mapping or from JSON text.

    Values of parameters become text again: templates that render to native types turn them into numbers and flags.

    :raises ModelArtsConfigurationError: when it is not a job body, or a part of it has the wrong shape.
    """
    job = cast("dict[str, JSON]", copy.deepcopy(dict(coerce.mapping("body", body))))
    try:
        metadata = as_object(job.setdefault("metadata", {}), "body.metadata")
        algorithm = as_object(job.setdefault("algorithm", {}), "body.algorithm")
        parameters = as_list(algorithm.get("parameters") or [], "body.algorithm.parameters")
    except ModelArtsProtocolError as error:
        raise ModelArtsConfigurationError(str(error)) from error
    for entry in parameters:
        if isinstance(entry, dict) and entry.get("value") is not None:
            _set_value(entry, entry["value"])
    job.setdefault("kind", "job")
    job["metadata"] = metadata
    return job


def with_hyperparameters(body: Mapping[str, JSON], hyperparameters: Mapping[str, object]) -> dict[str, JSON]:
    """Return a body whose ``algorithm.parameters`` hold the given hyperparameters; new names are added.

    :param hyperparameters: name -> text, number or flag; the types of a trial's config.
    :raises ModelArtsConfigurationError: for a value of another type; it names the hyperparameter.
    """
    job = copy.deepcopy(dict(body))
    algorithm = as_object(job.setdefault("algorithm", {}), "body.algorithm")
    parameters = as_list(algorithm.get("parameters") or [], "body.algorithm.parameters")
    by_name = {text(child(entry, "name")): entry for entry in parameters if isinstance(entry, dict)}
    for name, value in hyperparameters.items():
        if name not in by_name:
            parameters.append(by_name.setdefault(name, {"name": name}))
        _set_value(by_name[name], value)
    algorithm["parameters"] = parameters
    return job


def _set_value(entry: dict[str, JSON], value: object) -> None:
    entry["value"] = parameter_text(text(entry.get("name")), value, text(child(entry, "constraint", "type")))


def parameter_text(name: str, value: object, constraint_type: str = "") -> str:
    """Return the text that the platform expects for a hyperparameter.

    Numbers are written by ``repr``, which keeps their exact value. An ``Integer`` parameter takes 32.0 as 32, and a
    flag as 1 or 0; elsewhere a flag is ``True`` or ``False``, as Python writes it.

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
    expected = "a whole number" if whole else "text, a finite number or a flag"
    raise ModelArtsConfigurationError(f"hyperparameter {name!r} must be {expected}, not {describe(value)}")


def with_search(
    body: Mapping[str, JSON], *, search_space: object, objective: object, algorithm: object, policies: object
) -> dict[str, JSON]:
    """Return a job body with a search in its ``algorithm.policies``.

    The search is given in plain terms (see :func:`auto_search`), as a raw ``policies`` body, or is already in the body.
    Each hyperparameter of the search must be a parameter of the job. Only the platform knows the parameters of a
    managed algorithm.

    :raises ModelArtsConfigurationError: naming the missing, unknown or contradictory argument.
    """
    job = dict(body)
    job["algorithm"] = target = dict(as_object(job.get("algorithm") or {}, "body.algorithm"))
    terms = {"search_space": search_space, "objective": objective, "algorithm": algorithm}
    given = [name for name, term in terms.items() if term is not None]
    if policies is not None and given:
        raise ModelArtsConfigurationError(f"give either policies or {', '.join(given)}, not both")
    if given and len(given) < len(terms):
        raise ModelArtsConfigurationError(f"a search also requires {', '.join(sorted(set(terms) - set(given)))}")
    if given:
        target["policies"] = {"auto_search": auto_search(search_space, objective, algorithm)}
    elif policies is not None:
        target["policies"] = cast("JSON", dict(coerce.mapping("policies", policies)))
    _check_search(target)
    return job


def _check_search(algorithm: dict[str, JSON]) -> None:
    """Check that a job has a search that can run, in whatever form it was given."""
    is_managed = bool(algorithm.get("id") or algorithm.get("subscription_id"))
    search = child(algorithm, "policies", "auto_search")
    if not search and not is_managed:
        raise ModelArtsConfigurationError(
            "the job has no search: give search_space, objective and algorithm, or policies, or an algorithm with one"
        )
    _check_values(search)
    if not is_managed:
        _check_names(search, _names(algorithm.get("parameters")))


def _check_values(search: JSON) -> None:
    """Check that each hyperparameter has values to search among."""
    for param in items(child(search, "search_params")):
        where = f"search_space[{text(child(param, 'name'))!r}]"
        low, high = (cells.number(child(param, end)) for end in ("lower_bound", "upper_bound"))
        if low is not None and high is not None and not low < high:
            raise ModelArtsConfigurationError(f"{where}: min {low!r} must be below max {high!r}")
        if child(param, "discrete_values") == []:
            raise ModelArtsConfigurationError(f"{where} has no values")


def _check_names(search: JSON, known: list[str]) -> None:
    """Check that each hyperparameter is a parameter of the job."""
    for name in _names(child(search, "search_params")):
        if name not in known:
            raise ModelArtsConfigurationError(
                f"search_space[{name!r}] is not a parameter of the job: algorithm.parameters of the body has "
                f"{', '.join(known) or 'none'}"
            )


def _names(entries: JSON) -> list[str]:
    return [text(child(entry, "name")) for entry in items(entries)]


def auto_search(search_space: object, objective: object, algorithm: object) -> dict[str, JSON]:
    """Return the body of ``policies.auto_search``.

    :param search_space: hyperparameter -> ``{"min": 1e-4, "max": 0.1}``, or a list of values.
    :param objective: ``{"metric": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"}``; the script prints the metric, and
        the platform finds it with the regular expression.
    :param algorithm: ``{"name": "tpe_search", "num_samples": 20}`` and its other parameters.
    :raises ModelArtsConfigurationError: naming the missing, unknown or contradictory field.
    """
    space = coerce.mapping("search_space", search_space)
    if not space:
        raise ModelArtsConfigurationError("search_space names no hyperparameter")
    search: dict[str, JSON] = {
        "reward_attrs": [_reward_attr(coerce.mapping("objective", objective))],
        "search_params": [_search_param(name, values) for name, values in space.items()],
        "algo_configs": [_algo_config(coerce.mapping("algorithm", algorithm))],
    }
    _check_values(search)
    return search


def _reward_attr(objective: Mapping[str, object]) -> JSON:
    _check_keys("objective", objective, required={"metric", "mode", "regex"})
    metric, regex = objective["metric"], objective["regex"]
    if not isinstance(metric, str) or not metric:
        raise ModelArtsConfigurationError(f"objective.metric must be the name of a metric, not {describe(metric)}")
    if not isinstance(regex, str) or not regex:
        raise ModelArtsConfigurationError(f"objective.regex must be a regular expression, not {describe(regex)}")
    try:
        re.compile(regex)
    except re.error as error:
        raise ModelArtsConfigurationError(f"objective.regex is not a regular expression: {error}") from error
    return {"name": metric, "mode": coerce.choice("objective.mode", objective["mode"], Mode).value, "regex": regex}


def _search_param(name: str, values: object) -> JSON:
    where = f"search_space[{name!r}]"
    if isinstance(values, tuple):
        raise ModelArtsConfigurationError(
            f'{where} is a tuple: give {{"min": 0.1, "max": 1}} for a range, or a list for values'
        )
    if isinstance(values, list):
        return {
            "name": name,
            "param_type": "discrete",
            "discrete_values": [parameter_text(name, value) for value in values],
        }
    bounds = coerce.mapping(where, values)
    _check_keys(where, bounds, required={"min", "max"}, optional={"points"})
    for end in ("min", "max"):
        coerce.number(f"{where}.{end}", bounds[end])
    param: dict[str, JSON] = {
        "name": name,
        "param_type": "continuous",
        "lower_bound": parameter_text(name, bounds["min"]),
        "upper_bound": parameter_text(name, bounds["max"]),
    }
    if "points" in bounds:
        param["discrete_points_num"] = str(coerce.integer(f"{where}.points", bounds["points"], at_least=2))
    return param


def _algo_config(algorithm: Mapping[str, object]) -> JSON:
    _check_keys("algorithm", algorithm, required={"name", "num_samples"}, optional=_PARAMETER_TYPES.keys())
    name = str(algorithm["name"])
    if name not in ALGORITHMS:
        raise ModelArtsConfigurationError(f"algorithm.name must be one of {', '.join(ALGORITHMS)}, not {name!r}")
    coerce.positive("algorithm.num_samples", algorithm["num_samples"])
    _check_keys(f"algorithm {name}", algorithm, required={"name", "num_samples"}, optional=ALGORITHMS[name])
    return {"name": name, "params": [_algo_param(key, algorithm[key]) for key in algorithm if key != "name"]}


def _algo_param(key: str, value: object) -> JSON:
    kind = _PARAMETER_TYPES[key]
    if kind == "Integer":
        value = coerce.integer(f"algorithm.{key}", value)
    elif kind == "Float":
        value = coerce.number(f"algorithm.{key}", value)
    return {"key": key, "value": parameter_text(key, value), "type": kind}


def _check_keys(
    where: str,
    given: Mapping[str, object],
    *,
    required: AbstractSet[str],
    optional: AbstractSet[str] = frozenset(),
) -> None:
    if missing := required - given.keys():
        raise ModelArtsConfigurationError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown := given.keys() - required - optional:
        raise ModelArtsConfigurationError(
            f"{where} does not take {', '.join(sorted(unknown))}; it takes {', '.join(sorted(required | optional))}"
        )
