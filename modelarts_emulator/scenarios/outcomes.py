"""Searches by how their job ends, and by where it keeps their settings."""

from __future__ import annotations

from modelarts_emulator.script import Search, TrialScript


def failing_job() -> Search:
    """Return a job that fails at the third look, in the middle of its search."""
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
    """Return a job that cannot be created."""
    return Search(
        name="abnormal-job",
        phases=((0, "Creating"), (2, "Abnormal")),
        objectives={"acc": "max"},
        num_samples=4,
        message="failed to pull the image",
    )


def stopped_job() -> Search:
    """Return a job that somebody stopped while two of its trials ran, one of them ahead of all others."""
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
    """Return a search that runs for three looks, and whose job holds only the id of an algorithm."""
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
    """Return a search whose settings nobody tells, so that only its job's end, at look 4, shows that it is over."""
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
