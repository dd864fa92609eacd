"""Training jobs: phases, search settings, end and message."""

from __future__ import annotations

import pytest
from unit.builders import ABSURD_NUMBERS, documented

from airflow_provider_modelarts.core.jobs import JobPhase, Mode, Objective, SearchSettings, read_job, read_search
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError


def answer(status=None, **parts):
    """Return the answer for a job."""
    return {"metadata": {"id": "job-1"}, "status": {"phase": "Completed"} | (status or {}), **parts}


def test_job_of_the_documented_answer():
    """The documented answer to a creation is a job that starts, from an algorithm, without a search of its own."""
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
    """Each documented phase has its documented meaning; an unknown one is neither end, failure nor start."""
    read = JobPhase.read(word)

    assert (read, read.is_terminal, read.is_failure, read.is_starting) == (phase, is_terminal, is_failure, is_starting)


def test_job_with_an_unknown_phase():
    """The platform's own word is kept for people to read."""
    job = read_job(answer({"phase": "Hibernating"}))

    assert (job.phase, job.phase_text) == (JobPhase.UNKNOWN, "Hibernating")


@pytest.mark.parametrize(
    ("body", "said"),
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
def test_job_of_another_shape(body, said):
    """An answer without id or phase is no job."""
    with pytest.raises(ModelArtsProtocolError, match=said):
        read_job(body)


#: Ids that may not enter a path, and the text that they become.
BAD_IDS = ["../x", "a/b", ".", "a b", "a\nb", "\0", "\ud800", "%2e", "x" * 65, "x" * 1_000_000, "?a", 1.5, 10**100]


@pytest.mark.parametrize("job_id", BAD_IDS)
def test_job_with_an_id_that_may_not_enter_a_path(job_id):
    """Such an id is refused where it is read, in one short printable line: no request is ever made with it."""
    with pytest.raises(
        ModelArtsProtocolError, match=r"^the response for a training job has no usable metadata\.id: "
    ) as c:
        read_job({"metadata": {"id": job_id}, "status": {"phase": "Running"}})

    assert str(c.value).isprintable()
    assert len(str(c.value)) < 500


@pytest.mark.parametrize("algorithm_id", [*BAD_IDS, None, {}, ""])
def test_job_of_an_algorithm_whose_id_may_not_enter_a_path(algorithm_id):
    """Such an algorithm counts as unknown, and so do the settings of its search."""
    assert read_job(answer(algorithm={"id": algorithm_id})).algorithm_id is None


def test_job_with_tasks_whose_names_may_not_enter_a_path():
    """Such tasks are left out: their logs cannot be asked for."""
    assert read_job(answer({"tasks": [*BAD_IDS, None, {}, "worker-0"]})).tasks == ("worker-0",)


FORGED = "x\n[2026-01-01] INFO - forged\x1b[31m\0\ud800"
WORDS = {
    "phase": lambda text: answer({"phase": text}),
    "message of a task": lambda text: answer({"task_statuses": [{"task": "a", "exit_code": 1, "message": text}]}),
    "name of a task": lambda text: answer({"task_statuses": [{"task": text, "exit_code": text, "message": "no"}]}),
    "reason of the end": lambda text: answer({"running_records": [{"end_reason": text}]}),
    "name": lambda text: answer() | {"metadata": {"id": "j", "name": text}},
    "metric": lambda text: answer(
        algorithm={"policies": {"auto_search": {"reward_attrs": [{"name": text, "mode": "max"}]}}}
    ),
}


@pytest.mark.parametrize("text", [FORGED, FORGED * 50_000], ids=["forged", "megabytes"])
@pytest.mark.parametrize("make", WORDS.values(), ids=WORDS)
def test_job_with_words_that_would_break_a_log(make, text):
    """Words for messages, logs and XCom are short, on one line and printable."""
    job = read_job(make(text))

    metrics = [objective.metric for objective in job.search.objectives] if job.search else []
    said = [job.phase_text, job.message, job.name, *metrics]
    assert "forged" in "".join(said)
    assert all(not words or words.isprintable() for words in said)
    assert max(map(len, said)) <= 2000


def test_job_with_100_000_tasks_that_broke():
    """The message of the job is cut."""
    tasks = [{"task": f"worker-{number}", "exit_code": 1, "message": "m" * 20} for number in range(100_000)]

    assert len(read_job(answer({"task_statuses": tasks})).message) <= 2000


@pytest.mark.parametrize("number", ABSURD_NUMBERS.values(), ids=ABSURD_NUMBERS)
def test_job_with_absurd_numbers(number):
    """A number beyond all times and counts is missing, and no arithmetic breaks on it."""
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
    """A job's own search settings are read from its policies."""
    auto_search = {
        "reward_attrs": [{"name": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"}],
        "algo_configs": [{"name": "tpe_search", "params": [{"key": "num_samples", "value": "8", "type": "Integer"}]}],
    }

    job = read_job(answer(algorithm={"policies": {"auto_search": auto_search}}))

    assert job.search == SearchSettings((Objective("acc", Mode.MAX, "acc: ([0-9.]+)"),), 8)


@pytest.mark.parametrize("auto_search", [None, {}, [], "text"])
def test_search_of_a_job_without_one(auto_search):
    """A job without settings of a search has None, which is not the same as empty settings."""
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
    """Objectives keep their order; one without a readable direction is left out, never guessed."""
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
    """The number of trials comes from the search algorithm; with several it is unknown which will run."""
    assert read_search({"algo_configs": algo_configs, "search_params": []}).num_samples == num_samples


def test_num_samples_of_a_search_below_zero():
    """A number of trials below zero is none: else every search would have as many trials as it will run."""
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
    """The end is start and duration (milliseconds), else the last running record (seconds), else unknown."""
    job = read_job({"metadata": {"id": "job-1"} | metadata, "status": {"phase": "Completed"} | status})

    assert job.ended_at == ended_at


@pytest.mark.parametrize("phase", ["Creating", "Running", "Terminating", "Hibernating"])
def test_end_of_a_job_at_work(phase):
    """A job that has not ended has no end, whatever its duration."""
    assert read_job(answer({"phase": phase, "start_time": 1, "duration": 1})).ended_at is None


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
    """The reasons of the tasks that broke and of the last run are joined."""
    assert read_job(answer(status)).message == message


def test_job_repr_without_the_whole_answer():
    """The whole answer, which may hold what a user put into it, stays out of reprs."""
    job = read_job(answer(algorithm={"environments": {"TOKEN": "hidden-value"}}))

    assert job.raw["algorithm"]["environments"] == {"TOKEN": "hidden-value"}
    assert "hidden-value" not in repr(job)
