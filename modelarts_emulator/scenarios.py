"""Scripted searches that an emulator holds, by name. The tests state the truth about each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from modelarts_emulator.json_values import JSON
from modelarts_emulator.scenario import Search, TrialScript

# trial_id, pid, batch_size, learning_rate, time_total_s, acc, loss
_TRIALS = (
    ("ae544174", "314", 32, 0.05512301741232006, "19.477163314819336", "0.0625", "0.0754"),
    ("ae548666", "315", 32, 0.0785570955603036, "3.601897954940796", "0.0", "0.0760"),
    ("ae54c0ea", "312", 16, 0.04015387428829642, "3.5978384017944336", "0.1875", "0.1469"),
    ("ae5503c0", "313", 32, 0.0340820322164706, "3.641200304031372", "0.25", "0.0716"),
    ("bef46590", "470", 32, 0.03656488928171769, "3.6120550632476807", "0.09375", "0.0740"),
    ("bef578f4", "499", 32, 0.008413169003970163, "3.6379287242889404", "0.1875", "0.0723"),
    ("bef5c584", "528", 64, 0.06297447200613912, "3.711118221282959", "0.046875", "0.0381"),
    ("bef60684", "557", 32, 0.04426479392014276, "3.6971280574798584", "0.0625", "0.0778"),
)


def documented() -> Search:
    """Return a Completed search with the trials of the sample response of ShowAutoSearchTrials, cell by cell."""
    return Search(
        name="documented",
        objectives={"acc": "max"},
        num_samples=8,
        trials=[
            TrialScript(
                trial_id=trial_id,
                config={"batch_size": batch_size, "learning_rate": learning_rate},
                cells={
                    "pid": pid,
                    "training_iteration": "2",
                    "time_total_s": seconds,
                    "acc": acc,
                    "loss": f"tensor({loss}, device='cuda:0', requires_grad=True)",
                },
            )
            for trial_id, pid, batch_size, learning_rate, seconds, acc, loss in _TRIALS
        ],
    )


# trial_id, batch_size, learning_rate; ticks at which it is listed, starts and ends; acc and loss; tick, acc and loss of
# an earlier report; whether its row is short
_GROWING: Sequence[tuple[str, int, float, int, int, int, str, str, tuple[int, str, str] | None, bool]] = (
    ("97a00000", 16, 0.09, 3, 3, 5, "0.42", "0.93", (4, "0.31", "1.1"), False),
    ("97a00001", 32, 0.07, 3, 4, 6, "0.55", "0.81", None, False),
    ("97a00002", 32, 0.05, 4, 4, 6, "0.61", "0.72", None, True),
    ("97a00003", 64, 0.03, 8, 8, 10, "0.74", "0.55", (9, "0.5", "0.88"), False),
    ("97a00004", 64, 0.02, 8, 9, 10, "0.9375", "0.21", None, True),
    ("97a00005", 64, 0.01, 9, 9, 11, "0.86", "0.33", (10, "0.9", "0.3"), False),
    ("97a00006", 16, 0.005, 10, 10, 12, "0.8", "0.41", None, False),
    ("97a00007", 32, 0.001, 10, 11, 12, "0.58", "0.77", None, True),
)


def growing() -> Search:
    """Return a search that lists its eight trials only as they start.

    At ticks 6 and 7 three trials are listed, all of them TERMINATED, and five are still to come. Metrics appear late:
    first as blank cells, or in rows that are shorter than the header. One trial was better before its end.
    """
    trials = []
    for trial_id, batch_size, learning_rate, listed, starts, ends, acc, loss, before, short_row in _GROWING:
        early = [(before[0], {"acc": before[1], "loss": before[2]})] if before else []
        best = max([acc, *(cells["acc"] for _, cells in early)], key=float)
        trials.append(
            TrialScript(
                trial_id=trial_id,
                config={"batch_size": batch_size, "learning_rate": learning_rate},
                listed=listed,
                starts=starts,
                ends=ends,
                early=early,
                cells={"acc": acc, "loss": loss, "best_reward": best},
                short_row=short_row,
            )
        )
    phases = ((0, "Creating"), (2, "Pending"), (3, "Running"), (13, "Completed"))
    return Search(name="growing", phases=phases, objectives={"acc": "max"}, num_samples=8, trials=trials)


def failing_trial() -> Search:
    """Return a search with one trial in ERROR from tick 2 on, while the others continue."""
    return Search(
        name="failing-trial",
        phases=((0, "Running"), (5, "Completed")),
        objectives={"acc": "max"},
        num_samples=4,
        trials=[
            TrialScript(trial_id="fa110000", config={"learning_rate": 0.08}, cells={"acc": "0.41"}, ends=1),
            TrialScript(
                trial_id="fa110001",
                config={"learning_rate": 5.0},
                early=[(1, {"acc": "0.99"})],
                cells={"acc": "0.99"},
                ends=2,
                status="ERROR",
            ),
            TrialScript(trial_id="fa110002", config={"learning_rate": 0.04}, cells={"acc": "0.77"}, ends=3),
            TrialScript(trial_id="fa110003", config={"learning_rate": 0.02}, cells={"acc": "0.63"}, ends=4),
        ],
    )


def pending_forever() -> Search:
    """Return a search whose only trial stays PENDING."""
    return Search(
        name="pending-forever",
        phases=((0, "Running"),),
        objectives={"acc": "max"},
        num_samples=4,
        trials=[TrialScript(trial_id="9e9d0000", config={"learning_rate": 0.05}, starts=None, ends=None)],
    )


def unknown_status() -> Search:
    """Return a search whose trial with the highest value ends in an undocumented status."""
    return Search(
        name="unknown-status",
        phases=((0, "Running"), (3, "Completed")),
        objectives={"acc": "max"},
        num_samples=3,
        trials=[
            TrialScript(trial_id="0dd00000", config={"learning_rate": 0.08}, cells={"acc": "0.52"}, ends=1),
            TrialScript(
                trial_id="0dd00001",
                config={"learning_rate": 0.04},
                cells={"acc": "0.95"},
                ends=2,
                status="EARLY_STOPPED",
            ),
            TrialScript(trial_id="0dd00002", config={"learning_rate": 0.02}, cells={"acc": "0.71"}, ends=2),
        ],
    )


def lagging() -> Search:
    """Return a search whose table lags behind: the job is Completed at tick 2, one trial RUNNING until tick 4."""
    return Search(
        name="lagging",
        phases=((0, "Running"), (2, "Completed")),
        objectives={"acc": "max"},
        num_samples=3,
        trials=[
            TrialScript(trial_id="1a660000", config={"learning_rate": 0.08}, cells={"acc": "0.66"}, ends=1),
            TrialScript(trial_id="1a660001", config={"learning_rate": 0.04}, cells={"acc": "0.83"}, ends=4),
            TrialScript(trial_id="1a660002", config={"learning_rate": 0.02}, cells={"acc": "0.59"}, ends=1),
        ],
    )


def never_settles() -> Search:
    """Return a search that ended an hour ago and still lists one trial as RUNNING."""
    return Search(
        name="never-settles",
        objectives={"acc": "max"},
        num_samples=2,
        trials=[
            TrialScript(trial_id="5e770000", config={"learning_rate": 0.08}, cells={"acc": "0.66"}),
            TrialScript(trial_id="5e770001", config={"learning_rate": 0.04}, early=[(0, {"acc": "0.7"})], ends=None),
        ],
    )


def running_search(name: str, num_samples: int, terminated: int) -> Search:
    """Return a search that stays Running and lists some of its trials, all of them TERMINATED.

    The value of each trial is one hundredth more than that of the previous one.
    """
    return Search(
        name=name,
        phases=((0, "Running"),),
        objectives={"acc": "max"},
        num_samples=num_samples,
        trials=[
            TrialScript(
                trial_id=f"add0{number:04x}",
                config={"learning_rate": 0.01 * (number + 1)},
                cells={"acc": f"{(number + 1) / 100}"},
            )
            for number in range(terminated)
        ],
    )


_BEST_OF_LARGE = 113


def large() -> Search:
    """Return a search of 120 trials on three pages, with the best of them on the last page."""
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
    """Return a search in which two trials share the best value. The one with the lower index is listed later."""
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
    """Return a search whose values are mostly not finite, in all the ways in which Python and PyTorch print them.

    The best value is in a tensor. A reader of plain numbers misses it, and a reader that accepts infinity, or compares
    with NaN, chooses another trial.
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
    """Return a search with the mode ``min``. The trial with the highest loss is not the best by acc."""
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
    """Return a search with two objectives, each with another best trial."""
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
    """Return a Completed search whose trials report the given values, with learning rates of 0.01, 0.02, and so on."""
    trials = []
    for number, cells in enumerate(values):
        config: dict[str, JSON] = {"learning_rate": (number + 1) / 100}
        trials.append(TrialScript(trial_id=f"{prefix}{number:04x}", config=config, cells=cells))
    return Search(name=name, objectives=objectives, num_samples=len(trials), trials=trials)


def failing_job() -> Search:
    """Return a job that fails at tick 3, in the middle of its search."""
    return Search(
        name="failing-job",
        phases=((0, "Running"), (3, "Failed")),
        objectives={"acc": "max"},
        num_samples=4,
        message="CUDA out of memory",
        trials=[
            TrialScript(trial_id="fa1e0000", config={"learning_rate": 0.08}, cells={"acc": "0.5"}, ends=1),
            TrialScript(trial_id="fa1e0001", config={"learning_rate": 0.04}, ends=None),
        ],
    )


def abnormal_job() -> Search:
    """Return a job whose creation fails."""
    return Search(
        name="abnormal-job",
        phases=((0, "Creating"), (2, "Abnormal")),
        objectives={"acc": "max"},
        num_samples=4,
        message="failed to pull the image",
    )


def stopped_job() -> Search:
    """Return a job that was stopped while two of its trials were running, one of them with the highest value."""
    return Search(
        name="stopped-job",
        phases=((0, "Terminated"),),
        objectives={"acc": "max"},
        num_samples=8,
        trials=[
            TrialScript(trial_id="50900000", config={"learning_rate": 0.08}, cells={"acc": "0.44"}),
            TrialScript(trial_id="50900001", config={"learning_rate": 0.04}, cells={"acc": "0.69"}),
            TrialScript(trial_id="50900002", config={"learning_rate": 0.02}, cells={"acc": "0.52"}),
            TrialScript(trial_id="50900003", config={"learning_rate": 0.01}, early=[(0, {"acc": "0.97"})], ends=None),
            TrialScript(trial_id="50900004", config={"learning_rate": 0.005}, ends=None),
        ],
    )


def algorithm_search() -> Search:
    """Return a search that is Completed at tick 4, and whose job holds only the id of an algorithm."""
    return Search(
        name="algorithm-search",
        algorithm_id="00000000-0000-4000-8000-algorithm",
        phases=((0, "Running"), (4, "Completed")),
        objectives={"acc": "max"},
        num_samples=3,
        trials=[
            TrialScript(
                trial_id="a1900000", config={"batch_size": 16, "learning_rate": 0.08}, cells={"acc": "0.48"}, ends=1
            ),
            TrialScript(
                trial_id="a1900001", config={"batch_size": 64, "learning_rate": 0.04}, cells={"acc": "0.81"}, ends=2
            ),
            TrialScript(
                trial_id="a1900002", config={"batch_size": 32, "learning_rate": 0.02}, cells={"acc": "0.73"}, ends=3
            ),
        ],
    )


def no_search() -> Search:
    """Return a plain training job, Completed."""
    return Search(name="no-search")


def silent() -> Search:
    """Return a search without settings: only the end of its job, at tick 4, shows that it is over."""
    return Search(
        name="silent",
        phases=((0, "Running"), (4, "Completed")),
        trials=[
            TrialScript(
                trial_id="51e70000",
                config={"learning_rate": 0.08},
                cells={"reward_attr": "0.51", "acc": "0.51"},
                ends=1,
            ),
            TrialScript(
                trial_id="51e70001",
                config={"learning_rate": 0.04},
                cells={"reward_attr": "0.68", "acc": "0.68"},
                ends=2,
            ),
            TrialScript(
                trial_id="51e70002",
                config={"learning_rate": 0.02},
                cells={"reward_attr": "0.57", "acc": "0.57"},
                listed=3,
                starts=3,
                ends=3,
            ),
        ],
    )


#: Function that makes the search of a scenario, by name.
SCENARIOS: Mapping[str, Callable[[], Search]] = {
    "documented": documented,
    "growing": growing,
    "large": large,
    "failing-trial": failing_trial,
    "failing-job": failing_job,
    "abnormal-job": abnormal_job,
    "stopped-job": stopped_job,
    "tie": tie,
    "nan": nan,
    "minimise": minimise,
    "algorithm-search": algorithm_search,
    "no-search": no_search,
    "two-objectives": two_objectives,
    "pending-forever": pending_forever,
    "unknown-status": unknown_status,
    "lagging": lagging,
    "never-settles": never_settles,
    "silent": silent,
}


@cache
def scenario(name: str) -> Search:
    """Return the search of a scenario. Searches never change, so that all emulators of a process share them."""
    return SCENARIOS[name]()
