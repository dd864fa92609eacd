"""Operations of the API: one function each, from arguments to a :class:`Request` with the reader of its response.

Paths and statuses are those of the API reference and of ``modelarts_client.py`` in the vendor's SDK. Each docstring
names the operation's id in both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar
from urllib.parse import unquote

from airflow_provider_modelarts.api.pagination import checked_page_size
from airflow_provider_modelarts.core import coerce
from airflow_provider_modelarts.core.jobs import (
    Algorithm,
    JobEvent,
    JobPage,
    ParameterImportance,
    TrainingJob,
    read_algorithm,
    read_events,
    read_importance,
    read_job,
    read_job_page,
)
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, child, text
from airflow_provider_modelarts.core.trials import Trial, TrialPage, read_page, read_table
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

#: A condition on a listing: key, operator (between, like, in, not) and values.
Filter: TypeAlias = tuple[str, str, Sequence[str]]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Request(Generic[T_co]):
    """One call, not yet signed.

    :param path: unencoded; ``{project_id}`` in it stands for the project id.
    :param read: returns the value of a response's JSON.
    :param idempotent: whether it may be retried when its outcome is unknown.
    :param service: ``modelarts`` or ``iam``.
    """

    method: str
    path: str
    read: Callable[[JSON], T_co]
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    idempotent: bool = True
    service: str = "modelarts"


def list_trials_page(training_job_id: str, *, limit: int, offset: int) -> Request[TrialPage]:
    """ShowAutoSearchTrials. For the meaning of ``offset`` see :mod:`~airflow_provider_modelarts.api.pagination`."""
    return Request(
        "GET",
        f"{_job(training_job_id)}/autosearch-trials",
        read_page,
        query=(("limit", str(checked_page_size(limit))), ("offset", str(offset))),
    )


def show_trial(training_job_id: str, trial_id: str) -> Request[list[Trial]]:
    """ShowAutoSearchPerTrial: the reports of one trial, oldest first, the last of them its current state.

    The table has no status column: ``done`` tells whether the trial has ended.
    """
    return Request("GET", f"{_job(training_job_id)}/autosearch-trials/{_trial(trial_id)}", _read_reports)


def stop_trial(training_job_id: str, trial_id: str) -> Request[str]:
    """ShowAutoSearchTrialEarlyStop, a POST despite its name: the id of the trial."""
    return Request(
        "POST",
        f"{_job(training_job_id)}/autosearch-trial-earlystop/{_trial(trial_id)}",
        lambda value: text(child(value, "earlystop_trial")) or trial_id,
    )


def show_parameter_importance(training_job_id: str) -> Request[list[ParameterImportance]]:
    """ShowAutoSearchParamsAnalysis."""
    return Request("GET", f"{_job(training_job_id)}/autosearch-parameter-analysis", read_importance)


def create_training_job(body: Mapping[str, JSON]) -> Request[TrainingJob]:
    """CreateTrainingJob. Never retried: a job costs money, and a request without a response may have arrived."""
    return Request("POST", "/v2/{project_id}/training-jobs", read_job, body=_json(dict(body)), idempotent=False)


def stop_training_job(training_job_id: str) -> Request[TrainingJob]:
    """StopTrainingJob: the job, Terminating."""
    body = json.dumps({"action_type": "terminate"}).encode()
    return Request("POST", f"{_job(training_job_id)}/actions", read_job, body=body)


def delete_training_job(training_job_id: str) -> Request[None]:
    """DeleteTrainingJob. Afterwards ShowTrainingJobDetails returns ``ModelArts.2775``."""
    return Request("DELETE", _job(training_job_id), lambda value: None)


def list_events(training_job_id: str, *, level: str | None = None, limit: int = 50) -> Request[list[JobEvent]]:
    """ListTrainingJobEvents, newest first.

    :param level: ``Info``, ``Warning`` or ``Error``; None for all.
    :param limit: 1 to 100.
    """
    query = [("limit", str(limit)), ("order", "desc"), *([("level", level)] if level else [])]
    return Request("GET", f"{_job(training_job_id)}/events", read_events, query)


def show_log_preview(training_job_id: str, task: str) -> Request[str]:
    """ShowTrainingJobLogsPreview: the newest part of a task's log; empty while there is none.

    :param task: such as ``worker-0``; ``TrainingJob.tasks`` names them.
    """
    path = f"{_job(training_job_id)}/tasks/{coerce.identifier('task', task)}/logs/preview"
    # before 2022-03-01 the field was named context; a 204 without a body means that there is no log yet
    return Request("GET", path, lambda value: text(child(value, "content")) or text(child(value, "context")))


def show_training_job(training_job_id: str) -> Request[TrainingJob]:
    """ShowTrainingJobDetails."""
    return Request("GET", _job(training_job_id), read_job)


def show_algorithm(algorithm_id: str) -> Request[Algorithm]:
    """ShowAlgorithmByUuid."""
    algorithm_id = coerce.identifier("algorithm_id", algorithm_id)
    return Request("GET", f"/v2/{{project_id}}/algorithms/{algorithm_id}", read_algorithm)


def search_training_jobs(
    *, filters: Sequence[Filter] = (), limit: int = 50, offset: int = 0, workspace_id: str = "0"
) -> Request[JobPage]:
    """ListTrainingJobs of one workspace, newest first. ``offset`` counts pages from 0."""
    body: dict[str, JSON] = {"limit": limit, "offset": offset, "sort_by": "create_time", "order": "desc"}
    body["workspace_id"] = workspace_id
    if filters:
        body["filters"] = [
            {"key": key, "operator": operator, "value": list(values)} for key, operator, values in filters
        ]
    return Request("POST", "/v2/{project_id}/training-job-searches", read_job_page, body=json.dumps(body).encode())


def find_project(region: str) -> Request[str]:
    """KeystoneListProjects: the id of the project that has the region's name."""
    return Request(
        "GET", "/v3/projects", lambda value: _read_project(value, region), (("name", region),), service="iam"
    )


def any_request(
    method: str, path: str, query: Mapping[str, str | int] | None = None, body: JSON = None
) -> Request[JSON]:
    """Any other operation; ``{project_id}`` in the path is filled in. Only GET is retried.

    :raises ModelArtsConfigurationError: for a path with ``..``, with a query, or without a single slash at its start.
    """
    plain = unquote(path)
    if not plain.startswith("/") or plain.startswith("//") or ".." in plain.split("/") or "?" in path:
        raise ModelArtsConfigurationError(
            f"path must begin with one '/' and contain neither '..' nor a query, not {path!r}"
        )
    return Request(
        method.upper(),
        path,
        lambda value: value,
        query=tuple((name, _query_text(value)) for name, value in (query or {}).items()),
        body=b"" if body is None else _json(body),
        idempotent=method.upper() == "GET",
    )


def _query_text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(body: JSON) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelArtsConfigurationError(f"the body is not JSON: {error}") from error


def _job(training_job_id: str) -> str:
    return f"/v2/{{project_id}}/training-jobs/{coerce.identifier('training_job_id', training_job_id)}"


def _trial(trial_id: str) -> str:
    return coerce.identifier("trial_id", trial_id)


def _read_reports(value: JSON) -> list[Trial]:
    table = as_object(value, "the reports of a trial")
    return read_table(table.get("header"), table.get("data"))


def _read_project(value: JSON, region: str) -> str:
    projects = as_list(child(value, "projects"), "the list of projects")
    ids = [text(child(project, "id")) for project in projects if child(project, "name") == region]
    if not ids:
        raise ModelArtsConfigurationError(
            f"IAM has no project named {region!r} for this credential: check the region, or set project_id in the "
            "connection"
        )
    if len(ids) > 1:
        raise ModelArtsConfigurationError(
            f"IAM has several projects named {region!r} ({', '.join(ids)}): set project_id in the connection"
        )
    try:
        return coerce.identifier("project id", ids[0])
    except ModelArtsConfigurationError as error:
        raise ModelArtsProtocolError(f"IAM returned a project without a usable id: {error}") from error
