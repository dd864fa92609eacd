"""Operations that look. Each reads its call and writes its answer; None is an answer without a body."""

from __future__ import annotations

from modelarts_emulator.analysis import importance_table
from modelarts_emulator.calls import Call, page_of
from modelarts_emulator.cloud import Cloud
from modelarts_emulator.errors import bad_request
from modelarts_emulator.events import event_page
from modelarts_emulator.job_searches import in_order, matching
from modelarts_emulator.table import TableStyle

_LONGEST_PREVIEW = 5 * 1024**2


def list_trials(cloud: Cloud, call: Call) -> object:
    """ShowAutoSearchTrials."""
    limit, offset = page_of(call.query)
    page = cloud.job(call.job_id).trials(cloud.style.rows_of_page(limit, offset), cloud.style)
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
    job = cloud.job(call.job_id)
    job.look()
    return job.document()


def show_trial(cloud: Cloud, call: Call) -> object:
    """ShowAutoSearchPerTrial."""
    page = cloud.job(call.job_id).reports(call.names["trial_id"], cloud.style)
    return {"header": page.header, "data": page.data}


def show_importance(cloud: Cloud, call: Call) -> object:
    """ShowAutoSearchParamsAnalysis."""
    job = cloud.job(call.job_id)
    return importance_table(job.document(), job.trials(slice(None), TableStyle()))


def list_events(cloud: Cloud, call: Call) -> object:
    """ListTrainingJobEvents, newest first unless asked otherwise. ``offset`` counts pages."""
    return event_page(cloud.job(call.job_id).events(), call.query)


def show_log_preview(cloud: Cloud, call: Call) -> object:
    """ShowTrainingJobLogsPreview: the newest 5 MB; nothing at all while there is no log."""
    log = cloud.job(call.job_id).log(call.names["task_id"], _LONGEST_PREVIEW)
    if log is None:
        raise bad_request("2788", f"The training job has no task {call.names['task_id']}.")
    if not log.size:
        return None
    return {
        "content": log.content.decode(errors="replace"),
        "current_size": len(log.content),
        "full_size": log.size,
    }


def show_algorithm(cloud: Cloud, call: Call) -> object:
    """ShowAlgorithmByUuid."""
    return cloud.algorithm(call.names["algorithm_id"])


def search_jobs(cloud: Cloud, call: Call) -> object:
    """ListTrainingJobs. Here ``offset`` counts pages; ``total`` are the jobs found, ``count`` those on the page."""
    wanted = call.object()
    limit, offset = page_of(wanted)
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
