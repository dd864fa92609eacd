"""Handlers of the operations, and their routes. No HTTP library in here: each handler maps a call to a value.

A handler returns the JSON of the response, None for a response without a body, or :class:`TextResponse`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modelarts_emulator.documents import TableStyle
from modelarts_emulator.errors import bad_body, bad_parameter, bad_request
from modelarts_emulator.importance import importance_table
from modelarts_emulator.json_values import JSON, ShapeError, integer
from modelarts_emulator.project import Project, event_page, matching_jobs, sorted_jobs
from modelarts_emulator.runs.request import checked_description, checked_workspace_id
from modelarts_emulator.vocabulary import MAX_PAGE_SIZE

# limit of ShowTrainingJobLogsPreview: 5 MB
_MAX_PREVIEW = 5 * 1024**2


@dataclass(frozen=True, slots=True)
class Call:
    """Input of a handler: variables of the path, query, body, and headers with names in lower case."""

    names: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def job_id(self) -> str:
        """The id of the job in the path."""
        return self.names["job_id"]

    def object(self) -> dict[str, JSON]:
        """Return the object in the body; an empty one if there is no body."""
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise bad_body() from None
        if not isinstance(value, dict):
            raise bad_body()
        return value


@dataclass(frozen=True, slots=True)
class TextResponse:
    """A response of text, with headers. Its repr hides both, which hold secrets."""

    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)


def page_of(given: Mapping[str, JSON] | Mapping[str, str]) -> tuple[int, int]:
    """Return limit and offset, or refuse those out of range."""
    limit, offset = _count(given, "limit", MAX_PAGE_SIZE), _count(given, "offset", 0)
    if not 1 <= limit <= MAX_PAGE_SIZE:
        raise bad_parameter("limit")
    return limit, offset


def _count(given: Mapping[str, JSON] | Mapping[str, str], name: str, default: int) -> int:
    number = integer(given[name]) if name in given else default
    if number is None or number < 0:
        raise bad_parameter(name)
    return number


def list_trials(project: Project, call: Call) -> object:
    """ShowAutoSearchTrials."""
    limit, offset = page_of(call.query)
    page = project.job(call.job_id).trials(project.style.rows_of_page(limit, offset), project.style)
    return {
        "total": page.total,
        "count": len(page.data),
        "limit": limit,
        "offset": offset,
        "group_by": "",
        "items": {"header": page.header, "data": page.data},
    }


def show_trial(project: Project, call: Call) -> object:
    """ShowAutoSearchPerTrial."""
    page = project.job(call.job_id).reports(call.names["trial_id"], project.style)
    return {"header": page.header, "data": page.data}


def stop_trial(project: Project, call: Call) -> object:
    """ShowAutoSearchTrialEarlyStop: the id of the trial."""
    project.job(call.job_id).stop_trial(call.names["trial_id"])
    return {"earlystop_trial": call.names["trial_id"]}


def show_importance(project: Project, call: Call) -> object:
    """ShowAutoSearchParamsAnalysis."""
    job = project.job(call.job_id)
    return importance_table(job.document(), job.trials(slice(None), TableStyle()))


def create_job(project: Project, call: Call) -> object:
    """CreateTrainingJob: the job, Creating."""
    try:
        return project.create(call.object()).document()
    except ShapeError as error:
        raise bad_request("2788", f"{error}.") from None


def show_job(project: Project, call: Call) -> object:
    """ShowTrainingJobDetails. It moves a scripted job on by one tick."""
    job = project.job(call.job_id)
    job.advance()
    return job.document()


def change_description(project: Project, call: Call) -> object:
    """ChangeTrainingJobDescription: an empty object."""
    job = project.job(call.job_id)
    job.change_description(checked_description(call.object().get("description")))
    return {}


def delete_job(project: Project, call: Call) -> object:
    """DeleteTrainingJob: the empty text."""
    project.delete(call.job_id)
    return ""


def stop_job(project: Project, call: Call) -> object:
    """StopTrainingJob: the job, Terminating."""
    job = project.job(call.job_id)
    if call.object().get("action_type") != "terminate":
        raise bad_request("2812", "Unsupported action type.")
    job.stop()
    return job.document()


def list_events(project: Project, call: Call) -> object:
    """ListTrainingJobEvents, newest first by default. ``offset`` counts pages."""
    return event_page(project.job(call.job_id).events(), call.query)


def show_log_preview(project: Project, call: Call) -> object:
    """ShowTrainingJobLogsPreview: the newest 5 MB; no body while there is no log."""
    log = project.job(call.job_id).log(call.names["task_id"], _MAX_PREVIEW)
    if log is None:
        raise bad_request("2788", f"The training job has no task {call.names['task_id']}.")
    if not log.size:
        return None
    return {
        "content": log.content.decode(errors="replace"),
        "current_size": len(log.content),
        "full_size": log.size,
    }


def search_jobs(project: Project, call: Call) -> object:
    """ListTrainingJobs: a workspace. ``offset`` counts pages, ``total`` all jobs found, ``count`` those on the page."""
    wanted = call.object()
    limit, offset = page_of(wanted)
    workspace_id = checked_workspace_id(wanted.get("workspace_id"))
    found = matching_jobs(project.listed_jobs(workspace_id), wanted.get("filters"))
    ordered = sorted_jobs(found, wanted.get("sort_by"), wanted.get("order"))
    items = ordered[offset * limit : (offset + 1) * limit]
    return {
        "total": len(found),
        "count": len(items),
        "limit": limit,
        "offset": offset,
        "sort_by": wanted.get("sort_by") or "create_time",
        "order": wanted.get("order") or "desc",
        "group_by": "",
        "workspace_id": workspace_id,
        "items": items,
    }


def show_algorithm(project: Project, call: Call) -> object:
    """ShowAlgorithmByUuid."""
    return project.algorithm(call.names["algorithm_id"])


def list_projects(project: Project, call: Call) -> object:
    """KeystoneListProjects of IAM: the one project is named after its region."""
    known = call.query.get("name", project.region) == project.region
    found = {"id": project.project_id, "name": project.region, "domain_id": "", "is_domain": False, "enabled": True}
    return {"projects": [found] if known else []}


def create_token(project: Project, call: Call) -> object:
    """KeystoneCreateUserTokenByPassword of IAM: the token is in a header."""
    token, body = project.iam.create_token(call.object())
    return TextResponse({"X-Subject-Token": token, "Content-Type": "application/json"}, json.dumps(body))


def create_hop_token(project: Project, call: Call) -> object:
    """Return the token of the metadata service, as text."""
    return TextResponse({}, project.iam.hop_token())


def show_agency_key(project: Project, call: Call) -> object:
    """Return a temporary key of the agency, from the metadata service."""
    return project.iam.create_agency_key(call.headers.get("x-metadata-token"))


@dataclass(frozen=True, slots=True)
class Route:
    """Method, path and handler of an operation, the status of its response, and whether it works unsigned."""

    method: str
    path: str
    handler: Callable[[Project, Call], object]
    status: int = 200
    is_public: bool = False


_JOBS = "/v2/{project_id}/training-jobs"
_JOB = f"{_JOBS}/{{job_id}}"

ROUTES = (
    Route("GET", f"{_JOB}/autosearch-trials", list_trials),
    Route("GET", f"{_JOB}/autosearch-trials/{{trial_id}}", show_trial),
    Route("POST", f"{_JOB}/autosearch-trial-earlystop/{{trial_id}}", stop_trial),
    Route("GET", f"{_JOB}/autosearch-parameter-analysis", show_importance),
    Route("POST", _JOBS, create_job, 201),
    Route("GET", _JOB, show_job),
    Route("PUT", _JOB, change_description),
    Route("DELETE", _JOB, delete_job, 202),
    Route("POST", f"{_JOB}/actions", stop_job, 202),
    Route("GET", f"{_JOB}/events", list_events),
    Route("GET", f"{_JOB}/tasks/{{task_id}}/logs/preview", show_log_preview),
    Route("POST", "/v2/{project_id}/training-job-searches", search_jobs),
    Route("GET", "/v2/{project_id}/algorithms/{algorithm_id}", show_algorithm),
    Route("GET", "/v3/projects", list_projects),
    Route("POST", "/v3/auth/tokens", create_token, 201, is_public=True),
    Route("PUT", "/meta-data/latest/api/token", create_hop_token, is_public=True),
    Route("GET", "/openstack/latest/securitykey", show_agency_key, is_public=True),
)
