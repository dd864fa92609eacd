"""Jobs after a restart of the emulator with the same root."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from integration.emulator.bench import SCRIPT, STUBBORN_SCRIPT, WAITING_SCRIPT, Bench, lives, until
from integration.emulator.wire import get_job
from unit.emulator.bodies import changed

from modelarts_emulator import running

INTERRUPTED = "the emulator ended while the job was running"

READS = [
    "", "/autosearch-trials", "/autosearch-trials/{trial}", "/autosearch-parameter-analysis", "/events",
    "/tasks/worker-0/logs/preview",
]  # fmt: skip


@contextmanager
def serving(root, script=SCRIPT):
    """Serve the root with an emulator."""
    with running(scenarios=[], root=root) as emulator:
        bench = Bench(emulator)
        bench.write(script)
        yield bench


@contextmanager
def process_serving(root):
    """Serve the root with an emulator in its own process; yield the process and a bench."""
    ready = root / "ready.json"
    command = [sys.executable, "-m", "modelarts_emulator", "--scenario", "tie"]
    with subprocess.Popen(
        [*command, "--root", str(root), "--ready-file", str(ready)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            process.stdout.readline()
            known = json.loads(ready.read_text())
            names = {"access_key": known["connection"]["login"], "secret_key": known["connection"]["password"]}
            yield process, Bench(SimpleNamespace(**known | names | {"root": root}))
        finally:
            process.kill()


def reads(bench, job_id):
    """Return the responses of all operations that read a job."""
    trial = next((row["trial_id"] for row in bench.rows(job_id)), "none")
    responses = {path: bench.call("GET", job_id, path.replace("{trial}", trial)) for path in READS}
    return {path: (response.status, response.body) for path, response in responses.items()}


def stopped(bench, body):
    """Return the id of a job that was stopped."""
    bench.write(WAITING_SCRIPT)
    job_id = bench.create(body)
    bench.waiting(2)
    bench.stop(job_id)
    return bench.ended(job_id)["metadata"]["id"]


ENDED = {
    "job": lambda bench: bench.done(bench.body(x=3))["metadata"]["id"],
    "job that failed": lambda bench: bench.done(bench.body(x=3, fail=3))["metadata"]["id"],
    "search": lambda bench: bench.done(bench.search_body(samples=4))["metadata"]["id"],
    "search that was stopped": lambda bench: stopped(bench, bench.search_body()),
}


@pytest.mark.parametrize("end", ENDED.values(), ids=ENDED)
def test_ended_job_is_restored(tmp_path, end):
    """Every read of the job has the same response as before."""
    with serving(tmp_path) as bench:
        job_id = end(bench)
        bench.call("PUT", job_id, body={"description": "changed since"})
        before = reads(bench, job_id)
    with serving(tmp_path) as bench:
        after = reads(bench, job_id)

    assert after == before
    assert after[""][0] == 200
    assert b"changed since" in after[""][1]


def listed(bench):
    """Return the names of all jobs, newest first."""
    return [job["metadata"]["name"] for job in bench.list_jobs()]


def test_all_jobs_are_restored(tmp_path):
    """Jobs are listed newest first; a deleted job stays deleted."""
    with serving(tmp_path) as bench:
        ids = {name: bench.done(bench.body(name, x=3))["metadata"]["id"] for name in ("a", "b", "c", "d")}
        bench.call("DELETE", ids["b"])
    with serving(tmp_path) as bench:
        assert listed(bench) == ["d", "c", "a"]


def test_changed_description_is_listed_after_a_restart(tmp_path):
    """The description is listed as a GET returns it, before and after the restart."""
    with serving(tmp_path) as bench:
        job_id = bench.done(bench.body(x=3))["metadata"]["id"]
        bench.call("PUT", job_id, body={"description": "changed since"})
        before = bench.list_jobs()
    with serving(tmp_path) as bench:
        after = bench.list_jobs()

        assert before == after == [get_job(bench.emulator, job_id)]
    assert after[0]["metadata"]["description"] == "changed since"


def test_workspace_is_restored(tmp_path):
    """The job is listed in its workspace only."""
    with serving(tmp_path) as bench:
        job = bench.done(changed(bench.body(x=3), "metadata.workspace_id", "team-a"))
    with serving(tmp_path) as bench:
        assert bench.list_jobs(workspace_id="team-a") == [job]
        assert bench.list_jobs() == []


def test_names_of_restored_jobs_stay_in_use(tmp_path):
    """Another name can be used."""
    with serving(tmp_path) as bench:
        bench.done(bench.body("mine", x=3))
    with serving(tmp_path) as bench:
        assert bench.post(bench.body("mine", x=3)).refusal == (400, "ModelArts.2751")
        assert bench.done(bench.body("another", x=3))["status"]["phase"] == "Completed"


def test_running_job_ends_with_the_emulator(tmp_path):
    """Neither the script nor its child runs any more."""
    with serving(tmp_path, STUBBORN_SCRIPT) as bench:
        bench.create(bench.body())
        processes = bench.waiting()
        assert all(map(lives, processes))

    until(lambda: not any(map(lives, processes)))


def test_job_that_was_running_has_failed(tmp_path):
    """Status and event hold the reason."""
    with serving(tmp_path, WAITING_SCRIPT) as bench:
        job_id = bench.create(bench.body())
        bench.waiting()
    with serving(tmp_path) as bench:
        status = get_job(bench.emulator, job_id)["status"]
        error = bench.call("GET", job_id, "/events").json["events"][0]

        assert bench.log(job_id) == "acc: 0.5\n"
    assert status["phase"] == "Failed"
    assert status["task_statuses"] == [{"task": "worker-0", "exit_code": 137, "message": INTERRUPTED}]
    assert (error["level"], error["message"]) == ("Error", f"Training job failed with exit code 137: {INTERRUPTED}")


def test_search_that_was_running_has_failed(tmp_path):
    """The trials of the search are restored with their reports."""
    with serving(tmp_path, WAITING_SCRIPT) as bench:
        job_id = bench.create(bench.search_body(samples=20))
        bench.waiting(2, job_id)
    with serving(tmp_path) as bench:
        assert get_job(bench.emulator, job_id)["status"]["phase"] == "Failed"
        assert [(row["status"], row["acc"]) for row in bench.rows(job_id)] == [("RUNNING", "0.5")] * 2


def test_job_that_was_being_stopped_is_terminated(tmp_path):
    """The job was Terminating when the emulator ended."""
    with serving(tmp_path, STUBBORN_SCRIPT) as bench:
        job_id = bench.create(bench.body())
        processes = bench.waiting()
        bench.stop(job_id)
    until(lambda: not any(map(lives, processes)))
    with serving(tmp_path) as bench:
        assert get_job(bench.emulator, job_id)["status"]["phase"] == "Terminated"


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_jobs_end_with_the_process_of_the_emulator(tmp_path, signal_number):
    """No process of a job outlives a killed emulator; on the next emulator the job is Failed."""
    with process_serving(tmp_path) as (process, bench):
        bench.write(WAITING_SCRIPT)
        job_id = bench.create(bench.search_body(samples=20))
        processes = bench.waiting(2, job_id)
        process.send_signal(signal_number)
        process.wait(timeout=60)

    until(lambda: not any(map(lives, processes)))
    with serving(tmp_path) as bench:
        assert get_job(bench.emulator, job_id)["status"]["task_statuses"][0]["message"] == INTERRUPTED


def test_job_that_was_being_stopped_is_terminated_after_a_kill(tmp_path):
    """The outcome is the same as after a regular end of the emulator."""
    with process_serving(tmp_path) as (process, bench):
        bench.write(STUBBORN_SCRIPT)
        job_id = bench.create(bench.body())
        bench.waiting()
        bench.stop(job_id)
        process.kill()
    with serving(tmp_path) as bench:
        assert get_job(bench.emulator, job_id)["status"]["phase"] == "Terminated"


def broken(**changes):
    """Return a function that changes the stored state of a job."""
    return lambda text: json.dumps(json.loads(text) | changes)


UNREADABLE = {
    "empty": lambda text: "",
    "first half": lambda text: text[: len(text) // 2],
    "not an object": lambda text: "[]",
    "too deep": lambda text: "[" * 100_000,
    "not text": lambda text: b"\xff\xfe".decode("latin-1"),
    "missing field": lambda text: text.replace('"times"', '"hours"'),
    "time that is not a number": broken(times={"created": "noon"}),
    "time out of range": broken(saved=1e300),
    "unknown field": broken(trials=[{"colour": "green"}]),
    "unknown phase": broken(phase="Dreaming"),
    "failure of another type": broken(failure=7),
    "id of another job": lambda text: text.replace('"id": "', '"id": "f'),
    "invalid search": broken(document={"algorithm": {"policies": {"auto_search": {"x": 1}}}}),
}


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_state_is_left_unchanged(tmp_path, caplog, change):
    """The emulator logs a warning, and restores the other jobs."""
    with serving(tmp_path) as bench:
        job_id = bench.done(bench.body("bad", x=3))["metadata"]["id"]
        bench.done(bench.body("good", x=3))
    kept = tmp_path / ".modelarts-emulator" / "jobs" / job_id / "job.json"
    text = change(kept.read_text().replace('"Completed"', '"Running"'))
    kept.write_text(text, encoding="latin-1")
    with serving(tmp_path) as bench:
        assert listed(bench) == ["good"]

    assert kept.read_text(encoding="latin-1") == text
    assert [record.levelname for record in caplog.records if job_id in record.getMessage()] == ["WARNING"]


def test_root_is_used_by_one_emulator_at_a_time(tmp_path):
    """A second emulator raises an error until the first one has ended."""
    with serving(tmp_path) as bench:
        with pytest.raises(OSError, match="another emulator uses the root"), running(root=tmp_path):
            pass
        assert bench.done(bench.body(x=3))["status"]["phase"] == "Completed"
    with serving(tmp_path) as bench:
        assert listed(bench) == ["my-job"]
