"""Training jobs, their searches, events and algorithms, and the readers of the responses that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.coerce import is_identifier
from airflow_provider_modelarts.core.json_values import (
    JSON,
    as_list,
    as_object,
    child,
    describe,
    integer,
    items,
    one_line,
    text,
)
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError

# The platform's texts enter logs, errors and XComs, which must stay small.
_MAX_MESSAGE_CHARS = 2000
_MAX_WORD_CHARS = 100
_MAX_TASKS = 1000


class JobPhase(StrEnum):
    """Phases of a training job (``status.phase`` of ShowTrainingJobDetails).

    ::

        Creating -> Pending -> Running -> Completed | Failed
        Creating -> Abnormal                            creation failed, or the job was lost
        Creating | Pending | Running -> Terminating -> Terminated      a user stopped it

    A phase that this package does not know is ``UNKNOWN``: neither an end nor a success.
    """

    CREATING = "Creating"
    PENDING = "Pending"
    RUNNING = "Running"
    TERMINATING = "Terminating"
    COMPLETED = "Completed"
    FAILED = "Failed"
    ABNORMAL = "Abnormal"
    TERMINATED = "Terminated"
    UNKNOWN = "Unknown"

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended, successfully or not."""
        return self in _TERMINAL

    @property
    def is_failure(self) -> bool:
        """Whether the job failed. A stopped job did not fail."""
        return self in _FAILURE

    @property
    def is_starting(self) -> bool:
        """Whether the job has not begun to run, so that it cannot have trials."""
        return self in _STARTING

    @classmethod
    def read(cls, word: str) -> JobPhase:
        """Return the phase of a word, in any case; ``UNKNOWN`` for a new one."""
        return _PHASES.get(word.strip().lower(), cls.UNKNOWN)


_FAILURE = frozenset({JobPhase.FAILED, JobPhase.ABNORMAL})
_TERMINAL = _FAILURE | {JobPhase.COMPLETED, JobPhase.TERMINATED}
_STARTING = frozenset({JobPhase.CREATING, JobPhase.PENDING})
_PHASES = {phase.value.lower(): phase for phase in JobPhase}


class Mode(StrEnum):
    """Direction of an objective."""

    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, slots=True)
class Objective:
    """Metric that a search optimises, and the direction."""

    metric: str
    mode: Mode
    regex: str | None = None


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Settings of a hyperparameter search (``policies.auto_search``).

    :param objectives: from ``reward_attrs``; those without a readable mode are left out.
    :param num_samples: how many trials the search will run; None when unknown.
    """

    objectives: tuple[Objective, ...] = ()
    num_samples: int | None = None


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Training job of a ShowTrainingJobDetails response.

    :param phase_text: the phase in the platform's own word.
    :param search: settings of the search; None when the job itself holds none.
    :param algorithm_id: the managed algorithm that it was created from, if any.
    :param created_at: in seconds since the epoch.
    :param duration: run time in seconds.
    :param tasks: names such as ``worker-0``, under which the platform keeps logs.
    :param ended_at: end in seconds since the epoch; None while the job runs, or when unknown.
    :param message: the platform's reasons for a failure.
    :param exit_code: of the training script, where it failed.
    :param raw: the whole response.
    """

    id: str
    name: str
    phase: JobPhase
    phase_text: str
    search: SearchSettings | None = None
    algorithm_id: str | None = None
    description: str = ""
    created_at: float = 0.0
    duration: float | None = None
    tasks: tuple[str, ...] = ()
    ended_at: float | None = None
    message: str = ""
    exit_code: int | None = None
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of a job listing; ``total`` counts all jobs that the caller may see."""

    jobs: Sequence[TrainingJob]
    total: int


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Event in the life of a job; ``time`` is ISO 8601 text."""

    time: str
    level: str
    message: str
    source: str


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Managed algorithm; ``raw`` is the whole response."""

    id: str
    name: str
    search: SearchSettings | None
    raw: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class ParameterImportance:
    """Share of a hyperparameter in the variation of the objective."""

    name: str
    mean: float | None
    std: float | None


def read_job(response: JSON) -> TrainingJob:
    """Return the job of a ShowTrainingJobDetails or CreateTrainingJob response.

    :raises ModelArtsProtocolError: when it has no usable id or no phase.
    """
    job = as_object(response, "a training job")
    job_id = text(child(job, "metadata", "id"))
    phase_text = one_line(child(job, "status", "phase"), _MAX_WORD_CHARS)
    if not job_id or not phase_text:
        raise ModelArtsProtocolError("the response for a training job has no metadata.id or no status.phase")
    if not is_identifier(job_id):
        raise ModelArtsProtocolError(f"the response for a training job has no usable metadata.id: {describe(job_id)}")
    phase = JobPhase.read(phase_text)
    algorithm_id = text(child(job, "algorithm", "id"))
    duration = integer(child(job, "status", "duration"))
    return TrainingJob(
        id=job_id,
        name=one_line(child(job, "metadata", "name"), _MAX_WORD_CHARS),
        phase=phase,
        phase_text=phase_text,
        search=read_search(child(job, "algorithm", "policies", "auto_search")),
        algorithm_id=algorithm_id if is_identifier(algorithm_id) else None,
        description=text(child(job, "metadata", "description")),
        created_at=(integer(child(job, "metadata", "create_time")) or 0) / 1000,
        duration=duration / 1000 if duration is not None else None,
        tasks=tuple(filter(is_identifier, map(text, items(child(job, "status", "tasks"))))),
        ended_at=_ended_at(job) if phase.is_terminal else None,
        message=_message(job),
        exit_code=_exit_code(job),
        raw=job,
    )


def _ended_at(job: dict[str, JSON]) -> float | None:
    start = integer(child(job, "status", "start_time")) or integer(child(job, "metadata", "create_time"))
    duration = integer(child(job, "status", "duration"))
    if start and duration is not None:
        return (start + duration) / 1000
    records = _objects(child(job, "status", "running_records"))
    end = integer(records[-1].get("end_at")) if records else None
    return float(end) if end else None


def _exit_code(job: dict[str, JSON]) -> int | None:
    """Return the first exit code of a task that is not 0."""
    codes = (integer(task.get("exit_code")) for task in _task_statuses(job))
    return next(filter(None, codes), None)


def _task_statuses(job: dict[str, JSON]) -> list[dict[str, JSON]]:
    return _objects(child(job, "status", "task_statuses"))[:_MAX_TASKS]


def _message(job: dict[str, JSON]) -> str:
    tasks = _task_statuses(job)
    records = _objects(child(job, "status", "running_records"))
    reason = one_line(records[-1].get("end_reason"), _MAX_MESSAGE_CHARS) if records else ""
    return "; ".join(filter(None, [*map(_task_message, tasks), reason]))[:_MAX_MESSAGE_CHARS]


def _task_message(task: dict[str, JSON]) -> str:
    """Return the message of one task of a job; the empty string when it succeeded."""
    message = one_line(task.get("message"), _MAX_MESSAGE_CHARS)
    code = one_line(task.get("exit_code"), _MAX_WORD_CHARS)
    if not message and code in {"", "0"}:
        return ""
    name = one_line(task.get("task"), _MAX_WORD_CHARS) or "task"
    return f"{name}: {message or 'no message'} (exit code {code or '?'})"


def read_search(auto_search: JSON) -> SearchSettings | None:
    """Return the settings of an ``auto_search`` object; None when there is none."""
    if not isinstance(auto_search, dict) or not auto_search:
        return None
    objectives = (_objective(entry) for entry in _objects(auto_search.get("reward_attrs")))
    samples = [_num_samples(entry) for entry in _objects(auto_search.get("algo_configs"))]
    return SearchSettings(
        objectives=tuple(objective for objective in objectives if objective),
        # of several search algorithms it is unknown which will run, and how many trials
        num_samples=samples[0] if len(samples) == 1 else None,
    )


def _objective(entry: dict[str, JSON]) -> Objective | None:
    metric, mode = one_line(entry.get("name"), _MAX_WORD_CHARS), text(entry.get("mode")).strip().lower()
    if not metric or mode not in set(Mode):
        return None
    return Objective(metric, Mode(mode), text(entry.get("regex")) or None)


def _num_samples(algo_config: dict[str, JSON]) -> int | None:
    for param in _objects(algo_config.get("params")):
        if param.get("key") == "num_samples":
            number = integer(param.get("value"))
            return number if number is not None and number > 0 else None
    return None


def _objects(value: JSON) -> list[dict[str, JSON]]:
    """Return the objects in a JSON list."""
    return [item for item in items(value) if isinstance(item, dict)]


def read_job_page(response: JSON) -> JobPage:
    """Return the page of a ListTrainingJobs response."""
    page = as_object(response, "the list of training jobs")
    jobs = [read_job(item) for item in as_list(page.get("items") or [], "items in the list of training jobs")]
    return JobPage(jobs, integer(page.get("total")) or len(jobs))


def read_events(response: JSON) -> list[JobEvent]:
    """Return the events of a ListTrainingJobEvents response."""
    events = as_list(child(response, "events") or [], "the events of a job")
    return [JobEvent(*(text(child(event, key)) for key in ("time", "level", "message", "source"))) for event in events]


def read_algorithm(response: JSON) -> Algorithm:
    """Return the algorithm of a ShowAlgorithmByUuid response."""
    algorithm = as_object(response, "an algorithm")
    return Algorithm(
        id=text(child(algorithm, "metadata", "id")),
        name=text(child(algorithm, "metadata", "name")),
        search=read_search(child(algorithm, "advanced_config", "auto_search")),
        raw=algorithm,
    )


def read_importance(response: JSON) -> list[ParameterImportance]:
    """Return the importances of a ShowAutoSearchParamsAnalysis response."""
    rows = as_list(child(response, "data") or [], "the data of the parameter analysis")
    return [_importance(as_list(row, "a row of the parameter analysis")) for row in rows]


def _importance(row: list[JSON]) -> ParameterImportance:
    name, mean_and_std = [*row, None, None][:2]
    mean, _, std = text(mean_and_std).partition("/")
    return ParameterImportance(text(name), cells.number(mean), cells.number(std))
