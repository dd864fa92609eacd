"""Names and marks that identify the jobs of a task."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import quick

from airflow_provider_modelarts.core.job_identity import Plan, TaskIdentity, is_usable, plan
from airflow_provider_modelarts.core.jobs import JobPhase, TrainingJob

ME = TaskIdentity(
    prefix="prod",
    dag_id="search",
    task_id="train",
    run_id="scheduled__2026-01-01T00:00:00+00:00",
    map_index=-1,
    generation=0,
)
NAME = "prod-search-train-b3fa10c66d66"
MARK = "[airflow b3fa10c66d66 0]"

identities = st.builds(
    TaskIdentity,
    prefix=st.text(max_size=70),
    dag_id=st.text(max_size=250),
    task_id=st.text(max_size=250),
    run_id=st.text(max_size=250),
    map_index=st.integers(-1, 1024),
    generation=st.integers(0, 99),
)


def job(suffix="", phase="Running", name=NAME, description=MARK):
    """Return a job of the task, unless its name or description differs."""
    return TrainingJob(f"id{suffix}", f"{name}{suffix}", JobPhase.read(phase), phase, description=description)


def test_name_across_releases():
    """The hash is SHA-256 of all parts between zero bytes, so that a retry after an upgrade finds its job."""
    assert (ME.name, ME.fingerprint, ME.mark) == (NAME, "b3fa10c66d66", MARK)


@pytest.mark.parametrize(
    "change",
    [
        {"prefix": "test"},
        {"prefix": ""},
        {"dag_id": "other"},
        {"task_id": "other"},
        {"run_id": "manual__2026-01-01T00:00:00+00:00"},
        {"map_index": 0},
        {"map_index": 1},
        {"dag_id": "sear", "task_id": "chtrain"},
        {"dag_id": "search-train", "task_id": ""},
    ],
)
def test_name_for_another_task_instance(change):
    """Another deployment, DAG, task, run or map index has another name and another mark."""
    other = replace(ME, **change)

    assert other.name != ME.name
    assert other.mark != ME.mark


def test_name_of_ids_that_differ_in_forbidden_characters():
    """Ids that differ only in forbidden characters have different names."""
    names = {replace(ME, dag_id=dag_id).name for dag_id in ("a.b", "a-b", "a b", "ä-b", "a..b")}

    assert len(names) == 5


@pytest.mark.parametrize(
    ("change", "readable"),
    [
        ({"prefix": ""}, "search-train"),
        ({"dag_id": "my.dag", "task_id": "group.task"}, "prod-my-dag-group-task"),
        ({"dag_id": "under_score"}, "prod-under_score-train"),
        ({"dag_id": "a ... b"}, "prod-a-b-train"),
        ({"dag_id": "d" * 100}, "prod-" + "d" * 42),
        ({"dag_id": "d" * 41}, "prod-" + "d" * 41),
        ({"prefix": "", "dag_id": ".hidden."}, "hidden--train"),
    ],
)
def test_name_is_readable(change, readable):
    """A name begins with prefix, DAG and task, cut to the available length and without forbidden characters."""
    assert replace(ME, **change).name.rpartition("-")[0] == readable


@quick
@given(identities)
def test_name_is_allowed_by_the_platform(identity):
    """A name holds letters, digits, hyphens and underscores, and leaves room for a number."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{13,60}", identity.name)


def test_name_of_ids_without_any_allowed_character():
    """A name for Chinese ids, which Airflow allows, begins with a letter or digit."""
    assert replace(ME, prefix="", dag_id="训练", task_id="搜索").name[0].isalnum()


@pytest.mark.parametrize(
    ("description", "described"),
    [
        ("", MARK),
        ("nightly", f"nightly {MARK}"),
        ("学习 nightly", f"学习 nightly {MARK}"),
        ("x" * 300, "x" * 231 + f" {MARK}"),
    ],
)
def test_description_carries_the_mark(description, described):
    """The mark follows the user's description and is never cut."""
    assert ME.described(description) == described


@quick
@given(identities, st.text(max_size=400))
def test_description_is_allowed_by_the_platform(identity, description):
    """A description has at most 256 characters and ends with the whole mark."""
    described = identity.described(description)

    assert len(described) <= 256
    assert described.endswith(identity.mark)


@pytest.mark.parametrize("suffix", ["", "-2", "-3", "-17"])
def test_own_job(suffix):
    """A job with the task's name, numbered or not, and the task's mark belongs to the task."""
    assert ME.owns(job(suffix))


@pytest.mark.parametrize(
    "description", ["", "NULL", NAME, "[airflow 000000000000]", "[airflow 35259f89df59", "airflow"]
)
def test_own_name_without_the_mark(description):
    """A job with the task's name but without its mark does not belong to the task."""
    assert not ME.owns(job(description=description))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "prod-search-train",
        f"x{NAME}",
        f"-{NAME}",
        f"{NAME}x",
        f"{NAME}-",
        f"{NAME}-a",
        f"{NAME}--2",
        f"{NAME}-2-copy",
        f"{NAME}-2.0",
        f"{NAME}_2",
        f"{NAME}2",
        f"{NAME}{NAME}",
        NAME.upper(),
    ],
)
def test_own_mark_under_another_name(name):
    """A copy of a job under another name, description included, does not belong to the task."""
    assert not ME.owns(job(name=name))


@pytest.mark.parametrize("change", [{"generation": 1}, {"map_index": 0}, {"run_id": "r2"}, {"prefix": "test"}])
def test_jobs_of_another_task_instance(change):
    """A job belongs to one generation, map index, run and deployment only."""
    other = replace(ME, **change)

    assert not other.owns(job())
    assert not ME.owns(job(name=other.name, description=other.mark))


@pytest.mark.parametrize(("suffix", "number"), [("", 1), ("-2", 2), ("-10", 10), ("-x", None), ("2", None)])
def test_number_of_a_job(suffix, number):
    """The first job has no number in its name, and later jobs count from 2."""
    assert ME.number(job(suffix)) == number


@quick
@given(identities, st.integers(2, 999))
def test_numbered_name_belongs_to_the_task(identity, number):
    """The names of a task's first 999 jobs are short enough and belong to the task."""
    numbered = job(name=f"{identity.name}-{number}", description=identity.described("some words"))

    assert len(numbered.name) <= 64
    assert identity.owns(numbered)
    assert identity.number(numbered) == number


@pytest.mark.parametrize(
    ("phase", "usable"),
    [
        ("Creating", True),
        ("Pending", True),
        ("Running", True),
        ("Terminating", False),
        ("Completed", True),
        ("Hibernating", True),
        ("Failed", False),
        ("Abnormal", False),
        ("Terminated", False),
    ],
)
def test_usable_job(phase, usable):
    """A retry can continue with an active or a Completed job; a job in an unknown phase counts as active."""
    assert is_usable(job(phase=phase)) is usable


def test_plan_without_any_job():
    """A task without jobs creates the first one."""
    assert plan(ME, []) == Plan(None, NAME)


@pytest.mark.parametrize("phase", ["Creating", "Pending", "Running", "Completed"])
def test_plan_adopts(phase):
    """An active or Completed job is adopted instead of paying for a second one."""
    mine = job(phase=phase)

    assert plan(ME, [mine]) == Plan(mine, NAME)


@pytest.mark.parametrize("phase", ["Failed", "Abnormal", "Terminated"])
def test_plan_after_an_unusable_job(phase):
    """A failed or stopped job is followed by a new job under the next name."""
    assert plan(ME, [job(phase=phase)]) == Plan(None, f"{NAME}-2")


@pytest.mark.parametrize(
    ("jobs", "name"),
    [
        ([job(phase="Failed"), job("-2", "Failed")], f"{NAME}-3"),
        ([job("-2", "Failed"), job(phase="Failed")], f"{NAME}-3"),
        ([job("-9", "Failed"), job("-10", "Abnormal"), job("-2", "Failed")], f"{NAME}-11"),
        ([job("-3", "Terminated")], f"{NAME}-4"),
        ([job(phase="Completed"), job("-2", "Failed")], f"{NAME}-3"),
    ],
)
def test_plan_next_name(jobs, name):
    """The next name follows the highest number, in any order of the jobs."""
    assert plan(ME, jobs) == Plan(None, name)


@pytest.mark.parametrize(("since", "adopts"), [(0, True), (1000, True), (1000.5, False)])
def test_plan_with_a_job_from_before_the_run(since, adopts):
    """A job from before the start of the DAG run is left over from a deleted run and not adopted."""
    mine = replace(job(phase="Completed"), created_at=1000.0)

    assert plan(ME, [mine], since=since) == (Plan(mine, NAME) if adopts else Plan(None, f"{NAME}-2"))


@pytest.mark.parametrize("before", [0, 3, 30])
def test_plan_after_a_clear_supersedes_active_jobs(before):
    """A clear adopts no earlier job, supersedes the active ones and takes the next name."""
    cleared = replace(ME, generation=4)
    marked = replace(ME, generation=before).mark
    jobs = [job("", "Completed", description=marked), job("-2", "Running", description=marked)]

    assert plan(cleared, jobs) == Plan(None, f"{NAME}-3", superseded=(jobs[1],))


def test_plan_after_a_clear_adopts_its_own():
    """A retry after a clear adopts the job that the clear created."""
    cleared = replace(ME, generation=4)
    mine = job("-2", "Running", description=cleared.mark)

    assert plan(cleared, [job("-3", "Running"), mine, job("", "Completed")]) == Plan(mine, mine.name)


def test_mark_that_begins_like_another():
    """A job of generation 10 does not belong to generation 1."""
    first, tenth = replace(ME, generation=1), replace(ME, generation=10)

    assert not first.owns(job(description=tenth.mark))


@pytest.mark.parametrize("step", [1, -1])
def test_plan_adopts_the_newest(step):
    """The job with the highest number is adopted, in any order of the jobs."""
    jobs = [job("-9", "Failed"), job("-10", "Running"), job("", "Terminated")][::step]

    decision = plan(ME, jobs)

    assert (decision.adopt.name, decision.name) == (f"{NAME}-10", f"{NAME}-10")


@pytest.mark.parametrize(
    "foreign",
    [
        job(description="somebody else's"),
        job("-2", description=""),
        job(name=f"x{NAME}"),
        job("-2-copy"),
        job(name=replace(ME, map_index=1).name, description=replace(ME, map_index=1).mark),
    ],
)
def test_plan_ignores_foreign_jobs(foreign):
    """A foreign job is neither adopted nor counted."""
    mine = job(phase="Failed")

    assert plan(ME, [foreign]) == Plan(None, NAME)
    assert plan(ME, [foreign, mine]) == Plan(None, f"{NAME}-2")


@quick
@given(
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from(["Running", "Completed", "Failed", "Terminated"]))),
    st.randoms(use_true_random=False),
)
def test_plan_name_is_unused(rows, random):
    """A new job never gets the name of an existing job, and an adopted job is a usable one of the task."""
    jobs = [job("" if number == 1 else f"-{number}", phase) for number, phase in dict(rows).items()]
    random.shuffle(jobs)

    decision = plan(ME, jobs)

    if decision.adopt is None:
        assert decision.name not in {mine.name for mine in jobs}
    else:
        assert decision.adopt in jobs
        assert is_usable(decision.adopt)
