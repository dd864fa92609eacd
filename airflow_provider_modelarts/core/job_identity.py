"""Names and marks by which a task recognises its own training jobs, so that it never pays for one twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter

from airflow_provider_modelarts.core.jobs import JobPhase, TrainingJob

# The platform's limits on the name and the description of a job.
_MAX_NAME_CHARS = 64
_MAX_DESCRIPTION_CHARS = 256
_SUFFIX_CHARS = 4  # "-999"
_FINGERPRINT_CHARS = 12  # 48 bits: two task instances of one deployment share them practically never


@dataclass(frozen=True, slots=True)
class TaskIdentity:
    """Task instance that a job belongs to.

    :param prefix: of the deployment, so that two Airflow deployments on one project never share a name.
    :param generation: Airflow's ``max_tries``, which a clear of the task changes and a retry does not.
    """

    prefix: str
    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    generation: int

    @property
    def name(self) -> str:
        """Name of the task's first job: a readable part and the fingerprint, in at most 60 characters."""
        words = [self.prefix, self.dag_id, self.task_id]
        readable = "-".join(re.sub(r"[^A-Za-z0-9_-]+", "-", word) for word in words if word)
        length = _MAX_NAME_CHARS - _SUFFIX_CHARS - _FINGERPRINT_CHARS - 1
        return f"{readable[:length].strip('-') or 'job'}-{self.fingerprint}"

    @property
    def fingerprint(self) -> str:
        """Hash of the task instance, the same in all generations."""
        parts = (self.prefix, self.dag_id, self.task_id, self.run_id, self.map_index)
        return sha256("\0".join(map(str, parts)).encode()).hexdigest()[:_FINGERPRINT_CHARS]

    @property
    def mark(self) -> str:
        """Mark in the description of every job of this generation. Another user could choose the same name."""
        return f"{self._common_mark}{self.generation}]"

    @property
    def _common_mark(self) -> str:
        return f"[airflow {self.fingerprint} "

    def described(self, description: str) -> str:
        """Return a description followed by the mark, within the platform's 256 characters."""
        return f"{description[: _MAX_DESCRIPTION_CHARS - len(self.mark) - 1]} {self.mark}".strip()

    def owns(self, job: TrainingJob) -> bool:
        """Return whether this generation of the task created a job, by its name and its description."""
        return self.number(job) is not None and self.mark in job.description

    def created(self, job: TrainingJob) -> bool:
        """Return whether any generation of the task created a job."""
        return self.number(job) is not None and self._common_mark in job.description

    def number(self, job: TrainingJob) -> int | None:
        """Return the number of a job among the task's own, from 1, by its name; None when it is not one of them."""
        name, _, suffix = job.name.partition(self.name)
        if name or not job.name.startswith(self.name):
            return None
        if not suffix:
            return 1
        number = suffix.removeprefix("-")
        return int(number) if suffix.startswith("-") and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Plan:
    """Decision to adopt a job, or to create one under ``name`` after stopping those that it supersedes."""

    adopt: TrainingJob | None
    name: str
    superseded: tuple[TrainingJob, ...] = ()


def plan(identity: TaskIdentity, jobs: Sequence[TrainingJob], *, since: float = 0.0) -> Plan:
    """Decide between adopting and creating a job.

    The newest job of this generation is adopted when it is active or Completed. When it Failed, is Abnormal or was
    stopped, a new job is created under the next name. It supersedes the active jobs of other generations: a user who
    clears a task wants its work done again, not twice at once.

    :param jobs: all jobs that the platform lists under a similar name; those of other tasks are ignored.
    :param since: seconds since the epoch; older jobs belong to a deleted DAG run, and their results are stale.
    """
    numbered = [(identity.number(job) or 0, job) for job in jobs if identity.created(job)]
    own = [(number, job) for number, job in numbered if identity.owns(job)]
    if own:
        _, newest = max(own, key=itemgetter(0))
        if is_usable(newest) and newest.created_at >= since:
            return Plan(newest, newest.name)
    last = max((number for number, _ in numbered), default=0)
    superseded = tuple(job for _, job in numbered if is_active(job) and not identity.owns(job))
    return Plan(None, f"{identity.name}-{last + 1}" if last else identity.name, superseded)


def is_usable(job: TrainingJob) -> bool:
    """Return whether a retry may adopt a job: it is active or Completed."""
    return job.phase is JobPhase.COMPLETED or is_active(job)


def is_active(job: TrainingJob) -> bool:
    """Return whether a job has not ended and is not being stopped."""
    return not job.phase.is_terminal and job.phase is not JobPhase.TERMINATING
