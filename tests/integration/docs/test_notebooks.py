"""The code of the notebooks page and of the README runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from unit.emulator.truth import TRUTH

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(name="account")
def _account(connected, monkeypatch):
    """Set the environment of an account on the emulator, and return the emulator."""
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
    """Run all blocks of the page in order on the emulator, and return the globals."""
    names = {}
    for block in BLOCKS:
        exec(compile(block, "notebooks.md", "exec"), names)  # noqa: S102 - our own page
    yield names
    names["client"].close()


def test_every_block_is_run():
    """No block has a language or an indentation that the test does not read."""
    assert len(BLOCKS) == 7
    assert len(re.findall(r"^\s*(?:```|~~~)", PAGE, re.MULTILINE)) == 2 * (len(BLOCKS) + len(["pip install"]))


def test_page_finds_the_best_trial(capsys, notebook):
    """Data frame and study have the expected best trial, and the page prints it."""
    best = TRUTH["large"].best

    assert notebook["best"]["trial_id"] == best.trial_id
    assert notebook["best"]["value"] == best.value
    assert capsys.readouterr().out.endswith(f"{best.trial_id} {best.value} {best.config}\n")


def test_hook_reads_what_the_client_reads(notebook):
    """The trials are the same with and without Airflow."""
    assert len(notebook["trials"]) == 120
    assert notebook["trials"] == notebook["client"].list_trials(notebook["job"].id)


def test_page_compares_by_other_criteria(notebook):
    """The other criteria of the page select by duration and by last report."""
    frame = notebook["frame"]

    assert notebook["fastest"].value == frame["duration"].min().total_seconds()
    assert notebook["last"]["value"].tolist() == frame["metrics_acc"].tolist()


def test_page_computes_hyperparameter_importances(notebook):
    """Both hyperparameters have an importance, and the sum is 1."""
    assert sorted(notebook["importances"]) == ["batch_size", "learning_rate"]
    assert sum(notebook["importances"].values()) == pytest.approx(1)


def test_table_lists_every_column(notebook):
    """The table has exactly the columns of the data frame."""
    described = re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)))
    columns = {re.sub(r"^(params|metrics)_.*", r"\1_<name>", name) for name in notebook["frame"]}

    assert set(described) == columns


def test_example_of_the_readme_finds_the_best_trial(account, capsys):
    """The example runs unchanged, except for the endpoint and project id of the emulator."""
    (block,) = [
        block for block in re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE) if "frame" in block
    ]
    emulator = f'endpoint="{account.endpoint}", project_id="{account.project_id}"'
    settings = f'Settings(credentials=key, region="cn-north-4", {emulator})'
    names = {}

    exec(block.replace('Settings(credentials=key, region="cn-north-4")', settings), names)  # noqa: S102 - our own page

    best = TRUTH["large"].best
    assert capsys.readouterr().out == f"{best.config} {best.value}\n"
    assert len(names["frame"]) == 120
