"""The plots of a report: Optuna's own, and words where they would make no sense."""

from __future__ import annotations

import html
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from airflow_provider_modelarts.core.jobs import ParameterImportance
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object
from airflow_provider_modelarts.core.progress import SearchSnapshot
from airflow_provider_modelarts.core.search_space import read_search_space
from airflow_provider_modelarts.core.selection import Ranking
from airflow_provider_modelarts.core.trials import TrialStatus
from airflow_provider_modelarts.exceptions import sanitize
from airflow_provider_modelarts.export import trials_to_study

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution


#: What a picture shows at most of one thing: with more it opens slowly, and shows no more.
MOST_POINTS = 500

_LONGEST_LABEL = 40
_HEIGHT = 380
_FRACTION = re.compile(r"\.\d+")
_HOVER_OF_LINES = "%{customdata[0]}: %{customdata[1]}<extra></extra>"

T = TypeVar("T")


class Figure(Protocol):
    """A figure of Plotly's."""

    def to_json(self) -> str | None:
        """Return it as JSON text."""


def spread(items: Sequence[T], most: int) -> Sequence[T]:
    """Return some of the items, evenly spread, the first among them."""
    count = len(items)
    return items if count <= most else [items[place * count // most] for place in range(most)]


def tame(figure: Figure) -> dict[str, JSON]:
    """Return a figure as JSON: no larger than it need be, and all texts in it nothing but texts."""
    plain = as_object(json.loads(figure.to_json() or "{}"), "a figure")
    label = _labels()
    traces = [
        as_object(_tamed(_thin(as_object(trace, "a trace")), label), "a trace")
        for trace in as_list(plain["data"], "the traces of a figure")
    ]
    for trace in traces:
        if "customdata" in trace:
            trace["hovertemplate"] = _HOVER_OF_LINES
    layout = as_object(_tamed(plain["layout"], label), "a layout")
    for name in ("template", "title", "width"):
        layout.pop(name, None)
    for axis in ("xaxis", "yaxis"):
        as_object(layout.setdefault(axis, {}), "an axis")["automargin"] = True  # names may be long
    margin: dict[str, JSON] = {"t": 20, "r": 20}
    return {"data": [*traces], "layout": {**layout, "height": _HEIGHT, "margin": margin}}


def _tamed(value: JSON, label: Callable[[str], str]) -> JSON:
    match value:
        case dict():
            return {key: _tamed(item, _color if key == "color" else label) for key, item in value.items()}
        case list():
            return [_tamed(item, label) for item in value]
        case float():
            return float(f"{value:.8g}")
        case str():
            return label(value)
    return value


def _color(color: str) -> str:
    """Return a color in whole numbers."""
    return html.escape(_FRACTION.sub("", color))


def _labels() -> Callable[[str], str]:
    """Return a function that makes a label of a text: short, without markup, and different for different texts."""
    made: dict[str, str] = {}
    texts: dict[str, str] = {}

    def label(given: str) -> str:
        if given not in made:
            shown = _cut(sanitize(given, len(given)))
            while texts.setdefault(shown, given) != given:
                shown += "'"
            made[given] = html.escape(shown, quote=False)  # Plotly reads entities as the browser does
        return made[given]

    return label


def _cut(shown: str) -> str:
    """Return a text without its middle: names of files differ at their ends."""
    half = _LONGEST_LABEL // 2
    return shown if len(shown) <= _LONGEST_LABEL else f"{shown[:half]}...{shown[-half:]}"


def _thin(trace: dict[str, JSON]) -> dict[str, JSON]:
    """Return a trace with a bounded number of points, the extremes among them, and all corners of a line of steps."""
    values = as_list(trace.get("y") or [], "the values of a trace")
    if len(values) <= MOST_POINTS or trace.get("type") != "scatter":
        return trace
    kept = _kept(values, only_corners=trace.get("mode") == "lines")
    marker = as_object(trace.get("marker") or {}, "a marker")
    colors = marker.get("color")
    if isinstance(colors, list):
        marker = {**marker, "color": [colors[place] for place in kept]}
    points = {axis: [as_list(trace[axis], "an axis")[place] for place in kept] for axis in ("x", "y")}
    return {**trace, **points, "marker": marker}


def _kept(values: Sequence[JSON], *, only_corners: bool) -> list[int]:
    """Return the places of the points to keep."""
    last = len(values) - 1
    places: Sequence[int] = range(len(values))
    if only_corners:
        places = [place for place in places if place in {0, last} or len({*values[place - 1 : place + 2]}) > 1]
    numbers = {place: value for place, value in enumerate(values) if isinstance(value, (int, float))}
    extremes = {min(numbers, key=numbers.__getitem__), max(numbers, key=numbers.__getitem__)} if numbers else set()
    return sorted({*spread(places, MOST_POINTS), *extremes})


#: What is drawn at most: with more of it a page opens slowly, and shows no more.
MOST_LINES = 200
MOST_PARAMETERS = 20
MOST_CHOICES = 30

_FEWEST_TRIALS = 2
FEWEST_TO_ANALYSE = 10
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: words, and pictures in Plotly's JSON."""

    title: str
    words: str = ""
    figures: Sequence[dict[str, JSON]] = ()


@dataclass(frozen=True, slots=True)
class Plots:
    """What a search looks like.

    :param importance: how much each parameter matters, by Optuna's PED-ANOVA; empty where that tells nothing.
    """

    sections: Sequence[Section]
    importance: Sequence[ParameterImportance] = ()


def plots(look: SearchSnapshot, ranking: Ranking) -> Plots:
    """Return what can be drawn of the trials that compete, and words where a picture would make no sense."""
    if len(ranking.ranked) < _FEWEST_TRIALS:
        return Plots([Section("Plots", f"There are none: they need {_FEWEST_TRIALS} trials that compete.")])
    with _quiet():
        drawing = _Drawing(look, ranking)
        sections = [drawing.history(), drawing.parallel_coordinates(), drawing.scatters()]
        return Plots(sections, drawing.importance())


class _Drawing:
    """Draws one search.

    :param look: at the search.
    :param ranking: of its trials; at least one competes.
    """

    def __init__(self, look: SearchSnapshot, ranking: Ranking) -> None:
        from optuna.trial import TrialState

        self._look = look
        self._ranking = ranking
        self._metric = ranking.criterion.metric
        self._study = self._study_of({one.trial.trial_id for one in ranking.ranked})
        drawn: dict[str, list[object]] = {}
        crowded: set[str] = set()
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            for name, value in trial.params.items():
                drawn.setdefault(name, []).append(value)
            crowded |= {name for name, space in trial.distributions.items() if _is_crowded(space)}
        self._constant = {name: values[0] for name, values in drawn.items() if len(set(values)) == 1}
        varying = [name for name in drawn if name not in self._constant]
        self._varying = [name for name in varying if name not in crowded][:MOST_PARAMETERS]
        self._left_out = len(varying) - len(self._varying)

    def _study_of(self, competing: Collection[str]) -> optuna.Study:
        """Return a study in which only some trials have ended well; all keep their numbers."""
        trials = [
            trial if trial.trial_id in competing else replace(trial, status=TrialStatus.UNKNOWN)
            for trial in self._look.listing.trials
        ]
        return trials_to_study(trials, self._ranking.criterion, search_space=read_search_space(self._look.job))

    def history(self) -> Section:
        """Draw the values in the order of the trials, and the best so far."""
        from optuna.visualization import plot_optimization_history

        figures, failure = _drawn(lambda: plot_optimization_history(self._study, target_name=self._metric))
        return Section("Optimisation history", _sentences(self._thinned(), failure), figures)

    def parallel_coordinates(self) -> Section:
        """Draw a line for each trial, through its value and its parameters."""
        from optuna.visualization import plot_parallel_coordinate

        title = "Parallel coordinates"
        if len(self._varying) < 2:
            return Section(title, "Fewer than two parameters vary: there is nothing to set side by side.")
        best, others = self._ranking.ranked[: MOST_LINES // 2], self._ranking.ranked[MOST_LINES // 2 :]
        shown = [*best, *spread(others, MOST_LINES - len(best))]
        study = self._study_of({one.trial.trial_id for one in shown})
        names = [name for name in self._varying if _has(study, name)]
        figures, failure = _drawn(lambda: plot_parallel_coordinate(study, params=names, target_name=self._metric))
        words = [self._omitted()]
        if len(shown) < len(self._ranking.ranked):
            words.append(
                f"Of {len(self._ranking.ranked)} trials it shows the best {len(best)}, "
                f"and {len(shown) - len(best)} spread evenly over the ranks of the others."
            )
        return Section(title, _sentences(*words, failure), figures)

    def scatters(self) -> Section:
        """Draw the value against each parameter."""
        from optuna.visualization import plot_slice

        drawn = [
            _drawn(partial(plot_slice, self._study, params=[name], target_name=self._metric), _shown(name))
            for name in self._varying
        ]
        words = [self._thinned() if drawn else "No parameter varies.", self._omitted()]
        words += [f"{_shown(name)} is {_shown(value)} in all trials that have it." for name, value in self._same()]
        words += [failure for _, failure in drawn]
        return Section(
            "Each parameter against the metric", _sentences(*words), [one for some, _ in drawn for one in some]
        )

    def importance(self) -> list[ParameterImportance]:
        """Return how much each parameter matters. Of few trials, or of one parameter, nobody can tell."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        if len(self._ranking.ranked) < FEWEST_TO_ANALYSE or len(self._varying) < 2:
            return []
        shares = get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator(), params=self._varying)
        return [ParameterImportance(name, share, None) for name, share in shares.items()]

    def _same(self) -> list[tuple[str, object]]:
        return list(self._constant.items())[:MOST_PARAMETERS]

    def _thinned(self) -> str:
        count = len(self._ranking.ranked)
        return f"Of {count} trials it shows {MOST_POINTS}, evenly spread." if count > MOST_POINTS else ""

    def _omitted(self) -> str:
        return f"{self._left_out} more parameters that vary are only in the table." if self._left_out else ""


def _drawn(draw: Callable[[], Figure], what: str = "it") -> tuple[list[dict[str, JSON]], str]:
    """Return a picture, or why there is none: at the ends of what a float holds, arithmetic breaks."""
    try:
        return [tame(draw())], ""
    except (ValueError, OverflowError) as error:
        return [], f"Optuna cannot draw {what}: {error}."


def _sentences(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _is_crowded(space: BaseDistribution) -> bool:
    from optuna.distributions import CategoricalDistribution

    return isinstance(space, CategoricalDistribution) and len(space.choices) > MOST_CHOICES


def _has(study: optuna.Study, name: str) -> bool:
    from optuna.trial import TrialState

    return any(name in trial.params for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _shown(value: object) -> str:
    return sanitize(str(value), _LONGEST_NAME)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what Optuna says about the few trials there are, and about what it calls experimental."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
