"""The report operator on the emulator."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from integration.task_runs import run_task

from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator, ModelArtsSearchReportOperator
from airflow_provider_modelarts.task_exceptions import ModelArtsCallRefusedError

FILES = ["report.html", "trials.csv", "trials.json"]
ANALYSIS = "autosearch-parameter-analysis"


def report(job_id, folder, **arguments):
    """Run the operator."""
    arguments = {"training_job_id": job_id, "output_path": str(folder), **arguments}
    return run_task(lambda: ModelArtsSearchReportOperator(task_id="report", **arguments))


def board_in(folder):
    """Return the document that a report holds."""
    return json.loads((Path(folder) / "trials.json").read_text(encoding="utf-8"))


def page_in(folder):
    """Return the page of a report."""
    return (Path(folder) / "report.html").read_text(encoding="utf-8")


def test_report_is_three_files_in_a_new_folder(connected, tmp_path):
    """The task returns the paths of the files, and leaves no other file."""
    folder = tmp_path / "reports" / "today"

    run = report(connected.job_id("documented"), folder)

    assert run.value == {name: str(folder / name) for name in FILES}
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert "acc = 0.25" in page_in(folder)


def test_report_goes_to_a_url_of_a_folder(connected, tmp_path):
    """output_path accepts every URL that ObjectStoragePath accepts."""
    run = report(connected.job_id("documented"), f"file://{tmp_path}/report")

    assert run.value["report.html"] == f"file://{tmp_path}/report/report.html"
    assert board_in(tmp_path / "report")["trials"][0]["trial_id"] == "ae5503c0"


def test_report_goes_to_an_object_store(connected):
    """An object store has no rename: the files are written in place."""
    try:
        folder = ObjectStoragePath("memory://bucket/report")
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError:
        pytest.skip("this Airflow has no store in memory")

    run = report(connected.job_id("documented"), folder)

    assert run.value["trials.json"] == "memory://bucket/report/trials.json"
    assert json.loads((folder / "trials.json").read_text())["trials"][0]["trial_id"] == "ae5503c0"
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_new_report_replaces_an_earlier_one(connected, tmp_path):
    """A reader of the earlier report still reads all of it, not a mixture."""
    report(connected.job_id("documented"), tmp_path)
    earlier = page_in(tmp_path)

    with (tmp_path / "report.html").open(encoding="utf-8") as opened:
        report(connected.job_id("tie"), tmp_path)
        assert opened.read() == earlier

    assert "acc = 0.875" in page_in(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_failed_write_leaves_no_part_of_a_file(connected, tmp_path):
    """No temporary file is left in the folder."""
    (tmp_path / "report.html" / "in the way").mkdir(parents=True)

    run = report(connected.job_id("documented"), tmp_path)

    assert run.state == "failed"
    assert isinstance(run.error, OSError)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


@pytest.mark.parametrize("scenario", ["documented", "tie", "minimise", "nan", "large"])
@pytest.mark.parametrize("arguments", [{}, {"scope": "last"}, {"constraints": '{"acc": {"max": 0.86}}'}])
def test_first_row_is_the_trial_that_the_best_trial_operator_chooses(connected, tmp_path, scenario, arguments):
    """Report and pipeline agree on the best trial."""
    job_id = connected.job_id(scenario)
    best = run_task(lambda: ModelArtsBestTrialOperator(task_id="best", training_job_id=job_id, **arguments))

    report(job_id, tmp_path, **arguments)

    first = board_in(tmp_path)["trials"][0]
    assert (first["rank"], first["trial_id"]) == (1, best.ti.xcom["best_trial"]["trial_id"])
    assert (tmp_path / "trials.csv").read_text().splitlines()[1].split(",")[2] == first["trial_id"]


def test_leaderboard_and_link_are_those_of_the_task(connected, tmp_path):
    """The Trials tab and the report show the same trials; page and task link to the same job."""
    run = report(connected.job_id("documented"), tmp_path)

    assert run.ti.xcom["leaderboard"] == board_in(tmp_path)
    assert f'href="{run.ti.xcom["modelarts_training_job_link"]}"' in page_in(tmp_path)


def test_platform_analysis_is_shown(connected, tmp_path):
    """The emulator returns a parameter analysis, as the platform does."""
    report(connected.job_id("documented"), tmp_path)

    assert "Analysed by ModelArts" in page_in(tmp_path)


RESPONSES = [{"status": 400, "body": b'{"error_code": "ModelArts.2788"}'}, {"body": b"<html>"}, {"fault": "closed"}]


@pytest.mark.parametrize("response", RESPONSES)
def test_report_does_not_require_the_analysis_of_the_platform(connected_once, tmp_path, task_log, response):
    """Optuna computes the analysis instead, and the log holds the reason."""
    connected_once.respond_next(ANALYSIS, **response)

    run = report(connected_once.job_id("large"), tmp_path)

    assert run.state == "success"
    assert "Analysed by Optuna" in page_in(tmp_path)
    assert "ModelArts returned no parameter analysis" in task_log()


def test_analysis_of_another_metric_is_not_requested(connected, tmp_path):
    """The platform analyses its own objective only."""
    report(connected.job_id("documented"), tmp_path, metric="loss", mode="min")

    assert not [request for request in connected.requests if request.path.endswith(ANALYSIS)]
    assert "loss = 0.0381" in page_in(tmp_path)
    assert "Analysed by ModelArts" not in page_in(tmp_path)


def test_key_that_is_refused_stops_the_task(connected, tmp_path):
    """Five bad signatures lock an access key: the task fails after the first."""
    connected.respond_next(ANALYSIS, status=401, body=b'{"error_code": "APIGW.0301", "error_msg": "bad"}')

    run = report(connected.job_id("documented"), tmp_path)

    assert isinstance(run.error, ModelArtsCallRefusedError)


def test_running_search_is_reported_as_it_stands(connected, tmp_path, task_log):
    """Page and log warn that the best trial may still change."""
    run = report(connected.add_running_search(num_samples=8, terminated=3), tmp_path)

    assert run.state == "success"
    assert "its best trial may still change" in page_in(tmp_path)
    assert "its best trial may still change" in task_log()
    assert len(board_in(tmp_path)["trials"]) == 3


@pytest.mark.parametrize(
    ("scenario", "arguments", "words"),
    [
        ("no-search", {"mode": "max"}, "there is no trial to choose by"),
        ("pending-forever", {}, "1 not finished"),
        ("documented", {"constraints": {"loss": {"max": 0.0}}}, "in 8 the constraint on &#x27;loss&#x27; is not met"),
        ("documented", {"metric": "f1", "mode": "max"}, "the trials report acc, loss"),
    ],
)
def test_search_without_a_best_trial_is_reported(connected, tmp_path, scenario, arguments, words):
    """The page holds the reason."""
    run = report(connected.job_id(scenario), tmp_path, **arguments)

    assert run.state == "success"
    assert words in page_in(tmp_path)


REFUSED = {
    "unknown objective": ("silent", {}, "give mode='max' or 'min'"),
    "several objectives": ("two-objectives", {}, "several objectives"),
    "contradicting mode": ("documented", {"mode": "min"}, "contradicts the search"),
    "unknown scope": ("documented", {"scope": "worst"}, "scope must be 'best' or 'last'"),
    "no path": ("documented", {"output_path": ""}, "output_path must be an absolute path or the URL of a folder"),
    "relative path": ("documented", {"output_path": "reports"}, "not 'reports': a relative path depends on"),
    "unknown store": ("documented", {"output_path": "nosuch://bucket/x"}, "'nosuch://bucket/x' cannot be used"),
}


@pytest.mark.parametrize(("scenario", "arguments", "message"), REFUSED.values(), ids=REFUSED)
def test_refusal_names_its_reason(connected, tmp_path, scenario, arguments, message):
    """No retry of the task can succeed; the message names the argument or the reason."""
    run = report(connected.job_id(scenario), tmp_path, **arguments)

    assert isinstance(run.error, ModelArtsCallRefusedError)
    assert message in run.message


@pytest.mark.parametrize("library", ["optuna", "plotly"])
def test_missing_library_is_named_before_any_request(connected, tmp_path, monkeypatch, library):
    """The message names the extra to install."""
    monkeypatch.setitem(sys.modules, library, None)

    run = report(connected.job_id("documented"), tmp_path / "new")

    assert isinstance(run.error, ModelArtsCallRefusedError)
    assert f'a report requires {library}, which is not installed: pip install "airflow-provider-modelarts[optuna]"' in (
        run.message
    )
    assert connected.requests == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("conn_id", [None, "", "None"])
def test_blank_storage_connection_is_none(connected, tmp_path, conn_id):
    """A template can render to each of these values."""
    assert report(connected.job_id("documented"), tmp_path, storage_conn_id=conn_id).state == "success"


def test_assets_receive_the_paths(connected, tmp_path):
    """A DAG scheduled on the report reads the paths of the files from the event."""
    try:
        from airflow.sdk import Asset
    except ImportError:
        from airflow.datasets import Dataset as Asset
    asset = Asset(uri="file://reports/search", **({"name": "report"} if hasattr(Asset, "name") else {}))

    run = report(connected.job_id("documented"), tmp_path, outlets=[asset])

    assert run.outlet_events[asset].extra == {"report": run.value}
