"""Which operation has which path, and which status its answer has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelarts_emulator import acting, looking, signing_in
from modelarts_emulator.calls import Call
from modelarts_emulator.cloud import Cloud

_JOBS = "/v2/{project_id}/training-jobs"
_JOB = f"{_JOBS}/{{job_id}}"


@dataclass(frozen=True, slots=True)
class Route:
    """An operation: its method, its path, what answers it, the status of its answer, and whether all may call it."""

    method: str
    path: str
    answer: Callable[[Cloud, Call], object]
    status: int = 200
    is_public: bool = False


ROUTES = (
    Route("GET", f"{_JOB}/autosearch-trials", looking.list_trials),
    Route("GET", f"{_JOB}/autosearch-trials/{{trial_id}}", looking.show_trial),
    Route("POST", f"{_JOB}/autosearch-trial-earlystop/{{trial_id}}", acting.stop_trial),
    Route("GET", f"{_JOB}/autosearch-parameter-analysis", looking.show_importance),
    Route("POST", _JOBS, acting.create_job, 201),
    Route("GET", _JOB, looking.show_job),
    Route("PUT", _JOB, acting.change_description),
    Route("DELETE", _JOB, acting.delete_job, 202),
    Route("POST", f"{_JOB}/actions", acting.stop_job, 202),
    Route("GET", f"{_JOB}/events", looking.list_events),
    Route("GET", f"{_JOB}/tasks/{{task_id}}/logs/preview", looking.show_log_preview),
    Route("POST", "/v2/{project_id}/training-job-searches", looking.search_jobs),
    Route("GET", "/v2/{project_id}/algorithms/{algorithm_id}", looking.show_algorithm),
    Route("GET", "/v3/projects", looking.list_projects),
    Route("POST", "/v3/auth/tokens", signing_in.create_token, 201, is_public=True),
    Route("PUT", "/meta-data/latest/api/token", signing_in.create_hop_token, is_public=True),
    Route("GET", "/openstack/latest/securitykey", signing_in.show_agency_key, is_public=True),
)
