"""All trials of a search as plain JSON."""

from __future__ import annotations

import json
import math

import pytest
from unit.builders import job, trial

from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.leaderboard import NO_LIMITS, PAGE_LIMITS, XCOM_LIMITS, leaderboard
from airflow_provider_modelarts.core.progress import Listing, SearchSnapshot
from airflow_provider_modelarts.core.selection import Bound, Criterion, Scope, rank

ACC = Criterion("acc", Mode.MAX, is_objective=True)


def board_of(*trials, criterion=ACC, constraints=None, limits=XCOM_LIMITS):
    """Return the leaderboard of some trials."""
    snapshot = SearchSnapshot(job("Completed"), Listing(trials, len(trials)))
    return leaderboard(snapshot, rank(trials, criterion, constraints), limits)


def test_leaderboard_of_two_trials():
    """The leaderboard of two trials equals a document written by hand."""
    board = board_of(
        trial("a", best=0.5, config={"lr": 0.1, "name": "x"}, index=0, metrics={"loss": 0.25}, duration=12.5),
        trial("b", best=0.75, config={"lr": 0.2}, index=1, training_iteration=3),
    )

    assert board == {
        "schema_version": 1,
        "training_job_id": "job-1",
        "job_name": "a-search",
        "job_phase": "Completed",
        "metric": "acc",
        "mode": "max",
        "scope": "best",
        "trial_counts": [["TERMINATED", 2]],
        "parameters": ["lr", "name"],
        "metrics": ["loss"],
        "trials": [
            {
                "rank": 1,
                "tied": False,
                "value": 0.75,
                "reason": "",
                "trial_id": "b",
                "number": 1,
                "status": "TERMINATED",
                "duration": None,
                "reports": 3,
                "parameters": [0.2, None],
                "metrics": [None],
            },
            {
                "rank": 2,
                "tied": False,
                "value": 0.5,
                "reason": "",
                "trial_id": "a",
                "number": 0,
                "status": "TERMINATED",
                "duration": 12.5,
                "reports": None,
                "parameters": [0.1, "x"],
                "metrics": [0.25],
            },
        ],
        "omitted": 0,
        "omitted_columns": 0,
    }


def test_leaderboard_with_rejected_trials():
    """Rejected trials follow the ranked ones in the order of their creation, each with its reason."""
    board = board_of(
        trial("c", "RUNNING", index=3),
        trial("a", best=0.1, metrics={"loss": 9.0}, index=2),
        trial("b", "ERROR", index=0),
        trial("d", best=0.5, metrics={"loss": 0.1}, index=1),
        constraints={"loss": Bound(max=1.0)},
    )

    assert [(one["trial_id"], one["rank"], one["reason"]) for one in board["trials"]] == [
        ("d", 1, ""),
        ("b", None, "not finished (ERROR)"),
        ("a", None, "constraint not met (loss)"),
        ("c", None, "not finished (RUNNING)"),
    ]


def test_leaderboard_criterion():
    """The leaderboard holds the metric, mode and scope of the ranking."""
    board = board_of(trial(metrics={"loss": 0.5}), criterion=Criterion("loss", Mode.MIN, Scope.LAST))

    assert (board["metric"], board["mode"], board["scope"]) == ("loss", "min", "last")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, True),
        (None, None),
        (7, 7),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ("x" * 300, "x" * 197 + "..."),
        ("a\x00b\u2028c\ud800", "a?b?c?"),
        ("<script>", "<script>"),  # the page escapes markup
        ([64, 32], "[64, 32]"),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_leaderboard_with_odd_values(value, shown):
    """Any value of a parameter becomes a scalar that XCom and databases accept."""
    (only,) = board_of(trial(config={"p": value}))["trials"]

    assert only["parameters"] == [shown]


def test_leaderboard_with_reserved_names():
    """Names from the script are never keys, because Airflow's deserializer acts on ``__classname__``."""
    board = board_of(trial(best=0.5, config={"__classname__": "os.system"}, metrics={"__data__": 0.5}))

    assert (board["parameters"], board["metrics"]) == (["__classname__"], ["__data__"])
    assert "__classname__" not in set(board) | set(board["trials"][0])


def test_leaderboard_is_of_bounded_size():
    """The leaderboard of 10,000 trials with 100 long parameters keeps the best trials within the size limit."""
    config = {f"parameter-{'x' * 300}-{number}": "y" * 300 for number in range(100)}
    trials = [trial(f"t{number}", best=float(number), config=config) for number in range(10_000)]

    board = board_of(*trials)
    listed = [one["trial_id"] for one in board["trials"]]

    assert listed == [f"t{number}" for number in range(9999, 9999 - len(listed), -1)]
    assert board["omitted"] == 10_000 - len(listed)
    assert board["omitted_columns"] == 50
    assert 225_000 < len(json.dumps(board["trials"])) <= 250_000 + 2 * len(listed)


@pytest.mark.parametrize("limits", [PAGE_LIMITS, NO_LIMITS])
def test_leaderboard_of_a_report_lists_all_trials(limits):
    """The limits of pages and files admit all trials."""
    trials = [trial(f"t{number}", config={"p": "y" * 200}) for number in range(2000)]

    board = board_of(*trials, limits=limits)

    assert (len(board["trials"]), board["omitted"]) == (2000, 0)


@pytest.mark.parametrize(
    ("limits", "parameters", "metrics", "omitted"), [(PAGE_LIMITS, 50, 50, 25), (NO_LIMITS, 60, 65, 0)]
)
def test_leaderboard_with_many_columns(limits, parameters, metrics, omitted):
    """A page limits its columns and counts the omitted ones; a file holds all columns."""
    one = trial(config={f"p{n}": n for n in range(60)}, metrics={f"m{n}": float(n) for n in range(65)})

    board = board_of(one, limits=limits)

    assert (len(board["parameters"]), len(board["metrics"])) == (parameters, metrics)
    assert (len(board["trials"][0]["parameters"]), len(board["trials"][0]["metrics"])) == (parameters, metrics)
    assert board["omitted_columns"] == omitted


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("x" * 300, "x" * 300),
        ("a\nb\u2028c", "a\nb\u2028c"),
        ("\ud800", "?"),  # a lone surrogate, which no file can hold
        (list(range(200)), json.dumps(list(range(200)))),
        ({"note": "y" * 300}, json.dumps({"note": "y" * 300})),
        (10**300, str(10**300)),
    ],
)
def test_leaderboard_of_a_file_is_complete(value, stored):
    """A file holds names and values in full length."""
    board = board_of(trial(config={"p" * 300: value}), limits=NO_LIMITS)

    assert board["parameters"] == ["p" * 300]
    assert board["trials"][0]["parameters"] == [stored]


def test_leaderboard_of_no_trials():
    """A search without listed trials has an empty leaderboard."""
    board = board_of()

    assert (board["trials"], board["trial_counts"], board["parameters"]) == ([], [], [])
