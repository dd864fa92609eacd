"""Searches by the course they take: which trial is listed, runs and ends at which look."""

from __future__ import annotations

from collections.abc import Sequence

from modelarts_emulator.script import Search, TrialScript

#: Of ``growing``: trial_id, batch_size, learning_rate; the looks at which it is listed, starts and ends; acc and loss;
#: look, acc and loss of an earlier report; whether its row is short.
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

    At looks 6 and 7 three trials are listed, all of them TERMINATED, and five are still to come. Metrics appear
    late: in blank cells first, or in rows that are too short. One trial was better before its end.
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
    """Return a search with one trial in ERROR, from the second look on, while the others go on."""
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
    """Return a search whose only trial waits for ever."""
    return Search(
        name="pending-forever",
        phases=((0, "Running"),),
        objectives={"acc": "max"},
        num_samples=4,
        trials=[TrialScript(trial_id="9e9d0000", config={"learning_rate": 0.05}, starts=None, ends=None)],
    )


def unknown_status() -> Search:
    """Return a search with a trial that ends in a status nobody has heard of, with the highest value."""
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
    """Return a search whose table lags behind: the job is Completed at look 2, one trial RUNNING until look 4."""
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
    """Return a search that stays Running, with some of its trials listed, all of those TERMINATED.

    The value of each is one hundredth more than that of the one before.
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
