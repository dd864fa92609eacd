"""Stop and deletion of running jobs."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from integration.emulator.bench import STUBBORN_SCRIPT, WAITING_SCRIPT, Bench, lives, until
from integration.emulator.wire import get_job
from unit.emulator.bodies import changed

#: The first run reports and ends; all others wait.
ONE_ENDS_SCRIPT = f"""
import pathlib, sys
try:
    pathlib.Path("first").touch(exist_ok=False)
    sys.exit(print("acc: 0.75"))
except FileExistsError:
    pass
{WAITING_SCRIPT}
"""


@pytest.fixture(name="waiting")
def _waiting(bench):
    """Bench with a script that waits until it is stopped."""
    bench.write(WAITING_SCRIPT)
    return bench


def delete(bench, job_id):
    """Delete a job."""
    return bench.call("DELETE", job_id)


def phases(bench, job_id):
    """Return the messages of a job's events, oldest first."""
    events = bench.call("GET", job_id, "/events?order=asc").json["events"]
    return [event["message"].removeprefix("Training job is ").rstrip(".") for event in events]


def test_stopped_job_is_terminating_at_once(waiting):
    """The response is the job."""
    job_id = waiting.create(waiting.body())
    waiting.waiting()
    response = waiting.stop(job_id)

    assert response.status == 202
    assert response.json["metadata"]["id"] == job_id
    assert response.json["status"]["phase"] == "Terminating"


def test_stopped_job_ends_as_terminated(waiting):
    """The job passes through Terminating, and has not failed."""
    job_id = waiting.create(waiting.body())
    waiting.waiting()
    waiting.stop(job_id)
    status = waiting.ended(job_id)["status"]

    assert (status["phase"], status["secondary_phase"]) == ("Terminated", "Terminated")
    assert "task_statuses" not in status
    assert phases(waiting, job_id) == ["Creating", "Pending", "Running", "Terminating", "Terminated"]


def test_stopped_job_leaves_no_process(waiting):
    """Neither the script nor its child runs any more."""
    job_id = waiting.create(waiting.body())
    processes = waiting.waiting()
    assert [lives(process) for process in processes] == [True, True]
    waiting.stop(job_id)
    waiting.ended(job_id)

    until(lambda: not any(map(lives, processes)))


def test_stopped_job_keeps_its_log(waiting):
    """The log holds the output up to the stop."""
    job_id = waiting.create(waiting.body())
    waiting.waiting()
    waiting.stop(job_id)
    waiting.ended(job_id)

    assert waiting.log(job_id) == "acc: 0.5\n"


def test_job_that_is_being_stopped_cannot_be_stopped(bench):
    """A second call is refused."""
    bench.write(STUBBORN_SCRIPT)
    job_id = bench.create(bench.body())
    bench.waiting()
    bench.stop(job_id)

    assert bench.stop(job_id).refusal == (409, "ModelArts.2796")


def test_job_that_has_ended_cannot_be_stopped(bench):
    """The job does not change."""
    job = bench.done(bench.body(x=3))
    response = bench.stop(job["metadata"]["id"])

    assert response.refusal == (409, "ModelArts.2796")
    assert "Completed" in response.json["error_msg"]
    assert get_job(bench.emulator, job["metadata"]["id"]) == job


def test_unknown_action_does_not_stop_a_job(waiting):
    """The action is refused, and the script continues."""
    job_id = waiting.create(waiting.body())
    processes = waiting.waiting()

    assert waiting.call("POST", job_id, "/actions", {"action_type": "pause"}).refusal == (400, "ModelArts.2812")
    assert get_job(waiting.emulator, job_id)["status"]["phase"] == "Running"
    assert all(map(lives, processes))


def test_script_that_ignores_sigterm_is_killed(bench):
    """The job is Terminated after the grace period."""
    bench.write(STUBBORN_SCRIPT)
    job_id = bench.create(bench.body())
    processes = bench.waiting()
    bench.stop(job_id)

    assert bench.ended(job_id)["status"]["phase"] == "Terminated"
    until(lambda: not any(map(lives, processes)))


def test_script_has_time_to_end_by_itself(bench):
    """The log holds the output after SIGTERM."""
    farewell = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(print('saved')))\n"
    bench.write(farewell + WAITING_SCRIPT)
    job_id = bench.create(bench.body())
    bench.waiting()
    bench.stop(job_id)
    bench.ended(job_id)

    assert bench.log(job_id) == "acc: 0.5\nsaved\n"


def test_stopped_search_starts_no_more_trials(bench):
    """Ended trials stay TERMINATED, and running trials stay RUNNING."""
    bench.write(ONE_ENDS_SCRIPT)
    job_id = bench.create(bench.search_body(samples=20))
    processes = bench.waiting(2, job_id)
    bench.stop(job_id)

    assert bench.ended(job_id)["status"]["phase"] == "Terminated"
    assert Counter(bench.statuses(job_id)) == {"TERMINATED": 1, "RUNNING": 2}
    assert {row["acc"] for row in bench.rows(job_id) if row["status"] == "TERMINATED"} == {"0.75"}
    until(lambda: not any(map(lives, processes)))


def test_time_of_trials_ends_with_a_stopped_search(modelarts_emulator_factory, tmp_path):
    """The run time of unfinished trials stops with the job."""
    skew = [0]
    with modelarts_emulator_factory(scenarios=[], root=tmp_path, clock=lambda: time.time() + skew[0]) as emulator:
        bench = Bench(emulator)
        bench.write(WAITING_SCRIPT)
        job_id = bench.create(bench.search_body(samples=2))
        bench.waiting(2)
        bench.stop(job_id)
        bench.ended(job_id)
        rows = bench.rows(job_id)
        skew[0] = 60

        assert bench.rows(job_id) == rows


def test_deleted_job_no_longer_exists(waiting):
    """A running job is deleted at once; the body of the response is an empty JSON text."""
    job_id = waiting.create(waiting.body())
    waiting.waiting()
    response = delete(waiting, job_id)

    assert (response.status, response.body) == (202, b'""')
    assert waiting.call("GET", job_id).refusal == (400, "ModelArts.2775")
    assert delete(waiting, job_id).refusal == (400, "ModelArts.2775")


def test_deleted_job_leaves_nothing(waiting, tmp_path):
    """Neither a process nor a saved file is left."""
    job_id = waiting.create(waiting.body())
    processes = waiting.waiting()
    kept = tmp_path / ".modelarts-emulator" / "jobs" / job_id
    assert kept.is_dir()
    delete(waiting, job_id)

    until(lambda: not any(map(lives, processes)) and not kept.exists())


def test_job_that_has_ended_can_be_deleted(bench, tmp_path):
    """The files that its script wrote into a bucket stay."""
    bench.write("import sys, pathlib; pathlib.Path(sys.argv[1].split('=')[1], 'model.txt').write_text('trained')")
    job_id = bench.done(bench.body())["metadata"]["id"]

    assert delete(bench, job_id).status == 202
    until(lambda: not (tmp_path / ".modelarts-emulator" / "jobs" / job_id).exists())
    assert (tmp_path / "bucket" / "out" / "model.txt").read_text() == "trained"


def test_unknown_job_cannot_be_deleted(bench):
    """The code is the same as for every operation."""
    assert delete(bench, "no-such-job").refusal == (400, "ModelArts.2775")


def test_name_of_a_job_cannot_be_used_again(bench):
    """The name stays in use after the end of the job."""
    job_id = bench.create(bench.body("mine", x=3))
    assert bench.post(bench.search_body("mine")).refusal == (400, "ModelArts.2751")
    bench.ended(job_id)

    assert bench.post(bench.body("mine", x=3)).refusal == (400, "ModelArts.2751")


def test_name_of_a_job_cannot_be_used_in_another_workspace(bench):
    """A name is unique in the whole project."""
    bench.create(bench.body("mine", x=3))
    other = changed(bench.body("mine", x=3), "metadata.workspace_id", "team-a")

    assert bench.post(other).refusal == (400, "ModelArts.2751")


def test_name_of_a_deleted_job_can_be_used_again(waiting):
    """The name is free at once, while the processes of the old job still end."""
    delete(waiting, waiting.create(waiting.body("mine")))

    assert waiting.post(waiting.body("mine")).status == 201


def test_name_of_a_deleted_job_may_stay_in_use(modelarts_emulator_factory, tmp_path):
    """The name is in use although no job of that name is listed, until a test releases it."""
    with modelarts_emulator_factory(scenarios=[], root=tmp_path, reserves_names=True) as emulator:
        bench = Bench(emulator)
        bench.write("")
        delete(bench, bench.create(bench.body("mine")))
        refused = bench.post(bench.body("mine"))
        emulator.reserves_names = False

        assert refused.refusal == (400, "ModelArts.2751")
        assert bench.list_jobs() == []
        assert bench.post(bench.body("mine")).status == 201


@pytest.mark.parametrize("reserved", [False, True])
def test_two_jobs_may_have_one_name(modelarts_emulator_factory, tmp_path, reserved):
    """Names that are not unique are not in use, neither those of listed jobs nor those of deleted jobs."""
    options = {"unique_names": False, "reserves_names": reserved}
    with modelarts_emulator_factory(scenarios=[], root=tmp_path, **options) as emulator:
        bench = Bench(emulator)
        bench.write("")
        deleted, *kept = (bench.create(bench.body("mine")) for _ in range(3))
        delete(bench, deleted)
        kept.append(bench.create(bench.body("mine")))

        assert [job["metadata"]["id"] for job in bench.list_jobs()] == kept[::-1]
        assert {job["metadata"]["name"] for job in bench.list_jobs()} == {"mine"}
