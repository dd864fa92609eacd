"""XCom values for downstream tasks."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.builders import job, quick, trial

from airflow_provider_modelarts.core.jobs import Mode
from airflow_provider_modelarts.core.progress import Listing, WaitPolicy, assess
from airflow_provider_modelarts.core.selection import Criterion, Ranked, Scope
from airflow_provider_modelarts.core.xcom import checked_config, job_summary, search_summary, trial_record
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError

ACC = Criterion("acc", Mode.MAX)


def record_of(winner, criterion=ACC, counts=None):
    """Return the record of a trial that is ranked first with the value 0.9."""
    return trial_record(job("Completed"), Ranked(1, winner, 0.9), criterion, counts or {})


def nested(depth, inner):
    """Return a value in lists nested to a depth."""
    for _ in range(depth):
        inner = [inner]
    return inner


def error_of(config):
    """Return the error message for a config."""
    with pytest.raises(ModelArtsProtocolError) as caught:
        checked_config("t7", config)
    return str(caught.value)


def test_record_of_a_trial():
    """A record holds all facts about the selection under stable names."""
    winner = trial("t7", index=3, config={"lr": 0.02, "batch": 64}, metrics={"acc": 0.9, "loss": 0.1}, duration=12.5)
    criterion = Criterion("acc", Mode.MAX, Scope.LAST, is_objective=True)

    record = trial_record(job("Failed"), Ranked(2, winner, 0.9, tied=True), criterion, {"ERROR": 1, "TERMINATED": 7})

    assert record == {
        "schema_version": 1,
        "training_job_id": "job-1",
        "job_phase": "Failed",
        "trial_id": "t7",
        "trial_index": 3,
        "rank": 2,
        "config": {"lr": 0.02, "batch": 64},
        "metric": "acc",
        "mode": "max",
        "scope": "last",
        "value": 0.9,
        "metrics": {"acc": 0.9, "loss": 0.1},
        "duration": 12.5,
        "trial_counts": {"ERROR": 1, "TERMINATED": 7},
    }


def test_record_words_are_plain_text():
    """Mode and scope are of type str, because Airflow would store an enum as an object."""
    record = record_of(trial(config={}))

    assert (type(record["mode"]), type(record["scope"])) == (str, str)


def test_record_of_a_sparse_trial():
    """Missing values are None or empty in the record."""
    record = record_of(trial("t7", config={}))

    assert (record["trial_index"], record["duration"], record["metrics"], record["config"]) == (None, None, {}, {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_record_of_a_metric_that_is_not_finite(value):
    """NaN and infinities, which are not JSON, become None."""
    record = record_of(trial(config={}, metrics={"acc": 0.9, "loss": value}, duration=value))

    assert (record["metrics"], record["duration"]) == ({"acc": 0.9, "loss": None}, None)


def test_record_of_very_many_metrics():
    """A record keeps the first 200 metrics, so that it stays small."""
    many = {f"m{number}": float(number) for number in range(201)}

    assert list(record_of(trial(config={}, metrics=many))["metrics"]) == [f"m{number}" for number in range(200)]


def test_record_of_an_unsafe_config():
    """A config that XCom would change raises an error that names the trial."""
    with pytest.raises(ModelArtsProtocolError, match="trial t7 cannot be pushed to XCom: 'lr' is nan"):
        record_of(trial("t7", config={"lr": math.nan}))


def test_record_is_a_copy():
    """A change to the record does not change the trial or the counts."""
    winner = trial(config={"layers": [64]}, metrics={"acc": 0.9})
    counts = {"TERMINATED": 1}

    record = record_of(winner, counts=counts)
    record["config"]["layers"].append(32)
    record["metrics"]["acc"] = record["trial_counts"]["TERMINATED"] = 0

    assert (winner.config, winner.metrics, counts) == ({"layers": [64]}, {"acc": 0.9}, {"TERMINATED": 1})


@pytest.mark.parametrize("name", ["__classname__", "__var", "a\0b", "\ud800"])
def test_record_of_an_unsafe_metric_name(name):
    """A metric is left out if Airflow reserves its name or a database would reject the name."""
    record = record_of(trial(config={}, metrics={"acc": 0.9, name: 0.5}))

    assert record["metrics"] == {"acc": 0.9}


@pytest.mark.parametrize(
    ("index", "recorded"), [(0, 0), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (2**63, None), (-(2**63) - 1, None)]
)
def test_record_of_an_index_up_to_64_bits(index, recorded):
    """An index beyond 64 bits is None in the record."""
    assert record_of(trial(config={}, index=index))["trial_index"] == recorded


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"lr": 0.02, "batch": 64, "name": "adam", "nesterov": True, "decay": None},
        {"layers": [64, [32.0, None]], "optimizer": {"name": "adam", "betas": [0.9, 0.999]}},
        {"lowest": -(2**63), "highest": 2**63 - 1},
        {"text": "\ud7ff\ue000 😀 \x01\n"},
        {"text": "NaN", "chinese": "学习率", "zero": 0, "no": False, "blank": ""},
        {"_private": 1, "a__b": 2, "end__": 3, "": 4},
        {"classname": 1, "data": 2, "var": 3, "type": 4},
        {"deep": nested(20, 1)},
    ],
)
def test_config_that_is_safe(config):
    """A flat or nested config of plain JSON keeps its types and its order."""
    checked = checked_config("t7", config)

    assert json.dumps(checked) == json.dumps(config)


def test_config_is_copied():
    """A change to the checked config does not change the trial's config, at any depth."""
    config = {"optimizer": {"betas": [0.9]}}

    checked_config("t7", config)["optimizer"]["betas"].append(0.999)

    assert config == {"optimizer": {"betas": [0.9]}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lr": math.nan}, "'lr' is nan, which is not JSON"),
        ({"lr": math.inf}, "'lr' is inf, which is not JSON"),
        ({"lr": -math.inf}, "'lr' is -inf, which is not JSON"),
        ({"ok": 1, "layers": [1, math.nan]}, "'layers' is nan, which is not JSON"),
        ({"a": {"b": {"c": math.nan}}}, "'a.b.c' is nan, which is not JSON"),
        ({"seed": 2**63}, "'seed' is an integer beyond 64 bits"),
        ({"seed": -(2**63) - 1}, "'seed' is an integer beyond 64 bits"),
        ({"seeds": [10**5000]}, "'seeds' is an integer beyond 64 bits"),
        ({"__classname__": "os.system"}, "'__classname__' begins with two underscores"),
        ({"__data__": 1}, "'__data__' begins with two underscores"),
        ({"__var": 1, "__type": "dict"}, "'__var' begins with two underscores"),
        ({"a": {"__type": "set"}}, "'__type' begins with two underscores"),
        ({"a": [{"__version__": 1}]}, "'__version__' begins with two underscores"),
        ({"deep": nested(21, 1)}, "'deep' is nested too deeply"),
        ({"deep": nested(5000, 1)}, "'deep' is nested too deeply"),
    ],
)
def test_config_that_is_unsafe(config, message):
    """A config that XCom would change, drop or act upon raises an error that names the trial and the key."""
    assert error_of(config).startswith(f"the config of trial t7 cannot be pushed to XCom: {message}")


@pytest.mark.parametrize(
    "config", [{"name": "a\0b"}, {"name": "\ud800"}, {"name": ["\udfff"]}, {"a\0b": 1}, {"a": {"\udfff": 1}}]
)
def test_config_with_text_that_a_database_rejects(config):
    """NUL and lone surrogates raise a printable error that names the trial, before they reach the database."""
    assert error_of(config).startswith("the config of trial t7 cannot be pushed to XCom: ")
    assert error_of(config).isprintable()


def test_config_that_is_missing():
    """A trial without a readable config raises an error that names the trial."""
    assert error_of(None) == "the config of trial t7 is missing or cannot be read"


def test_config_of_the_maximum_size():
    """A config of 32,768 characters of JSON is accepted."""
    config = {"x": "a" * (32_768 - len('{"x": ""}'))}

    assert checked_config("t7", config) == config


def test_config_beyond_the_maximum_size():
    """A config of 32,769 characters of JSON raises an error that holds its size."""
    config = {"x": "a" * (32_769 - len('{"x": ""}'))}

    assert error_of(config) == "the config of trial t7 is 32769 characters of JSON, more than the 32768 allowed"


def test_config_error_of_a_long_key():
    """The error for a long key is short."""
    assert len(error_of({"__" + "x" * 10_000: 1})) < 250


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("_ab", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@quick
@given(st.dictionaries(st.text("_ab", max_size=4), plain_json, max_size=4))
def test_config_round_trip(config):
    """An accepted config is strict JSON and is read back unchanged; any other config raises an error."""
    try:
        checked = checked_config("t7", config)
    except ModelArtsProtocolError:
        return

    assert json.loads(json.dumps(checked, allow_nan=False)) == config
    assert "__" not in {key[:2] for key in _keys(checked)}


def _keys(value):
    if isinstance(value, dict):
        return [*value, *(key for item in value.values() for key in _keys(item))]
    return [key for item in value for key in _keys(item)] if isinstance(value, list) else []


def test_summary_of_a_search():
    """The summary of a search holds phase, counts and message under stable names."""
    some_job = job("Running", 8)
    listing = Listing([trial("a"), trial("b"), trial("c", "RUNNING")], 3)

    summary = search_summary(some_job, assess(some_job, listing, WaitPolicy(), 0))

    assert summary == {
        "schema_version": 1,
        "training_job_id": "job-1",
        "job_phase": "Running",
        "trials": 3,
        "expected_trials": 8,
        "trial_counts": {"RUNNING": 1, "TERMINATED": 2},
        "message": "training job job-1 is Running",
    }


def test_summary_of_a_search_of_unknown_size():
    """An unknown number of expected trials is None."""
    summary = search_summary(job(), assess(job(), Listing(), WaitPolicy(), 0))

    assert (summary["trials"], summary["expected_trials"], summary["trial_counts"]) == (0, None, {})


def test_summary_of_an_unknown_phase():
    """An unknown phase is the platform's own word."""
    summary = search_summary(job("Hibernating"), assess(job("Hibernating"), Listing(), WaitPolicy(), 0))

    assert summary["job_phase"] == "Hibernating"


def test_summary_of_a_job():
    """The summary of a training job holds its name, its duration and the paths of its outputs."""
    outputs = [
        {"name": "train_url", "remote": {"obs": {"obs_url": "/bucket/output/"}}},
        {"name": "logs", "remote": {"obs": {"obs_url": "/bucket/logs/"}}},
    ]

    summary = job_summary(job("Completed", duration=90.5, raw={"algorithm": {"outputs": outputs}}))

    assert summary == {
        "schema_version": 1,
        "training_job_id": "job-1",
        "name": "a-search",
        "job_phase": "Completed",
        "duration": 90.5,
        "outputs": {"train_url": "/bucket/output/", "logs": "/bucket/logs/"},
    }


@pytest.mark.parametrize("raw", [{}, {"algorithm": None}, {"algorithm": {"outputs": None}}, {"algorithm": {}}])
def test_summary_of_a_job_without_outputs(raw):
    """A job without outputs has empty outputs and is not an error."""
    summary = job_summary(job("Running", raw=raw))

    assert (summary["outputs"], summary["duration"]) == ({}, None)


def test_summary_of_a_job_with_outputs_that_cannot_be_stored():
    """Unsafe outputs are left out instead of failing a job that is already paid for."""
    odd = {"train_url": "/out/", "__classname__": "/b/", "nul": "/\0/", "half\ud800": "/b/", "long": "x" * 1_000_000}
    odd |= {f"n{number}": "/b/" for number in range(1000)}
    outputs = [{"name": name, "remote": {"obs": {"obs_url": url}}} for name, url in odd.items()]

    summary = job_summary(job("Completed", raw={"algorithm": {"outputs": outputs}}))

    assert summary["outputs"]["train_url"] == "/out/"
    assert set(summary["outputs"]) <= {"train_url", *(f"n{number}" for number in range(1000))}
    assert len(json.dumps(summary)) < 20_000
