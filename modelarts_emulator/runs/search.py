"""Hyperparameter search of ``policies.auto_search``: its objectives, its search space, and its sampler."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from modelarts_emulator.errors import bad_request
from modelarts_emulator.json_values import JSON, as_list, as_object, child, describe, finite, integer, text
from modelarts_emulator.vocabulary import LAST_COLUMN, LEADING_COLUMNS, SEARCH_ALGORITHMS, Mode

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

# defaults of tpe_search, as ShowSearchAlgorithms lists them
_NUM_SAMPLES = 20
_SEED = 1
_INITIAL_POINTS = 20

_MAX_NUMBER = 2**32 - 1  # seeds of NumPy end there
_MAX_VALUES = 1000  # of a discrete parameter
_MAX_WHOLE = 2**53  # floats hold all whole numbers up to here


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric with its mode, and the regular expression that finds it in a log."""

    metric: str
    mode: Mode
    regex: str


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers between two bounds; only whole ones if ``whole``."""

    name: str
    low: float
    high: float
    whole: bool

    def at(self, drawn: float) -> tuple[JSON, str]:
        """Return a value, and its text for the command line."""
        value = round(drawn) if self.whole else float(drawn)
        return value, repr(value)


@dataclass(frozen=True, slots=True)
class Grid:
    """Evenly spaced numbers between two bounds."""

    name: str
    low: float
    high: float
    whole: bool
    points: int

    def at(self, drawn: float) -> tuple[JSON, str]:
        """Return the value at a place on the grid, and its text for the command line."""
        place = drawn / (self.points - 1)
        return Range(self.name, self.low, self.high, self.whole).at(self.low * (1 - place) + self.high * place)


@dataclass(frozen=True, slots=True)
class Choice:
    """A list of values, each with the text that the request holds."""

    name: str
    values: tuple[JSON, ...]
    texts: tuple[str, ...]

    def at(self, drawn: float) -> tuple[JSON, str]:
        """Return the value at a place in the list, and its text for the command line."""
        return self.values[int(drawn)], self.texts[int(drawn)]


Parameter: TypeAlias = Range | Grid | Choice


@dataclass(frozen=True, slots=True)
class SearchSpec:
    """A checked search.

    :param objectives: the first is optimised; all are columns of the table.
    :param initial_points: number of random configurations before the sampler learns from trials.
    """

    objectives: tuple[Objective, ...]
    space: tuple[Parameter, ...]
    num_samples: int
    seed: int
    initial_points: int


def read_search(algorithm: Mapping[str, JSON]) -> SearchSpec | None:
    """Return the search of a job's algorithm, or None if it has none. Refuse an invalid one."""
    search = as_object(algorithm.get("policies") or {}, "algorithm.policies").get("auto_search")
    if not search:
        return None
    search = as_object(search, "policies.auto_search")
    for number in _bare_numbers(search):
        raise bad_request("2825", f"policies.auto_search: numbers must be text, not {describe(number)}.")
    numbers = _algorithm_params(search.get("algo_configs"))
    return SearchSpec(
        objectives=_objectives(search.get("reward_attrs")),
        space=read_space(search.get("search_params"), _parameter_types(algorithm)),
        num_samples=_number(numbers, "num_samples", _NUM_SAMPLES, at_least=1),
        seed=_number(numbers, "seed", _SEED, at_least=0),
        initial_points=_number(numbers, "n_initial_points", _INITIAL_POINTS, at_least=0),
    )


def _bare_numbers(value: JSON) -> Iterator[JSON]:
    """Yield the numbers and flags in a search. The platform requires text for all of them."""
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _bare_numbers(inner)
    elif isinstance(value, (int, float)):
        yield value


def _parameter_types(algorithm: Mapping[str, JSON]) -> dict[str, str]:
    """Return the type of each parameter of an algorithm; blank if it has none."""
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
        raise bad_request("2826", f"reward_attrs: the regex of {metric} is not a regular expression.")
    return Objective(metric, Mode(mode), regex)


def _compiles(regex: str) -> bool:
    try:
        re.compile(regex)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _algorithm_params(configs: JSON) -> dict[str, JSON]:
    """Return the parameters of the first search algorithm."""
    given = [as_object(config, "algo_configs") for config in as_list(configs or [], "algo_configs")]
    for config in given:
        if text(config.get("name")) not in SEARCH_ALGORITHMS:
            raise bad_request("2826", f"algo_configs: unknown algorithm {describe(config.get('name'))}.")
    params = as_list(given[0].get("params") or [], "params of algo_configs") if given else []
    return {text(child(param, "key")): child(param, "value") for param in params}


def _number(numbers: Mapping[str, JSON], key: str, default: int, *, at_least: int) -> int:
    given = numbers.get(key)
    number = default if given is None or given == "" else integer(given)
    if number is None or not at_least <= number <= _MAX_NUMBER:
        raise bad_request("2826", f"algo_configs: {key} cannot be {describe(given)}.")
    return number


def read_space(entries: JSON, types: Mapping[str, str]) -> tuple[Parameter, ...]:
    """Return the search space of ``search_params``, or refuse it.

    :param types: type of each parameter of the job (``Integer``, ``Float``, ...; blank if it has none).
    """
    listed = as_list([] if entries is None else entries, "search_params")
    space = tuple(_parameter(as_object(entry, "an entry of search_params"), types) for entry in listed)
    names = [parameter.name for parameter in space]
    if not names or len(set(names)) < len(names):
        raise bad_request("2826", "search_params must name at least one parameter, and none twice.")
    return space


def _parameter(entry: dict[str, JSON], types: Mapping[str, str]) -> Parameter:
    name = text(entry.get("name"))
    if name not in types:
        raise bad_request("2826", f"search_params: {describe(name)} is not a parameter of the job.")
    kind = entry.get("param_type") or ("discrete" if entry.get("discrete_values") else "continuous")
    if kind == "discrete":
        return _choice(name, entry.get("discrete_values"), types[name])
    if kind == "continuous":
        return _continuous(name, entry, types[name])
    raise bad_request("2825", f"search_params: {name} has the unknown param_type {describe(kind)}.")


def _choice(name: str, given: JSON, wanted: str) -> Choice:
    listed = given.split(",") if isinstance(given, str) else as_list(given or [], f"the discrete_values of {name}")
    texts = tuple(str(value) if isinstance(value, bool) else text(value).strip() for value in listed)
    if not texts or not all(texts) or len(texts) > _MAX_VALUES:
        raise bad_request("2826", f"search_params: {name} requires 1 to {_MAX_VALUES} discrete_values, none blank.")
    return Choice(name, _values(name, texts, wanted), texts)


def _values(name: str, texts: tuple[str, ...], wanted: str) -> tuple[JSON, ...]:
    """Return the values of texts. Whole numbers stay whole unless another number is among them."""
    whole, numbers = [integer(value) for value in texts], [finite(value) for value in texts]
    if (wanted == "Integer" and None in whole) or (wanted == "Float" and None in numbers):
        raise bad_request("2825", f"search_params: {name} is of type {wanted}, its discrete_values are not.")
    if wanted == "String":
        return texts
    all_whole = wanted != "Float" and all(value is None or value.is_integer() for value in numbers)
    read = whole if all_whole else numbers
    return tuple(given if number is None else number for given, number in zip(texts, read, strict=True))


def _continuous(name: str, entry: Mapping[str, JSON], wanted: str) -> Range | Grid:
    low, high = finite(entry.get("lower_bound")), finite(entry.get("upper_bound"))
    if low is None or high is None:
        raise bad_request("2825", f"search_params: the bounds of {name} must be numbers.")
    if low > high or finite(high - low) is None:
        raise bad_request("2826", f"search_params: the lower_bound of {name} must be below its upper_bound.")
    whole = wanted == "Integer"
    if whole and not (low.is_integer() and high.is_integer() and max(-low, high) <= _MAX_WHOLE):
        raise bad_request("2825", f"search_params: {name} is of type Integer, its bounds are not.")
    points = _points(name, entry.get("discrete_points_num"))
    return Range(name, low, high, whole) if points is None else Grid(name, low, high, whole, points)


def _points(name: str, given: JSON) -> int | None:
    if given is None or given == "":
        return None
    points = integer(given)
    if points is None or not 2 <= points <= _MAX_WHOLE:
        message = f"search_params: the discrete_points_num of {name} must be a whole number from 2 on."
        raise bad_request("2826", message)
    return points


class Sampler:
    """Optuna's tree-structured Parzen estimator for a search.

    The same seed draws the same first configurations. From ``n_initial_points`` on, the values of the ended trials
    matter.
    """

    def __init__(self, search: SearchSpec) -> None:
        optuna = import_optuna()
        self._space = {parameter.name: parameter for parameter in search.space}
        self._distributions = {parameter.name: _distribution(parameter) for parameter in search.space}
        sampler = optuna.samplers.TPESampler(seed=search.seed, n_startup_trials=search.initial_points)
        self._study = new_study(search.objectives[0].mode, sampler)

    def ask(self) -> tuple[int, dict[str, tuple[JSON, str]]]:
        """Return the number of a new trial, and its values with their texts."""
        trial = self._study.ask(self._distributions)
        return trial.number, {name: self._space[name].at(drawn) for name, drawn in trial.params.items()}

    def tell(self, number: int, value: float | None) -> None:
        """Record the value of a trial; None for a trial without one."""
        from optuna.trial import TrialState

        if value is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, value)


def new_study(mode: Mode, sampler: BaseSampler | None = None) -> Study:
    """Return an empty study in memory, without Optuna's log line about it."""
    optuna = import_optuna()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study: Study = optuna.create_study(direction=f"{mode}imize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return study


def import_optuna() -> Any:
    """Return Optuna, or refuse with the command that installs it."""
    try:
        import optuna
    except ImportError:
        raise bad_request(
            "2788",
            "The emulator searches with Optuna, which is not installed: "
            "pip install 'airflow-provider-modelarts[optuna]'.",
        ) from None
    return optuna


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match parameter:
        case Range(whole=True, low=low, high=high):
            return IntDistribution(int(low), int(high))
        case Range(low=low, high=high):
            return FloatDistribution(low, high)
        case Grid(points=points):
            return IntDistribution(0, points - 1)
        case Choice(values=values):
            return CategoricalDistribution(range(len(values)))
