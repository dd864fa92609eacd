"""The best-trial operator on the emulator."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from integration.task_runs import run_task

from airflow_provider_modelarts.exceptions import ModelArtsProtocolError
from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from airflow_provider_modelarts.task_exceptions import ModelArtsBestTrialError, ModelArtsCallRefusedError
from modelarts_emulator.scenarios import stopped_job


def choose(job_id, **arguments):
    """Run the operator."""
    return run_task(lambda: ModelArtsBestTrialOperator(task_id="best_trial", training_job_id=job_id, **arguments))


def test_return_value_is_the_config_of_the_best_trial(connected):
    """The best trial of the documented response is ae5503c0; its numbers keep their types."""
    run = choose(connected.job_id("documented"))

    assert run.value == {"batch_size": 32, "learning_rate": 0.0340820322164706}
    assert isinstance(run.value["batch_size"], int)


def test_best_trial_is_the_whole_record(connected):
    """XCom best_trial holds the origin of the config."""
    job_id = connected.job_id("documented")

    run = choose(job_id)

    assert run.ti.xcom["best_trial"] == {
        "schema_version": 1,
        "training_job_id": job_id,
        "job_phase": "Completed",
        "trial_id": "ae5503c0",
        "trial_index": 3,
        "rank": 1,
        "config": {"batch_size": 32, "learning_rate": 0.0340820322164706},
        "metric": "acc",
        "mode": "max",
        "scope": "best",
        "value": 0.25,
        "metrics": {"acc": 0.25, "loss": 0.0716},
        "duration": 3.641200304031372,
        "trial_counts": {"TERMINATED": 8},
    }


def test_top_trials_are_ready_to_expand(connected):
    """XCom top_trials is a list of top_k records, best first; ties go to the lowest trial index."""
    run = choose(connected.job_id("documented"), top_k="3")

    assert [(trial["rank"], trial["trial_id"], trial["value"]) for trial in run.ti.xcom["top_trials"]] == [
        (1, "ae5503c0", 0.25),
        (2, "ae54c0ea", 0.1875),
        (3, "bef578f4", 0.1875),
    ]


def test_another_metric_may_decide(connected):
    """With metric loss and mode min, the documented response has another best trial."""
    run = choose(connected.job_id("documented"), metric="loss", mode="min")

    assert run.ti.xcom["best_trial"]["trial_id"] == "bef5c584"
    assert run.ti.xcom["best_trial"]["value"] == 0.0381
    assert run.ti.xcom["best_trial"]["scope"] == "last"


def test_constraints_bound_other_metrics(connected):
    """Of the documented trials with a loss of at most 0.07, only one is left."""
    run = choose(connected.job_id("documented"), constraints='{"loss": {"max": 0.07}}')

    assert run.ti.xcom["best_trial"]["trial_id"] == "bef5c584"


@pytest.mark.parametrize("threshold", [0.24, "0.24", "", "None", None])
def test_better_trial_exceeds_the_threshold(connected, threshold):
    """A lower threshold, or an empty rendered value, returns the config."""
    assert choose(connected.job_id("documented"), only_if_better_than=threshold).state == "success"


@pytest.mark.parametrize(("on_not_better", "state"), [("skip", "skipped"), ("fail", "failed")])
def test_trial_that_only_equals_the_threshold_is_not_returned(connected, on_not_better, state):
    """The best trial must be strictly better; its record is still pushed."""
    run = choose(connected.job_id("documented"), only_if_better_than=0.25, on_not_better=on_not_better)

    assert run.state == state
    assert "ae5503c0 has acc=0.25, which is not better (max) than 0.25" in run.message
    assert run.ti.xcom["best_trial"]["trial_id"] == "ae5503c0"


def test_ranked_table_is_in_the_log(connected, task_log):
    """The log shows rank, trial, value and parameters, aligned, with ties marked."""
    choose(connected.job_id("documented"))

    table = task_log().partition("\nrank")[2].splitlines()
    assert [line.rstrip() for line in table[:5]] == [
        "  trial     acc       batch_size  learning_rate",
        "1     ae5503c0  0.25      32          0.034082032",
        "2=    ae54c0ea  0.1875    16          0.040153874",
        "3=    bef578f4  0.1875    32          0.008413169",
        "4     bef46590  0.09375   32          0.036564889",
    ]


def test_rejected_trials_are_in_the_log_with_their_reason(connected, task_log):
    """The user reads why a trial was not ranked."""
    choose(connected.job_id("stopped-job"))

    log = task_log()
    assert "do not compete" in log
    assert "not finished" in log


def test_running_search_logs_a_warning(connected, task_log):
    """The best trial may still change."""
    job_id = connected.add_running_search(num_samples=8, terminated=3)

    run = choose(job_id)

    assert run.state == "success"
    assert run.ti.xcom["best_trial"]["job_phase"] == "Running"
    assert "its best trial may still change" in task_log()


@pytest.mark.parametrize("phase", ["Failed", "Abnormal", "Terminated"])
def test_search_that_failed_or_was_stopped_logs_a_warning(connected, task_log, phase):
    """The best trial may be far from that of a whole search; the record holds the phase."""
    run = choose(connected.add_search(replace(stopped_job(), job_id="", phases=((0, phase),))))

    assert run.state == "success"
    assert run.ti.xcom["best_trial"]["job_phase"] == phase
    assert f"is {phase}: only trials that ended before compete for the best" in task_log()


FAILURES = {
    "unknown metric": (
        "documented",
        {"metric": "f1", "mode": "max"},
        "in 8 the metric is missing; the trials report acc, loss",
    ),
    "metric without mode": ("documented", {"metric": "loss"}, "give mode='max' or 'min'"),
    "contradicting mode": ("documented", {"mode": "min"}, "contradicts the search"),
    "unknown mode": ("documented", {"mode": "most"}, "mode must be 'max' or 'min', not 'most'"),
    "unknown scope": ("documented", {"scope": "worst"}, "scope must be 'best' or 'last'"),
    "several objectives": ("two-objectives", {}, "several objectives"),
    "unknown objective": ("silent", {}, "give mode='max' or 'min'"),
    "no trials": ("no-search", {"mode": "max"}, "there is no trial to choose"),
    "no search": ("no-search", {}, "has no readable hyperparameter search and no trials"),
    "none finished": ("pending-forever", {}, "1 not finished"),
    "bound that no trial satisfies": (
        "documented",
        {"constraints": {"loss": {"max": 0.0}}},
        "in 8 the constraint on 'loss' is not met",
    ),
    "bound without ends": ("documented", {"constraints": {"loss": {}}}, "constraints['loss']"),
    "bound that is not a number": ("documented", {"constraints": {"loss": {"max": "low"}}}, "constraints['loss'].max"),
    "constraints that are not a mapping": ("documented", {"constraints": "loss<1"}, "constraints must be"),
    "no top": ("documented", {"top_k": 0}, "top_k must be a whole number, at least 1"),
    "too many": ("documented", {"top_k": 101}, "top_k must be at most 100"),
    "threshold that is NaN": ("documented", {"only_if_better_than": "nan"}, "only_if_better_than must be a number"),
    "unknown action": ("documented", {"on_not_better": "shrug"}, "on_not_better must be 'skip' or 'fail'"),
}


@pytest.mark.parametrize(("scenario", "arguments", "message"), FAILURES.values(), ids=FAILURES)
def test_failure_names_its_reason(connected, scenario, arguments, message):
    """No retry of the task can succeed; the message names the argument or the reason."""
    run = choose(connected.job_id(scenario), **arguments)

    assert run.state == "failed"
    assert isinstance(run.error, (ModelArtsBestTrialError, ModelArtsCallRefusedError))
    assert isinstance(run.error, AirflowFailException)
    assert message in run.message


def test_failure_names_the_job(connected):
    """One of many mapped tasks may have the wrong id."""
    job_id = connected.job_id("pending-forever")

    assert choose(job_id).message.startswith(f"training job {job_id}: none of 1 trials can be the best by 'acc': ")


def test_job_id_with_a_path_is_refused_before_any_request(connected):
    """An id never changes the path of a request."""
    run = choose("../projects")

    assert "training_job_id must be 1 to 64 letters, digits, '-' and '_', not '../projects'" in run.message
    assert connected.requests == []


HOSTILE_CONFIGS = {
    "class": ({"__classname__": "os.system", "__version__": 1}, "__classname__"),
    "old encoding": ({"__type": "dict", "__var": {}}, "__type"),
    "nested": ({"opt": {"__data__": 1}}, "__data__"),
    "not a number": ({"lr": float("nan")}, "'lr' is nan"),
    "huge integer": ({"seed": 2**64}, "'seed' is an integer beyond 64 bits"),
    "much text": ({"note": "x" * 40_000}, "characters of JSON"),
}


@pytest.mark.parametrize(("config", "message"), HOSTILE_CONFIGS.values(), ids=HOSTILE_CONFIGS)
def test_config_that_airflow_would_act_upon_is_refused(connected, config, message):
    """Airflow would change or execute such a config in an XCom; the error names the key."""
    job_id = connected.add_table(["trial_id", "status", "config", "best_reward"], [["t1", "TERMINATED", config, "0.5"]])

    run = choose(job_id)

    assert isinstance(run.error, ModelArtsProtocolError)
    assert message in run.message
    assert "best_trial" not in run.ti.xcom


def test_metrics_that_are_not_finite_are_none_in_the_record(connected):
    """Airflow 3 refuses NaN in an XCom: the task would fail after a search that has cost money."""
    run = choose(connected.job_id("nan"))

    assert run.state == "success"
    assert json.dumps(run.ti.xcom, allow_nan=False)
