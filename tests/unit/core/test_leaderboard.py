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


def board_of(*trials, criterion=ACC, constraints=None, room=XCOM_LIMITS):
    """Return the leaderboard of some trials."""
    look = SearchSnapshot(job("Completed"), Listing(trials, len(trials)))
    return leaderboard(look, rank(trials, criterion, constraints), room)


def test_leaderboard_of_two_trials():
    """The whole document, written by hand."""
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


def test_leaderboard_lists_those_that_do_not_compete_last():
    """In the order in which they were made, each with its reason."""
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


def test_leaderboard_tells_by_what_it_is_ranked():
    """Another metric, for least, by its last value."""
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
        ("<script>", "<script>"),  # it is up to the page to show it as text
        ([64, 32], "[64, 32]"),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_leaderboard_holds_what_xcom_and_databases_take(value, shown):
    """A parameter's value, however odd."""
    (only,) = board_of(trial(config={"p": value}))["trials"]

    assert only["parameters"] == [shown]


def test_leaderboard_has_no_keys_of_the_script():
    """Airflow's deserialiser would take ``__classname__`` for more than data."""
    board = board_of(trial(best=0.5, config={"__classname__": "os.system"}, metrics={"__data__": 0.5}))

    assert (board["parameters"], board["metrics"]) == (["__classname__"], ["__data__"])
    assert "__classname__" not in set(board) | set(board["trials"][0])


def test_leaderboard_is_of_bounded_size():
    """10,000 trials of 100 parameters, with long names and values: the best for which there is room."""
    config = {f"parameter-{'x' * 300}-{number}": "y" * 300 for number in range(100)}
    trials = [trial(f"t{number}", best=float(number), config=config) for number in range(10_000)]

    board = board_of(*trials)
    listed = [one["trial_id"] for one in board["trials"]]

    assert listed == [f"t{number}" for number in range(9999, 9999 - len(listed), -1)]
    assert board["omitted"] == 10_000 - len(listed)
    assert board["omitted_columns"] == 50
    assert 225_000 < len(json.dumps(board["trials"])) <= 250_000 + 2 * len(listed)


@pytest.mark.parametrize("room", [PAGE_LIMITS, NO_LIMITS])
def test_leaderboard_of_a_report_lists_all_trials(room):
    """Page and files take all of them."""
    trials = [trial(f"t{number}", config={"p": "y" * 200}) for number in range(2000)]

    board = board_of(*trials, room=room)

    assert (len(board["trials"]), board["omitted"]) == (2000, 0)


@pytest.mark.parametrize(
    ("room", "parameters", "metrics", "omitted"), [(PAGE_LIMITS, 50, 50, 25), (NO_LIMITS, 60, 65, 0)]
)
def test_leaderboard_counts_the_columns_that_it_omits(room, parameters, metrics, omitted):
    """A page cannot show any number of them; files can."""
    one = trial(config={f"p{n}": n for n in range(60)}, metrics={f"m{n}": float(n) for n in range(65)})

    board = board_of(one, room=room)

    assert (len(board["parameters"]), len(board["metrics"])) == (parameters, metrics)
    assert (len(board["trials"][0]["parameters"]), len(board["trials"][0]["metrics"])) == (parameters, metrics)
    assert board["omitted_columns"] == omitted


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ("x" * 300, "x" * 300),
        ("a\nb\u2028c", "a\nb\u2028c"),
        ("\ud800", "?"),  # half a character, which no file can hold
        (list(range(200)), json.dumps(list(range(200)))),
        ({"note": "y" * 300}, json.dumps({"note": "y" * 300})),
        (10**300, str(10**300)),
    ],
)
def test_leaderboard_for_files_cuts_nothing(value, held):
    """Values and names are there to their ends."""
    board = board_of(trial(config={"p" * 300: value}), room=NO_LIMITS)

    assert board["parameters"] == ["p" * 300]
    assert board["trials"][0]["parameters"] == [held]


def test_leaderboard_of_no_trials():
    """A search that has listed none yet."""
    board = board_of()

    assert (board["trials"], board["trial_counts"], board["parameters"]) == ([], [], [])
