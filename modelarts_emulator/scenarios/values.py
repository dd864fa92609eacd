"""Completed searches by the values that their trials report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_provider_modelarts.core.json_values import JSON
from modelarts_emulator.script import Search, TrialScript

_BEST_OF_LARGE = 113


def large() -> Search:
    """Return a search of 120 trials, three pages of 50 and less, the best of them on the last page."""
    return Search(
        name="large",
        objectives={"acc": "max"},
        num_samples=120,
        trials=[
            TrialScript(
                trial_id=f"1a49{number:04x}",
                config={"batch_size": (16, 32, 64)[number % 3], "learning_rate": (number + 1) / 1000},
                cells={"acc": "0.725" if number == _BEST_OF_LARGE else f"{0.5 + number * 37 % 101 / 1000:.3f}"},
            )
            for number in range(120)
        ],
    )


def tie() -> Search:
    """Return a search in which two trials share the best value; the one that came first is listed later."""
    rows: tuple[tuple[str, int, float, str], ...] = (
        ("71e00000", 0, 0.09, "0.61"),
        ("71e00004", 4, 0.05, "0.875"),
        ("71e00003", 3, 0.06, "0.8"),
        ("71e00002", 2, 0.07, "0.875"),
        ("71e00001", 1, 0.08, "0.7"),
    )
    return Search(
        name="tie",
        objectives={"acc": "max"},
        num_samples=5,
        trials=[
            TrialScript(trial_id=trial_id, index=index, config={"learning_rate": rate}, cells={"acc": acc})
            for trial_id, index, rate, acc in rows
        ],
    )


def nan() -> Search:
    """Return a search whose values are mostly none, in all the ways in which Python and PyTorch print them.

    The best is in a tensor, where who reads only plain numbers misses it; who takes infinity for a number, or
    compares with NaN, finds another.
    """
    return _of_values(
        "nan",
        "0a0a",
        {"acc": "max"},
        [
            {"acc": "nan"},
            {"acc": "0.62"},
            {"acc": "inf"},
            {"acc": ""},
            {"acc": "tensor(0.91, device='cuda:0')"},
            {"acc": "tensor(nan, device='cuda:0')"},
            {"acc": "None"},
            {"acc": "0.84"},
            {"acc": "-inf"},
            {"acc": "NaN"},
        ],
    )


def minimise() -> Search:
    """Return a search that wants less of its objective; the trial with the most is another than the best by acc."""
    return _of_values(
        "minimise",
        "3140",
        {"loss": "min"},
        [
            {"loss": "0.52", "acc": "0.81"},
            {"loss": "0.47", "acc": "0.93"},
            {"loss": "tensor(0.031, device='cuda:0', requires_grad=True)", "acc": "0.88"},
            {"loss": "1.9", "acc": "0.35"},
            {"loss": "0.2", "acc": "0.9"},
        ],
    )


def two_objectives() -> Search:
    """Return a search with two objectives, which two different trials meet best."""
    return _of_values(
        "two-objectives",
        "2b00",
        {"acc": "max", "loss": "min"},
        [
            {"acc": "0.7", "loss": "0.4"},
            {"acc": "0.92", "loss": "0.35"},
            {"acc": "0.85", "loss": "0.12"},
            {"acc": "0.6", "loss": "0.5"},
        ],
    )


def _of_values(name: str, prefix: str, objectives: Mapping[str, str], values: Iterable[Mapping[str, str]]) -> Search:
    """Return a Completed search whose trials report the given values, with learning rates of 0.01, 0.02, and on."""
    trials = []
    for number, cells in enumerate(values):
        config: dict[str, JSON] = {"learning_rate": (number + 1) / 100}
        trials.append(TrialScript(trial_id=f"{prefix}{number:04x}", config=config, cells=cells))
    return Search(name=name, objectives=objectives, num_samples=len(trials), trials=trials)
