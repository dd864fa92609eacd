"""Importance of hyperparameters, from tables in every encoding."""

from __future__ import annotations

import pytest

from modelarts_emulator.documents import ConfigEncoding, TablePage
from modelarts_emulator.errors import Refusal
from modelarts_emulator.importance import importance_table

HEADER = ["trial_id", "status", "config", "best_reward"]


def table(encoding=ConfigEncoding.OBJECT, *, count=12, value="{}"):
    """Return a table in which only ``x`` matters."""
    configs = [{"x": number, "y": number % 3 / 10, "trial_index": number, "param/x": number} for number in range(count)]
    data = [
        [f"t{number}", "TERMINATED", encoding.write(config), value.format(number / 10)]
        for number, config in enumerate(configs)
    ]
    return TablePage(HEADER, data, count)


@pytest.mark.parametrize("encoding", [ConfigEncoding.OBJECT, ConfigEncoding.JSON_TEXT, ConfigEncoding.REPR])
@pytest.mark.parametrize("value", ["{}", "tensor({}, device='cuda:0')"])
def test_importance_is_computed_from_every_encoding(encoding, value):
    """Importance is computed for the hyperparameters of every encoding, without the platform's own keys."""
    figures = dict(importance_table({}, table(encoding, value=value))["data"])

    assert list(figures) == ["x", "y"]
    assert float(figures["x"].split("/")[0]) > float(figures["y"].split("/")[0])


def test_only_terminated_trials_with_a_value_count():
    """Only TERMINATED trials with a readable config and a value count, and fewer than two are refused."""
    page = table(count=1)
    rows = [["e", "ERROR", {"x": 1}, "0.5"], ["n", "TERMINATED", {"x": 2}, "nan"], ["b", "TERMINATED", "?", "0.5"]]

    with pytest.raises(Refusal, match="requires 2 finished trials with a value, and there are 1"):
        importance_table({}, TablePage(HEADER, [*page.data, *rows], 4))
