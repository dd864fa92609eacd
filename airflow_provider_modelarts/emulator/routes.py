"""Which operation has which path, and how it reads its call and writes its answer. No HTTP in here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_provider_modelarts.core.paging import MAX_PAGE_SIZE
from airflow_provider_modelarts.core.shapes import JSON, integer
from airflow_provider_modelarts.emulator.cloud import Cloud
from airflow_provider_modelarts.emulator.errors import bad_body, bad_parameter
from airflow_provider_modelarts.emulator.job_searches import in_order, matching


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation reads: the names in its path, its query and its body."""

    names: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Route:
    """An operation: its method, its path, and what answers it."""

    method: str
    path: str
    answer: Callable[[Cloud, Call], object]


def list_trials(cloud: Cloud, call: Call) -> object:
    """ShowAutoSearchTrials."""
    limit, offset = _page(call.query)
    page = cloud.job(call.names["job_id"]).trials(cloud.style.rows_of_page(limit, offset), cloud.style)
    return {
        "total": page.total,
        "count": len(page.data),
        "limit": limit,
        "offset": offset,
        "group_by": "",
        "items": {"header": page.header, "data": page.data},
    }


def show_job(cloud: Cloud, call: Call) -> object:
    """ShowTrainingJobDetails. It lets one tick pass."""
    job = cloud.job(call.names["job_id"])
    job.look()
    return job.document()


def show_algorithm(cloud: Cloud, call: Call) -> object:
    """ShowAlgorithmByUuid."""
    return cloud.algorithm(call.names["algorithm_id"])


def search_jobs(cloud: Cloud, call: Call) -> object:
    """ListTrainingJobs. Here ``offset`` counts pages; ``total`` are the jobs found, ``count`` those on the page."""
    wanted = _object(call.body)
    limit, offset = _page(wanted)
    found = matching((job.document() for job in cloud.jobs()), wanted.get("filters"))
    items = in_order(found, wanted.get("sort_by"), wanted.get("order"))[offset * limit : (offset + 1) * limit]
    return {
        "total": len(found),
        "count": len(items),
        "limit": limit,
        "offset": offset,
        "sort_by": wanted.get("sort_by") or "create_time",
        "order": wanted.get("order") or "desc",
        "group_by": "",
        "workspace_id": "0",
        "items": items,
    }


def list_projects(cloud: Cloud, call: Call) -> object:
    """KeystoneListProjects of IAM: the one project is named after its region."""
    known = call.query.get("name", cloud.region) == cloud.region
    project = {"id": cloud.project_id, "name": cloud.region, "domain_id": "", "is_domain": False, "enabled": True}
    return {"projects": [project] if known else []}


ROUTES = (
    Route("GET", "/v2/{project_id}/training-jobs/{job_id}/autosearch-trials", list_trials),
    Route("GET", "/v2/{project_id}/training-jobs/{job_id}", show_job),
    Route("POST", "/v2/{project_id}/training-job-searches", search_jobs),
    Route("GET", "/v2/{project_id}/algorithms/{algorithm_id}", show_algorithm),
    Route("GET", "/v3/projects", list_projects),
)


def _page(given: Mapping[str, JSON] | Mapping[str, str]) -> tuple[int, int]:
    limit, offset = _number(given, "limit", MAX_PAGE_SIZE), _number(given, "offset", 0)
    if not 1 <= limit <= MAX_PAGE_SIZE:
        raise bad_parameter("limit")
    return limit, offset


def _number(given: Mapping[str, JSON] | Mapping[str, str], name: str, default: int) -> int:
    number = integer(given[name]) if name in given else default
    if number is None or number < 0:
        raise bad_parameter(name)
    return number


def _object(body: bytes) -> dict[str, JSON]:
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        raise bad_body() from None
    if not isinstance(value, dict):
        raise bad_body()
    return value
