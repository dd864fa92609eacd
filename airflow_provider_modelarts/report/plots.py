"""Plots of a report, drawn by Optuna, with notes where a plot is left out or thinned."""

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

#: Trials that an importance analysis requires: Optuna compares the best tenth of them with all.
MIN_TRIALS_TO_ANALYSE = 10
_MIN_TRIALS_TO_PLOT = 2

# A page with more opens slowly, and shows nothing more.
_MAX_POINTS = 500
_MAX_LINES = 200
_MAX_PARAMETERS = 20
_MAX_CHOICES = 30
_MAX_LABEL_CHARS = 40
_MAX_VALUE_CHARS = 200

_HEIGHT_PIXELS = 380
_FRACTION = re.compile(r"\.\d+")
_HOVER_OF_LINES = "%{customdata[0]}: %{customdata[1]}<extra></extra>"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Section:
    """Part of the page: a note, and figures in Plotly's JSON."""

    title: str
    note: str = ""
    figures: Sequence[dict[str, JSON]] = ()


@dataclass(frozen=True, slots=True)
class Plots:
    """Plots of a search, and its analysis.

    :param importance: of each parameter, by Optuna's PED-ANOVA; empty where it is not available.
    """

    sections: Sequence[Section]
    importance: Sequence[ParameterImportance] = ()


def plots(snapshot: SearchSnapshot, ranking: Ranking) -> Plots:
    """Return the plots of the trials that compete."""
    if len(ranking.ranked) < _MIN_TRIALS_TO_PLOT:
        return Plots([Section("Plots", f"Plots require at least {_MIN_TRIALS_TO_PLOT} trials that compete.")])
    with _quiet():
        plotter = _Plotter(snapshot, ranking)
        sections = [plotter.history(), plotter.parallel_coordinates(), plotter.scatters()]
        return Plots(sections, plotter.importance())


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Optuna's messages about small numbers of trials and its experimental features."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


class _Plotter:
    """Plotter of one search.

    :param ranking: of its trials; at least one competes.
    """

    def __init__(self, snapshot: SearchSnapshot, ranking: Ranking) -> None:
        from optuna.trial import TrialState

        self._snapshot = snapshot
        self._ranking = ranking
        self._metric = ranking.criterion.metric
        self._study = self._study_of({one.trial.trial_id for one in ranking.ranked})
        values: dict[str, list[object]] = {}
        crowded: set[str] = set()
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            for name, value in trial.params.items():
                values.setdefault(name, []).append(value)
            crowded |= {name for name, space in trial.distributions.items() if _is_crowded(space)}
        self._constant = {name: given[0] for name, given in values.items() if len(set(given)) == 1}
        varying = [name for name in values if name not in self._constant]
        self._varying = [name for name in varying if name not in crowded][:_MAX_PARAMETERS]
        self._left_out = len(varying) - len(self._varying)

    def _study_of(self, competing: Collection[str]) -> optuna.Study:
        """Return a study in which only the given trials are complete; all keep their numbers."""
        trials = [
            trial if trial.trial_id in competing else replace(trial, status=TrialStatus.UNKNOWN)
            for trial in self._snapshot.listing.trials
        ]
        return trials_to_study(trials, self._ranking.criterion, search_space=read_search_space(self._snapshot.job))

    def history(self) -> Section:
        """Plot the values in the order of the trials, and the best so far."""
        from optuna.visualization import plot_optimization_history

        figures, failure = _draw(lambda: plot_optimization_history(self._study, target_name=self._metric))
        return Section("Optimisation history", _note(self._thinned(), failure), figures)

    def parallel_coordinates(self) -> Section:
        """Plot a line for each trial, through its value and its parameters."""
        from optuna.visualization import plot_parallel_coordinate

        title = "Parallel coordinates"
        if len(self._varying) < 2:
            return Section(title, "This plot requires at least two parameters that vary.")
        best, others = self._ranking.ranked[: _MAX_LINES // 2], self._ranking.ranked[_MAX_LINES // 2 :]
        shown = [*best, *_spread(others, _MAX_LINES - len(best))]
        study = self._study_of({one.trial.trial_id for one in shown})
        names = [name for name in self._varying if _has(study, name)]
        figures, failure = _draw(lambda: plot_parallel_coordinate(study, params=names, target_name=self._metric))
        thinned = (
            f"Shows the best {len(best)} of {len(self._ranking.ranked)} trials, and {len(shown) - len(best)} more, "
            "spread evenly over the remaining ranks."
        )
        thinned = thinned if len(shown) < len(self._ranking.ranked) else ""
        return Section(title, _note(self._omitted(), thinned, failure), figures)

    def scatters(self) -> Section:
        """Plot the value against each parameter."""
        from optuna.visualization import plot_slice

        drawn = [
            _draw(partial(plot_slice, self._study, params=[name], target_name=self._metric), _shown(name))
            for name in self._varying
        ]
        notes = [self._thinned() if drawn else "No parameter varies.", self._omitted()]
        constant = list(self._constant.items())[:_MAX_PARAMETERS]
        notes += [f"{_shown(name)} is {_shown(value)} in all trials that have it." for name, value in constant]
        notes += [failure for _, failure in drawn]
        figures = [figure for some, _ in drawn for figure in some]
        return Section("Metric by parameter", _note(*notes), figures)

    def importance(self) -> list[ParameterImportance]:
        """Return the importance of each parameter; nothing for few trials, or for a single parameter."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        if len(self._ranking.ranked) < MIN_TRIALS_TO_ANALYSE or len(self._varying) < 2:
            return []
        shares = get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator(), params=self._varying)
        return [ParameterImportance(name, share, None) for name, share in shares.items()]

    def _thinned(self) -> str:
        count = len(self._ranking.ranked)
        return f"Shows {_MAX_POINTS} of {count} trials, evenly spread." if count > _MAX_POINTS else ""

    def _omitted(self) -> str:
        return f"{self._left_out} more parameters that vary are only in the table." if self._left_out else ""


def _is_crowded(space: BaseDistribution) -> bool:
    from optuna.distributions import CategoricalDistribution

    return isinstance(space, CategoricalDistribution) and len(space.choices) > _MAX_CHOICES


def _has(study: optuna.Study, name: str) -> bool:
    from optuna.trial import TrialState

    return any(name in trial.params for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _shown(value: object) -> str:
    return sanitize(str(value), _MAX_VALUE_CHARS)


def _note(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


class _Figure(Protocol):
    """Figure of Plotly."""

    def to_json(self) -> str | None:
        """Return it as JSON text."""


def _draw(draw: Callable[[], _Figure], what: str = "this plot") -> tuple[list[dict[str, JSON]], str]:
    """Return a figure, or why it cannot be drawn: arithmetic fails at the ends of the range of floats."""
    try:
        return [_safe_figure(draw())], ""
    except (ValueError, OverflowError) as error:
        return [], f"Optuna cannot draw {what}: {error}."


def _safe_figure(figure: _Figure) -> dict[str, JSON]:
    """Return a figure as JSON of bounded size, in which Plotly acts upon no text of a script."""
    plain = as_object(json.loads(figure.to_json() or "{}"), "a figure")
    label = _labels()
    traces = [
        as_object(_safe(_thin(as_object(trace, "a trace")), label), "a trace")
        for trace in as_list(plain["data"], "the traces of a figure")
    ]
    for trace in traces:
        if "customdata" in trace:
            trace["hovertemplate"] = _HOVER_OF_LINES
    layout = as_object(_safe(plain["layout"], label), "a layout")
    for name in ("template", "title", "width"):
        layout.pop(name, None)
    for axis in ("xaxis", "yaxis"):
        as_object(layout.setdefault(axis, {}), "an axis")["automargin"] = True  # names may be long
    margin: dict[str, JSON] = {"t": 20, "r": 20}
    return {"data": [*traces], "layout": {**layout, "height": _HEIGHT_PIXELS, "margin": margin}}


def _safe(value: JSON, label: Callable[[str], str]) -> JSON:
    match value:
        case dict():
            return {key: _safe(item, _color if key == "color" else label) for key, item in value.items()}
        case list():
            return [_safe(item, label) for item in value]
        case float():
            return float(f"{value:.8g}")
        case str():
            return label(value)
    return value


def _color(color: str) -> str:
    """Return a color in whole numbers."""
    return html.escape(_FRACTION.sub("", color))


def _labels() -> Callable[[str], str]:
    """Return a function that turns texts into labels: short, without markup, different for different texts."""
    labels: dict[str, str] = {}
    texts: dict[str, str] = {}

    def label(text: str) -> str:
        if text not in labels:
            shown = _cut(sanitize(text, len(text)))
            while texts.setdefault(shown, text) != text:
                shown += "'"
            labels[text] = html.escape(shown, quote=False)  # Plotly reads entities as the browser does
        return labels[text]

    return label


def _cut(shown: str) -> str:
    """Return a text without its middle: names of files differ at their ends."""
    half = _MAX_LABEL_CHARS // 2
    return shown if len(shown) <= _MAX_LABEL_CHARS else f"{shown[:half]}...{shown[-half:]}"


def _thin(trace: dict[str, JSON]) -> dict[str, JSON]:
    """Return a trace with a bounded number of points, the extremes and the corners of a stepped line among them."""
    values = as_list(trace.get("y") or [], "the values of a trace")
    if len(values) <= _MAX_POINTS or trace.get("type") != "scatter":
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
    return sorted({*_spread(places, _MAX_POINTS), *extremes})


def _spread(items: Sequence[T], limit: int) -> Sequence[T]:
    """Return a number of items, evenly spread, the first among them."""
    count = len(items)
    return items if count <= limit else [items[place * count // limit] for place in range(limit)]
