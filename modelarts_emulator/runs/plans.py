"""From ``policies.auto_search`` to a search: what it draws, how often, and what makes one trial better."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_modelarts.core.job_body import ALGORITHMS
from airflow_provider_modelarts.core.jobs import Mode, Objective
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, child, describe, integer, text
from modelarts_emulator.errors import bad_request
from modelarts_emulator.runs.spaces import Parameter, read_space
from modelarts_emulator.script import LAST_COLUMN, LEADING_COLUMNS

# defaults of tpe_search, as ShowSearchAlgorithms lists them
_NUM_SAMPLES = 20
_SEED = 1
_INITIAL_POINTS = 20

_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What a search does.

    :param objectives: the first of them is what is optimised; all are columns of the table.
    :param initial_points: how many configurations are drawn at random before the sampler learns from trials.
    """

    objectives: tuple[Objective, ...]
    space: tuple[Parameter, ...]
    num_samples: int
    seed: int
    initial_points: int


def read_plan(algorithm: Mapping[str, JSON]) -> SearchPlan | None:
    """Return the search of a job's algorithm; None where there is none. Refuse one that cannot be."""
    search = as_object(algorithm.get("policies") or {}, "algorithm.policies").get("auto_search")
    if not search:
        return None
    search = as_object(search, "policies.auto_search")
    for number in _bare_numbers(search):
        raise bad_request("2825", f"policies.auto_search: numbers must be text, not {describe(number)}.")
    numbers = _numbers(search.get("algo_configs"))
    return SearchPlan(
        objectives=_objectives(search.get("reward_attrs")),
        space=read_space(search.get("search_params"), parameter_types(algorithm)),
        num_samples=_number(numbers, "num_samples", _NUM_SAMPLES, at_least=1),
        seed=_number(numbers, "seed", _SEED, at_least=0),
        initial_points=_number(numbers, "n_initial_points", _INITIAL_POINTS, at_least=0),
    )


def _bare_numbers(value: JSON) -> Iterator[JSON]:
    """Yield the numbers and flags in a search, all of which the platform wants as text."""
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _bare_numbers(inner)
    elif isinstance(value, (int, float)):
        yield value


def parameter_types(algorithm: Mapping[str, JSON]) -> dict[str, str]:
    """Return the type of each parameter of an algorithm, blank where it has none."""
    entries = as_list(algorithm.get("parameters") or [], "algorithm.parameters")
    return {text(child(entry, "name")): text(child(entry, "constraint", "type")) for entry in entries}


def _objectives(entries: JSON) -> tuple[Objective, ...]:
    objectives = tuple(_objective(as_object(entry, "reward_attrs")) for entry in as_list(entries or [], "reward_attrs"))
    if not objectives:
        raise bad_request("2826", "reward_attrs must name at least one metric.")
    if len({objective.metric for objective in objectives}) < len(objectives):
        raise bad_request("2824", "reward_attrs names a metric twice.")
    return objectives


def _objective(entry: Mapping[str, JSON]) -> Objective:
    metric, mode, regex = entry.get("name"), entry.get("mode"), entry.get("regex") or ""
    if not isinstance(metric, str) or not metric or metric in {*LEADING_COLUMNS, LAST_COLUMN}:
        raise bad_request("2826", f"reward_attrs: a metric cannot be named {describe(metric)}.")
    if not isinstance(mode, str) or mode not in set(Mode):
        raise bad_request("2826", f"reward_attrs: the mode of {metric} must be max or min, not {describe(mode)}.")
    regex = regex or rf"\b{re.escape(metric)}\s*[:=]\s*(\S+)"
    if not isinstance(regex, str) or not _compiles(regex):
        raise bad_request("2826", f"reward_attrs: the regex of {metric} is no regular expression.")
    return Objective(metric, Mode(mode), regex)


def _compiles(regex: str) -> bool:
    try:
        re.compile(regex)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _numbers(configs: JSON) -> dict[str, JSON]:
    """Return the parameters of the search algorithm; of several algorithms the first one is taken."""
    given = [as_object(config, "algo_configs") for config in as_list(configs or [], "algo_configs")]
    for config in given:
        if text(config.get("name")) not in ALGORITHMS:
            raise bad_request("2826", f"algo_configs: unknown algorithm {describe(config.get('name'))}.")
    params = as_list(given[0].get("params") or [], "params of algo_configs") if given else []
    return {text(child(param, "key")): child(param, "value") for param in params}


def _number(numbers: Mapping[str, JSON], key: str, default: int, *, at_least: int) -> int:
    given = numbers.get(key)
    number = default if given is None or given == "" else integer(given)
    if number is None or not at_least <= number <= _LARGEST_SEED:
        raise bad_request("2826", f"algo_configs: {key} cannot be {describe(given)}.")
    return number
