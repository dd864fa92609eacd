"""Tasks with hostile responses, which fail with an error of this package and push nothing."""

from __future__ import annotations

import json

import pytest
from integration.task_runs import MODES, mode_arguments, run_task

from airflow_provider_modelarts.exceptions import ModelArtsProtocolError
from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor
from airflow_provider_modelarts.task_exceptions import ModelArtsSearchFailedError

HEADER = ["trial_id", "status", "config", "best_reward"]
MEGABYTE = 1_000_000


def run_best_trial(job_id, **arguments):
    """Run the best-trial operator."""
    return run_task(lambda: ModelArtsBestTrialOperator(task_id="best_trial", training_job_id=job_id, **arguments))


def run_sensor(job_id, mode):
    """Run the sensor."""
    return run_task(
        lambda: ModelArtsHyperparameterSearchSensor(
            task_id="wait", training_job_id=job_id, poke_interval=0.01, **mode_arguments(mode)
        )
    )


#: One config for each reason to refuse it; ``tests/unit/core/test_xcom.py`` has the complete list.
CONFIGS = {
    "class name": ({"__classname__": "os.system"}, "'__classname__' begins with two underscores"),
    "NUL in a key": ({"l\0r": 1}, r"l\\x00r'"),
    "surrogate": ({"opt": {"lr": "\ud800"}}, "'opt.lr' holds text"),
    "key of a megabyte": ({"x" * MEGABYTE: 1}, "characters of JSON, more than the 32768 allowed"),
    "huge integer": ({"seed": 10**4000}, "'seed' is an integer beyond 64 bits"),
    "text of a megabyte": (f"{{'a': '{'x' * MEGABYTE}'}}", "is missing or cannot be read"),
}


@pytest.mark.parametrize(("config", "reason"), CONFIGS.values(), ids=CONFIGS)
def test_best_trial_with_a_hostile_config_fails_the_task(connected, task_log, config, reason):
    """The error names trial and key, nothing of the trial is pushed, and the lines of the log stay short."""
    job_id = connected.add_table(HEADER, [["t1", "TERMINATED", config, "0.5"]])

    run = run_best_trial(job_id)

    assert type(run.error) is ModelArtsProtocolError
    assert "the config of trial t1 " in run.message
    assert reason in run.message
    assert run.message.isprintable()
    assert len(run.message) < 500
    assert set(run.ti.xcom) <= {"modelarts_training_job_link", "leaderboard"}
    assert len(json.dumps(run.ti.xcom)) < 20_000
    assert run.value is None
    assert max(map(len, task_log().splitlines())) < 500


@pytest.mark.parametrize("config", [{"l\x1br": "a\x07b"}, {"lr": "a\nb"}, {"学习率\u202e": 0.1}])
def test_config_with_control_characters_is_pushed_unchanged(connected, task_log, config):
    """XCom holds the control characters of a config, and only the log replaces them."""
    run = run_best_trial(connected.add_table(HEADER, [["t1", "TERMINATED", config, "0.5"]]))

    assert run.value == config
    assert not {"\x1b[31m", "\x07", "\u202e"} & set(task_log().partition("best first")[2])


UNKNOWN_STATUSES = [
    ["t1", "TERMINATED", {"lr": 0.1}, "0.5"],
    *([f"x{n}", f"\x1b{n}\n" * 1000, {}, ""] for n in range(500)),
]


@pytest.mark.parametrize("mode", MODES)
def test_search_with_500_unknown_statuses_has_a_short_message(connected, task_log, mode):
    """The error message is short and printable, and the log holds no escape of the platform."""
    run = run_sensor(connected.add_table(HEADER, UNKNOWN_STATUSES), mode)

    assert type(run.error) is ModelArtsSearchFailedError
    assert run.message.isprintable()
    assert len(run.message) < 1000
    assert "\x1b" not in task_log().replace("\x1b[0m", "")


def test_best_trial_xcom_with_500_unknown_statuses_is_short(connected):
    """XCom holds the counts of twenty statuses only."""
    run = run_best_trial(connected.add_table(HEADER, UNKNOWN_STATUSES))

    assert run.value == {"lr": 0.1}
    assert len(run.ti.xcom["best_trial"]["trial_counts"]) == 20
    assert len(json.dumps(run.ti.xcom["best_trial"])) < 5000
    assert len(json.dumps(run.ti.xcom["leaderboard"])) < 260_000


def test_best_trial_xcom_with_20_000_metrics_is_short(connected):
    """XCom holds two hundred metrics only."""
    header = [*HEADER, *(f"m{number}" for number in range(20_000))]

    run = run_best_trial(connected.add_table(header, [["t1", "TERMINATED", {"lr": 0.1}, "0.5", *([1] * 20_000)]]))

    assert len(run.ti.xcom["best_trial"]["metrics"]) == 200


RESPONSES = {
    "too long": (b" " * (33 * 1024**2), "the response is longer than 32 MiB"),
    "deep": (b"[" * 100_000 + b"]", "the response is not JSON"),
    "id that changes the path": (
        b'{"metadata": {"id": "../x"}, "status": {"phase": "Completed"}}',
        "no usable metadata.id: '../x'",
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("body", "reason"), RESPONSES.values(), ids=RESPONSES)
def test_sensor_with_a_hostile_response_fails(connected_once, body, reason, mode):
    """The sensor raises an error of this package and pushes no return value, in all of its modes."""
    connected_once.respond_next("training-jobs", body=body, times=9)

    run = run_sensor("x", mode)

    assert type(run.error) is ModelArtsProtocolError
    assert reason in run.message
    assert run.message.isprintable()
    assert "return_value" not in run.ti.xcom
