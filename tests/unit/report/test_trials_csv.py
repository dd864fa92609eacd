"""CSV of the trials of a report."""

from __future__ import annotations

import csv

import pytest
from unit.builders import snapshot, trial

from airflow_provider_modelarts.core.leaderboard import NO_LIMITS, leaderboard
from airflow_provider_modelarts.core.selection import criterion_for, rank
from airflow_provider_modelarts.report.trials_csv import csv_text


def text_of(trials):
    """Return the CSV of a search that maximises ``acc``."""
    found = snapshot(trials)
    return csv_text(leaderboard(found, rank(trials, criterion_for(found.job.search)), NO_LIMITS))


def rows_of(trials):
    """Return the rows of the CSV as read by the csv module."""
    return list(csv.reader(text_of(trials).splitlines(keepends=True)))


def test_csv_lists_all_trials_best_first():
    """The CSV lists all trials, best first, in columns named as in the data frame."""
    trials = [
        trial("a", best=0.1, index=0, config={"lr": 0.5, "opt": 'say "x", y'}, metrics={"acc": 0.1}, duration=3.5),
        trial("b", "ERROR", index=1, config={"lr": -1}),
        trial("c", best=0.2, index=2, config={"lr": 1e-7}, metrics={"acc": float("-inf")}, training_iteration=4),
    ]

    assert rows_of(trials) == [
        [*"rank tied trial_id number status value reason duration reports params_lr params_opt metrics_acc".split()],
        ["1", "False", "c", "2", "TERMINATED", "0.2", "", "", "4", "1e-07", "", "-inf"],
        ["2", "False", "a", "0", "TERMINATED", "0.1", "", "3.5", "", "0.5", 'say "x", y', "0.1"],
        ["", "False", "b", "1", "ERROR", "", "not finished (ERROR)", "", "", "-1", "", ""],
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        (" =1", "' =1"),
        ("\0\ufeff\u200b=1", "'\0\ufeff\u200b=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-5", "-5"),
        ("adam", "adam"),
        (-5, "-5"),
        (True, "True"),
    ],
)
def test_formula_in_text_is_escaped(value, cell):
    """Text that a spreadsheet would run as a formula is escaped; numbers are unchanged."""
    assert rows_of([trial("t0", best=1, config={"p": value})])[1][9] == cell


def test_formula_in_an_id_or_status_is_escaped():
    """Cells for ids and statuses are escaped like any other text."""
    (_, row) = rows_of([trial("=t", "=HYPERLINK(1)")])

    assert row[2] == "'=t"
    assert row[4] == "'=HYPERLINK(1)"


def test_csv_lines_end_with_crlf():
    """Every line of the CSV, including the last one, ends with CR LF (RFC 4180)."""
    text = text_of([trial("t0"), trial("t1")])

    assert text.startswith("rank,tied,")
    assert text.endswith("\r\n")
    assert text.count("\r\n") == text.count("\n") == 3
