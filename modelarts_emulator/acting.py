"""Operations that change something. Each reads its call and writes its answer."""

from __future__ import annotations

from airflow_provider_modelarts.exceptions import ModelArtsProtocolError
from modelarts_emulator.calls import Call
from modelarts_emulator.cloud import Cloud
from modelarts_emulator.errors import bad_request
from modelarts_emulator.runs.bodies import checked_description


def create_job(cloud: Cloud, call: Call) -> object:
    """CreateTrainingJob: the job, Creating."""
    try:
        return cloud.create(call.object()).document()
    except ModelArtsProtocolError as error:  # a part of the body has another shape than it should
        raise bad_request("2788", f"{error}.") from None


def stop_job(cloud: Cloud, call: Call) -> object:
    """StopTrainingJob: the job, Terminating."""
    job = cloud.job(call.job_id)
    if call.object().get("action_type") != "terminate":
        raise bad_request("2812", "Unsupported action type.")
    job.stop()
    return job.document()


def delete_job(cloud: Cloud, call: Call) -> object:
    """DeleteTrainingJob: the empty text."""
    cloud.delete(call.job_id)
    return ""


def change_description(cloud: Cloud, call: Call) -> object:
    """ChangeTrainingJobDescription: an empty object."""
    job = cloud.job(call.job_id)
    job.describe(checked_description(call.object().get("description")))
    return {}


def stop_trial(cloud: Cloud, call: Call) -> object:
    """ShowAutoSearchTrialEarlyStop: the id of the trial."""
    cloud.job(call.job_id).stop_trial(call.names["trial_id"])
    return {"earlystop_trial": call.names["trial_id"]}
