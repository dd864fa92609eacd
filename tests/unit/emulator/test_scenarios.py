"""Scripted searches: their courses tick by tick, and their ends."""

from __future__ import annotations

from collections import Counter

import pytest
from unit.emulator.calls import column, get_algorithm, get_job, get_trials
from unit.emulator.truth import TRUTH

from modelarts_emulator import SCENARIOS, Emulator

TERMINATED, RUNNING, PENDING = "TERMINATED", "RUNNING", "PENDING"


@pytest.fixture(name="emulator")
def _emulator():
    """Emulator that holds all scenarios and is not served."""
    return Emulator()


def course(emulator, scenario, ticks):
    """Return phase and trial statuses after each tick."""
    job_id = emulator.job_id(scenario)
    seen = []
    for _ in range(ticks):
        phase = get_job(emulator, job_id)["status"]["phase"]
        page = get_trials(emulator, job_id)
        seen.append((phase, column(page, "status") if page["total"] else []))
    return seen


def test_truth_is_known_of_every_scenario():
    """Every scenario has an expected end."""
    assert set(SCENARIOS) == set(TRUTH)


@pytest.mark.parametrize("scenario", TRUTH)
def test_scenario_end(emulator, scenario):
    """A scenario ends with the expected phase, counts and best trial, and further ticks change nothing."""
    truth = TRUTH[scenario]
    job_id = emulator.job_id(scenario)
    for _ in range(truth.looks):
        get_job(emulator, job_id)

    for _ in range(2):
        rows = trial_rows(emulator, job_id)
        assert Counter(row["status"] for row in rows) == truth.counts
        if truth.best:
            (best,) = [row for row in rows if row["trial_id"] == truth.best.trial_id]
            assert best["status"] == TERMINATED
            assert str(truth.best.value) in best["best_reward"]
            assert {name: best["config"][name] for name in truth.best.config} == truth.best.config
        assert get_job(emulator, job_id)["status"]["phase"] == truth.phase


def trial_rows(emulator, job_id):
    """Return all trials as mappings, from up to three pages."""
    rows, page = [], get_trials(emulator, job_id)
    for number in range(1, 4):
        header = page["items"]["header"]
        rows += [dict(zip(header, row, strict=False)) for row in page["items"]["data"]]
        page = get_trials(emulator, job_id, offset=number)
    return rows


def test_growing_search_lists_trials_as_they_start(emulator):
    """A growing search lists trials as they start: at ticks 6 and 7, three of eight are listed and have ended."""
    assert course(emulator, "growing", 14) == [
        ("Creating", []),
        ("Pending", []),
        ("Running", [RUNNING, PENDING]),
        ("Running", [RUNNING, RUNNING, RUNNING]),
        ("Running", [TERMINATED, RUNNING, RUNNING]),
        ("Running", [TERMINATED] * 3),
        ("Running", [TERMINATED] * 3),
        ("Running", [TERMINATED] * 3 + [RUNNING, PENDING]),
        ("Running", [TERMINATED] * 3 + [RUNNING] * 3),
        ("Running", [TERMINATED] * 5 + [RUNNING, RUNNING, PENDING]),
        ("Running", [TERMINATED] * 6 + [RUNNING, RUNNING]),
        ("Running", [TERMINATED] * 8),
        ("Completed", [TERMINATED] * 8),
        ("Completed", [TERMINATED] * 8),
    ]


def test_metrics_of_a_growing_search_appear_late(emulator):
    """A trial without a report has blank cells or a short row, which holds its id, status and config."""
    job_id = emulator.job_id("growing")
    for _ in range(4):
        get_job(emulator, job_id)

    page = get_trials(emulator, job_id)

    assert column(page, "acc") == ["0.31", "", None]
    assert column(page, "loss") == ["1.1", "", None]
    assert column(page, "done") == ["False"] * 3
    assert column(page, "pid") == ["300", "301", "302"]
    assert column(page, "training_iteration") == ["1", "", ""]
    assert column(page, "trial_id") == ["97a00000", "97a00001", "97a00002"]


def test_reading_trials_is_not_a_tick(emulator):
    """A read of trials is not a tick, unlike the GET of the job."""
    job_id = emulator.job_id("growing")
    for _ in range(9):
        get_trials(emulator, job_id)

    assert get_trials(emulator, job_id)["total"] == 0


COURSES = {
    "failing-trial": [
        ("Running", [TERMINATED, RUNNING, RUNNING, RUNNING]),
        ("Running", [TERMINATED, "ERROR", RUNNING, RUNNING]),
        ("Running", [TERMINATED, "ERROR", TERMINATED, RUNNING]),
        ("Running", [TERMINATED, "ERROR", TERMINATED, TERMINATED]),
        ("Completed", [TERMINATED, "ERROR", TERMINATED, TERMINATED]),
    ],
    "failing-job": [
        ("Running", [TERMINATED, RUNNING]),
        ("Running", [TERMINATED, RUNNING]),
        ("Failed", [TERMINATED, RUNNING]),
    ],
    "abnormal-job": [("Creating", []), ("Abnormal", [])],
    "stopped-job": [("Terminated", [TERMINATED] * 3 + [RUNNING] * 2)],
    "pending-forever": [("Running", [PENDING])] * 20,
    "unknown-status": [
        ("Running", [TERMINATED, RUNNING, RUNNING]),
        ("Running", [TERMINATED, "EARLY_STOPPED", TERMINATED]),
        ("Completed", [TERMINATED, "EARLY_STOPPED", TERMINATED]),
    ],
    "lagging": [
        ("Running", [TERMINATED, RUNNING, TERMINATED]),
        ("Completed", [TERMINATED, RUNNING, TERMINATED]),
        ("Completed", [TERMINATED, RUNNING, TERMINATED]),
        ("Completed", [TERMINATED, TERMINATED, TERMINATED]),
    ],
    "never-settles": [("Completed", [TERMINATED, RUNNING])] * 20,
    "silent": [
        ("Running", [TERMINATED, RUNNING]),
        ("Running", [TERMINATED, TERMINATED]),
        ("Running", [TERMINATED, TERMINATED, TERMINATED]),
        ("Completed", [TERMINATED, TERMINATED, TERMINATED]),
    ],
    "no-search": [("Completed", [])],
}


@pytest.mark.parametrize(("scenario", "expected"), COURSES.items(), ids=COURSES)
def test_scenario_course(emulator, scenario, expected):
    """The same calls always give the same course of a scenario."""
    assert course(emulator, scenario, len(expected)) == expected


def test_trial_in_an_unknown_status_is_done(emulator):
    """A trial in an unknown status has a true ``done`` flag."""
    course(emulator, "unknown-status", 2)

    page = get_trials(emulator, emulator.job_id("unknown-status"))
    assert column(page, "done") == ["True"] * 3


@pytest.mark.parametrize(
    ("scenario", "message"), [("failing-job", "CUDA out of memory"), ("abnormal-job", "failed to pull the image")]
)
def test_failed_job_has_a_reason(emulator, scenario, message):
    """A failed job has its reason in ``task_statuses``, which a job at work does not have."""
    job_id = emulator.job_id(scenario)
    statuses = [get_job(emulator, job_id)["status"] for _ in range(3)]

    assert "task_statuses" not in statuses[0]
    assert statuses[2]["task_statuses"] == [{"task": "worker-0", "exit_code": 1, "message": message}]


def test_settings_of_a_search_are_documented_ones(emulator):
    """The settings of a search are the documented lists, and all numbers in the settings are text."""
    job = get_job(emulator, emulator.job_id("documented"))
    search = job["algorithm"]["policies"]["auto_search"]

    assert search["reward_attrs"] == [{"name": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"}]
    assert search["algo_configs"][0]["params"] == [{"key": "num_samples", "value": "8", "type": "Integer"}]
    assert search["search_params"][0]["discrete_values"] == ["16", "32", "64"]


def test_job_without_settings_refers_to_its_algorithm(emulator):
    """A job without settings refers to its algorithm, which holds the values of a discrete parameter as one text."""
    job = get_job(emulator, emulator.job_id("algorithm-search"))
    algorithm = get_algorithm(emulator, job["algorithm"]["id"])
    search = algorithm["advanced_config"]["auto_search"]

    assert job["algorithm"]["policies"] == {"auto_search": None}
    assert search["reward_attrs"][0]["mode"] == "max"
    assert search["search_params"][0]["discrete_values"] == "16,32,64"


@pytest.mark.parametrize("scenario", ["silent", "no-search"])
def test_silent_job_holds_neither_settings_nor_algorithm(emulator, scenario):
    """A silent job has neither settings nor an algorithm, so that its objective is unknown."""
    algorithm = get_job(emulator, emulator.job_id(scenario))["algorithm"]

    assert algorithm["policies"] == {}
    assert "id" not in algorithm


def test_times_of_a_job_come_from_the_clock():
    """A job is created with the emulator, starts and ends at its ticks, and then keeps its duration."""
    clock = iter(range(1_800_000_000, 1_800_010_000))
    instants = []

    def tick():
        instants.append(float(next(clock)))
        return instants[-1]

    emulator = Emulator(scenarios=["growing"], clock=tick)
    created = instants[-1]
    jobs = [get_job(emulator, emulator.job_id("growing")) for _ in range(15)]

    statuses = [job["status"] for job in jobs]
    assert {job["metadata"]["create_time"] for job in jobs} == {created * 1000}
    assert [status["start_time"] for status in statuses[:2]] == [0, 0]
    assert len({status["start_time"] for status in statuses[2:]}) == 1
    assert statuses[2]["start_time"] > created * 1000
    durations = [status["duration"] for status in statuses]
    assert durations[:2] == [0, 0]
    assert durations == sorted(durations)
    assert durations[12] == durations[13] == durations[14] > 0


def test_job_that_is_over_from_the_start_ended_an_hour_ago():
    """A job that is over from the start ended one hour before, so that its table lags behind for good."""
    now = 1_800_000_000.0
    emulator = Emulator(scenarios=["never-settles"], clock=lambda: now)
    status = get_job(emulator, emulator.job_id("never-settles"))["status"]

    assert (status["start_time"] + status["duration"]) / 1000 == now - 3600


def test_running_search_stays_as_it_is(emulator):
    """A running search lists three of eight trials, all TERMINATED, at every tick."""
    job_id = emulator.add_running_search(num_samples=8, terminated=3)
    jobs = [get_job(emulator, job_id) for _ in range(3)]

    assert {job["status"]["phase"] for job in jobs} == {"Running"}
    assert column(get_trials(emulator, job_id), "status") == [TERMINATED] * 3
    assert jobs[0]["algorithm"]["policies"]["auto_search"]["algo_configs"][0]["params"][0]["value"] == "8"
