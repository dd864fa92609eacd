"""Listing of trials by both clients while the table changes."""

from __future__ import annotations

import pytest
from integration.emulated import requests_for, settings_of

from airflow_provider_modelarts.exceptions import ModelArtsProtocolError


def ids(trials):
    """Return the ids of trials."""
    return [trial.trial_id for trial in trials]


IDS = ["ae544174", "ae548666", "ae54c0ea", "ae5503c0", "bef46590", "bef578f4", "bef5c584", "bef60684"]
PAGES = {
    "rows reversed": IDS,
    "rows repeated": IDS,
    "page shrinks": IDS,
    "page grows": [*IDS, "f00000ff"],
    "reset": IDS,
}


@pytest.mark.parametrize(("fault", "expected"), PAGES.items())
@pytest.mark.parametrize("page", [1, 2])
def test_listing_is_complete_though_one_page_differs(modelarts_emulator, call, fault, expected, page):
    """One of three pages contradicts the others: every trial is still listed exactly once."""
    modelarts_emulator.respond_next("autosearch-trials", fault=fault, after=page)

    trials = call(settings_of(modelarts_emulator), "list_trials", modelarts_emulator.job_id("documented"), page_size=3)

    assert sorted(ids(trials)) == expected
    assert requests_for(modelarts_emulator, "autosearch-trials") <= 9


def change(rows, how):
    """Change the rows of a table."""
    if how == "reversed":
        rows.reverse()
    elif how == "first row gone":
        del rows[0]
    elif how == "row in front":
        rows.insert(0, ["t9", "TERMINATED", {}])


CHANGES = {
    "reversed": ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"],
    "first row gone": ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"],
    "row in front": ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t9"],
}


@pytest.mark.parametrize(("how", "expected"), CHANGES.items())
@pytest.mark.parametrize("page", ["1", "2"])
def test_listing_is_complete_though_the_table_changes(modelarts_emulator, call, how, expected, page):
    """Rows move, disappear or appear between two pages: no trial is missed."""
    rows = [[f"t{number}", "TERMINATED", {}] for number in range(8)]
    job_id = modelarts_emulator.add_table(["trial_id", "status", "config"], rows)
    changes = iter([how])
    modelarts_emulator.on_request = lambda request: (
        change(rows, next(changes, "")) if request.query.get("offset") == page else None
    )

    trials = call(settings_of(modelarts_emulator), "list_trials", job_id, page_size=3)

    assert sorted(ids(trials)) == expected


def test_table_with_every_trial_twice_is_an_error(modelarts_emulator, call):
    """The message counts 16 rows and 8 trials, and the number of requests is bounded."""
    rows = [[f"t{number}", "TERMINATED", {}] for number in range(8)]
    job_id = modelarts_emulator.add_table(["trial_id", "status", "config"], rows * 2)

    with pytest.raises(ModelArtsProtocolError, match=r"reports 16 trials but .* 8"):
        call(settings_of(modelarts_emulator), "list_trials", job_id, page_size=3)

    assert requests_for(modelarts_emulator, job_id) <= 30
