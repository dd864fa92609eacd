"""A search as files to keep: a page that opens without a network, and its trials as CSV and as JSON."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import html
import io
import json
import math
from collections.abc import Sequence
from functools import cache
from importlib import import_module, resources
from string import Template

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.jobs import ParameterImportance
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, describe, text
from airflow_provider_modelarts.core.leaderboard import NO_LIMITS, PAGE_LIMITS, leaderboard
from airflow_provider_modelarts.core.progress import SearchSnapshot
from airflow_provider_modelarts.core.selection import UNNAMED_METRIC, Criterion, Ranking, caveat, select_best
from airflow_provider_modelarts.exceptions import ModelArtsNoBestTrialError, sanitize
from airflow_provider_modelarts.export import installed
from airflow_provider_modelarts.report.plots import FEWEST_TO_ANALYSE, Section, plots

PAGE, CSV, DOCUMENT = "report.html", "trials.csv", "trials.json"

_FIELDS = ("rank", "tied", "trial_id", "number", "status", "value", "reason", "duration", "reports")
_FORMULA = {*"=+-@\uff1d\uff0b\uff0d\uff20"}  # also in the full width of East Asian scripts
_IN_SCRIPT = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})
_LISTS = {"params": "parameters", "metrics": "metrics"}
_LONGEST = 2000
_LONGEST_VALUE = 200
_MOST_SHOWN = 50


def check_libraries() -> None:
    """Check that the libraries are there that draw the pictures.

    :raises ModelArtsConfigurationError: naming the one that is not.
    """
    for library in ("optuna", "plotly"):
        installed(library, extra="optuna", user="a report")


def report_files(
    look: SearchSnapshot, ranking: Ranking, *, url: str = "", importance: Sequence[ParameterImportance] = ()
) -> dict[str, str]:
    """Return the files of a report, by their names.

    None of them leaves out a trial. CSV and JSON hold all there is to know of each; the page leaves out columns and
    the ends of texts where there are too many to read, and says so.

    :param url: of the job's page in the console.
    :param importance: the platform's analysis; Optuna's takes its place when it is empty.
    """
    board = leaderboard(look, ranking, NO_LIMITS)
    shown = leaderboard(look, ranking, PAGE_LIMITS)
    return {
        CSV: csv_text(board),
        DOCUMENT: json.dumps(board, ensure_ascii=False, allow_nan=False) + "\n",
        PAGE: page_text(look, ranking, shown, url=url, importance=importance),
    }


def csv_text(board: dict[str, JSON]) -> str:
    """Return the trials of a leaderboard, best first, as RFC 4180 has it.

    Names of columns are those of a data frame: ``params_<name>``, ``metrics_<name>``. A text that a spreadsheet would
    take for a formula, since it begins with ``=``, ``+``, ``-`` or ``@`` and is no number, gets a ``'`` before it.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    names = [
        f"{prefix}_{name}" for prefix in ("params", "metrics") for name in as_list(board[_LISTS[prefix]], "the names")
    ]
    writer.writerow([*_FIELDS, *map(_cell, names)])
    for entry in as_list(board["trials"], "the trials"):
        trial = as_object(entry, "a trial")
        values = [value for key in _LISTS.values() for value in as_list(trial[key], "values")]
        writer.writerow(map(_cell, [*(trial[field] for field in _FIELDS), *values]))
    return table.getvalue()


def _cell(value: JSON) -> JSON:
    if not isinstance(value, str) or cells.number(value) is not None:
        return value
    first = next((char for char in value if char.isprintable() and not char.isspace()), "")
    return f"'{value}" if first in _FORMULA else value


def page_text(
    look: SearchSnapshot,
    ranking: Ranking,
    board: dict[str, JSON],
    *,
    url: str,
    importance: Sequence[ParameterImportance],
) -> str:
    """Return the page: one file, which loads nothing. Whatever a name or a value holds, it shows as text."""
    drawn = plots(look, ranking)
    figures: list[JSON] = [figure for section in drawn.sections for figure in section.figures]
    plotly, plotly_digest = _plotly() if figures else ("", "")
    scripts = [_static("leaderboard.js"), _static("report.js")]
    digests = filter(None, [plotly_digest, *map(_digest, scripts)])
    return Template(_static("report.html")).substitute(
        title=_text(f"Search {look.job.name or look.job.id}"),
        hashes=" ".join(f"'sha256-{digest}'" for digest in digests),
        style=_static("leaderboard.css"),
        warning=_warning(look),
        facts="\n".join(f"<dt>{name}</dt><dd>{fact}</dd>" for name, fact in _facts(look, ranking, board, url)),
        sections="\n".join([*map(_section, drawn.sections), _importance(importance, drawn.importance)]),
        board=_in_script(board),
        figures=_in_script(figures),
        plotly=plotly,
        leaderboard=scripts[0],
        script=scripts[1],
    )


def _warning(look: SearchSnapshot) -> str:
    words = caveat(look.job)
    return f'<p class="warning">{_text(words)}.</p>' if words else ""


def _facts(look: SearchSnapshot, ranking: Ranking, board: dict[str, JSON], url: str) -> list[tuple[str, str]]:
    """Return names and HTML of what is known about the search as a whole."""
    link = f'<a href="{html.escape(url)}" rel="noopener noreferrer">Open it in the ModelArts console</a>'
    counts = [" ".join(map(text, as_list(pair, "a count"))) for pair in as_list(board["trial_counts"], "the counts")]
    facts = [
        ("Training job", _text(look.job.id)),
        ("Console", link if url.startswith(("https://", "http://")) else ""),
        ("Phase", _text(look.job.phase_text)),
        ("Message", _text(look.job.message)),
        ("Objective", _text(_objective(ranking.criterion))),
        ("Trials", _text(", ".join(counts) or "none")),
        ("Best trial", "<br>".join(map(_text, _best(ranking)))),
    ]
    return [(name, fact) for name, fact in facts if fact]


def _objective(criterion: Criterion) -> str:
    aim = f"{criterion.metric} ({criterion.mode})"
    if not criterion.is_objective:
        return f"{aim}, its last value in each trial"
    unnamed = ", the search's own, whose name it does not tell" if criterion.metric == UNNAMED_METRIC else ""
    return f"{aim}{unnamed}, the {criterion.scope} report of each trial"


def _best(ranking: Ranking) -> list[str]:
    """Return lines that tell the best trial, or why there is none."""
    try:
        best = select_best(ranking)[0]
    except ModelArtsNoBestTrialError as error:
        return [f"None: {error}"]
    tied = ", as others have; it came first" if best.tied else ""
    config = list((best.trial.config or {}).items())
    more = len(config) - _MOST_SHOWN
    return [
        f"{best.trial.trial_id}: {ranking.criterion.metric} = {best.value:.8g}{tied}",
        *(f"{_brief(name)} = {_brief(value)}" for name, value in config[:_MOST_SHOWN]),
        *([f"and {more} more"] if more > 0 else []),
    ]


def _brief(value: JSON) -> str:
    return sanitize(value if isinstance(value, str) else describe(value, _LONGEST_VALUE), _LONGEST_VALUE)


def _section(section: Section) -> str:
    pictures = '<div class="picture"></div>' * len(section.figures)
    return _part(section.title, section.words, f'<div class="pictures">{pictures}</div>' if pictures else "")


def _importance(by_platform: Sequence[ParameterImportance], by_optuna: Sequence[ParameterImportance]) -> str:
    known = [one for one in by_platform if one.mean is not None and math.isfinite(one.mean)]
    shown = known or list(by_optuna)
    if known:
        words = "As ModelArts analysed it, by the search's own objective."
    elif shown:
        words = "As Optuna analyses the trials (PED-ANOVA), since there is no analysis of this by ModelArts."
    else:
        words = f"Nobody can tell: it takes {FEWEST_TO_ANALYSE} trials that compete, and two parameters that vary."
    return _part("Parameter importance", words, _importance_table(shown) if shown else "")


def _importance_table(importances: list[ParameterImportance]) -> str:
    rows = "".join(
        f'<tr><td>{_text(one.name)}</td><td><meter value="{_figure(one.mean)}"></meter></td>'
        f"<td>{_figure(one.mean)}</td><td>{_figure(one.std)}</td></tr>"
        for one in sorted(importances, key=lambda one: -(one.mean or 0))[:_MOST_SHOWN]
    )
    head = "<tr><th>Parameter</th><th></th><th>Importance</th><th>Standard deviation</th></tr>"
    return f'<table class="analysis">{head}{rows}</table>'


def _part(title: str, words: str, content: str) -> str:
    return f"<h2>{_text(title)}</h2>\n<p>{_text(words)}</p>\n{content}"


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"


def _text(shown: str) -> str:
    """Return a text as HTML, without characters that turn the direction of what follows."""
    return html.escape(sanitize(shown, _LONGEST))


def _in_script(value: JSON) -> str:
    """Return JSON that no HTML parser takes for the end of its script."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_IN_SCRIPT)


@cache
def _plotly() -> tuple[str, str]:
    """Return the script of Plotly, packed, and its digest."""
    script = str(import_module("plotly.offline").get_plotlyjs())
    return base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode(), _digest(script)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _static(name: str) -> str:
    return (resources.files("airflow_provider_modelarts") / "static" / name).read_text(encoding="utf-8")
