"""Trials read from the table of a response."""

from __future__ import annotations

import math
import time

import pytest
from unit.builders import ABSURD_NUMBERS, documented

from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.selection import Criterion, rank, select_best
from airflow_provider_modelarts.core.trials import TrialStatus, read_page, read_table
from airflow_provider_modelarts.exceptions import ModelArtsNoBestTrialError, ModelArtsProtocolError

HEADER = ["trial_id", "status", "config"]


def test_page_of_the_documented_response():
    """The documented sample has eight trials in the order of its rows."""
    page = read_page(documented("list_trials"))

    assert (page.total, page.limit) == (8, 50)
    assert [trial.trial_id for trial in page.trials] == (
        "ae544174 ae548666 ae54c0ea ae5503c0 bef46590 bef578f4 bef5c584 bef60684".split()
    )


def test_trial_of_the_documented_response():
    """Every column of the documented sample becomes a property of the trial, with its type."""
    trial = read_page(documented("list_trials")).trials[3]

    assert trial.trial_id == "ae5503c0"
    assert trial.status is TrialStatus.TERMINATED
    assert trial.done is True
    assert trial.index == 3
    assert trial.training_iteration == 2
    assert trial.duration == 3.641200304031372
    assert (trial.reward, trial.best_reward) == (0.25, 0.25)
    assert trial.metrics == {"acc": 0.25, "loss": 0.0716}
    assert trial.raw["pid"] == "313"


def test_config_of_the_documented_response():
    """The config has the hyperparameters with their JSON types, without the platform's own keys."""
    config = read_page(documented("list_trials")).trials[3].config

    assert config == {"batch_size": 32, "learning_rate": 0.0340820322164706}
    assert [type(value) for value in config.values()] == [int, float]


def test_table_of_the_documented_response_for_one_trial():
    """The response for one trial has other columns in another order, no status, and one row per report."""
    response = documented("show_trial")

    first, last = read_table(response["header"], response["data"])

    assert (first.done, last.done) == (False, True)
    assert last.status is TrialStatus.UNKNOWN
    assert (last.trial_id, last.index, last.best_reward) == ("ae544174", 0, 0.0625)
    assert last.config == {"batch_size": 32, "learning_rate": 0.05512301741232006}
    assert last.metrics == {"acc": 0.0625, "loss": 0.0754}


@pytest.mark.parametrize(
    "order",
    [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]],
)
def test_table_with_its_columns_in_any_order(order):
    """Cells are found by the name of their column, in any order of the columns."""
    header, row = ["trial_id", "status", "config", "acc"], ["a", "RUNNING", {"lr": 0.1}, "0.5"]

    (trial,) = read_table([header[place] for place in order], [[row[place] for place in order]])

    assert (trial.trial_id, trial.status, trial.config, trial.metrics) == (
        "a",
        TrialStatus.RUNNING,
        {"lr": 0.1},
        {"acc": 0.5},
    )


def test_table_with_columns_that_share_a_name():
    """The first of several columns with the same name counts."""
    (trial,) = read_table([*HEADER, "acc", "acc", "trial_id"], [["a", "RUNNING", {}, "0.5", "0.75", "b"]])

    assert (trial.trial_id, trial.metrics) == ("a", {"acc": 0.5})


def test_table_with_short_rows():
    """A row that has its id, status and config is padded, because metrics appear late."""
    first, second = read_table([*HEADER, "acc", "loss"], [["a", "RUNNING", {}], ["b", "RUNNING", {}, "0.5"]])

    assert (first.metrics, first.best_reward, first.duration) == ({}, None, None)
    assert second.metrics == {"acc": 0.5}


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (HEADER, ["b", "RUNNING", {}, "more"], "4 cells where the header has 3 columns"),
        (HEADER, ["b", "RUNNING"], "2 cells where the header has 3 columns"),
        (HEADER, [], "0 cells"),
        (HEADER, ["", "RUNNING", {}], "no trial_id"),
        (HEADER, [" ", "RUNNING", {}], "no trial_id"),
        (HEADER, [None, "RUNNING", {}], "no trial_id"),
        (HEADER, [True, "RUNNING", {}], "no trial_id"),
        (HEADER, [{}, "RUNNING", {}], "no trial_id"),
        (HEADER, ["x" * 1_000_000, "RUNNING", {}], "no usable trial_id: 'xxxx"),
        (HEADER, ["x" * 65, "RUNNING", {}], "no usable trial_id: 'xxxx"),
        (HEADER, ["a\nb", "RUNNING", {}], r"no usable trial_id: 'a\\nb'"),
        (HEADER, ["\x1b[31m", "RUNNING", {}], r"no usable trial_id: '\\x1b\[31m'"),
        (HEADER, ["a\0b", "RUNNING", {}], r"no usable trial_id: 'a\\x00b'"),
        (HEADER, ["\ud800", "RUNNING", {}], r"no usable trial_id: '\\ud800'"),
        (HEADER, [10**3999, "RUNNING", {}], "no usable trial_id: '1000"),
        (HEADER, {"trial_id": "b"}, "a JSON list, but is an object"),
        (HEADER, "b", "a JSON list, but is 'b'"),
        (HEADER, None, "a JSON list, but is None"),
        (["status", "config", "acc", "trial_id"], ["RUNNING", {}, "0.5"], "3 cells where the header has 4 columns"),
    ],
)
def test_table_with_a_broken_row(header, row, message):
    """A row that cannot be a trial raises a short printable error that names the row."""
    good = ["a", "RUNNING", {}] if header is HEADER else ["RUNNING", {}, "0.5", "a"]

    with pytest.raises(ModelArtsProtocolError, match=f"^row 1 of the trial table .*{message}") as caught:
        read_table(header, [good, row])

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("trial_id", ["../x", ".", "a b", "%2e%2e", "a?b=c", "一"])
def test_table_with_an_id_that_is_not_safe_in_a_path(trial_id):
    """A printable id is listed unchanged; operations reject an id that is not safe in a path."""
    assert read_table(HEADER, [[trial_id, "RUNNING", {}]])[0].trial_id == trial_id


@pytest.mark.parametrize(
    ("header", "message"),
    [(["status", "acc"], "only status, acc"), (["\x1b[31m\n" * 10] * 100_000, r"only \?\[31m")],
)
def test_table_without_an_id_column(header, message):
    """A table without ids raises a short printable error that lists its first columns."""
    with pytest.raises(ModelArtsProtocolError, match=f"no column trial_id, {message}") as caught:
        read_table(header, [["RUNNING", "0.5"]])

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_table_with_too_many_rows():
    """A table of more than 100,000 rows raises an error before its rows are read."""
    with pytest.raises(ModelArtsProtocolError, match="has 100001 rows, more than the 100000 allowed"):
        read_table(HEADER, [[]] * 100_001)


def test_table_with_100_000_columns():
    """All numeric columns are metrics, and the error that lists the metrics is short."""
    header = [*HEADER, *(f"metric_{number}" for number in range(100_000))]

    trials = read_table(header, [["t", "TERMINATED", {}, *([0.5] * 100_000)]])

    assert len(trials[0].metrics) == 100_000
    with pytest.raises(ModelArtsNoBestTrialError) as caught:
        select_best(rank(trials, Criterion("loss", Mode.MIN)))
    assert len(str(caught.value)) <= 4000


def test_table_with_short_rows_under_a_long_header():
    """A row costs what its own cells cost: padding 20,000 rows to 200,000 columns would be four billion steps."""
    header = [*HEADER, *map(str, range(200_000))]
    began = time.process_time()

    trials = read_table(header, [[f"t{number}", "RUNNING", {}] for number in range(20_000)])

    assert len(trials) == 20_000
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "name",
    ["x" * 1_000_000, "acc\nINFO", "\x1b[31m", "\ud800", "a\0"],
    ids=["a megabyte", "next line", "escape", "lone surrogate", "NUL"],
)
def test_table_with_a_column_that_cannot_be_shown(name):
    """A column with a long or unprintable name is not a metric; its cells stay in raw."""
    (trial,) = read_table([*HEADER, name, "acc"], [["t", "TERMINATED", {}, 0.25, 0.5]])

    assert trial.metrics == {"acc": 0.5}
    assert trial.raw[name] == 0.25


def test_table_with_unknown_columns():
    """Unknown columns are metrics if they hold numbers, and stay in raw in any case."""
    (trial,) = read_table([*HEADER, "f1", "note"], [["a", "RUNNING", {}, "0.5", "hello"]])

    assert trial.metrics == {"f1": 0.5}
    assert trial.raw == {"trial_id": "a", "status": "RUNNING", "config": {}, "f1": "0.5", "note": "hello"}


def test_table_with_metrics_that_are_not_finite():
    """NaN and infinities are metrics; blanks and words are not."""
    (trial,) = read_table([*HEADER, "a", "b", "c", "d"], [["x", "RUNNING", {}, "nan", "inf", "", "True"]])

    assert list(trial.metrics) == ["a", "b"]
    assert math.isnan(trial.metrics["a"])
    assert trial.metrics["b"] == math.inf


def test_table_with_an_index_column_without_name():
    """The column with the empty name is the platform's row number and not a metric."""
    (trial,) = read_table(["", *HEADER], [["0", "a", "RUNNING", {}]])

    assert trial.metrics == {}


@pytest.mark.parametrize("column", ["pid", "worker_index", "done", "time_total_s", "training_iteration", "best_reward"])
def test_table_with_the_columns_of_the_platform(column):
    """The platform's own columns are not metrics, even if they hold numbers."""
    (trial,) = read_table([*HEADER, column], [["a", "RUNNING", {}, "1"]])

    assert trial.metrics == {}


@pytest.mark.parametrize(
    ("cell", "config", "index"),
    [
        ({"lr": 0.1, "trial_index": 4, "param/lr": 0.1}, {"lr": 0.1}, 4),
        ("{'lr': Decimal('0.1'), 'trial_index': 4, 'param/lr': Decimal('0.1')}", {"lr": 0.1}, 4),
        ({"lr": 0.1, "trial_index": "4"}, {"lr": 0.1}, 4),
        ({"lr": 0.1}, {"lr": 0.1}, None),
        ({"trial_index": 0}, {}, 0),
        ({}, {}, None),
        ("", None, None),
        (None, None, None),
        ("not a config", None, None),
    ],
)
def test_table_with_configs(cell, config, index):
    """The platform's own keys are removed from a config; an unreadable config is missing, not empty."""
    (trial,) = read_table(HEADER, [["a", "RUNNING", cell]])

    assert (trial.config, trial.index) == (config, index)


def test_config_that_is_text_is_parsed_once():
    """A config is parsed once, because parsing takes most of the time, and returned as a copy."""
    (trial,) = read_table(HEADER, [["a", "TERMINATED", "{'layers': [64, 32]}"]])

    trial.config["lr"] = 1

    assert trial.config == {"layers": [64, 32]}
    assert trial.config["layers"] is trial.config["layers"]


def test_table_with_an_id_that_is_a_number():
    """An id that is a JSON number becomes the text of its digits."""
    (trial,) = read_table(HEADER, [[12345678, "RUNNING", {}]])

    assert trial.trial_id == "12345678"


@pytest.mark.parametrize(("header", "data"), [(None, None), ([], []), (HEADER, []), (HEADER, None), ([], None)])
def test_table_without_rows(header, data):
    """A search that has not started has no trials and is not an error."""
    assert read_table(header, data) == []


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ("trial_id", [], "header of the trial table should be a JSON list, but is 'trial_id'"),
        ({"trial_id": 0}, [], "header of the trial table"),
        (HEADER, {"a": []}, "data of the trial table should be a JSON list, but is an object with 1 keys"),
        (HEADER, "rows", "data of the trial table"),
    ],
)
def test_table_of_another_shape(header, data, message):
    """A table of another shape raises an error that names the wrong part."""
    with pytest.raises(ModelArtsProtocolError, match=message):
        read_table(header, data)


@pytest.mark.parametrize(
    ("word", "status", "ended"),
    [
        ("PENDING", TrialStatus.PENDING, False),
        ("RUNNING", TrialStatus.RUNNING, False),
        ("PAUSED", TrialStatus.PAUSED, False),
        ("TERMINATED", TrialStatus.TERMINATED, True),
        ("ERROR", TrialStatus.ERROR, True),
        ("terminated", TrialStatus.TERMINATED, True),
        (" Running ", TrialStatus.RUNNING, False),
        ("STOPPED", TrialStatus.UNKNOWN, False),
        ("COMPLETED", TrialStatus.UNKNOWN, False),
        ("", TrialStatus.UNKNOWN, False),
        (None, TrialStatus.UNKNOWN, False),
        (5, TrialStatus.UNKNOWN, False),
    ],
)
def test_status_of_a_word(word, status, ended):
    """A status is read in any case; an unknown word is neither an end nor a success."""
    (trial,) = read_table(HEADER, [["a", word, {}]])

    assert (trial.status, trial.ended) == (status, ended)


@pytest.mark.parametrize(
    ("status", "done", "ended"),
    [
        ("STOPPED", "True", True),
        ("STOPPED", "False", False),
        ("STOPPED", "", False),
        ("RUNNING", "True", False),
        ("TERMINATED", "False", True),
    ],
)
def test_trial_ended_by_status_and_flag(status, done, ended):
    """The done flag is decisive only for an unknown status."""
    (trial,) = read_table([*HEADER, "done"], [["a", status, {}, done]])

    assert trial.ended is ended


def test_status_text_of_an_unknown_word():
    """The text of an unknown status is the platform's own word."""
    (trial,) = read_table(HEADER, [["a", "STOPPED", {}]])

    assert trial.status_text == "STOPPED"


@pytest.mark.parametrize("status", ["x" * 1_000_000, "DONE\n2026-01-01 INFO forged", "\x1b[2J", "\ud800\0"])
def test_status_text_of_a_strange_word(status):
    """The text of a status, which is used in XCom and in logs, is short and printable."""
    (trial,) = read_table(HEADER, [["t", status, {}]])

    assert trial.status_text.isprintable()
    assert len(trial.status_text) <= 40


def test_status_text_without_a_word():
    """The text of a blank status is UNKNOWN."""
    (trial,) = read_table(HEADER, [["a", "", {}]])

    assert trial.status_text == "UNKNOWN"


@pytest.mark.parametrize(("total", "read"), [(8, 8), ("8", 8), (" 8 ", 8), (8.0, 8), (0, 0)])
def test_page_with_its_total(total, read):
    """The total is read from a number and from text, because the documentation shows both."""
    assert read_page({"total": total, "items": None}).total == read


@pytest.mark.parametrize("total", [None, "", "many", -1, "-1", True, 1.5, [], {}])
def test_page_without_a_total(total):
    """A page without a usable total raises an error, because the list of trials could be incomplete."""
    with pytest.raises(ModelArtsProtocolError, match="has no usable total"):
        read_page({"total": total, "items": None})


@pytest.mark.parametrize("total", ABSURD_NUMBERS.values(), ids=ABSURD_NUMBERS)
def test_page_with_an_absurd_total(total):
    """An absurd total is not usable either, and its error is short."""
    with pytest.raises(ModelArtsProtocolError, match="has no usable total") as caught:
        read_page({"total": total, "items": None})

    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("number", ABSURD_NUMBERS.values(), ids=ABSURD_NUMBERS)
def test_trial_with_an_absurd_number(number):
    """A trial with absurd numbers is read without its index and its count of reports."""
    row = ["t", "TERMINATED", {"trial_index": number}, number, number, number]

    (trial,) = read_table([*HEADER, "acc", "training_iteration", "time_total_s"], [row])

    assert trial.status is TrialStatus.TERMINATED
    assert (trial.index, trial.training_iteration) == (None, None)
    assert set(trial.metrics) <= {"acc"}


@pytest.mark.parametrize("items", [None, {}, [], {"header": None, "data": None}])
def test_page_without_items(items):
    """A page without items has no trials, even if its total promises some."""
    page = read_page({"total": 3, "items": items})

    assert (page.trials, page.total, page.limit) == ([], 3, None)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (None, "list of trials should be a JSON object, but is None"),
        ([], "list of trials should be a JSON object, but is a list of 0"),
        ("<html>", "list of trials should be a JSON object, but is '<html>'"),
        (7, "list of trials should be a JSON object, but is 7"),
        ({"total": 1, "items": [{"trial_id": "a"}]}, "items in the list of trials should be a JSON object"),
        ({"total": 1, "items": "text"}, "items in the list of trials should be a JSON object"),
    ],
)
def test_page_of_another_shape(response, message):
    """A response of another shape raises an error that describes it."""
    with pytest.raises(ModelArtsProtocolError, match=message):
        read_page(response)
