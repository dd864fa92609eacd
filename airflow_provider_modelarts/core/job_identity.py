"""Names and marks by which a task recognises its own training jobs, so that it never pays for one twice."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from airflow_provider_modelarts.core.jobs import JobPhase, TrainingJob
from airflow_provider_modelarts.core.json_values import JSON, as_object, child, items, text
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

# The platform's limits on the name and the description of a job.
_MAX_NAME_CHARS = 64
_MAX_DESCRIPTION_CHARS = 256
_GENERATION_CHARS = 6  # "-g9999"
_NUMBER_CHARS = 4  # "-999"
_FINGERPRINT_CHARS = 12  # 48 bits: two task instances of one deployment share them practically never
_NONCE_CHARS = 8  # 32 bits, beside those of the fingerprint
_DIGEST_CHARS = 12

_CLOCK_SKEW_SECONDS = 300.0  # between Airflow's clock and the platform's, at most
_SUFFIX = re.compile(rf"(?:-([0-9a-f]{{{_NONCE_CHARS}}}))?-g(\d+)(?:-(\d+))?\Z")
_MARK = re.compile(rf"\[airflow [0-9a-f]{{{_FINGERPRINT_CHARS}}} ([0-9a-f]{{{_DIGEST_CHARS}}})\]")


class OnClear(StrEnum):
    """Treatment of the jobs from before a clear of the task."""

    RESTART = "restart"  # stop those at work, and create a job
    RESUME = "resume"  # adopt the newest, if it is healthy and of the same request

    @classmethod
    def read(cls, value: object) -> OnClear:
        """Return the value of the argument ``on_clear``."""
        if value not in set(cls):
            raise ModelArtsConfigurationError(f"on_clear must be 'restart' or 'resume', not {value!r}")
        return cls(str(value))


class Relation(StrEnum):
    """Relation of a job to a task that finds it."""

    OWN = "own"  # of this generation
    EARLIER = "earlier"  # of another generation of the same run
    FOREIGN = "foreign"  # of the same task and run id, but not provably of this run and deployment


@dataclass(frozen=True, slots=True)
class TaskIdentity:
    """Task instance that a job belongs to.

    :param prefix: of the deployment, so that two Airflow deployments on one project never share a name.
    :param generation: Airflow's ``max_tries``, which a clear of the task changes and a retry does not.
    :param nonce: 8 hexadecimal digits that belong to the row of the DAG run: a run that is deleted and created again
        has others. Empty where Airflow offers nothing to derive it from.
    :param nonce_is_proof: whether no other run and no other deployment can have the nonce, because it is random.
    :param since: start of the run in seconds since the epoch; None where jobs of the run may be older.
    """

    prefix: str
    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    generation: int
    nonce: str = ""
    nonce_is_proof: bool = False
    since: float | None = None

    @property
    def stem(self) -> str:
        """Prefix of the names of the task's jobs, the same in all runs with this id and in all generations."""
        words = [self.prefix, self.dag_id, self.task_id]
        readable = "-".join(re.sub(r"[^A-Za-z0-9_-]+", "-", word) for word in words if word)
        reserved = _FINGERPRINT_CHARS + _NONCE_CHARS + 2 + _GENERATION_CHARS + _NUMBER_CHARS
        return f"{readable[: _MAX_NAME_CHARS - reserved].strip('-') or 'job'}-{self.fingerprint}"

    @property
    def fingerprint(self) -> str:
        """Hash of the task instance, the same in all generations."""
        parts = (self.prefix, self.dag_id, self.task_id, self.run_id, self.map_index)
        return sha256("\0".join(map(str, parts)).encode()).hexdigest()[:_FINGERPRINT_CHARS]

    def name(self, number: int = 1) -> str:
        """Return the name of a job of this generation, in at most 64 characters.

        :param number: from 1; the first job has none in its name.
        """
        nonce = f"-{self.nonce}" if self.nonce else ""
        return f"{self.stem}{nonce}-g{self.generation}{f'-{number}' if number > 1 else ''}"

    def read_name(self, name: str) -> JobName | None:
        """Return the parts of the name of a job of this task; None for any other name."""
        if not name.startswith(self.stem) or not (parts := _SUFFIX.match(name, len(self.stem))):
            return None
        nonce, generation, number = parts.groups()
        return JobName(nonce or "", int(generation), int(number or 1))

    def described(self, description: str, training: Training) -> str:
        """Return a description followed by the mark of a job, within the platform's 256 characters."""
        mark = f"[airflow {self.fingerprint} {training.digest}]"
        own = _MARK.sub("", description).strip()  # a body may be a copy of an earlier job
        return f"{own[: _MAX_DESCRIPTION_CHARS - len(mark) - 1]} {mark}".strip()

    def relation(self, job: TrainingJob, training: Training) -> Relation | None:
        """Return the relation of a job to this task; None for a job of another task.

        :param training: what the task asks for. It decides only where nothing else does.
        """
        name = self.read_name(job.name)
        if name is None:
            return None
        if name.nonce != self.nonce or self._is_too_old(job):
            return Relation.FOREIGN
        if not (self.nonce_is_proof or self._is_proven_by_time(job)):
            has_row = bool(self.nonce) and name.generation != self.generation
            if not (has_row or training.is_that_of(job)):
                return Relation.FOREIGN
        return Relation.OWN if name.generation == self.generation else Relation.EARLIER

    def _is_too_old(self, job: TrainingJob) -> bool:
        known = self.since is not None and job.created_at > 0 and not self.nonce_is_proof
        return known and job.created_at < (self.since or 0) - _CLOCK_SKEW_SECONDS

    def _is_proven_by_time(self, job: TrainingJob) -> bool:
        return self.since is not None and job.created_at >= self.since + _CLOCK_SKEW_SECONDS


class JobName(NamedTuple):
    """Parts of a job's name that follow its stem."""

    nonce: str
    generation: int
    number: int


@dataclass(frozen=True, slots=True)
class Training:
    """Content of a training: algorithm, hyperparameters, search, engine and resources; not its output folders.

    :param digest: hash of the content.
    :param parameters: text of each hyperparameter.
    """

    digest: str
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, body: Mapping[str, JSON]) -> Training:
        """Return the training of a CreateTrainingJob body."""
        algorithm = {**as_object(body.get("algorithm") or {}, "body.algorithm")}
        algorithm.pop("outputs", None)
        parameters = _parameters(algorithm.pop("parameters", None))
        resource = child(dict(body), "spec", "resource")
        content = json.dumps([algorithm, parameters, resource], sort_keys=True)
        return cls(sha256(content.encode()).hexdigest()[:_DIGEST_CHARS], parameters)

    def is_marked_in(self, job: TrainingJob) -> bool:
        """Return whether the mark of a job names this training."""
        return _MARK.findall(job.description)[-1:] == [self.digest]

    def is_that_of(self, job: TrainingJob) -> bool:
        """Return whether a job trains this, by its mark; by its hyperparameters if the description was edited."""
        if _MARK.search(job.description):
            return self.is_marked_in(job)
        echoed = _parameters(child(dict(job.raw), "algorithm", "parameters"))
        return all(echoed.get(name, value) == value for name, value in self.parameters.items())


def _parameters(entries: JSON) -> dict[str, str]:
    return {text(child(entry, "name")): text(child(entry, "value")) for entry in items(entries)}


@dataclass(frozen=True, slots=True)
class Plan:
    """Decision to adopt a job if it is healthy, else to create one.

    :param candidate: the job to adopt.
    :param number: of the job to create.
    :param superseded: other active jobs of this task, to stop.
    :param foreign: active jobs that may be of another run or deployment, to leave alone.
    """

    candidate: TrainingJob | None
    number: int
    superseded: tuple[TrainingJob, ...] = ()
    foreign: tuple[TrainingJob, ...] = ()


def plan(
    identity: TaskIdentity, training: Training, jobs: Sequence[TrainingJob], on_clear: OnClear = OnClear.RESTART
) -> Plan:
    """Decide which job to adopt, which to stop, and which to leave alone.

    The newest job of this generation is the candidate; without one, and with ``resume``, the most advanced of the
    earlier generations whose mark names the same training. All other active jobs of the task are superseded: a user who
    clears a task wants its work done again, not twice at once.

    :param jobs: all jobs that the platform lists under a similar name; those of other tasks are ignored.
    """
    related = {wanted: [job for job in jobs if identity.relation(job, training) is wanted] for wanted in Relation}
    own, earlier = related[Relation.OWN], related[Relation.EARLIER]
    resumable = [job for job in earlier if training.is_marked_in(job)] if on_clear is OnClear.RESUME else []
    candidate = max(own, key=_progress, default=None) or max(resumable, key=_health, default=None)
    taken = [number for job in jobs if identity.name(number := _number(job)) == job.name]
    return Plan(
        candidate=candidate,
        number=max(taken, default=0) + 1,
        superseded=tuple(job for job in [*own, *earlier] if is_active(job) and job is not candidate),
        foreign=tuple(job for job in related[Relation.FOREIGN] if is_active(job)),
    )


def _number(job: TrainingJob) -> int:
    """Return the number in the name of a job; 1 where there is none."""
    parts = _SUFFIX.search(job.name)
    return int(parts[3] or 1) if parts else 1


def _progress(job: TrainingJob) -> tuple[bool, float, int]:
    """Return a key by which an active job is above all others, and a newer one above an older one."""
    return is_active(job), job.created_at, _number(job)


def _health(job: TrainingJob) -> tuple[bool, bool, float, int]:
    """Return a key by which an active job is above a Completed one, and that above all others."""
    active, created_at, number = _progress(job)
    return active, job.phase is JobPhase.COMPLETED, created_at, number


def is_active(job: TrainingJob) -> bool:
    """Return whether a job has not ended and is not being stopped."""
    return not job.phase.is_terminal and job.phase is not JobPhase.TERMINATING
