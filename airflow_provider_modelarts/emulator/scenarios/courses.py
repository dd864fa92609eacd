"""Searches by the course they take: which trial is listed, runs and ends at which look."""

from __future__ import annotations

from airflow_provider_modelarts.emulator.script import Search, TrialScript


def growing() -> Search:
    """Return a search that lists its eight trials only as they start.

    At looks 6 and 7 three trials are listed, all of them TERMINATED, and five are still to come. Metrics appear
    late: in blank cells first, or in rows that are too short.
    """
    return Search(
        name="growing",
        phases=((0, "Creating"), (2, "Pending"), (3, "Running"), (13, "Completed")),
        objectives={"acc": "max"},
        num_samples=8,
        trials=[
            TrialScript(
                trial_id="97a00000",
                config={"batch_size": 16, "learning_rate": 0.09},
                listed=3, starts=3, ends=5,
                early=[(4, {"acc": "0.31", "loss": "1.1"})],
                cells={"acc": "0.42", "loss": "0.93"},
            ),
            TrialScript(
                trial_id="97a00001",
                config={"batch_size": 32, "learning_rate": 0.07},
                listed=3, starts=4, ends=6,
                cells={"acc": "0.55", "loss": "0.81"},
            ),
            TrialScript(
                trial_id="97a00002",
                config={"batch_size": 32, "learning_rate": 0.05},
                listed=4, starts=4, ends=6,
                cells={"acc": "0.61", "loss": "0.72"},
                short_row=True,
            ),
            TrialScript(
                trial_id="97a00003",
                config={"batch_size": 64, "learning_rate": 0.03},
                listed=8, starts=8, ends=10,
                early=[(9, {"acc": "0.5", "loss": "0.88"})],
                cells={"acc": "0.74", "loss": "0.55"},
            ),
            TrialScript(
                trial_id="97a00004",
                config={"batch_size": 64, "learning_rate": 0.02},
                listed=8, starts=9, ends=10,
                cells={"acc": "0.9375", "loss": "0.21"},
                short_row=True,
            ),
            TrialScript(
                trial_id="97a00005",
                config={"batch_size": 64, "learning_rate": 0.01},
                listed=9, starts=9, ends=11,
                early=[(10, {"acc": "0.9", "loss": "0.3"})],
                cells={"acc": "0.86", "loss": "0.33", "best_reward": "0.9"},
            ),
            TrialScript(
                trial_id="97a00006",
                config={"batch_size": 16, "learning_rate": 0.005},
                listed=10, starts=10, ends=12,
                cells={"acc": "0.8", "loss": "0.41"},
            ),
            TrialScript(
                trial_id="97a00007",
                config={"batch_size": 32, "learning_rate": 0.001},
                listed=10, starts=11, ends=12,
                cells={"acc": "0.58", "loss": "0.77"},
                short_row=True,
            ),
        ],
    )  # fmt: skip


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
