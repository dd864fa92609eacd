"""Training jobs: their phases, what they search for, and when they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_modelarts.core import cells, coerce
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, child, describe, integer, text, words
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError


class JobPhase(StrEnum):
    """Phases of a training job (``status.phase`` of ShowTrainingJobDetails).

    ::

        Creating -> Pending -> Running -> Completed | Failed
        Creating -> Abnormal                            creation failed, or the job was lost
        Creating | Pending | Running -> Terminating -> Terminated      somebody stopped it

    A phase that nobody has heard of is ``UNKNOWN``: neither an end nor a success.
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
        """Whether the job has ended, well or not."""
        return self in _TERMINAL

    @property
    def is_failure(self) -> bool:
        """Whether the job broke. A job that was stopped did not break."""
        return self in _FAILURE

    @property
    def is_starting(self) -> bool:
        """Whether the job has not begun to run, so that it cannot have trials."""
        return self in _STARTING

    @classmethod
    def read(cls, word: str) -> JobPhase:
        """Return the phase of a word, in any case; ``UNKNOWN`` for a new one."""
        return _PHASES.get(word.strip().lower(), cls.UNKNOWN)


_LONGEST_MESSAGE = 2000
_LONGEST_WORD = 100
_MOST_TASKS = 1000
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
    """What a search optimises: a metric and whether more or less of it is better."""

    metric: str
    mode: Mode
    regex: str | None = None


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """The settings of a hyperparameter search (``policies.auto_search``).

    :param objectives: from ``reward_attrs``; those without a readable mode are left out.
    :param num_samples: how many trials the search will run; None when it does not say.
    """

    objectives: tuple[Objective, ...] = ()
    num_samples: int | None = None


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A training job as ShowTrainingJobDetails answers it.

    :param phase_text: the phase in the platform's own word.
    :param search: settings of the search; None when the job itself holds none.
    :param algorithm_id: the managed algorithm that it was created from, if any.
    :param created_at: in seconds since the epoch.
    :param duration: seconds that it has run.
    :param tasks: such as ``worker-0``; their logs can be read.
    :param ended_at: end in seconds since the epoch; None while it runs or when it cannot be told.
    :param message: the platform's reasons, for a job that broke.
    :param raw: the whole answer.
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
    raw: Mapping[str, JSON] = field(default_factory=dict, repr=False)


def read_job(answer: JSON) -> TrainingJob:
    """Return the job of a ShowTrainingJobDetails or CreateTrainingJob answer.

    :raises ModelArtsProtocolError: when it has no id or no phase.
    """
    job = as_object(answer, "a training job")
    job_id = text(child(job, "metadata", "id"))
    phase_text = words(child(job, "status", "phase"), _LONGEST_WORD)
    if not job_id or not phase_text:
        raise ModelArtsProtocolError("the answer for a training job has no metadata.id or no status.phase")
    if not _is_id(job_id):
        raise ModelArtsProtocolError(f"the answer for a training job has no usable metadata.id: {describe(job_id)}")
    phase = JobPhase.read(phase_text)
    return TrainingJob(
        id=job_id,
        name=words(child(job, "metadata", "name"), _LONGEST_WORD),
        phase=phase,
        phase_text=phase_text,
        search=read_search(child(job, "algorithm", "policies", "auto_search")),
        algorithm_id=algorithm_id if _is_id(algorithm_id := text(child(job, "algorithm", "id"))) else None,
        description=text(child(job, "metadata", "description")),
        created_at=(integer(child(job, "metadata", "create_time")) or 0) / 1000,
        duration=duration / 1000 if (duration := integer(child(job, "status", "duration"))) is not None else None,
        tasks=_tasks(child(job, "status", "tasks")),
        ended_at=_ended_at(job) if phase.is_terminal else None,
        message=_message(job),
        raw=job,
    )


def _is_id(word: str) -> bool:
    """Return whether a word may enter a path."""
    try:
        coerce.identifier("", word)
    except ModelArtsConfigurationError:
        return False
    return True


def _tasks(tasks: JSON) -> tuple[str, ...]:
    return tuple(filter(_is_id, map(text, tasks))) if isinstance(tasks, list) else ()


def read_search(auto_search: JSON) -> SearchSettings | None:
    """Return the settings of a search; None where there is none."""
    if not isinstance(auto_search, dict) or not auto_search:
        return None
    objectives = (_objective(entry) for entry in _entries(auto_search.get("reward_attrs")))
    samples = [_num_samples(entry) for entry in _entries(auto_search.get("algo_configs"))]
    return SearchSettings(
        objectives=tuple(objective for objective in objectives if objective),
        # of several search algorithms nobody knows which will run, nor how many trials that makes
        num_samples=samples[0] if len(samples) == 1 else None,
    )


def _objective(entry: dict[str, JSON]) -> Objective | None:
    metric, mode = words(entry.get("name"), _LONGEST_WORD), text(entry.get("mode")).strip().lower()
    if not metric or mode not in set(Mode):
        return None
    return Objective(metric, Mode(mode), text(entry.get("regex")) or None)


def _num_samples(algo_config: dict[str, JSON]) -> int | None:
    for param in _entries(algo_config.get("params")):
        if param.get("key") == "num_samples":
            number = integer(param.get("value"))
            return number if number is not None and number > 0 else None
    return None


def _ended_at(job: dict[str, JSON]) -> float | None:
    start = integer(child(job, "status", "start_time")) or integer(child(job, "metadata", "create_time"))
    duration = integer(child(job, "status", "duration"))
    if start and duration is not None:
        return (start + duration) / 1000
    records = _entries(child(job, "status", "running_records"))
    end = integer(records[-1].get("end_at")) if records else None
    return float(end) if end else None


def _message(job: dict[str, JSON]) -> str:
    parts = []
    for task in _entries(child(job, "status", "task_statuses"))[:_MOST_TASKS]:
        said = words(task.get("message"), _LONGEST_MESSAGE)
        code = words(task.get("exit_code"), _LONGEST_WORD)
        if said or code not in {"", "0"}:
            name = words(task.get("task"), _LONGEST_WORD) or "task"
            parts.append(f"{name}: {said or 'no message'} (exit code {code or '?'})")
    records = _entries(child(job, "status", "running_records"))
    reason = words(records[-1].get("end_reason"), _LONGEST_MESSAGE) if records else ""
    if reason:
        parts.append(reason)
    return "; ".join(parts)[:_LONGEST_MESSAGE]


def _entries(value: JSON) -> list[dict[str, JSON]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A managed algorithm; ``raw`` is the whole answer."""

    id: str
    name: str
    search: SearchSettings | None
    raw: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class ParameterImportance:
    """How much a hyperparameter matters to the objective, by the platform's own analysis."""

    name: str
    mean: float | None
    std: float | None


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job; ``time`` is ISO 8601 text."""

    time: str
    level: str
    message: str
    source: str


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of a job search; ``total`` counts all jobs that the caller may see."""

    jobs: Sequence[TrainingJob]
    total: int


def read_importance(answer: JSON) -> list[ParameterImportance]:
    """Return the importances of a ShowAutoSearchParamsAnalysis answer."""
    rows = as_list(child(answer, "data") or [], "the data of the parameter analysis")
    importances = []
    for row in rows:
        name, figures = [*as_list(row, "a row of the parameter analysis"), None, None][:2]
        mean, _, std = text(figures).partition("/")
        importances.append(ParameterImportance(text(name), cells.number(mean), cells.number(std)))
    return importances


def read_events(answer: JSON) -> list[JobEvent]:
    """Return the events of a ListTrainingJobEvents answer."""
    events = as_list(child(answer, "events") or [], "the events of a job")
    return [JobEvent(*(text(child(event, key)) for key in ("time", "level", "message", "source"))) for event in events]


def read_algorithm(answer: JSON) -> Algorithm:
    """Return the algorithm of a ShowAlgorithmByUuid answer."""
    algorithm = as_object(answer, "an algorithm")
    auto_search = child(algorithm, "advanced_config", "auto_search")
    return Algorithm(
        id=text(child(algorithm, "metadata", "id")),
        name=text(child(algorithm, "metadata", "name")),
        search=read_search(auto_search),
        raw=algorithm,
    )


def read_job_page(answer: JSON) -> JobPage:
    """Return the page of a ListTrainingJobs answer."""
    page = as_object(answer, "the list of training jobs")
    jobs = [read_job(item) for item in as_list(page.get("items") or [], "items in the list of training jobs")]
    return JobPage(jobs, integer(page.get("total")) or len(jobs))
