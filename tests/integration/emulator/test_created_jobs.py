"""Created jobs, which run their script in a process of this machine."""

from __future__ import annotations

import json
import math
import re
import time

import pytest
from integration.emulator.bench import Bench, until
from integration.emulator.wire import get_job, get_trials
from unit.emulator.bodies import changed

# Prints arguments, environment and folder.
ECHO_SCRIPT = """
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ)}))
print("a warning", file=sys.stderr)
"""


def test_new_job_has_the_values_of_its_body(bench):
    """The emulator adds an id, a creation time, and a status in phase Creating."""
    body = bench.body(x=2)
    response = bench.post(body)
    job = response.json

    assert response.status == 201
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", job["metadata"]["id"])
    assert abs(job["metadata"]["create_time"] / 1000 - time.time()) < 60
    assert job["status"] == {
        "phase": "Creating", "secondary_phase": "Creating", "duration": 0, "start_time": 0,
        "node_count_metrics": None, "tasks": ["worker-0"],
    }  # fmt: skip
    assert job["kind"] == "job"
    assert job["metadata"].items() >= body["metadata"].items()
    assert job["algorithm"].items() >= body["algorithm"].items()
    assert job["spec"] == body["spec"]


def test_job_completes_without_a_call(bench):
    """The duration of the job is that of its script."""
    bench.write("import time; time.sleep(0.2)")
    job_id = bench.create(bench.body())
    until(lambda: bench.call("GET", job_id, "/events").json["total"] == 4)
    status = get_job(bench.emulator, job_id)["status"]

    assert status["phase"] == "Completed"
    assert 200 <= status["duration"] < 15_000
    assert status["start_time"] >= get_job(bench.emulator, job_id)["metadata"]["create_time"]
    assert "task_statuses" not in status


def test_script_gets_parameters_folders_and_variables(bench, tmp_path, monkeypatch):
    """The script receives all values as text, and only a few variables of the emulator's environment."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    bench.write(ECHO_SCRIPT)
    data = tmp_path / "data-bucket" / "points"
    data.mkdir(parents=True)
    body = bench.body(learning_rate=0.1, note="two words; $HOME --x")
    body["algorithm"]["inputs"] = [
        {"name": "data_url", "remote": {"obs": {"obs_url": "/data-bucket/points/"}}},
        {"name": "more", "access_method": "env", "remote": {"obs": {"obs_url": "obs://data-bucket/"}}},
    ]
    body["algorithm"]["environments"] = {"MY_SETTING": "7"}
    job = bench.done(body)
    first, second = bench.log(job["metadata"]["id"]).splitlines()
    seen = json.loads(first)

    assert job["status"]["phase"] == "Completed"
    assert seen["argv"] == [
        "--learning_rate=0.1",
        "--note=two words; $HOME --x",
        f"--data_url={data}",
        f"--train_url={tmp_path / 'bucket' / 'out'}",
    ]
    assert seen["cwd"] == str(tmp_path / "bucket" / "code")
    assert seen["environment"]["MY_SETTING"] == "7"
    assert seen["environment"]["more"] == str(tmp_path / "data-bucket")
    assert "AWS_SECRET_ACCESS_KEY" not in seen["environment"]
    assert second == "a warning"


def test_output_folder_exists(bench, tmp_path):
    """The emulator creates the folder, and the script writes its files into the bucket."""
    bench.write("import sys, pathlib; pathlib.Path(sys.argv[1].split('=')[1], 'model.txt').write_text('trained')")
    bench.done(bench.body())

    assert (tmp_path / "bucket" / "out" / "model.txt").read_text() == "trained"


FAILURES = {
    "exit code": ("import sys; print('out of memory'); print(); sys.exit(3)", 3, "out of memory"),
    "exception": ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    "signal": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, "the script has printed nothing"),
}


@pytest.mark.parametrize(("script", "code", "words"), FAILURES.values(), ids=FAILURES)
def test_job_fails_with_its_script(bench, script, code, words):
    """Status and event hold the exit code and the last line of the output."""
    bench.write(script)
    job = bench.done(bench.body())
    errors = bench.call("GET", job["metadata"]["id"], "/events?level=Error").json["events"]

    assert job["status"]["phase"] == "Failed"
    assert job["status"]["task_statuses"] == [{"task": "worker-0", "exit_code": code, "message": words}]
    assert [(event["level"], event["source"]) for event in errors] == [("Error", "Job")]
    assert words in errors[0]["message"]


def test_job_fails_if_its_script_cannot_be_started(bench):
    """One argument is longer than the system's limit."""
    job = bench.done(bench.body(x="9" * 200_000))

    assert job["status"]["phase"] == "Failed"
    assert "cannot be started" in job["status"]["task_statuses"][0]["message"]


def test_job_fails_if_its_output_folder_cannot_be_created(bench):
    """The path of the output folder lies below a file."""
    job = bench.done(changed(bench.body(), "algorithm.outputs.0.remote.obs.obs_url", "/bucket/code/train.py/out/"))

    assert job["status"]["phase"] == "Failed"


def test_job_without_a_search_has_no_trials(bench):
    """The table has neither rows nor columns."""
    job = bench.done(bench.body(x=3))

    assert get_trials(bench.emulator, job["metadata"]["id"])["items"] == {"header": [], "data": []}


def test_events_list_the_phases_of_a_job(bench):
    """Events are listed newest first by default, in pages."""
    job_id = bench.done(bench.body(x=3))["metadata"]["id"]
    all_events = bench.call("GET", job_id, "/events?order=asc").json
    page = bench.call("GET", job_id, "/events?limit=1&offset=1").json
    found = bench.call("GET", job_id, "/events?pattern=Pending").json["events"]

    assert [event["message"] for event in all_events["events"]] == [
        f"Training job is {phase}." for phase in ("Creating", "Pending", "Running", "Completed")
    ]
    assert {event["level"] for event in all_events["events"]} == {"Info"}
    assert (page["total"], page["limit"], page["offset"], page["order"]) == (4, 1, 1, "desc")
    assert [event["message"] for event in page["events"]] == ["Training job is Running."]
    assert len(found) == 1


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", "order=up", "level=Loud", "start_time=noon"])
def test_events_out_of_range_are_refused(bench, query):
    """The message names the parameter."""
    response = bench.call("GET", bench.create(bench.body(x=3)), f"/events?{query}")

    assert response.refusal == (400, "ModelArts.50004000")
    assert query.partition("=")[0] in response.json["error_msg"]


def test_log_preview_is_the_newest_five_megabytes(bench):
    """The response holds the size of the part and of the whole log."""
    bench.write("print('the beginning'); print(('x' * 999 + '\\n') * 6000, end=''); print('the end')")
    job_id = bench.done(bench.body())["metadata"]["id"]
    preview = bench.call("GET", job_id, "/tasks/worker-0/logs/preview").json

    assert preview["current_size"] == len(preview["content"]) == 5 * 1024**2
    assert preview["full_size"] == 6_000_000 + len("the beginning\nthe end\n")
    assert preview["content"].endswith("x\nthe end\n")


def test_log_preview_without_a_log_has_no_body(bench):
    """The status is 204; an unknown task is refused."""
    bench.write("")
    job_id = bench.done(bench.body())["metadata"]["id"]
    response = bench.call("GET", job_id, "/tasks/worker-0/logs/preview")

    assert (response.status, response.body) == (204, b"")
    assert bench.call("GET", job_id, "/tasks/worker-7/logs/preview").refusal == (400, "ModelArts.2788")


def test_log_may_hold_bytes_that_are_not_utf_8(bench):
    """Such bytes are shown as replacement characters."""
    bench.write("import sys; sys.stdout.buffer.write(b'\\xff\\xfe acc\\n')")

    assert bench.log(bench.done(bench.body())["metadata"]["id"]) == "\ufffd\ufffd acc\n"


def test_created_jobs_are_found(bench):
    """Filters on name and phase select the jobs, which are listed newest first."""
    ids = [bench.done(bench.body(name, x=3))["metadata"]["id"] for name in ("run-a", "run-b")]
    bench.write("raise SystemExit(1)")
    ids.append(bench.done(bench.body("run-c"))["metadata"]["id"])

    assert found(bench) == ids[::-1]
    assert found(bench, key="name", operator="like", value=["run-b"]) == ids[1:2]
    assert found(bench, key="phase", operator="in", value=["Completed"]) == ids[1::-1]


def found(bench: Bench, **condition: object) -> list[str]:
    """Return the ids of the jobs that a search finds."""
    return [job["metadata"]["id"] for job in bench.list_jobs(filters=[condition] if condition else [])]


def test_job_is_listed_in_its_workspace(bench):
    """A body without a workspace id is that of a job in the default workspace."""
    ours = bench.create(changed(bench.body("ours", x=3), "metadata.workspace_id", "team-a"))
    default = bench.create(bench.body("default", x=3))

    assert get_job(bench.emulator, default)["metadata"]["workspace_id"] == "0"
    assert get_job(bench.emulator, ours)["metadata"]["workspace_id"] == "team-a"
    assert found(bench) == [default]
    assert [job["metadata"]["id"] for job in bench.list_jobs(workspace_id="team-a")] == [ours]


def test_job_that_is_not_listed_yet_exists(bench):
    """A GET returns the job at once, and its name is in use."""
    bench.emulator.listing_lag = math.inf
    job_id = bench.create(bench.body("mine", x=3))

    assert found(bench) == []
    assert get_job(bench.emulator, job_id)["metadata"]["name"] == "mine"
    assert bench.post(bench.body("mine", x=3)).refusal == (400, "ModelArts.2751")


def test_job_is_listed_once_the_lag_is_over(modelarts_emulator_factory):
    """The clock of the emulator measures the lag."""
    ahead = 0
    with modelarts_emulator_factory(scenarios=[], listing_lag=600, clock=lambda: time.time() + ahead) as emulator:
        bench = Bench(emulator)
        bench.write("")
        job_id = bench.create(bench.body())
        early = found(bench)
        ahead = 600
        late = found(bench)

    assert (early, late) == ([], [job_id])


def test_description_is_listed_unless_it_is_left_out(bench):
    """A GET always returns the description."""
    job = bench.done(bench.body(x=3))
    listed = bench.list_jobs()
    bench.emulator.lists_descriptions = False
    (without,) = bench.list_jobs()

    assert listed == [job] == [get_job(bench.emulator, job["metadata"]["id"])]
    assert job["metadata"] == {**without["metadata"], "description": "a test"}
    assert "description" not in without["metadata"]


def test_description_can_be_changed(bench):
    """A description has at most 256 characters."""
    job_id = bench.create(bench.body(x=3))
    response = bench.call("PUT", job_id, body={"description": "another"})

    assert (response.status, response.json) == (200, {})
    assert get_job(bench.emulator, job_id)["metadata"]["description"] == "another"
    assert bench.call("PUT", job_id, body={"description": "x" * 257}).refusal == (400, "ModelArts.0104")
    assert bench.call("PUT", job_id, body={"description": 7}).refusal == (400, "ModelArts.0104")
    assert get_job(bench.emulator, job_id)["metadata"]["description"] == "another"


def test_emulator_without_a_root_has_one_while_it_serves(modelarts_emulator_factory):
    """The root is a temporary folder, which is removed at the end."""
    with modelarts_emulator_factory(scenarios=[]) as emulator:
        bench, root = Bench(emulator), emulator.root
        bench.write("print('hello')")

        assert bench.log(bench.done(bench.body())["metadata"]["id"]) == "hello\n"
    assert not root.exists()
