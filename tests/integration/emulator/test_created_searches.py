"""Created searches, which draw configurations and run the script with each."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from integration.emulated import settings_of
from integration.emulator.bench import Bench, until
from integration.emulator.wire import get_trials
from unit.emulator.bodies import changed

from airflow_provider_modelarts.client import ModelArtsClient
from airflow_provider_modelarts.core.selection import criterion_for, rank, select_best

SEARCH = "algorithm.policies.auto_search"


def test_search_runs_a_trial_per_sample(bench):
    """All trials end TERMINATED, and the job is Completed."""
    job = bench.done(bench.search_body(samples=5))

    assert job["status"]["phase"] == "Completed"
    assert bench.statuses(job["metadata"]["id"]) == ["TERMINATED"] * 5


def test_trials_have_the_documented_cells(bench):
    """The columns are those of the documentation; all cells are text, except the config with its typed values."""
    job_id = bench.done(bench.search_body(samples=2))["metadata"]["id"]
    page = get_trials(bench.emulator, job_id)

    assert (page["total"], page["count"], page["limit"], page["offset"], page["group_by"]) == (2, 2, 50, 0, "")
    assert page["items"]["header"] == [
        "", "done", "pid", "config", "trial_id", "training_iteration", "time_total_s", "worker_index", "reward_attr",
        "status", "acc", "best_reward",
    ]  # fmt: skip
    for number, row in enumerate(bench.rows(job_id)):
        config = row.pop("config")
        x = config["x"]
        assert config == {"x": x, "trial_index": number, "param/x": x}
        assert x in {1, 2, 3, 4}
        assert all(isinstance(cell, str) for cell in row.values())
        assert re.fullmatch(r"[0-9a-f]{8}", row["trial_id"])
        assert row["pid"].isdecimal()
        assert 0 < float(row["time_total_s"]) < 20
        assert (row[""], row["done"], row["training_iteration"]) == (str(number), "True", "3")
        assert float(row["acc"]) == pytest.approx(1 - abs(x - 3) / 10)
        assert row["reward_attr"] == row["best_reward"] == row["acc"]


def test_client_finds_the_best_trial_of_a_created_search(bench):
    """The metric of the script is highest at 3."""
    job_id = bench.done(bench.search_body(samples=12))["metadata"]["id"]
    with ModelArtsClient(settings_of(bench.emulator)) as client:
        job, trials = client.get_training_job(job_id), client.list_trials(job_id)
    ranking = rank(trials, criterion_for(job.search))

    assert job.search.num_samples == 12
    (best,) = select_best(ranking)
    assert best.trial.config == {"x": 3}
    assert best.value == 1.0


def drawn(bench, body):
    """Return the configurations that a search draws, without the platform's own keys."""
    rows = bench.rows(bench.done(body)["metadata"]["id"])
    return [{name: value for name, value in row["config"].items() if "/" not in name} for row in rows]


def test_same_seed_draws_the_same_configurations(bench):
    """Another seed draws other configurations."""
    space = [{"name": "x", "param_type": "continuous", "lower_bound": "0", "upper_bound": "1"}]
    body = changed(bench.search_body(samples=3), f"{SEARCH}.search_params", space)
    other = changed(body, f"{SEARCH}.algo_configs.0.params.0", {"key": "num_samples", "value": "3", "type": "Integer"})
    other["algorithm"]["policies"]["auto_search"]["algo_configs"][0]["params"].append({"key": "seed", "value": "2"})
    first, again, another = (
        drawn(bench, changed(each, "metadata.name", name)) for name, each in {"a": body, "b": body, "c": other}.items()
    )

    assert first == again
    assert first != another


def test_search_without_a_number_runs_twenty_trials(bench):
    """Twenty is the platform's default."""
    bench.write("print('acc: 1')")
    body = changed(bench.search_body(), f"{SEARCH}.algo_configs", [])

    assert bench.statuses(bench.done(body)["metadata"]["id"]) == ["TERMINATED"] * 20


def parameter(name, value, kind):
    """Return a parameter of a job with a type."""
    return {"name": name, "value": value, "constraint": {"type": kind}}


def test_drawn_values_have_their_types(bench):
    """The type and the range of a parameter determine the type of its drawn values."""
    bench.write("import sys; print('acc: 1', sys.argv[1:])")
    body = bench.search_body(samples=6)
    body["algorithm"]["parameters"] = [
        parameter("layers", "1", "Integer"),
        parameter("rate", "1", "Float"),
        parameter("size", "", ""),
        parameter("grid", "0", "Float"),
        parameter("mixed", "0", ""),
        parameter("word", "a", "String"),
        parameter("fixed", "as it is", "String"),
    ]
    body["algorithm"]["policies"]["auto_search"]["search_params"] = [
        {"name": "layers", "param_type": "continuous", "lower_bound": "1", "upper_bound": "4"},
        {"name": "rate", "lower_bound": "1", "upper_bound": "2", "discrete_points_num": ""},
        {"name": "size", "param_type": "discrete", "discrete_values": "16,32"},
        {"name": "grid", "lower_bound": "0", "upper_bound": "1", "discrete_points_num": "5"},
        {"name": "mixed", "discrete_values": ["0.5", "1", "auto"]},
        {"name": "word", "discrete_values": ["1", "2"]},
    ]
    job_id = bench.done(body)["metadata"]["id"]
    configs = [row["config"] for row in bench.rows(job_id)]
    commands = re.findall(r"acc: 1 (\[.*\])", bench.log(job_id))

    for config in configs:
        assert (type(config["layers"]), type(config["rate"]), type(config["size"])) == (int, float, int)
        assert config["layers"] in {1, 2, 3, 4}
        assert 1 <= config["rate"] <= 2
        assert config["size"] in {16, 32}
        assert config["grid"] in {0.0, 0.25, 0.5, 0.75, 1.0}
        assert config["mixed"] in {0.5, 1.0, "auto"}
        assert config["word"] in {"1", "2"}
        assert "fixed" not in config
    assert len(commands) == 6
    for config, command in zip(configs, commands, strict=True):
        assert f"'--rate={config['rate']!r}'" in command
        assert f"'--layers={config['layers']}'" in command
        assert f"'--size={config['size']}'" in command
        assert "'--fixed=as it is'" in command


def test_reports_become_cells(bench):
    """``reward_attr`` is the last report, ``best_reward`` the best by mode; other metrics show their last value."""
    bench.write(
        "for loss, acc in ((0.5, 0.1), (0.2, 0.3), ('nan', 0.2)):\n    print('loss =', loss, flush=True)\n"
        "    print('epoch acc=%s' % acc, end='\\r')\nprint('note: 1')"
    )
    objectives = [{"name": "loss", "mode": "min", "regex": "loss = \\S+"}, {"name": "acc", "mode": "max"}]
    body = changed(bench.search_body(samples=1), f"{SEARCH}.reward_attrs", objectives)
    row = bench.rows(bench.done(body)["metadata"]["id"])[0]

    assert row["training_iteration"] == "3"
    assert (row["loss"], row["acc"]) == ("loss = nan", "0.2")
    assert "note" not in row


BEST = {"min": ("0.25", "0.5"), "max": ("0.75", "0.5")}


@pytest.mark.parametrize(("mode", "best"), BEST.items(), ids=BEST)
def test_best_reward_follows_the_mode(bench, mode, best):
    """Words and NaN are not rewards; a tensor is a reward."""
    bench.write("for v in ('tensor(0.25, device=0)', 'nan', 'n/a', 0.75, 0.5): print(f'value: {v};')")
    objective = {"name": "value", "mode": mode, "regex": "value: ([^;]*);"}
    body = changed(bench.search_body(samples=1), f"{SEARCH}.reward_attrs", [objective])
    row = bench.rows(bench.done(body)["metadata"]["id"])[0]

    assert (row["best_reward"].removeprefix("tensor(")[:4], row["reward_attr"]) == best
    assert row["training_iteration"] == "5"


def test_trial_without_a_metric_ends_with_blank_cells(bench):
    """A missing value is never zero."""
    bench.write("print('nothing to see')")
    row = bench.rows(bench.done(bench.search_body(samples=1))["metadata"]["id"])[0]

    assert row["status"] == "TERMINATED"
    assert (row["acc"], row["reward_attr"], row["best_reward"], row["training_iteration"]) == ("", "", "", "")


def test_failed_trial_does_not_stop_the_others(bench):
    """The trial is in ERROR, with its reports and an event; the job continues and is Completed."""
    body = changed(bench.search_body(samples=8), "algorithm.parameters.1.value", "2")
    job = bench.done(body)
    rows = bench.rows(job["metadata"]["id"])
    failed = [row for row in rows if row["config"]["x"] == 2]
    events = bench.call("GET", job["metadata"]["id"], "/events?level=Error").json["events"]

    assert job["status"]["phase"] == "Completed"
    assert 0 < len(failed) < 8
    assert {row["status"] for row in failed} == {"ERROR"}
    assert {row["status"] for row in rows if row not in failed} == {"TERMINATED"}
    assert failed[0]["acc"] == "0.9"
    assert len(events) == len(failed)
    assert "cannot train with x = 2.0" in events[0]["message"]


def test_search_whose_trials_all_fail_is_failed(bench):
    """The message of the job is that of the last trial."""
    bench.write("raise SystemExit('no such device')")
    status = bench.done(bench.search_body(samples=3))["status"]

    assert status["phase"] == "Failed"
    assert status["task_statuses"][0]["exit_code"] == 1
    assert status["task_statuses"][0]["message"] == "all 3 trials failed, the last one with: no such device"


@pytest.mark.parametrize("parallel", [1, 3])
def test_trials_are_listed_as_they_start(modelarts_emulator_factory, tmp_path, parallel):
    """``max_parallel`` trials run at the same time; the others are not listed yet."""
    script = (
        "import pathlib, time\nprint('acc: 0.5')\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.01)\n"
        "print('acc: 0.75')"
    )
    with modelarts_emulator_factory(scenarios=[], root=tmp_path, max_parallel=parallel) as emulator:
        bench = Bench(emulator)
        path = bench.write(script)
        job_id = bench.create(bench.search_body(samples=5))
        until(lambda: [(row["acc"], row["status"]) for row in bench.rows(job_id)] == [("0.5", "RUNNING")] * parallel)
        early = bench.rows(job_id)
        path.with_name("go").touch()
        bench.ended(job_id)
        late = bench.rows(job_id)

    assert {(row["status"], row["done"], row["training_iteration"]) for row in early} == {("RUNNING", "False", "1")}
    assert [row["trial_id"] for row in late[:parallel]] == [row["trial_id"] for row in early]
    assert [(row["status"], row["done"], row["best_reward"]) for row in late] == [("TERMINATED", "True", "0.75")] * 5


def test_max_parallel_is_at_least_one(modelarts_emulator_factory):
    """A search that runs no trial would never end."""
    with pytest.raises(ValueError, match="max_parallel"), modelarts_emulator_factory(max_parallel=0):
        pass


def test_table_of_a_search_is_paged(bench):
    """Row numbers continue over pages, in the order in which the trials began."""
    job_id = bench.done(bench.search_body(samples=5))["metadata"]["id"]
    page = get_trials(bench.emulator, job_id, limit=2, offset=2)

    assert (page["total"], page["count"]) == (5, 1)
    assert page["items"]["data"][0][0] == "4"


def test_one_trial_is_shown_report_by_report(bench):
    """The columns are those of the documentation; the last report is repeated as done."""
    job_id = bench.done(bench.search_body(samples=1, values="3"))["metadata"]["id"]
    row = bench.rows(job_id)[0]
    table = bench.call("GET", job_id, f"/autosearch-trials/{row['trial_id']}").json
    reports = [dict(zip(table["header"], cells, strict=True)) for cells in table["data"]]

    assert table["header"] == [
        "done", "pid", "best_reward", "time_total_s", "config", "acc", "trial_id", "training_iteration", "reward_attr",
    ]  # fmt: skip
    assert [(report["done"], report["training_iteration"], report["acc"]) for report in reports] == [
        ("False", "1", "0.98"), ("False", "2", "0.99"), ("False", "3", "1.0"), ("True", "3", "1.0"),
    ]  # fmt: skip
    assert all(report["config"] == row["config"] for report in reports)


def test_log_of_a_search_holds_the_logs_of_its_trials(bench):
    """The logs follow one another, each under the id of its trial."""
    job_id = bench.done(bench.search_body(samples=2))["metadata"]["id"]
    titles = [line for line in bench.log(job_id).splitlines() if "==>" in line]

    assert titles == [f"==> trial {row['trial_id']} <==" for row in bench.rows(job_id)]


def test_importance_reflects_the_script(bench):
    """A cell holds mean and standard deviation; here only ``x`` affects the metric."""
    body = bench.search_body(samples=16)
    body["algorithm"]["policies"]["auto_search"]["search_params"] = [
        {"name": "x", "lower_bound": "0", "upper_bound": "6"},
        {"name": "fail", "discrete_values": ["-1", "-2"]},
    ]
    job_id = bench.done(body)["metadata"]["id"]
    table = bench.call("GET", job_id, "/autosearch-parameter-analysis").json
    figures = dict(table["data"])

    assert table["header"] == ["parameters", "the mean/std of importance"]
    assert set(figures) == {"x", "fail"}
    assert all(re.fullmatch(r"[01]\.\d{4}/[01]\.\d{4}", text) for text in figures.values())
    assert float(figures["x"].split("/")[0]) > float(figures["fail"].split("/")[0])


def test_importance_requires_two_trials(bench):
    """A search with one trial is refused."""
    response = bench.call(
        "GET", bench.done(bench.search_body(samples=1))["metadata"]["id"], "/autosearch-parameter-analysis"
    )

    assert response.refusal == (400, "ModelArts.2788")
    assert "requires 2 finished trials" in response.json["error_msg"]


def test_search_uses_the_settings_of_its_algorithm(modelarts_emulator_factory, tmp_path):
    """The managed algorithm supplies the fields that the body omits, including the search."""
    with modelarts_emulator_factory(scenarios=["algorithm-search"], root=tmp_path) as emulator:
        bench = Bench(emulator)
        bench.write("print('acc: 0.25')")
        managed = bench.call("GET", emulator.job_id("algorithm-search")).json["algorithm"]["id"]
        body = bench.body("from-algorithm", batch_size=16, learning_rate=0.1)
        body["algorithm"] |= {"id": managed, "policies": {"auto_search": None}}
        job = bench.done(body)
        statuses = bench.statuses(job["metadata"]["id"])

    assert job["algorithm"]["id"] == managed
    assert job["status"]["phase"] == "Completed"
    assert statuses == ["TERMINATED"] * 3


def test_search_without_optuna_is_refused(tmp_path):
    """The message names the package to install; a job without a search does not require it."""
    code = (
        "import sys; sys.modules['optuna'] = None\n"
        "from integration.emulator.bench import Bench, SCRIPT\nfrom modelarts_emulator import running\n"
        "with running(scenarios=[], root=sys.argv[1]) as emulator:\n"
        "    bench = Bench(emulator); bench.write(SCRIPT)\n"
        "    print(bench.post(bench.search_body()).json['error_msg'])\n"
        "    print(bench.done(bench.body(x=3))['status']['phase'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd="tests", timeout=60
    )

    message, phase = done.stdout.splitlines()
    assert "pip install 'airflow-provider-modelarts[optuna]'" in message
    assert phase == "Completed"
