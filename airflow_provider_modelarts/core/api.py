"""One function per operation of the API: arguments -> :class:`Request`, which knows how to read its answer.

Paths and statuses are those of the API reference and of ``modelarts_client.py`` in the vendor's SDK; the operation's
id in both is named in each docstring.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from airflow_provider_modelarts.core import coerce
from airflow_provider_modelarts.core.jobs import SearchSettings, TrainingJob, read_job, read_search
from airflow_provider_modelarts.core.paging import checked_page_size
from airflow_provider_modelarts.core.shapes import JSON, as_list, as_object, child, integer, text
from airflow_provider_modelarts.core.trials import TrialPage, read_page
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError, ModelArtsProtocolError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Request(Generic[T_co]):
    """One call, before it is signed.

    :param path: unencoded; ``{project_id}`` in it stands for the project id.
    :param read: turns the JSON of the answer into a value.
    :param idempotent: whether it may be sent again when nobody knows whether it arrived.
    :param service: ``modelarts`` or ``iam``.
    """

    method: str
    path: str
    read: Callable[[JSON], T_co]
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    idempotent: bool = True
    service: str = "modelarts"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A managed algorithm; ``raw`` is the whole answer."""

    id: str
    name: str
    search: SearchSettings | None
    raw: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of a job search; ``total`` counts all jobs that the caller may see."""

    jobs: Sequence[TrainingJob]
    total: int


def list_trials(training_job_id: str, *, limit: int, offset: int) -> Request[TrialPage]:
    """ShowAutoSearchTrials. For what ``offset`` counts see :mod:`~airflow_provider_modelarts.core.paging`."""
    return Request(
        "GET",
        f"{_job(training_job_id)}/autosearch-trials",
        read_page,
        query=(("limit", str(checked_page_size(limit))), ("offset", str(offset))),
    )


def show_training_job(training_job_id: str) -> Request[TrainingJob]:
    """ShowTrainingJobDetails."""
    return Request("GET", _job(training_job_id), read_job)


def show_algorithm(algorithm_id: str) -> Request[Algorithm]:
    """ShowAlgorithmByUuid."""
    algorithm_id = coerce.identifier("algorithm_id", algorithm_id)
    return Request("GET", f"/v2/{{project_id}}/algorithms/{algorithm_id}", _read_algorithm)


def search_training_jobs(*, limit: int = 50, offset: int = 0) -> Request[JobPage]:
    """ListTrainingJobs. ``offset`` counts pages from 0."""
    body = json.dumps({"limit": limit, "offset": offset}).encode()
    return Request("POST", "/v2/{project_id}/training-job-searches", _read_job_page, body=body)


def find_project(region: str) -> Request[str]:
    """KeystoneListProjects: the id of the project that has the region's name."""
    return Request(
        "GET", "/v3/projects", lambda answer: _read_project(answer, region), (("name", region),), service="iam"
    )


def any_request(
    method: str, path: str, query: Mapping[str, str | int] | None = None, body: JSON = None
) -> Request[JSON]:
    """Return any other operation; ``{project_id}`` in the path is filled in. Only GET is tried again.

    :raises ModelArtsConfigurationError: for a path that does not begin with a single slash or steps upwards.
    """
    if not path.startswith("/") or path.startswith("//") or ".." in path.split("/") or "?" in path:
        raise ModelArtsConfigurationError(
            f"path must begin with one '/', and have neither '..' nor a query in it, not {path!r}"
        )
    return Request(
        method.upper(),
        path,
        lambda answer: answer,
        query=tuple((name, str(value)) for name, value in (query or {}).items()),
        body=b"" if body is None else json.dumps(body).encode(),
        idempotent=method.upper() == "GET",
    )


def _job(training_job_id: str) -> str:
    return f"/v2/{{project_id}}/training-jobs/{coerce.identifier('training_job_id', training_job_id)}"


def _read_algorithm(answer: JSON) -> Algorithm:
    algorithm = as_object(answer, "an algorithm")
    auto_search = child(algorithm, "advanced_config", "auto_search")
    return Algorithm(
        id=text(child(algorithm, "metadata", "id")),
        name=text(child(algorithm, "metadata", "name")),
        search=read_search(auto_search),
        raw=algorithm,
    )


def _read_job_page(answer: JSON) -> JobPage:
    page = as_object(answer, "the list of training jobs")
    jobs = [read_job(item) for item in as_list(page.get("items") or [], "items in the list of training jobs")]
    return JobPage(jobs, integer(page.get("total")) or len(jobs))


def _read_project(answer: JSON, region: str) -> str:
    projects = as_list(child(answer, "projects"), "the list of projects")
    ids = [text(child(project, "id")) for project in projects if child(project, "name") == region]
    if not ids:
        raise ModelArtsConfigurationError(
            f"IAM knows no project named {region!r} for this key: set project_id in the connection"
        )
    if len(ids) > 1:
        raise ModelArtsConfigurationError(
            f"IAM knows several projects named {region!r} ({', '.join(ids)}): set project_id in the connection"
        )
    try:
        return coerce.identifier("project id", ids[0])
    except ModelArtsConfigurationError as error:
        raise ModelArtsProtocolError(f"IAM answered a project without a usable id: {error}") from error
