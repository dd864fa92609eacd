"""Jobs whose ids, tasks and words come from somebody who means no good."""

from __future__ import annotations

import json

import pytest

from airflow_provider_modelarts.api.flows import explain_failure
from airflow_provider_modelarts.core.xcom import job_summary
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError

MEGABYTE = 1_000_000
FORGED = "x\n[2026-01-01] INFO - forged\x1b[31m\0\ud800"
IDS = ["../x", "a/b", ".", "a b", "a\nb", "\0", "\ud800", "%2e", "x" * 65, "x" * MEGABYTE, "?a", 1.5, 10**100]


def job(job_id="j", *, phase="Failed", algorithm=None, **status):
    """Return the answer for a job."""
    return {"metadata": {"id": job_id}, "status": {"phase": phase, **status}, "algorithm": algorithm or {}}


@pytest.fixture(name="read")
def _read(platform, settings, call):
    """Reads a job that is answered with an object."""

    def read(answer):
        platform.respond_next("training-jobs", body=json.dumps(answer).encode())
        return call(settings, "get_training_job", "x")

    return read


@pytest.mark.parametrize("method", ["get_training_job", "create_training_job", "search_training_jobs"])
@pytest.mark.parametrize("job_id", IDS)
def test_job_id_that_would_lead_elsewhere_is_a_protocol_error(fail, method, job_id):
    """It is refused where it is read: no request is ever made with it, nor is it remembered."""
    answer = {"items": [job(job_id)]} if method == "search_training_jobs" else job(job_id)
    arguments = {"get_training_job": ["x"], "create_training_job": [{"kind": "job"}], "search_training_jobs": []}

    error = fail(method, *arguments[method], part="training-job", body=json.dumps(answer).encode())

    assert type(error) is ModelArtsProtocolError
    assert "the response for a training job has no usable metadata.id: " in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 500


@pytest.mark.parametrize("algorithm_id", [*IDS, None, {}, ""])
def test_algorithm_id_that_would_lead_elsewhere_counts_as_none(read, algorithm_id):
    """The settings of its search are then unknown, as they are for an algorithm that was deleted."""
    assert read(job(algorithm={"id": algorithm_id})).algorithm_id is None


def test_task_that_would_lead_elsewhere_is_left_out(read):
    """What is left are tasks whose logs can be asked for."""
    tasks = [*IDS, None, {}, "worker-0"]

    assert read(job(tasks=tasks)).tasks == ("worker-0",)


def test_explanation_of_a_failure_asks_for_no_odd_log(platform, settings, read, call):
    """A task named like a way upwards changes no path."""
    answer = json.dumps(job(tasks=["../../../v3/projects", "worker-0"])).encode()
    platform.respond_next("/events", body=b'{"events": []}')
    platform.respond_next("/logs/", body=b'{"content": "the last words"}')
    platform.respond_next("training-jobs/x", body=answer)

    said = call(settings, "run", explain_failure("x"))

    assert said == "worker-0: the last words"
    assert all(".." not in request.path for request in platform.requests)


WORDS = {
    "phase": lambda text: job(phase=text),
    "message of a task": lambda text: job(task_statuses=[{"task": "worker-0", "exit_code": 1, "message": text}]),
    "name of a task": lambda text: job(task_statuses=[{"task": text, "exit_code": text, "message": "no"}]),
    "reason of the end": lambda text: job(running_records=[{"end_reason": text}]),
    "name": lambda text: {**job(), "metadata": {"id": "j", "name": text}},
    "metric": lambda text: job(
        algorithm={"policies": {"auto_search": {"reward_attrs": [{"name": text, "mode": "max"}]}}}
    ),
}


@pytest.mark.parametrize("text", [FORGED, FORGED * 50_000], ids=["forged", "megabytes"])
@pytest.mark.parametrize("make", WORDS.values(), ids=WORDS)
def test_words_about_a_job_are_harmless_and_short(read, make, text):
    """They end in messages, in logs and in XCom: on one line, without control characters."""
    found = read(make(text))

    metrics = [objective.metric for objective in found.search.objectives] if found.search else []
    said = [found.phase_text, found.message, found.name, *metrics]
    assert "forged" in "".join(said)
    assert all(not words or words.isprintable() for words in said)
    assert max(map(len, said)) <= 2000


def test_message_of_a_job_with_100_000_tasks_is_short(read):
    """Each of them has something to say."""
    tasks = [{"task": f"worker-{number}", "exit_code": 1, "message": "m" * 20} for number in range(100_000)]

    assert len(read(job(task_statuses=tasks)).message) <= 2000


def test_outputs_that_no_database_takes_are_left_out_of_the_summary(read):
    """The summary is pushed to XCom after the paid work: it must not break there."""
    outputs = [{"name": name, "remote": {"obs": {"obs_url": url}}} for name, url in ODD_OUTPUTS]
    outputs += [{"name": f"n{number}", "remote": {"obs": {"obs_url": "/b/"}}} for number in range(1000)]

    summary = job_summary(read(job(algorithm={"outputs": outputs})))

    assert summary["outputs"]["train_url"] == "/bucket/out/"
    assert set(summary["outputs"]) <= {"train_url", *(f"n{number}" for number in range(1000))}
    assert len(json.dumps(summary)) < 20_000


ODD_OUTPUTS = [
    ("train_url", "/bucket/out/"),
    ("__classname__", "/bucket/"),
    ("nul", "/bucket/\0/"),
    ("half\ud800", "/bucket/"),
    ("long", "/bucket/" + "x" * MEGABYTE),
]
