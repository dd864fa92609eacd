"""Early stops of trials, while the others of their search continue."""

from __future__ import annotations

import pytest
from integration.emulator.bench import STUBBORN_SCRIPT, lives, until

#: Reports, waits for a file, and reports more.
PATIENT_SCRIPT = """
import pathlib, time
print("acc: 0.5")
while not pathlib.Path("go").exists():
    time.sleep(0.01)
print("acc: 0.75")
"""


def early_stop(bench, job_id, trial_id):
    """Stop a trial."""
    return bench.call("POST", job_id, f"/autosearch-trial-earlystop/{trial_id}")


def patient_search(bench, samples):
    """Return the id of a search with two waiting trials, and these trials."""
    bench.write(PATIENT_SCRIPT)
    job_id = bench.create(bench.search_body(samples=samples))
    return job_id, until(lambda: [row["acc"] for row in bench.rows(job_id)] == ["0.5"] * 2 and bench.rows(job_id))


def resume(bench):
    """Let trials continue."""
    (bench.emulator.root / "bucket" / "code" / "go").touch()


def test_response_of_an_early_stop_is_the_trial(bench):
    """The status is 200, not 202, as documented."""
    job_id, (first, _) = patient_search(bench, 2)
    response = early_stop(bench, job_id, first["trial_id"])

    assert (response.status, response.json) == (200, {"earlystop_trial": first["trial_id"]})


def test_trial_that_is_stopped_early_is_terminated(bench):
    """The trial keeps its reports; the others continue, and the job is Completed."""
    job_id, (first, second) = patient_search(bench, 3)
    early_stop(bench, job_id, first["trial_id"])
    until(lambda: bench.statuses(job_id) == ["TERMINATED", "RUNNING", "RUNNING"])
    resume(bench)
    job = bench.ended(job_id)
    rows = bench.rows(job_id)

    assert job["status"]["phase"] == "Completed"
    assert [row["trial_id"] for row in rows[:2]] == [first["trial_id"], second["trial_id"]]
    assert [(row["status"], row["done"], row["acc"], row["best_reward"]) for row in rows] == [
        ("TERMINATED", "True", "0.5", "0.5"),
        ("TERMINATED", "True", "0.75", "0.75"),
        ("TERMINATED", "True", "0.75", "0.75"),
    ]


def test_search_all_of_whose_trials_are_stopped_early_is_completed(bench):
    """None of the trials has failed."""
    job_id, rows = patient_search(bench, 2)
    for row in rows:
        early_stop(bench, job_id, row["trial_id"])

    assert bench.ended(job_id)["status"]["phase"] == "Completed"
    assert bench.call("GET", job_id, "/events?level=Error").json["total"] == 0


def test_trial_that_ignores_sigterm_is_killed(bench):
    """Only the processes of that trial are killed."""
    bench.write(STUBBORN_SCRIPT)
    job_id = bench.create(bench.search_body(samples=2))
    processes = bench.waiting(2, job_id)
    row = bench.rows(job_id)[0]
    early_stop(bench, job_id, row["trial_id"])
    until(lambda: bench.statuses(job_id) == ["TERMINATED", "RUNNING"])

    until(lambda: sum(map(lives, processes)) == 2)
    assert not lives(int(row["pid"]))


def test_early_stop_of_an_unknown_trial_is_refused(bench):
    """The platform documents no code for an unknown trial; a job without a search has none."""
    search_id, _ = patient_search(bench, 2)
    job_id = bench.create(bench.body())

    assert early_stop(bench, search_id, "00000000").refusal == (400, "ModelArts.2788")
    assert early_stop(bench, job_id, "worker-0").refusal == (400, "ModelArts.2788")
    assert early_stop(bench, "no-such-job", "00000000").refusal == (400, "ModelArts.2775")


ENDINGS = {"success": ("print('acc: 0.5')", "TERMINATED"), "failure": ("import sys; sys.exit('acc: 0.5')", "ERROR")}


@pytest.mark.parametrize(("script", "status"), ENDINGS.values(), ids=ENDINGS)
def test_early_stop_of_an_ended_trial_changes_nothing(bench, script, status):
    """The response is the same as for a running trial."""
    bench.write(script)
    job_id = bench.done(bench.search_body(samples=1))["metadata"]["id"]
    rows = bench.rows(job_id)

    assert early_stop(bench, job_id, rows[0]["trial_id"]).status == 200
    assert bench.rows(job_id) == rows
    assert rows[0]["status"] == status


def test_second_early_stop_changes_nothing(bench):
    """The second early stop changes nothing, while another trial still runs."""
    job_id, (first, _) = patient_search(bench, 2)
    early_stop(bench, job_id, first["trial_id"])
    until(lambda: bench.statuses(job_id) == ["TERMINATED", "RUNNING"])
    ended = bench.rows(job_id)[0]

    assert early_stop(bench, job_id, first["trial_id"]).status == 200
    assert bench.rows(job_id)[0] == ended
