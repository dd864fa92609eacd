"""Figures as JSON: no larger than need be, and without anything that Plotly would take for markup."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from airflow_provider_modelarts.core.shapes import JSON, as_list, as_object
from airflow_provider_modelarts.exceptions import harmless

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
            shown = _cut(harmless(given, len(given)))
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
