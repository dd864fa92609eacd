"""Content of the files of a report, and protection from hostile text in a search."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs
from unit.builders import search, trial
from unit.builders import snapshot as snapshot_of

from airflow_provider_modelarts.core.jobs import Mode, ParameterImportance
from airflow_provider_modelarts.core.leaderboard import NO_LIMITS, leaderboard
from airflow_provider_modelarts.core.selection import Bound, criterion_for, rank
from airflow_provider_modelarts.report.page import report_files

URL = "https://console.example/modelarts/?region=cn-north-4#/training/detail/job-1"


class Page(HTMLParser):
    """Parsed page: its elements, its texts, and the content of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.scripts, self._script = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Record an element."""
        self.elements.append((tag, dict(attrs)))
        self._script = dict(attrs).get("id", "") if tag == "script" else None

    def handle_endtag(self, tag):
        """Record the end of an element."""
        self._script = None

    def handle_data(self, data):
        """Record the text of a script or of the page."""
        if self._script is None:
            self.texts.append(data)
        else:
            self.scripts.append((self._script, data))

    @property
    def text(self):
        """Visible text of the page."""
        return " ".join(self.texts)

    def data(self, name):
        """Return the JSON in a script."""
        return json.loads(dict(self.scripts)[name])

    @property
    def figures(self):
        """Plots of the page."""
        return self.data("figures")


def files_of(snapshot, *, constraints=None, **arguments):
    """Return the files of the report on a search."""
    return report_files(
        snapshot, rank(snapshot.listing.trials, criterion_for(snapshot.job.search), constraints), **arguments
    )


def page_of(trials, **arguments):
    """Return the page of the report on a search with these trials."""
    return Page(files_of(snapshot_of(trials), **arguments)["report.html"])


def some(count=12, config=None, **fields):
    """Return trials with a rising objective and two parameters that vary."""
    return [
        trial(f"t{n}", best=n / 100, index=n, config={"lr": n / 1000, "batch": n % 3, **(config or {})}, **fields)
        for n in range(count)
    ]


@pytest.fixture(scope="module", name="large")
def _large():
    """Files of the report on 2,000 trials with ten parameters."""
    trials = [
        trial(
            f"t{n:07}",
            best=(n * 7919 % 2000) / 2000,
            index=n,
            config={f"parameter_{p}": (n * (p + 3) % 1999) / 1999 for p in range(10)},
            metrics={"acc": (n * 7919 % 2000) / 2000, "loss": n / 2000},
        )
        for n in range(2000)
    ]
    return files_of(snapshot_of(trials))


@pytest.fixture(scope="module", name="tame")
def _tame():
    """Page of the report on trials with short plain names and values."""
    snapshot = snapshot_of(some(config={"a": "a", "other": "b"}), name="a", a="max")
    return Page(files_of(snapshot, importance=[ParameterImportance("a", 0.5, 0.1)])["report.html"])


def test_page_refers_only_to_the_console():
    """The page opens without a network, in any folder."""
    page = page_of(some(), url=URL)

    references = {"src", "href", "srcset", "data", "action", "poster", "background"}
    found = [value for _, attrs in page.elements for name, value in attrs.items() if name in references]
    assert found == [URL]
    assert not {tag for tag, _ in page.elements} & {"link", "base", "iframe", "object", "embed", "img", "form"}


def test_policy_allows_only_the_scripts_of_the_page():
    """A browser runs only the scripts of the page and Plotly, and loads no other resource."""
    page = page_of(some())

    (policy,) = [attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs]
    own = [text for name, text in page.scripts if not name]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (get_plotlyjs(), *own)]
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert policy == (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def test_plotly_is_embedded_compressed_if_there_is_a_plot():
    """Compression reduces Plotly's five megabytes to two."""
    packed = dict(page_of(some()).scripts)["plotly"]

    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()
    assert "plotly" not in dict(page_of([]).scripts)


def test_page_and_json_hold_the_whole_leaderboard():
    """The page embeds the same document as trials.json."""
    snapshot = snapshot_of([*some(), trial("t99", "ERROR", index=99)])
    files = files_of(snapshot)

    board = leaderboard(snapshot, rank(snapshot.listing.trials, criterion_for(snapshot.job.search)), NO_LIMITS)
    assert Page(files["report.html"]).data("board") == json.loads(files["trials.json"]) == board


def test_files_hold_the_columns_that_the_page_omits():
    """Of 61 parameters, one of them long, the page shows a part, and counts the omitted columns."""
    layers = [[n, "relu"] for n in range(40)]
    config = {"layers": layers, **{f"p{n}": n for n in range(60)}}
    files = files_of(snapshot_of([trial("t0", best=0.5, config=config)]))
    page, board = Page(files["report.html"]), json.loads(files["trials.json"])
    header, row = csv.reader(files["trials.csv"].splitlines())

    assert page.data("board")["omitted_columns"] == 11
    assert "and 11 more" in page.text
    assert board["parameters"] == [*config]
    assert [json.loads(board["trials"][0]["parameters"][0]), *board["trials"][0]["parameters"][1:]] == [
        *config.values()
    ]
    assert header[9:] == [f"params_{name}" for name in config]
    assert json.loads(row[9]) == layers


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", " https://x", "//x", ""])
def test_url_that_is_not_http_is_not_linked(url):
    """The console_url of a connection cannot inject a script."""
    assert "a" not in [tag for tag, _ in page_of(some(), url=url).elements]


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "end of script": "</script><img src=x onerror=alert(1)>",
    "comment": "<!--<script>",
    "attribute": "\"'><svg onload=alert(1)>",
    "link": "<a href='javascript:alert(1)'>x</a>",
    "bold": "<b>x</b>",
    "entity": "&lt;b&gt;&amp;",
    "template": "%{x} ${title} $title {{ x }}",
    "line separator": "a\u2028b",
    "right to left": "\u202eabc\u200f",
    "much": "x" * 10_000,
}


@pytest.mark.parametrize("word", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_adds_no_element(tame, word):
    """Names and values change no element of the page, and their printable characters are shown."""
    trials = some(config={word: word, "other": f"{word}2"}, metrics={word: 1.0})
    trials += [trial("odd", "PENDING", config={"other": word}), trial("strange", word)]
    snapshot = snapshot_of(trials, name=word, **{word: "max"})

    page = Page(files_of(snapshot, importance=[ParameterImportance(word, 0.5, 0.1)])["report.html"])

    ignored = {"meta", "br"}  # the policy, and line breaks
    assert [one for one in page.elements if one[0] not in ignored] == [
        one for one in tame.elements if one[0] not in ignored
    ]
    shown = "".join(char if char.isprintable() else "?" for char in word)[:150]
    assert shown in page.text
    assert page.text.replace("\n", "").isprintable()
    assert shown in json.dumps(page.data("board"), ensure_ascii=False).replace('\\"', '"')


@pytest.mark.parametrize("word", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_escaped_in_the_plots(word):
    """Plotly interprets some elements in titles, labels and hover texts, and %{...} in templates."""
    configs = [{word: n, "lr": n, "kind": f"{word}{n % 3}"} for n in range(12)]
    trials = [trial(f"t{n}", best=n / 100, index=n, config=config) for n, config in enumerate(configs)]
    snapshot = snapshot_of(trials, **{word: "max"})

    figures = Page(files_of(snapshot)["report.html"]).figures

    assert len(figures) == 5
    template = "%{customdata[0]}: %{customdata[1]}<extra></extra>"
    assert {trace["hovertemplate"] for trace in figures[1]["data"] if "customdata" in trace} == {template}
    for text in set(texts_in(figures)) - {template}:
        assert html.escape(html.unescape(text), quote=False) == text
        assert html.unescape(text).isprintable()
        assert len(html.unescape(text)) <= 50


def texts_in(value):
    """Return all texts in a JSON value."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts_in(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


def test_long_values_that_differ_keep_different_labels():
    """File paths may have both ends in common."""
    paths = [f"obs://bucket/data/{'a' * 40}{letter}{'z' * 40}/part" for letter in "xy"]
    trials = [trial(f"t{n}", best=n / 10, config={"path": paths[n % 2]}) for n in range(4)]

    scatter = page_of(trials).figures[-1]

    assert len(set(scatter["data"][0]["x"])) == 2
    assert set(scatter["data"][0]["x"]) == set(scatter["layout"]["xaxis"]["categoryarray"])


MISSING = [*some(4), trial("t4", best=0.5, index=4, config={"lr": 0.5})]
CASES = {
    "no trials": ([], 0, ["none", "at least 2 trials", "there is no trial to choose"]),
    "none finished": ([trial("t0", "RUNNING"), trial("t1", "ERROR")], 0, ["at least 2 trials", "2 not finished"]),
    "one finished": ([trial("t0", best=0.5, config={"lr": 1})], 0, ["at least 2 trials", "t0: acc = 0.5"]),
    "two finished": (some(2), 4, ["Not available"]),
    "no parameters": ([trial("t0", best=1), trial("t1", best=2)], 1, ["No parameter varies"]),
    "one parameter": ([trial(f"t{n}", best=n, config={"lr": n}) for n in range(12)], 2, ["at least two", "Not avail"]),
    "constant parameter": (some(config={"seed": 7}), 4, ["seed is 7 in all trials"]),
    "constant metric": ([trial(f"t{n}", best=1, config={"lr": n, "b": -n}) for n in range(12)], 4, ["tied with other"]),
    "missing in some": (MISSING, 4, []),
    "lists and objects": (some(config={"layers": [1, 2], "o": {"p": 1}}), 4, ["layers is [1, 2] in all"]),
    "no numbers": (some(config={"x": float("nan"), "y": None, "z": 2**70}), 4, []),
    "a text in each trial": (
        [trial(f"t{n}", best=n, config={"lr": n, "b": -n, "note": f"note {n}"}) for n in range(40)],
        4,
        ["1 more parameters that vary are only in the table"],
    ),
    "many parameters": (
        [trial(f"t{n}", best=n, config={f"p{p}": n + p for p in range(30)}) for n in range(12)],
        22,
        ["10 more parameters that vary are only in the table"],
    ),
    "values at both ends of what a float holds": (
        [trial(f"t{n}", best=(-1) ** n * 1e308, config={"lr": n, "batch": n % 3}) for n in range(12)],
        3,
        ["Optuna cannot draw this plot: cannot convert float NaN to integer."],
    ),
}


@pytest.mark.parametrize(("trials", "plots", "words"), CASES.values(), ids=CASES)
def test_text_replaces_plots_that_make_no_sense(trials, plots, words):
    """The page is readable for every outcome of a search."""
    page = page_of(trials)

    assert len(page.figures) == plots
    assert len([attrs for _, attrs in page.elements if attrs.get("class") == "figure"]) == plots
    assert [word for word in words if word not in page.text] == []


@pytest.mark.parametrize(
    ("plot", "remaining", "words"),
    [
        ("plot_optimization_history", 3, ["Optuna cannot draw this plot: no way."]),
        ("plot_parallel_coordinate", 3, ["Optuna cannot draw this plot: no way."]),
        ("plot_slice", 2, ["Optuna cannot draw lr: no way.", "Optuna cannot draw batch: no way."]),
    ],
)
@pytest.mark.parametrize("error", [ValueError("no way"), OverflowError("no way")])
def test_plot_that_fails_is_replaced_by_its_error(monkeypatch, plot, remaining, words, error):
    """The other plots are drawn, and the files are written."""

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(f"optuna.visualization.{plot}", fail)

    page = page_of(some())

    assert len(page.figures) == remaining
    assert [word for word in words if word not in page.text] == []


def test_objective_without_a_name_is_described_as_such():
    """The search does not name its objective, and the mode comes from an argument."""
    snapshot = snapshot_of(some())
    snapshot = replace(snapshot, job=replace(snapshot.job, search=search(12)))
    ranking = rank(snapshot.listing.trials, criterion_for(snapshot.job.search, mode=Mode.MAX))

    text = Page(report_files(snapshot, ranking)["report.html"]).text

    assert "objective (max), the search's own objective of unknown name, best report of each trial" in text


@pytest.mark.parametrize(
    ("phase", "warnings"),
    [
        ("Completed", []),
        ("Running", ["Training job job-1 is Running: its best trial may still change."]),
        ("Failed", ["Training job job-1 is Failed: only trials that ended before compete for the best."]),
    ],
)
def test_page_warns_of_an_incomplete_search(phase, warnings):
    """The best trial so far may not be the best of the whole search."""
    page = Page(files_of(snapshot_of(some(), phase))["report.html"])

    assert [text for text in page.texts if text.startswith("Training job job-1 ")] == warnings


def test_trials_that_violate_a_constraint_are_not_plotted():
    """The line of the best value so far ends at the best trial of the table."""
    trials = [*some(), trial("t12", best=0.99, index=12, config={"lr": 1, "batch": 1}, metrics={"loss": 9.0})]
    kept = [replace(one, raw={**one.raw, "loss": 1.0}) for one in trials[:-1]]

    page = page_of([*kept, trials[-1]], constraints={"loss": Bound(max=2.0)})

    points, line, *_ = page.figures[0]["data"]
    assert points["y"] == [n / 100 for n in range(12)]
    assert line["y"][-1] == 0.11


def test_history_numbers_trials_in_the_order_of_creation():
    """Trials that do not compete count, too."""
    page = page_of([trial("c", best=0.3, index=2), trial("a", best=0.1, index=0), trial("b", "ERROR", index=1)])

    assert page.figures[0]["data"][0]["x"] == [0, 2]
    assert page.figures[0]["data"][0]["y"] == [0.1, 0.3]


def test_page_of_a_large_search_is_limited_in_size(large):
    """A page of 2,000 trials with ten parameters can be sent by mail."""
    assert len(large["report.html"].encode()) < 4_000_000


def test_only_the_plots_of_a_large_search_are_thinned(large):
    """The page states the number of plotted trials; table, CSV and JSON hold all trials."""
    page = Page(large["report.html"])

    history, parallel, *scatters = page.figures
    assert len(scatters) == 10
    assert all(len(one["data"][0]["x"]) <= 502 for one in [history, *scatters])
    assert len([trace for trace in parallel["data"] if trace.get("customdata")]) == 200
    assert "Shows 500 of 2000 trials, evenly spread." in page.text
    assert "Shows the best 100 of 2000 trials, and 100 more, spread evenly over the remaining ranks." in page.text
    assert len(page.data("board")["trials"]) == len(json.loads(large["trials.json"])["trials"]) == 2000
    assert large["trials.csv"].count("\r\n") == 2001


def test_thinned_plots_keep_the_extremes(large):
    """The best trial, the worst trial and each improvement of the best value are plotted."""
    history, _, scatter, *_ = Page(large["report.html"]).figures

    for points in (history["data"][0], scatter["data"][0]):
        assert (min(points["y"]), max(points["y"])) == (0.0, 0.9995)
        assert len(points["x"]) == len(points["y"])
    assert len(scatter["data"][0]["marker"]["color"]) == len(scatter["data"][0]["x"])
    values, best = [(n * 7919 % 2000) / 2000 for n in range(2000)], []
    for value in values:
        best.append(max([value, *best[-1:]]))
    line = history["data"][1]
    assert {n for n in range(1, 2000) if best[n] != best[n - 1]} <= set(line["x"])
    assert [best[n] for n in line["x"]] == line["y"]


def test_lines_keep_their_colors(large):
    """Colors are not shortened like labels."""
    parallel = Page(large["report.html"]).figures[1]

    colors = [trace["line"]["color"] for trace in parallel["data"] if "line" in trace]
    assert len(colors) == 200
    assert [color for color in colors if not re.fullmatch(r"rgb\(\d+, \d+, \d+\)", color)] == []


def test_parameter_of_omitted_trials_is_not_an_axis():
    """A parameter may occur only in trials that the plot omits."""
    trials = [trial(f"t{n}", best=n, index=n, config={"lr": n, "batch": -n}) for n in range(400)]
    for n in (0, 2):
        trials[n] = trial(f"t{n}", best=-n, index=n, config={"lr": n, "batch": -n, "rare": n})

    _, parallel, *scatters = page_of(trials).figures

    assert len(scatters) == 3
    assert "rare" not in texts_in(parallel)


def test_choices_of_the_search_space_are_categories():
    """The axis of a list of sizes has equal steps, not a numeric scale."""
    snapshot = snapshot_of([trial(f"t{n}", best=n, config={"size": 4**n, "lr": n}) for n in range(3)])
    params = [{"name": "size", "param_type": "discrete", "discrete_values": ["1", "4", "16", "64"]}]
    raw = {"algorithm": {"policies": {"auto_search": {"search_params": params}}}}

    *_, lr, size = Page(files_of(replace(snapshot, job=replace(snapshot.job, raw=raw)))["report.html"]).figures

    assert size["layout"]["xaxis"]["type"] == "category"
    assert "type" not in lr["layout"]["xaxis"]


def test_platform_analysis_takes_precedence_over_optuna():
    """The most important parameter comes first; parameters without a value are omitted."""
    given = [("batch", 0.1, 0.01), ("lr", 0.9, 0.2), ("seed", None, None), ("x", float("nan"), None)]

    text = page_of(some(), importance=[ParameterImportance(*one) for one in given]).text

    assert "Analysed by ModelArts" in text
    assert "seed" not in text
    assert "nan" not in text
    assert [text.rindex(word) for word in ("lr", "0.9", "0.2", "batch", "0.1", "0.01")] == sorted(
        text.rindex(word) for word in ("lr", "0.9", "0.2", "batch", "0.1", "0.01")
    )


def test_optuna_analyses_the_importance_if_the_platform_does_not():
    """The parameter that determines the value is more important than noise."""
    page = page_of([trial(f"t{n}", best=n, config={"noise": n * 7 % 13, "lr": n}) for n in range(30)])

    assert "Analysed by Optuna (PED-ANOVA)" in page.text
    assert page.text.rindex("noise") > page.text.rindex("lr")
