"""Training jobs: phases, search settings, end and message."""

from __future__ import annotations

import pytest
from unit.builders import ABSURD_NUMBERS, documented

from airflow_provider_modelarts.core.jobs import JobPhase, Mode, Objective, SearchSettings, read_job, read_search
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError


def response(status=None, **parts):
    """Return the response for a job."""
    return {"metadata": {"id": "job-1"}, "status": {"phase": "Completed"} | (status or {}), **parts}


def test_job_of_the_documented_response():
    """The documented creation response gives a job in Creating, with an algorithm id and no search of its own."""
    job = read_job(documented("create_training_job_response"))

    assert job.id == "66ff6991-fd66-40b6-8101-0829a46d3731"
    assert job.name == "test-pytorch-cpu01"
    assert (job.phase, job.phase_text) == (JobPhase.CREATING, "Creating")
    assert job.algorithm_id == "01c399ae-8593-4ef5-9e4d-085950aacde1"
    assert (job.search, job.ended_at, job.message) == (None, None, "")


@pytest.mark.parametrize(
    ("word", "phase", "is_terminal", "is_failure", "is_starting"),
    [
        ("Creating", JobPhase.CREATING, False, False, True),
        ("Pending", JobPhase.PENDING, False, False, True),
        ("Running", JobPhase.RUNNING, False, False, False),
        ("Terminating", JobPhase.TERMINATING, False, False, False),
        ("Completed", JobPhase.COMPLETED, True, False, False),
        ("Failed", JobPhase.FAILED, True, True, False),
        ("Abnormal", JobPhase.ABNORMAL, True, True, False),
        ("Terminated", JobPhase.TERMINATED, True, False, False),
        ("COMPLETED", JobPhase.COMPLETED, True, False, False),
        (" running ", JobPhase.RUNNING, False, False, False),
        ("Hibernating", JobPhase.UNKNOWN, False, False, False),
        ("TERMINATED ", JobPhase.TERMINATED, True, False, False),
    ],
)
def test_phase_of_a_word(word, phase, is_terminal, is_failure, is_starting):
    """Each documented phase has its documented meaning; an unknown one is neither terminal, failed nor starting."""
    read = JobPhase.read(word)

    assert (read, read.is_terminal, read.is_failure, read.is_starting) == (phase, is_terminal, is_failure, is_starting)


def test_job_with_an_unknown_phase():
    """An unknown phase keeps the platform's own word as its text."""
    job = read_job(response({"phase": "Hibernating"}))

    assert (job.phase, job.phase_text) == (JobPhase.UNKNOWN, "Hibernating")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "no metadata.id or no status.phase"),
        ({"metadata": {"id": "job-1"}}, "no status.phase"),
        ({"metadata": {}, "status": {"phase": "Running"}}, "no metadata.id"),
        ({"metadata": None, "status": None}, "no metadata.id"),
        ({"metadata": [], "status": "Running"}, "no metadata.id"),
        ([], "a training job should be a JSON object, but is a list of 0"),
        (None, "a training job should be a JSON object, but is None"),
        ("<html>", "a training job should be a JSON object"),
    ],
)
def test_job_of_another_shape(body, message):
    """A response without an id or a phase raises an error."""
    with pytest.raises(ModelArtsProtocolError, match=message):
        read_job(body)


#: Ids that are not safe in a path.
BAD_IDS = ["../x", "a/b", ".", "a b", "a\nb", "\0", "\ud800", "%2e", "x" * 65, "x" * 1_000_000, "?a", 1.5, 10**100]


@pytest.mark.parametrize("job_id", BAD_IDS)
def test_job_with_an_invalid_id(job_id):
    """An id that is not safe in a path raises a short printable error, before any request is made with it."""
    with pytest.raises(
        ModelArtsProtocolError, match=r"^the response for a training job has no usable metadata\.id: "
    ) as c:
        read_job({"metadata": {"id": job_id}, "status": {"phase": "Running"}})

    assert str(c.value).isprintable()
    assert len(str(c.value)) < 500


@pytest.mark.parametrize("algorithm_id", [*BAD_IDS, None, {}, ""])
def test_job_with_an_invalid_algorithm_id(algorithm_id):
    """An algorithm id that is not safe in a path counts as unknown."""
    assert read_job(response(algorithm={"id": algorithm_id})).algorithm_id is None


def test_job_with_invalid_task_names():
    """Task names that are not safe in a path are left out, because their logs cannot be requested."""
    assert read_job(response({"tasks": [*BAD_IDS, None, {}, "worker-0"]})).tasks == ("worker-0",)


FORGED = "x\n[2026-01-01] INFO - forged\x1b[31m\0\ud800"
TEXT_FIELDS = {
    "phase": lambda text: response({"phase": text}),
    "message of a task": lambda text: response({"task_statuses": [{"task": "a", "exit_code": 1, "message": text}]}),
    "name of a task": lambda text: response({"task_statuses": [{"task": text, "exit_code": text, "message": "no"}]}),
    "end reason": lambda text: response({"running_records": [{"end_reason": text}]}),
    "name": lambda text: response() | {"metadata": {"id": "j", "name": text}},
    "metric": lambda text: response(
        algorithm={"policies": {"auto_search": {"reward_attrs": [{"name": text, "mode": "max"}]}}}
    ),
}


@pytest.mark.parametrize("text", [FORGED, FORGED * 50_000], ids=["forged", "megabytes"])
@pytest.mark.parametrize("make", TEXT_FIELDS.values(), ids=TEXT_FIELDS)
def test_job_with_text_that_would_break_a_log(make, text):
    """Texts for messages, logs and XCom are short, printable and on one line."""
    job = read_job(make(text))

    metrics = [objective.metric for objective in job.search.objectives] if job.search else []
    texts = [job.phase_text, job.message, job.name, *metrics]
    assert "forged" in "".join(texts)
    assert all(not shown or shown.isprintable() for shown in texts)
    assert max(map(len, texts)) <= 2000


def test_job_with_100_000_failed_tasks():
    """The message of a job with many failed tasks is cut."""
    tasks = [{"task": f"worker-{number}", "exit_code": 1, "message": "m" * 20} for number in range(100_000)]

    assert len(read_job(response({"task_statuses": tasks})).message) <= 2000


@pytest.mark.parametrize("number", ABSURD_NUMBERS.values(), ids=ABSURD_NUMBERS)
def test_job_with_absurd_numbers(number):
    """A number beyond any time or count is missing and breaks no arithmetic."""
    algo_configs = [{"params": [{"key": "num_samples", "value": number}]}]
    job = read_job(
        {
            "metadata": {"id": "j", "create_time": number},
            "status": {
                "phase": "Completed",
                "start_time": number,
                "duration": number,
                "running_records": [{"end_at": number}],
            },
            "algorithm": {"policies": {"auto_search": {"algo_configs": algo_configs}}},
        }
    )

    assert (job.duration, job.ended_at, job.search.num_samples, job.created_at) == (None, None, None, 0)


def test_search_of_a_job():
    """The search settings of a job are read from its policies."""
    auto_search = {
        "reward_attrs": [{"name": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"}],
        "algo_configs": [{"name": "tpe_search", "params": [{"key": "num_samples", "value": "8", "type": "Integer"}]}],
    }

    job = read_job(response(algorithm={"policies": {"auto_search": auto_search}}))

    assert job.search == SearchSettings((Objective("acc", Mode.MAX, "acc: ([0-9.]+)"),), 8)


@pytest.mark.parametrize("auto_search", [None, {}, [], "text"])
def test_search_of_a_job_without_one(auto_search):
    """A job without search settings has None, not empty settings."""
    assert read_search(auto_search) is None


@pytest.mark.parametrize(
    ("reward_attrs", "objectives"),
    [
        ([{"name": "acc", "mode": "max"}], [("acc", "max")]),
        ([{"name": "loss", "mode": " MIN "}], [("loss", "min")]),
        ([{"name": "acc", "mode": "max"}, {"name": "loss", "mode": "min"}], [("acc", "max"), ("loss", "min")]),
        ([{"name": "acc", "mode": "best"}], []),
        ([{"name": "acc"}], []),
        ([{"name": "acc", "mode": None}], []),
        ([{"name": "", "mode": "max"}], []),
        ([{"mode": "max"}], []),
        (["acc", None, {"name": "f1", "mode": "max"}], [("f1", "max")]),
        (None, []),
        ({"name": "acc", "mode": "max"}, []),
    ],
)
def test_objectives_of_a_search(reward_attrs, objectives):
    """Objectives keep their order; an objective without a readable mode is left out, never guessed."""
    search = read_search({"reward_attrs": reward_attrs, "search_params": []})

    assert [(objective.metric, objective.mode) for objective in search.objectives] == objectives


@pytest.mark.parametrize(
    ("algo_configs", "num_samples"),
    [
        ([{"params": [{"key": "seed", "value": "1"}, {"key": "num_samples", "value": "20"}]}], 20),
        ([{"params": [{"key": "num_samples", "value": 20}]}], 20),
        ([{"params": [{"key": "seed", "value": "1"}]}, {"params": [{"key": "num_samples", "value": "5"}]}], None),
        ([{"params": [{"key": "num_samples", "value": "many"}]}], None),
        ([{"params": [{"key": "num_samples", "value": "0"}]}], None),
        ([{"params": None}], None),
        ([{}], None),
        (["bayes"], None),
        ([], None),
        (None, None),
    ],
)
def test_num_samples_of_a_search(algo_configs, num_samples):
    """The number of trials comes from the search algorithm; with several algorithms it is unknown."""
    assert read_search({"algo_configs": algo_configs, "search_params": []}).num_samples == num_samples


def test_num_samples_of_a_search_below_zero():
    """A negative number of trials is unknown; otherwise every search would already list enough trials."""
    settings = read_search({"algo_configs": [{"params": [{"key": "num_samples", "value": "-1"}]}]})

    assert settings.num_samples is None


@pytest.mark.parametrize(
    ("status", "metadata", "ended_at"),
    [
        ({"start_time": 1_700_000_000_000, "duration": 90_500}, {}, 1_700_000_090.5),
        ({"start_time": "1700000000000", "duration": "90500"}, {}, 1_700_000_090.5),
        ({"start_time": 1_700_000_000_000, "duration": 0}, {}, 1_700_000_000.0),
        ({"start_time": 0, "duration": 5_000}, {"create_time": 1_600_000_000_000}, 1_600_000_005.0),
        ({"duration": 5_000}, {}, None),
        ({"start_time": 1_700_000_000_000}, {}, None),
        ({"running_records": [{"end_at": 1}, {"end_at": 1_700_000_123}]}, {}, 1_700_000_123.0),
        ({"running_records": [{"end_at": 0}]}, {}, None),
        ({"running_records": []}, {}, None),
        ({"running_records": None}, {}, None),
        ({}, {}, None),
    ],
)
def test_end_of_a_job(status, metadata, ended_at):
    """The end is start plus duration (milliseconds), else the last running record (seconds), else unknown."""
    job = read_job({"metadata": {"id": "job-1"} | metadata, "status": {"phase": "Completed"} | status})

    assert job.ended_at == ended_at


@pytest.mark.parametrize("phase", ["Creating", "Running", "Terminating", "Hibernating"])
def test_end_of_an_active_job(phase):
    """A job that has not ended has no end, even with a start and a duration."""
    assert read_job(response({"phase": phase, "start_time": 1, "duration": 1})).ended_at is None


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({}, ""),
        ({"task_statuses": [{"task": "worker-0", "exit_code": 0, "message": ""}]}, ""),
        (
            {"task_statuses": [{"task": "worker-0", "exit_code": 137, "message": "OOM"}]},
            "worker-0: OOM (exit code 137)",
        ),
        ({"task_statuses": [{"task": "worker-0", "exit_code": 1}]}, "worker-0: no message (exit code 1)"),
        ({"task_statuses": [{"message": "killed"}]}, "task: killed (exit code ?)"),
        (
            {"task_statuses": [{"task": "a", "exit_code": 1, "message": "x"}, {"task": "b", "exit_code": 0}]},
            "a: x (exit code 1)",
        ),
        ({"running_records": [{"end_reason": "old"}, {"end_reason": " node fault "}]}, "node fault"),
        (
            {"task_statuses": [{"task": "a", "exit_code": 1}], "running_records": [{"end_reason": "node fault"}]},
            "a: no message (exit code 1); node fault",
        ),
        ({"task_statuses": "broken", "running_records": [None]}, ""),
    ],
)
def test_message_of_a_job(status, message):
    """The message joins the reasons of the failed tasks and of the last run."""
    assert read_job(response(status)).message == message


def test_job_repr_without_the_response():
    """The response, which may hold secrets of the user, is not part of the repr."""
    job = read_job(response(algorithm={"environments": {"TOKEN": "hidden-value"}}))

    assert job.raw["algorithm"]["environments"] == {"TOKEN": "hidden-value"}
    assert "hidden-value" not in repr(job)
