"""Expected end of every scenario, written by hand from its cells."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Best:
    """A best trial: its id, its value, and its hyperparameters."""

    trial_id: str
    value: float
    config: dict[str, object]


@dataclass(frozen=True)
class Truth:
    """Expected state of a scenario at its end.

    :param phase: final phase of the job.
    :param looks: number of GETs of the job after which nothing changes.
    :param counts: trials by status at the end.
    :param best: the best trial; None if the scenario has none, or if the caller must name the objective.
    """

    phase: str
    looks: int
    counts: dict[str, int] = field(default_factory=dict)
    best: Best | None = None


TRUTH = {
    "documented": Truth(
        "Completed",
        0,
        {"TERMINATED": 8},
        Best("ae5503c0", 0.25, {"batch_size": 32, "learning_rate": 0.0340820322164706}),
    ),
    "growing": Truth(
        "Completed", 13, {"TERMINATED": 8}, Best("97a00004", 0.9375, {"batch_size": 64, "learning_rate": 0.02})
    ),
    "large": Truth(
        "Completed", 0, {"TERMINATED": 120}, Best("1a490071", 0.725, {"batch_size": 64, "learning_rate": 0.114})
    ),
    "failing-trial": Truth(
        "Completed", 5, {"TERMINATED": 3, "ERROR": 1}, Best("fa110002", 0.77, {"learning_rate": 0.04})
    ),
    "failing-job": Truth("Failed", 3, {"TERMINATED": 1, "RUNNING": 1}),
    "abnormal-job": Truth("Abnormal", 2),
    "stopped-job": Truth(
        "Terminated", 0, {"TERMINATED": 3, "RUNNING": 2}, Best("50900001", 0.69, {"learning_rate": 0.04})
    ),
    "tie": Truth("Completed", 0, {"TERMINATED": 5}, Best("71e00002", 0.875, {"learning_rate": 0.07})),
    "nan": Truth("Completed", 0, {"TERMINATED": 10}, Best("0a0a0004", 0.91, {"learning_rate": 0.05})),
    "minimise": Truth("Completed", 0, {"TERMINATED": 5}, Best("31400002", 0.031, {"learning_rate": 0.03})),
    "algorithm-search": Truth(
        "Completed", 4, {"TERMINATED": 3}, Best("a1900001", 0.81, {"batch_size": 64, "learning_rate": 0.04})
    ),
    "no-search": Truth("Completed", 0),
    "two-objectives": Truth("Completed", 0, {"TERMINATED": 4}),
    "pending-forever": Truth("Running", 0, {"PENDING": 1}),
    "unknown-status": Truth(
        "Completed", 3, {"TERMINATED": 2, "EARLY_STOPPED": 1}, Best("0dd00002", 0.71, {"learning_rate": 0.02})
    ),
    "lagging": Truth("Completed", 4, {"TERMINATED": 3}, Best("1a660001", 0.83, {"learning_rate": 0.04})),
    "never-settles": Truth("Completed", 0, {"TERMINATED": 1, "RUNNING": 1}),
    "silent": Truth("Completed", 4, {"TERMINATED": 3}),
}

#: Scenarios whose objective the caller must name: scenario, metric, mode, and best trial.
TRUTH_BY_METRIC = [
    ("two-objectives", "acc", "max", Best("2b000001", 0.92, {"learning_rate": 0.02})),
    ("two-objectives", "loss", "min", Best("2b000002", 0.12, {"learning_rate": 0.03})),
    ("silent", None, "max", Best("51e70001", 0.68, {"learning_rate": 0.04})),
    ("minimise", "acc", "max", Best("31400001", 0.93, {"learning_rate": 0.02})),
]
