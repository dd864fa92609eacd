"""Names and marks that identify the jobs of a task."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import quick

from airflow_provider_modelarts.core.job_identity import (
    OnClear,
    Plan,
    Relation,
    TaskIdentity,
    Training,
    is_active,
    plan,
)
from airflow_provider_modelarts.core.jobs import JobPhase, TrainingJob
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError

BEGAN = 1_000_000.0
ME = TaskIdentity(
    prefix="prod",
    dag_id="search",
    task_id="train",
    run_id="scheduled__2026-01-01T00:00:00+00:00",
    map_index=-1,
    generation=2,
)
STEM = "prod-search-train-b3fa10c66d66"
NAME = f"{STEM}-g2"
BODY = {
    "metadata": {"name": "x"},
    "algorithm": {
        "boot_file": "/b/train.py",
        "parameters": [{"name": "lr", "value": "0.1"}, {"name": "layers", "value": "3"}],
        "outputs": [{"name": "train_url", "remote": {"obs": {"obs_url": "/b/out/1/"}}}],
    },
    "spec": {"resource": {"flavor_id": "modelarts.vm.cpu.2u", "node_count": 1}, "auto_stop": {"duration": 1}},
}
TRAINING = Training.of(BODY)
OTHER = Training("0" * 12, {"lr": "0.2"})

#: What Airflow offers: 3.3 a random nonce, 2.11 the row of the run, 3.0 to 3.2 nothing; all but 3.3 the start.
STORED = replace(ME, nonce="5ca1ab1e", nonce_is_proof=True)
ROW = replace(ME, nonce="0000aaaa", since=BEGAN)
TIMED = replace(ME, since=BEGAN)
LINES = pytest.mark.parametrize("me", [STORED, ROW, TIMED, ME], ids=["3.3", "2.11", "3.0", "cleared 3.0"])

identities = st.builds(
    TaskIdentity,
    prefix=st.text(max_size=70),
    dag_id=st.text(max_size=250),
    task_id=st.text(max_size=250),
    run_id=st.text(max_size=250),
    map_index=st.integers(-1, 1024),
    generation=st.integers(0, 9999),
    nonce=st.sampled_from(["", "5ca1ab1e"]),
)


def job(me=ME, number=1, phase="Running", *, training=TRAINING, name=None, description=None, **changes):
    """Return a job of a task, created long after the start of the run unless ``created_at`` says otherwise."""
    name = me.name(number) if name is None else name
    description = me.described("nightly", training) if description is None else description
    kept = {"created_at": BEGAN + 3600, **changes}
    return TrainingJob(f"id-{name}", name, JobPhase.read(phase), phase, description=description, **kept)


def test_name_across_releases():
    """The hash is SHA-256 of all parts between zero bytes, so that a retry after an upgrade finds its job."""
    assert (ME.stem, ME.name(), ME.name(2)) == (STEM, NAME, f"{NAME}-2")
    assert STORED.name(3) == f"{STEM}-5ca1ab1e-g2-3"


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
    """The job of another deployment, DAG, task, run or map index is a stranger to the task."""
    other = replace(ME, **change)

    assert other.stem != ME.stem
    assert ME.relation(job(other), TRAINING) is None


def test_name_of_ids_that_differ_in_forbidden_characters():
    """Ids that differ only in forbidden characters have different names."""
    names = {replace(ME, dag_id=dag_id).name() for dag_id in ("a.b", "a-b", "a b", "ä-b", "a..b")}

    assert len(names) == 5


@pytest.mark.parametrize(
    ("change", "readable"),
    [
        ({"prefix": ""}, "search-train"),
        ({"dag_id": "my.dag", "task_id": "group.task"}, "prod-my-dag-group-task"),
        ({"dag_id": "under_score"}, "prod-under_score-train"),
        ({"dag_id": "a ... b"}, "prod-a-b-train"),
        ({"dag_id": "d" * 100}, "prod-" + "d" * 27),
        ({"dag_id": "d" * 26}, "prod-" + "d" * 26),
        ({"prefix": "", "dag_id": ".hidden."}, "hidden--train"),
    ],
)
def test_name_is_readable(change, readable):
    """A name begins with prefix, DAG and task, cut to the available length and without forbidden characters."""
    assert replace(ME, **change).stem.rpartition("-")[0] == readable


@quick
@given(identities, st.integers(1, 999))
def test_name_is_allowed_by_the_platform_and_read_again(identity, number):
    """The names of the first 999 jobs of 9,999 generations hold letters, digits, hyphens and underscores."""
    name = identity.name(number)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
    assert identity.read_name(name) == (identity.nonce, identity.generation, number)


def test_name_of_ids_without_any_allowed_character():
    """A name for Chinese ids, which Airflow allows, begins with a letter or digit."""
    assert replace(ME, prefix="", dag_id="训练", task_id="搜索").name()[0].isalnum()


@pytest.mark.parametrize(
    "name",
    [
        "",
        STEM,
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
        f"{NAME}\n",
        f"{STEM}-5ca1ab1-g2",
        f"{STEM}-5ca1ab1e",
        f"{STEM}-2",
        NAME.upper(),
    ],
)
def test_name_that_only_resembles(name):
    """A job under another name, such as a copy, is a stranger to the task, description included."""
    assert ME.relation(job(name=name), TRAINING) is None


@pytest.mark.parametrize(
    ("description", "described"),
    [
        ("", f"[airflow b3fa10c66d66 {TRAINING.digest}]"),
        ("nightly", f"nightly [airflow b3fa10c66d66 {TRAINING.digest}]"),
        ("学习 nightly", f"学习 nightly [airflow b3fa10c66d66 {TRAINING.digest}]"),
        ("x" * 300, "x" * 220 + f" [airflow b3fa10c66d66 {TRAINING.digest}]"),
    ],
)
def test_description_carries_the_mark(description, described):
    """The mark follows the user's description, is never cut, and fits into 256 characters."""
    assert ME.described(description, TRAINING) == described
    assert len(described) <= 256


OF_A_TRAINING = {
    "lr": {"algorithm": {**BODY["algorithm"], "parameters": [{"name": "lr", "value": "0.2"}]}},
    "script": {"algorithm": {**BODY["algorithm"], "boot_file": "/b/other.py"}},
    "engine": {"algorithm": {**BODY["algorithm"], "engine": {"engine_id": "pytorch"}}},
    "search": {"algorithm": {**BODY["algorithm"], "policies": {"auto_search": {}}}},
    "nodes": {"spec": {"resource": {"node_count": 2}}},
}
OF_NO_TRAINING = {
    "name": {"metadata": {"name": "y", "description": "z"}},
    "outputs": {"algorithm": {**BODY["algorithm"], "outputs": []}},
    "order": {"algorithm": {**BODY["algorithm"], "parameters": BODY["algorithm"]["parameters"][::-1]}},
    "auto_stop": {"spec": {"resource": BODY["spec"]["resource"]}},
}


@pytest.mark.parametrize("change", OF_A_TRAINING.values(), ids=OF_A_TRAINING)
def test_training_of_another_body(change):
    """What is trained makes a difference."""
    assert Training.of({**BODY, **change}).digest != TRAINING.digest


@pytest.mark.parametrize("change", OF_NO_TRAINING.values(), ids=OF_NO_TRAINING)
def test_training_of_a_body_with_another_name_or_folder(change):
    """Names, output folders and the order of hyperparameters make none: templates put the try's number there."""
    assert Training.of({**BODY, **change}).digest == TRAINING.digest


def test_description_that_is_copied_from_another_job():
    """The mark of the other job is replaced."""
    copied = replace(ME, dag_id="other").described("nightly", OTHER)

    assert ME.described(copied, TRAINING) == f"nightly [airflow b3fa10c66d66 {TRAINING.digest}]"


def test_plan_to_resume_prefers_a_completed_job():
    """A newer job that failed has no result."""
    completed = job(replace(STORED, generation=0), phase="Completed")
    failed = job(replace(STORED, generation=1), phase="Failed", created_at=BEGAN + 4000)

    assert plan(STORED, TRAINING, [failed, completed], OnClear.RESUME).candidate == completed


def test_plan_to_resume_without_a_mark():
    """A job whose description was edited is not provably of the same request."""
    edited = job(replace(STORED, generation=1), description="edited")

    assert plan(STORED, TRAINING, [edited], OnClear.RESUME) == Plan(None, 1, superseded=(edited,))


@pytest.mark.parametrize(
    ("description", "echoed", "same"),
    [
        (f"nightly [airflow b3fa10c66d66 {TRAINING.digest}]", "0.2", True),
        ("nightly [airflow b3fa10c66d66 000000000000]", "0.1", False),
        ("edited by hand", "0.1", True),
        ("edited by hand", "0.2", False),
        ("", None, True),
    ],
)
def test_training_of_a_job(description, echoed, same):
    """The mark decides; without one, the hyperparameters that the platform returns."""
    parameters = [{"name": "lr", "value": echoed}, {"name": "world_size", "value": "1"}] if echoed else []
    found = job(description=description, raw={"algorithm": {"parameters": parameters}})

    assert TRAINING.is_that_of(found) is same


RELATIONS = [
    # what Airflow offers, the job, its relation
    (STORED, job(STORED), Relation.OWN),
    (STORED, job(STORED, training=OTHER), Relation.OWN),
    (STORED, job(STORED, description="edited"), Relation.OWN),
    (STORED, job(STORED, created_at=1.0), Relation.OWN),
    (STORED, job(replace(STORED, generation=1), training=OTHER), Relation.EARLIER),
    (STORED, job(replace(STORED, nonce="0ddba11e")), Relation.FOREIGN),
    (STORED, job(ME), Relation.FOREIGN),
    (ROW, job(ROW), Relation.OWN),
    (ROW, job(ROW, training=OTHER), Relation.OWN),  # a template with the try's number in it
    (ROW, job(ROW, created_at=BEGAN + 10), Relation.OWN),
    (ROW, job(ROW, created_at=BEGAN + 10, training=OTHER), Relation.FOREIGN),  # SQLite gives an id again
    (ROW, job(ROW, created_at=BEGAN - 301), Relation.FOREIGN),
    (ROW, job(ROW, created_at=0.0), Relation.OWN),
    (ROW, job(replace(ROW, generation=1), training=OTHER, created_at=BEGAN + 10), Relation.EARLIER),
    (ROW, job(replace(ROW, nonce="0000bbbb")), Relation.FOREIGN),
    (TIMED, job(), Relation.OWN),
    (TIMED, job(training=OTHER), Relation.OWN),
    (TIMED, job(created_at=BEGAN + 10), Relation.OWN),
    (TIMED, job(created_at=BEGAN - 10), Relation.OWN),  # the clocks may differ
    (TIMED, job(created_at=BEGAN + 10, training=OTHER), Relation.FOREIGN),
    (TIMED, job(created_at=BEGAN - 301), Relation.FOREIGN),
    (TIMED, job(replace(ME, generation=1)), Relation.EARLIER),
    (TIMED, job(replace(ME, generation=1), created_at=BEGAN + 10, training=OTHER), Relation.FOREIGN),
    (TIMED, job(STORED), Relation.FOREIGN),
    (ME, job(created_at=1.0), Relation.OWN),
    (ME, job(training=OTHER), Relation.FOREIGN),
    (ME, job(description="edited"), Relation.OWN),
    (ME, job(replace(ME, generation=1)), Relation.EARLIER),
    (ME, job(replace(ME, generation=1), training=OTHER), Relation.FOREIGN),
]


@pytest.mark.parametrize(("me", "found", "relation"), RELATIONS)
def test_relation_of_a_job(me, found, relation):
    """The nonce is proof, then the row and the start of the run; the training decides only where they do not."""
    assert me.relation(found, TRAINING) is relation


@pytest.mark.parametrize(
    ("phase", "active"),
    [
        ("Creating", True),
        ("Pending", True),
        ("Running", True),
        ("Hibernating", True),
        ("Terminating", False),
        ("Completed", False),
        ("Failed", False),
        ("Abnormal", False),
        ("Terminated", False),
    ],
)
def test_active_job(phase, active):
    """A job in an unknown phase counts as active."""
    assert is_active(job(phase=phase)) is active


@LINES
def test_plan_without_any_job(me):
    """A task without jobs creates the first one."""
    assert plan(me, TRAINING, []) == Plan(None, 1)


@LINES
@pytest.mark.parametrize("phase", ["Creating", "Running", "Completed", "Failed", "Terminated"])
def test_plan_with_a_job_of_the_generation(me, phase):
    """The job is the candidate in every phase; its health is judged elsewhere."""
    mine = job(me, phase=phase)

    assert plan(me, TRAINING, [mine]) == Plan(mine, 2)


@LINES
@pytest.mark.parametrize("step", [1, -1])
def test_plan_takes_the_newest(me, step):
    """The newest job is the candidate, in any order of the jobs; 10 follows 9."""
    jobs = [job(me, 9, "Failed"), job(me, 10, "Completed", created_at=BEGAN + 3601), job(me, 1, "Terminated")][::step]

    decision = plan(me, TRAINING, jobs)

    assert (decision.candidate.name, decision.number) == (me.name(10), 11)


def test_plan_prefers_an_active_job():
    """A job that is at work is the candidate, even if a newer one has failed."""
    active, failed = job(STORED, 1), job(STORED, 2, "Failed", created_at=BEGAN + 4000)

    assert plan(STORED, TRAINING, [active, failed]) == Plan(active, 3)


@pytest.mark.parametrize("me", [STORED, ROW, TIMED], ids=["3.3", "2.11", "3.0"])
@pytest.mark.parametrize("before", [0, 3, 30])
def test_plan_after_a_clear_supersedes_active_jobs(me, before):
    """A clear adopts no earlier job, supersedes the active ones and begins a series of names."""
    earlier = replace(me, generation=before)
    jobs = [job(earlier, 1, "Completed"), job(earlier, 2)]

    assert plan(me, TRAINING, jobs) == Plan(None, 1, superseded=(jobs[1],))


def test_plan_after_a_clear_takes_its_own():
    """A retry after a clear takes the job that the clear created."""
    earlier, mine = job(replace(STORED, generation=1)), job(STORED)

    assert plan(STORED, TRAINING, [earlier, mine]) == Plan(mine, 2, superseded=(earlier,))


@LINES
def test_plan_to_resume(me):
    """With ``resume``, the job from before the clear is the candidate; an older one is superseded."""
    older = job(replace(me, generation=0))
    newer = job(replace(me, generation=1), created_at=BEGAN + 4000)

    assert plan(me, TRAINING, [newer, older], OnClear.RESUME) == Plan(newer, 1, superseded=(older,))


@pytest.mark.parametrize("me", [STORED, ROW], ids=["3.3", "2.11"])
def test_plan_to_resume_after_an_edit_of_the_body(me):
    """A job with another training is not resumed, but superseded."""
    earlier = job(replace(me, generation=1), training=OTHER)

    assert plan(me, TRAINING, [earlier], OnClear.RESUME) == Plan(None, 1, superseded=(earlier,))


@LINES
def test_plan_leaves_a_foreign_job_alone(me):
    """A job of another run or deployment is neither the candidate nor superseded, and its name is not used again."""
    foreign = job(replace(me, nonce="0ddba11e")) if me.nonce else job(created_at=1.0, training=OTHER)

    assert plan(me, TRAINING, [foreign]) == Plan(None, 1 if me.nonce else 2, foreign=(foreign,))


def test_plan_does_not_mention_a_foreign_job_that_has_ended():
    """Nothing is lost on it."""
    assert plan(STORED, TRAINING, [job(ME, phase="Completed")]) == Plan(None, 1)


def test_plan_supersedes_a_duplicate():
    """Two jobs of one name, on a platform with a lagging listing: one is kept."""
    first, second = job(STORED), replace(job(STORED), id="again", created_at=BEGAN + 4000)

    assert plan(STORED, TRAINING, [first, second]) == Plan(second, 2, superseded=(first,))


@quick
@given(
    st.lists(st.tuples(st.integers(1, 20), st.sampled_from(["Running", "Completed", "Failed", "Terminated"]))),
    st.randoms(use_true_random=False),
)
def test_plan_number_is_unused(rows, random):
    """A new job never gets the name of an existing job."""
    jobs = [job(STORED, number, phase) for number, phase in dict(rows).items()]
    random.shuffle(jobs)

    assert STORED.name(plan(STORED, TRAINING, jobs).number) not in {mine.name for mine in jobs}


def test_treatment_of_a_clear_is_checked():
    """An unknown word is an error that names both."""
    assert OnClear.read("resume") is OnClear.RESUME
    with pytest.raises(ModelArtsConfigurationError, match="on_clear must be 'restart' or 'resume', not 'adopt'"):
        OnClear.read("adopt")
