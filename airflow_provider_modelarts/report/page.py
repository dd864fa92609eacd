"""Files of a report: a page that opens without a network, and the trials as CSV and as JSON."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
from collections.abc import Sequence
from functools import cache
from importlib import import_module, resources
from string import Template

from airflow_provider_modelarts.core.jobs import ParameterImportance
from airflow_provider_modelarts.core.json_values import JSON, as_list, describe, text
from airflow_provider_modelarts.core.leaderboard import NO_LIMITS, PAGE_LIMITS, leaderboard
from airflow_provider_modelarts.core.progress import SearchSnapshot
from airflow_provider_modelarts.core.selection import UNNAMED_METRIC, Criterion, Ranking, caveat, select_best
from airflow_provider_modelarts.exceptions import ModelArtsNoBestTrialError, sanitize
from airflow_provider_modelarts.export import import_optional
from airflow_provider_modelarts.report.plots import MIN_TRIALS_TO_ANALYSE, Section, plots
from airflow_provider_modelarts.report.trials_csv import csv_text

PAGE_FILE, CSV_FILE, JSON_FILE = "report.html", "trials.csv", "trials.json"

_IN_SCRIPT = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})
# A page with more is not readable.
_MAX_TEXT_CHARS = 2000
_MAX_VALUE_CHARS = 200
_MAX_PARAMETERS = 50


def check_libraries() -> None:
    """Check that the libraries of the plots are installed.

    :raises ModelArtsConfigurationError: naming the one that is not.
    """
    for library in ("optuna", "plotly"):
        import_optional(library, extra="optuna", user="a report")


def report_files(
    snapshot: SearchSnapshot, ranking: Ranking, *, url: str = "", importance: Sequence[ParameterImportance] = ()
) -> dict[str, str]:
    """Return the files of a report by name.

    Each holds all trials. CSV and JSON hold everything about each trial. The page omits columns and cuts texts beyond
    what people can read, and states how many columns it omits.

    :param url: of the job's page in the console.
    :param importance: the platform's analysis; Optuna's replaces an empty one.
    """
    everything = leaderboard(snapshot, ranking, NO_LIMITS)
    shown = leaderboard(snapshot, ranking, PAGE_LIMITS)
    return {
        CSV_FILE: csv_text(everything),
        JSON_FILE: json.dumps(everything, ensure_ascii=False, allow_nan=False) + "\n",
        PAGE_FILE: page_text(snapshot, ranking, shown, url=url, importance=importance),
    }


def page_text(
    snapshot: SearchSnapshot,
    ranking: Ranking,
    board: dict[str, JSON],
    *,
    url: str,
    importance: Sequence[ParameterImportance],
) -> str:
    """Return the page: one file that loads nothing and shows every name and value as text."""
    drawn = plots(snapshot, ranking)
    figures: list[JSON] = [figure for section in drawn.sections for figure in section.figures]
    plotly, plotly_digest = _plotly() if figures else ("", "")
    scripts = [_static("leaderboard.js"), _static("report.js")]
    digests = filter(None, [plotly_digest, *map(_digest, scripts)])
    return Template(_static("report.html")).substitute(
        title=_text(f"Search {snapshot.job.name or snapshot.job.id}"),
        hashes=" ".join(f"'sha256-{digest}'" for digest in digests),
        style=_static("leaderboard.css"),
        warning=_warning(snapshot),
        facts="\n".join(f"<dt>{name}</dt><dd>{fact}</dd>" for name, fact in _facts(snapshot, ranking, board, url)),
        sections="\n".join([*map(_section, drawn.sections), _importance(importance, drawn.importance)]),
        board=_in_script(board),
        figures=_in_script(figures),
        plotly=plotly,
        leaderboard=scripts[0],
        script=scripts[1],
    )


def _warning(snapshot: SearchSnapshot) -> str:
    warning = caveat(snapshot.job)
    return f'<p class="warning">{_text(warning)}.</p>' if warning else ""


def _facts(snapshot: SearchSnapshot, ranking: Ranking, board: dict[str, JSON], url: str) -> list[tuple[str, str]]:
    """Return names and HTML of the facts about the search as a whole."""
    job = snapshot.job
    link = f'<a href="{html.escape(url)}" rel="noopener noreferrer">Open in the ModelArts console</a>'
    counts = [" ".join(map(text, as_list(pair, "a count"))) for pair in as_list(board["trial_counts"], "the counts")]
    facts = [
        ("Training job", _text(job.id)),
        ("Console", link if url.startswith(("https://", "http://")) else ""),
        ("Phase", _text(job.phase_text)),
        ("Message", _text(job.message)),
        ("Objective", _text(_objective(ranking.criterion))),
        ("Trials", _text(", ".join(counts) or "none")),
        ("Best trial", "<br>".join(map(_text, _best(ranking)))),
    ]
    return [(name, fact) for name, fact in facts if fact]


def _objective(criterion: Criterion) -> str:
    aim = f"{criterion.metric} ({criterion.mode})"
    if not criterion.is_objective:
        return f"{aim}, last value of each trial"
    unnamed = ", the search's own objective of unknown name" if criterion.metric == UNNAMED_METRIC else ""
    return f"{aim}{unnamed}, {criterion.scope} report of each trial"


def _best(ranking: Ranking) -> list[str]:
    """Return lines on the best trial, or why there is none."""
    try:
        best = select_best(ranking)[0]
    except ModelArtsNoBestTrialError as error:
        return [f"None: {error}"]
    tied = ", tied with other trials" if best.tied else ""
    config = list((best.trial.config or {}).items())
    more = len(config) - _MAX_PARAMETERS
    return [
        f"{best.trial.trial_id}: {ranking.criterion.metric} = {best.value:.8g}{tied}",
        *(f"{_brief(name)} = {_brief(value)}" for name, value in config[:_MAX_PARAMETERS]),
        *([f"and {more} more"] if more > 0 else []),
    ]


def _brief(value: JSON) -> str:
    return sanitize(value if isinstance(value, str) else describe(value, _MAX_VALUE_CHARS), _MAX_VALUE_CHARS)


def _section(section: Section) -> str:
    figures = '<div class="figure"></div>' * len(section.figures)
    return _part(section.title, section.note, f'<div class="figures">{figures}</div>' if figures else "")


def _importance(by_platform: Sequence[ParameterImportance], by_optuna: Sequence[ParameterImportance]) -> str:
    known = [one for one in by_platform if one.mean is not None and math.isfinite(one.mean)]
    shown = known or list(by_optuna)
    if known:
        note = "Analysed by ModelArts, for the search's own objective."
    elif shown:
        note = "Analysed by Optuna (PED-ANOVA), since ModelArts has no analysis of this search."
    else:
        note = (
            f"Not available: requires at least {MIN_TRIALS_TO_ANALYSE} trials that compete, and two parameters that "
            "vary."
        )
    return _part("Parameter importance", note, _importance_table(shown) if shown else "")


def _importance_table(importances: list[ParameterImportance]) -> str:
    rows = "".join(
        f'<tr><td>{_text(one.name)}</td><td><meter value="{_number(one.mean)}"></meter></td>'
        f"<td>{_number(one.mean)}</td><td>{_number(one.std)}</td></tr>"
        for one in sorted(importances, key=lambda one: -(one.mean or 0))[:_MAX_PARAMETERS]
    )
    head = "<tr><th>Parameter</th><th></th><th>Importance</th><th>Standard deviation</th></tr>"
    return f'<table class="analysis">{head}{rows}</table>'


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"


def _part(title: str, note: str, content: str) -> str:
    return f"<h2>{_text(title)}</h2>\n<p>{_text(note)}</p>\n{content}"


def _text(shown: str) -> str:
    """Return a text as HTML, without characters that change the direction of the text after them."""
    return html.escape(sanitize(shown, _MAX_TEXT_CHARS))


def _in_script(value: JSON) -> str:
    """Return JSON in which no HTML parser finds the end of a script."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_IN_SCRIPT)


@cache
def _plotly() -> tuple[str, str]:
    """Return the compressed script of Plotly, and its digest."""
    script = str(import_module("plotly.offline").get_plotlyjs())
    return base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode(), _digest(script)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _static(name: str) -> str:
    return (resources.files("airflow_provider_modelarts") / "static" / name).read_text(encoding="utf-8")
