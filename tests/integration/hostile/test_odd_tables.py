"""Trial tables of absurd sizes, and names and ids that nobody should use."""

from __future__ import annotations

import json
import time

import pytest

from airflow_provider_modelarts.core.cells import configuration
from airflow_provider_modelarts.core.log_lines import ranking_table
from airflow_provider_modelarts.core.selection import Criterion, Mode, rank, select_best
from airflow_provider_modelarts.core.trials import read_table
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsNoBestTrialError

HEADER = ["trial_id", "status", "config"]
MEGABYTE = 1_000_000


@pytest.fixture(name="list_trials")
def _list_trials(platform, settings, call):
    """Lists trials that a table answers."""

    def list_trials(header, data, total=1):
        body = json.dumps({"total": total, "items": {"header": header, "data": data}}).encode()
        platform.respond_next("training-jobs", body=body)
        return call(settings, "list_trials", "x")

    return list_trials


ROWS = {
    "1,000,000 empty rows": ([[]] * 1_000_000, "has 1000000 rows, more than the 100000 allowed"),
    "empty row": ([[]], "row 0 of the trial table has 0 cells"),
    "id of a megabyte": ([["x" * MEGABYTE, "RUNNING", {}]], "row 0 of the trial table has no usable trial_id: 'xxxx"),
    "id with a next line": ([["a\nb", "RUNNING", {}]], r"no usable trial_id: 'a\nb'"),
    "id with an escape": ([["\x1b[31m", "RUNNING", {}]], r"no usable trial_id: '\x1b[31m'"),
    "id with NUL": ([["a\0b", "RUNNING", {}]], r"no usable trial_id: 'a\x00b'"),
    "id that is half a character": ([["\ud800", "RUNNING", {}]], r"no usable trial_id: '\ud800'"),
    "id of 4000 digits": ([[10**3999, "RUNNING", {}]], "no usable trial_id: '1000"),
}


@pytest.mark.parametrize(("data", "said"), ROWS.values(), ids=ROWS)
def test_row_that_cannot_be_a_trial_is_a_short_error(fail, data, said):
    """It names the row and shows the id in a form that breaks no log."""
    error = fail("list_trials", "x", body=json.dumps({"total": 1, "items": {"header": HEADER, "data": data}}).encode())

    assert said in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 500


def test_table_without_ids_names_few_of_its_columns(fail):
    """Not all 100,000, and none raw."""
    items = {"header": ["\x1b[31m\n" * 10] * 100_000, "data": [[]]}

    error = fail("list_trials", "x", body=json.dumps({"total": 1, "items": items}).encode())

    assert "no column trial_id, only ?[31m" in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 500


def test_table_of_100_000_columns_is_read(list_trials):
    """All of them are metrics; the error that lists what there is to choose by lists a part of them."""
    header = [*HEADER, *(f"metric_{number}" for number in range(100_000))]

    trials = list_trials(header, [["t", "TERMINATED", {}, *([0.5] * 100_000)]])

    assert len(trials[0].metrics) == 100_000
    with pytest.raises(ModelArtsNoBestTrialError) as raised:
        select_best(rank(trials, Criterion("loss", Mode.MIN)))
    assert len(str(raised.value)) <= 4000


def test_short_rows_under_a_long_header_are_read_in_no_time():
    """What a row costs is its own cells: 20,000 rows under 200,000 columns would else be four billion looks."""
    header = [*HEADER, *map(str, range(200_000))]
    began = time.monotonic()

    trials = read_table(header, [[f"t{number}", "RUNNING", {}] for number in range(20_000)])

    assert len(trials) == 20_000
    assert time.monotonic() - began < 10


METRICS = {"a megabyte": "x" * MEGABYTE, "next line": "acc\nINFO", "escape": "\x1b[31m", "half": "\ud800", "NUL": "a\0"}


@pytest.mark.parametrize("name", METRICS.values(), ids=METRICS)
def test_column_with_a_name_that_cannot_be_shown_is_no_metric(list_trials, name):
    """Its cells stay in raw; nothing can be chosen by it, and it comes into no record and no log."""
    (trial,) = list_trials([*HEADER, name, "acc"], [["t", "TERMINATED", {}, 0.25, 0.5]])

    assert trial.metrics == {"acc": 0.5}
    assert trial.raw[name] == 0.25


@pytest.mark.parametrize("status", ["x" * MEGABYTE, "DONE\n2026-01-01 INFO forged", "\x1b[2J", "\ud800\0"])
def test_status_of_a_strange_word_is_shown_in_a_short_form(list_trials, status):
    """It is a key of the counts in records and a word of the log."""
    (trial,) = list_trials(HEADER, [["t", status, {}]])

    assert trial.status_text.isprintable()
    assert len(trial.status_text) <= 40


PATHS = ["../x", "a/b", "a/../../projects", ".", "..", "a b", "%2e%2e", "a?b=c", "a#b", "一", "x" * 64 + "/"]


@pytest.mark.parametrize("trial_id", PATHS)
def test_trial_id_that_would_lead_elsewhere_comes_into_no_path(platform, settings, call, list_trials, trial_id):
    """What the platform lists may be asked for again: such an id is refused, or it cannot be listed at all."""
    if len(trial_id) <= 64:
        assert list_trials(HEADER, [[trial_id, "RUNNING", {}]])[0].trial_id == trial_id
    for method in ("get_trial", "stop_trial"):
        sent = len(platform.requests)

        with pytest.raises(ModelArtsConfigurationError, match="trial_id must be 1 to 64 letters"):
            call(settings, method, "job", trial_id)

        assert len(platform.requests) == sent


def test_table_of_the_log_stays_in_shape_with_hostile_names():
    """One line for each trial, none of them long, whatever names and values hold, and however deep they are."""
    deep = json.loads("[" * 900 + "]" * 900)
    config = {
        "\x1b[31m\n" * 1000: "a\rb",
        "deep": deep,
        "wide": ["x" * MEGABYTE] * 100,
        "many": {"k": dict.fromkeys("ab")},
    }
    table = read_table([*HEADER, "acc"], [["t1", "TERMINATED", config, 0.5], ["t2", "\x1b\n" * 1000, {}]])

    lines = ranking_table(rank(table, Criterion("acc", Mode.MAX))).splitlines()

    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 200


LONG_CONFIGS = {
    "list": "{'a': [" + "1," * 5_000_000 + "]}",
    "text": "{'a': '" + "x" * 10_000_000 + "'}",
    "keys": "{" + "'a':1," * 2_000_000 + "}",
    "sum": "1" + "+1" * 5_000_000,
}


@pytest.mark.parametrize("text", LONG_CONFIGS.values(), ids=LONG_CONFIGS)
def test_config_of_megabytes_of_python_is_not_parsed(text):
    """A syntax tree takes hundreds of bytes for each sign."""
    assert configuration(text) is None
