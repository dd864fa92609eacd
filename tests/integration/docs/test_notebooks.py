"""The page on notebooks and the README's example of one are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from integration.emulator.truth import TRUTH

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(name="account")
def _account(connected, monkeypatch):
    """The environment of somebody who has an account at a local ModelArts."""
    environment = {
        "HUAWEICLOUD_SDK_AK": connected.access_key,
        "HUAWEICLOUD_SDK_SK": connected.secret_key,
        "HUAWEICLOUD_SDK_PROJECT_ID": connected.project_id,
        "MODELARTS_ENDPOINT": connected.endpoint,
        "TRAINING_JOB_ID": connected.job_id("large"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return connected


@pytest.fixture(name="notebook")
def _notebook(account):
    """The names of a notebook in which all blocks of the page were run, in their order, on a local ModelArts."""
    names = {}
    for block in BLOCKS:
        exec(compile(block, "notebooks.md", "exec"), names)  # noqa: S102 - our own page
    yield names
    names["client"].close()


def test_every_block_is_run():
    """None is in a language, or in an indentation, that hides it from the test."""
    assert len(BLOCKS) == 7
    assert len(re.findall(r"^\s*(?:```|~~~)", PAGE, re.MULTILINE)) == 2 * (len(BLOCKS) + len(["pip install"]))


def test_page_finds_the_best_trial(capsys, notebook):
    """In the data frame and in the study it is the one that the truth names, in words that the page prints."""
    best = TRUTH["large"].best

    assert notebook["best"]["trial_id"] == best.trial_id
    assert notebook["best"]["value"] == best.value
    assert capsys.readouterr().out.endswith(f"{best.trial_id} {best.value} {best.config}\n")


def test_hook_reads_what_the_client_reads(notebook):
    """With Airflow and without it, the trials are the same."""
    assert len(notebook["trials"]) == 120
    assert notebook["trials"] == notebook["client"].list_trials(notebook["job"].id)


def test_page_compares_by_something_else(notebook):
    """The other criteria of the page are true to their names."""
    frame = notebook["frame"]

    assert notebook["quickest"].value == frame["duration"].min().total_seconds()
    assert notebook["last"]["value"].tolist() == frame["metrics_acc"].tolist()


def test_page_tells_which_hyperparameters_matter(notebook):
    """Both have their share."""
    assert sorted(notebook["importances"]) == ["batch_size", "learning_rate"]
    assert sum(notebook["importances"].values()) == pytest.approx(1)


def test_table_of_columns_is_that_of_the_frame(notebook):
    """Every column is described, and nothing else is."""
    described = re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)))
    columns = {re.sub(r"^(params|metrics)_.*", r"\1_<name>", name) for name in notebook["frame"]}

    assert set(described) == columns


def test_example_of_the_readme_finds_the_best_trial(account, capsys):
    """Only the region leads elsewhere: to the local ModelArts."""
    (block,) = [
        block for block in re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE) if "frame" in block
    ]
    there = f'endpoint="{account.endpoint}", project_id="{account.project_id}"'
    settings = f'Settings(credentials=key, region="cn-north-4", {there})'
    names = {}

    exec(block.replace('Settings(credentials=key, region="cn-north-4")', settings), names)  # noqa: S102 - our own page

    best = TRUTH["large"].best
    assert capsys.readouterr().out == f"{best.config} {best.value}\n"
    assert len(names["frame"]) == 120
