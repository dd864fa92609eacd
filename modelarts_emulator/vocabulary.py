"""Words and limits of the platform, from its API reference."""

from __future__ import annotations

from enum import StrEnum

#: Task of every job. The emulator runs jobs on one node.
TASK = "worker-0"

#: Workspace of a job whose body names none, and of a job search that names none.
DEFAULT_WORKSPACE = "0"

#: Largest ``limit`` of the trial listing and the job search.
MAX_PAGE_SIZE = 50

#: Algorithms of ShowSearchAlgorithms.
SEARCH_ALGORITHMS = ("bayes_opt_search", "tpe_search", "anneal_search")

#: Columns of the trial table before and after the metrics.
LEADING_COLUMNS = (
    "",
    "done",
    "pid",
    "config",
    "trial_id",
    "training_iteration",
    "time_total_s",
    "worker_index",
    "reward_attr",
    "status",
)
LAST_COLUMN = "best_reward"


class JobPhase(StrEnum):
    """Phase of a training job: ``status.phase`` of ShowTrainingJobDetails."""

    CREATING = "Creating"
    PENDING = "Pending"
    RUNNING = "Running"
    TERMINATING = "Terminating"
    COMPLETED = "Completed"
    FAILED = "Failed"
    ABNORMAL = "Abnormal"
    TERMINATED = "Terminated"

    @property
    def is_starting(self) -> bool:
        """Whether the job is not running yet."""
        return self in {JobPhase.CREATING, JobPhase.PENDING}

    @property
    def is_failure(self) -> bool:
        """Whether the job failed. A stopped job did not."""
        return self in {JobPhase.FAILED, JobPhase.ABNORMAL}

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.is_failure or self in {JobPhase.COMPLETED, JobPhase.TERMINATED}


class TrialStatus(StrEnum):
    """Status of a trial. ``TERMINATED`` is its normal end."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    TERMINATED = "TERMINATED"
    ERROR = "ERROR"


class Mode(StrEnum):
    """Direction of an objective."""

    MAX = "max"
    MIN = "min"
