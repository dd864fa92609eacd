"""Encodings and columns of the trial table."""

from __future__ import annotations

import pytest
from unit.emulator.calls import column, get_job, get_trials

from modelarts_emulator import Emulator, Search, TrialScript

CONFIGS = {
    "object": {
        "batch_size": 16,
        "learning_rate": 0.08,
        "trial_index": 0,
        "param/batch_size": 16,
        "param/learning_rate": 0.08,
    },
    "json": '{"batch_size": 16, "learning_rate": 0.08, "trial_index": 0, '
    '"param/batch_size": 16, "param/learning_rate": 0.08}',
    "repr": "{'batch_size': 16, 'learning_rate': 0.08, 'trial_index': 0, "
    "'param/batch_size': 16, 'param/learning_rate': 0.08}",
    "decimal": "{'batch_size': 16, 'learning_rate': Decimal('0.08'), 'trial_index': 0, "
    "'param/batch_size': 16, 'param/learning_rate': Decimal('0.08')}",
}


@pytest.mark.parametrize(("encoding", "cell"), CONFIGS.items(), ids=CONFIGS)
def test_config_has_the_chosen_encoding(encoding, cell):
    """A config is written as an object, as JSON text, or as a repr with floats or with decimals."""
    emulator = Emulator(config_encoding=encoding, scenarios=["algorithm-search"])
    page = get_trials(emulator, emulator.job_id("algorithm-search"))

    assert column(page, "config")[0] == cell


def test_decimals_are_written_within_lists_and_objects():
    """Decimals are written at any depth of a config."""
    config = {"layers": [0.5, 3], "optimiser": {"beta": 0.9, "name": "adam"}}
    emulator = Emulator(config_encoding="decimal", scenarios=["tie"])
    job_id = emulator.add_search(Search(name="nested", trials=[TrialScript(trial_id="t", config=config)]))
    cell = column(get_trials(emulator, job_id), "config")[0]

    assert cell.startswith(
        "{'layers': [Decimal('0.5'), 3], 'optimiser': {'beta': Decimal('0.9'), 'name': 'adam'}, 'trial_index': 0"
    )


@pytest.mark.parametrize("option", ["config_encoding", "offset_unit"])
def test_unknown_option_is_refused(option):
    """An unknown option raises an error when the emulator is created."""
    with pytest.raises(ValueError, match="'colour' is not a valid"):
        Emulator(**{option: "colour"})


def test_columns_are_shuffled_by_seed():
    """Seeds decide the order of columns, and cells stay under the names of their columns."""
    headers, cells = [], []
    for seed in (1, 1, 2):
        emulator = Emulator(header_seed=seed, scenarios=["documented"])
        page = get_trials(emulator, emulator.job_id("documented"))
        headers.append(page["items"]["header"])
        cells.append({name: column(page, name) for name in page["items"]["header"]})

    assert headers[0] == headers[1] != headers[2]
    assert sorted(headers[0]) == sorted(headers[2])
    assert cells[0] == cells[2]
    assert cells[0]["trial_id"][3] == "ae5503c0"


def test_extra_columns_are_added():
    """An extra column has the same cell in every row."""
    emulator = Emulator(extra_columns={"node_ip": "10.0.0.1"}, scenarios=["documented"])
    page = get_trials(emulator, emulator.job_id("documented"))

    assert column(page, "node_ip") == ["10.0.0.1"] * 8
    assert page["items"]["header"][-1] == "node_ip"


def test_cells_are_text():
    """All cells except configs are text, in every scenario and at every tick, as on the platform."""
    emulator = Emulator()
    for job_id in emulator.job_ids.values():
        for _ in range(4):
            get_job(emulator, job_id)
            items = get_trials(emulator, job_id)["items"]
            for row in items["data"]:
                others = [cell for name, cell in zip(items["header"], row, strict=False) if name != "config"]
                assert all(isinstance(cell, str) for cell in others)


def test_given_table_is_returned_unchanged():
    """A given table is returned unchanged, because options apply to scripted tables only."""
    emulator = Emulator(config_encoding="repr", header_seed=1, extra_columns={"x": "1"})
    job_id = emulator.add_table(["trial_id", "config"], [["a", {"lr": 0.1}], ["b", None]], objective=("f1", "max"))
    page = get_trials(emulator, job_id)
    job = get_job(emulator, job_id)

    assert page["items"] == {"header": ["trial_id", "config"], "data": [["a", {"lr": 0.1}], ["b", None]]}
    assert job["status"]["phase"] == "Completed"
    assert job["algorithm"]["policies"]["auto_search"]["reward_attrs"][0]["name"] == "f1"


def test_given_job_is_returned_unchanged():
    """A given job is returned unchanged by every read."""
    emulator = Emulator()
    emulator.add_job("mine", {"metadata": {"id": "mine"}, "anything": [1, None]})

    assert [get_job(emulator, "mine") for _ in range(2)] == [{"metadata": {"id": "mine"}, "anything": [1, None]}] * 2
    assert get_trials(emulator, "mine")["items"] == {"header": [], "data": []}
