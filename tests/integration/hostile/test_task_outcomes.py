"""Tasks and hostile responses: they fail with an error of this package, and push nothing."""

from __future__ import annotations

import json

import pytest
from integration.task_runs import MODES, run_task

from airflow_provider_modelarts.exceptions import ModelArtsProtocolError
from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor
from airflow_provider_modelarts.task_exceptions import ModelArtsSearchFailedError

HEADER = ["trial_id", "status", "config", "best_reward"]
MEGABYTE = 1_000_000


def choose(job_id, **arguments):
    """Run the best-trial operator."""
    return run_task(lambda: ModelArtsBestTrialOperator(task_id="best_trial", training_job_id=job_id, **arguments))


def watch(job_id, mode):
    """Run the sensor."""
    how = {"deferrable": True} if mode == "deferrable" else {"mode": mode}
    return run_task(
        lambda: ModelArtsHyperparameterSearchSensor(task_id="wait", training_job_id=job_id, poke_interval=0.01, **how)
    )


#: One for each way in which a config is refused; ``tests/unit/core/test_xcom.py`` has all that is.
CONFIGS = {
    "class name": ({"__classname__": "os.system"}, "'__classname__' begins with two underscores"),
    "NUL in a key": ({"l\0r": 1}, r"l\\x00r'"),
    "half of a character": ({"opt": {"lr": "\ud800"}}, "'opt.lr' holds text"),
    "megabyte of a key": ({"x" * MEGABYTE: 1}, "characters of JSON, more than the 32768 allowed"),
    "digits": ({"seed": 10**4000}, "'seed' is an integer beyond 64 bits"),
    "much text": (f"{{'a': '{'x' * MEGABYTE}'}}", "is missing or cannot be read"),
}


@pytest.mark.parametrize(("config", "said"), CONFIGS.values(), ids=CONFIGS)
def test_best_trial_with_a_hostile_config_fails_the_task(connected, task_log, config, said):
    """The error names trial and key, nothing of the trial is pushed, and the table in the log keeps its shape."""
    job_id = connected.add_table(HEADER, [["t1", "TERMINATED", config, "0.5"]])

    run = choose(job_id)

    assert type(run.error) is ModelArtsProtocolError
    assert "the config of trial t1 " in run.message
    assert said in run.message
    assert run.message.isprintable()
    assert len(run.message) < 500
    assert set(run.ti.xcom) <= {"modelarts_training_job_link", "leaderboard"}
    assert len(json.dumps(run.ti.xcom)) < 20_000
    assert run.value is None
    assert max(map(len, task_log().splitlines())) < 500


@pytest.mark.parametrize("config", [{"l\x1br": "a\x07b"}, {"lr": "a\nb"}, {"学习率\u202e": 0.1}])
def test_config_with_control_characters_is_handed_on_as_it_is(connected, task_log, config):
    """They are data that JSON and databases keep; only the log shows something in their place."""
    run = choose(connected.add_table(HEADER, [["t1", "TERMINATED", config, "0.5"]]))

    assert run.value == config
    assert not {"\x1b[31m", "\x07", "\u202e"} & set(task_log().partition("best first")[2])


STRANGE = [["t1", "TERMINATED", {"lr": 0.1}, "0.5"], *([f"x{n}", f"\x1b{n}\n" * 1000, {}, ""] for n in range(500))]


@pytest.mark.parametrize("mode", MODES)
def test_search_with_500_strange_statuses_is_told_in_short(connected, task_log, mode):
    """Neither the log, nor the message, nor the summary grows with what the platform makes up."""
    run = watch(connected.add_table(HEADER, STRANGE), mode)

    assert type(run.error) is ModelArtsSearchFailedError
    assert run.message.isprintable()
    assert len(run.message) < 1000
    assert "\x1b" not in task_log().replace("\x1b[0m", "")


def test_record_with_500_strange_statuses_is_short(connected):
    """The counts in it are those of the first twenty."""
    run = choose(connected.add_table(HEADER, STRANGE))

    assert run.value == {"lr": 0.1}
    assert len(run.ti.xcom["best_trial"]["trial_counts"]) == 20
    assert len(json.dumps(run.ti.xcom["best_trial"])) < 5000
    assert len(json.dumps(run.ti.xcom["leaderboard"])) < 260_000


def test_record_with_20_000_metrics_is_short(connected):
    """Those that fit are kept."""
    header = [*HEADER, *(f"m{number}" for number in range(20_000))]

    run = choose(connected.add_table(header, [["t1", "TERMINATED", {"lr": 0.1}, "0.5", *([1] * 20_000)]]))

    assert len(run.ti.xcom["best_trial"]["metrics"]) == 200


ANSWERS = {
    "too long": (b" " * (33 * 1024**2), "the response is longer than 32 MiB"),
    "deep": (b"[" * 100_000 + b"]", "the response is not JSON"),
    "upwards": (b'{"metadata": {"id": "../x"}, "status": {"phase": "Completed"}}', "no usable metadata.id: '../x'"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("body", "said"), ANSWERS.values(), ids=ANSWERS)
def test_sensor_fails_with_our_own_error(connected_once, body, said, mode):
    """In all of its modes, and nothing is left in XCom."""
    connected_once.respond_next("training-jobs", body=body, times=9)

    run = watch("x", mode)

    assert type(run.error) is ModelArtsProtocolError
    assert said in run.message
    assert run.message.isprintable()
    assert "return_value" not in run.ti.xcom
