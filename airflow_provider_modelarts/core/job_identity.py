"""Names and marks by which a task finds its own training jobs again, so that it never pays for one twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter

from airflow_provider_modelarts.core.jobs import JobPhase, TrainingJob

_LONGEST_NAME = 64
_LONGEST_DESCRIPTION = 256
_HASH = 12
_ROOM_FOR_SUFFIX = 4  # "-999"


@dataclass(frozen=True, slots=True)
class TaskIdentity:
    """The one task instance that a job belongs to.

    :param prefix: of the deployment, so that two Airflows on one project never share a name.
    :param generation: a number that clearing the task changes, and a retry does not: Airflow's ``max_tries``.
    """

    prefix: str
    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    generation: int

    @property
    def name(self) -> str:
        """The name of the task's first job: readable in front, unique behind, 60 characters at most."""
        words = [self.prefix, self.dag_id, self.task_id]
        readable = "-".join(re.sub(r"[^A-Za-z0-9_-]+", "-", word) for word in words if word)
        room = _LONGEST_NAME - _ROOM_FOR_SUFFIX - _HASH - 1
        return f"{readable[:room].strip('-') or 'job'}-{self.fingerprint}"

    @property
    def fingerprint(self) -> str:
        """A hash of the task instance, whatever its generation."""
        parts = (self.prefix, self.dag_id, self.task_id, self.run_id, self.map_index)
        return sha256("\0".join(map(str, parts)).encode()).hexdigest()[:_HASH]

    @property
    def mark(self) -> str:
        """What the description of every job of this generation says. A name alone could be somebody else's."""
        return f"{self._mark_of_all}{self.generation}]"

    @property
    def _mark_of_all(self) -> str:
        return f"[airflow {self.fingerprint} "

    def described(self, description: str) -> str:
        """Return a description that carries the mark, within the platform's 256 characters."""
        return f"{description[: _LONGEST_DESCRIPTION - len(self.mark) - 1]} {self.mark}".strip()

    def owns(self, job: TrainingJob) -> bool:
        """Return whether a job was created by this generation of the task, as its name and its description say."""
        return self.number(job) is not None and self.mark in job.description

    def created(self, job: TrainingJob) -> bool:
        """Return whether a job was created by any generation of the task."""
        return self.number(job) is not None and self._mark_of_all in job.description

    def number(self, job: TrainingJob) -> int | None:
        """Return which of the task's jobs this is by its name, from 1; None when it is none of them."""
        name, _, suffix = job.name.partition(self.name)
        if name or not job.name.startswith(self.name):
            return None
        if not suffix:
            return 1
        number = suffix.removeprefix("-")
        return int(number) if suffix.startswith("-") and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about a job: adopt one, or create one under a name once those it supersedes are stopped."""

    adopt: TrainingJob | None
    name: str
    superseded: tuple[TrainingJob, ...] = ()


def plan(identity: TaskIdentity, jobs: Sequence[TrainingJob], *, since: float = 0.0) -> Plan:
    """Decide between adopting and creating.

    The newest of the generation's jobs is adopted when it is at work or Completed. When it Failed, is Abnormal or was
    stopped, a new one is to be created under the next name. Jobs of other generations that are still at work are
    superseded then: whoever clears a task wants its work done anew, not twice at once.

    :param jobs: whatever the platform lists under a similar name; those of others are passed over.
    :param since: seconds since the epoch; what was created before is left from a DAG run that was deleted, and its
        result would be a stale one.
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
    """Return whether a retry may go on with a job: it is at work and stays so, or it is Completed."""
    return job.phase is JobPhase.COMPLETED or is_active(job)


def is_active(job: TrainingJob) -> bool:
    """Return whether a job is at work, and nobody has stopped it."""
    return not job.phase.is_terminal and job.phase is not JobPhase.TERMINATING
