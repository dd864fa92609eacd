"""Check the *Trials* tab and the search report in a browser. Requires Airflow 3.1 or newer.

This script starts and stops all services, on loopback and free ports. The exit code is 0 only if every check passed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from operator import eq
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from chromium import TEXTS, Page, chromium, expect
from local import ROOT, airflow_environment, client_of, print_step
from selenium.webdriver.common.keys import Keys
from standalone import PATH, Standalone
from throwaway import postgresql

from airflow_provider_modelarts.client import ModelArtsClient
from modelarts_emulator import Emulator, running
from modelarts_emulator.scenario import Search, TrialScript

SEARCH, CHOICE, TOP_K = "modelarts_search_and_retrain", "modelarts_best_trial", "modelarts_top_k"
FRAME = "iframe[title=Trials]"
COLUMN = """
return Array.from(document.querySelectorAll(`.leaderboard td:nth-child(${arguments[0]})`)).map(cell => cell.title)
"""
COUNT = "return document.querySelectorAll(arguments[0]).length"
MAX_PICTURE_BYTES = 200_000  # keeps the repository small
MAX_REPORT_BYTES = 6_000_000  # keeps the page quick to open

# Names and values that a training script may use. Each of them sets `ran` if the browser executes it.
NAMES = ["<script>top.ran=1</script>", "\"'><img src=x onerror=top.ran=1>", "constructor"]
VALUES = ["</td></script><svg onload=top.ran=1>", "javascript:top.ran=1", "${top.ran=1}", "'+(top.ran=1)+'"]
METRICS = ["<iframe src=javascript:top.ran=1>", "<a href=javascript:top.ran=1>loss</a>", "__proto__"]


def main() -> int:
    """Run all checks, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="modelarts-browser-") as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o755)
        print_step("Starting the emulator, PostgreSQL and airflow standalone")
        shutil.copytree(ROOT / "example_dags" / "training", home / "obs" / "demo-bucket" / "code")
        emulator = stack.enter_context(running(root=home / "obs"))
        local = {"connection": emulator.connection()}
        database = stack.enter_context(postgresql(home / "postgresql"))
        environment = airflow_environment(home, database.address, local)
        os.environ |= environment  # this process writes the reports
        airflow = stack.enter_context(Standalone(home, environment, database))
        print_step("Running the example DAGs")
        start_runs(airflow, emulator)
        page = stack.enter_context(chromium(home, airflow.server))
        client = stack.enter_context(client_of(local))
        check_refusals(page)
        check_order(page)
        sign_in(page, "vic")
        check_search(page, airflow, client)
        check_hostile(page, airflow)
        check_other_tasks(page, airflow)
        print_step("Reports, opened without a network")
        page.go_offline()
        check_hostile_report(page, emulator.add_search(hostile_search()), home)
        for job_id in (emulator.add_search(large_search(2000)), airflow.xcom(SEARCH, "search", "training_job_id")):
            open_report(page, job_id, home)
            check_table(page, table_of(client, job_id))
        page.evaluate("scrollTo(0, 0)")
        page.resize(1280, 1065)  # ends above the heading of the next plot
        save(page, "report.png")
        print_step("Every check passed")
    return 0


def start_runs(airflow: Standalone, emulator: Emulator) -> None:
    """Start all DAG runs that the checks open."""
    airflow.start_run(SEARCH, "shown")
    airflow.start_run(CHOICE, "hostile", training_job_id=emulator.add_search(hostile_search()))
    aimless = replace(hostile_search(), name="aimless", job_id="", objectives={})
    airflow.start_run(CHOICE, "aimless", training_job_id=emulator.add_search(aimless))
    airflow.start_run(CHOICE, "goes-on", training_job_id=emulator.add_running_search(num_samples=8, terminated=3))
    airflow.start_run(TOP_K, "mapped", training_job_id=emulator.job_id("large"))


def hostile_search() -> Search:
    """Return a search with scripts as names and values."""
    trials = [
        TrialScript(
            trial_id=f"bad{number}",
            config=dict.fromkeys(NAMES, value),
            cells={METRICS[0]: str(number / 10), **dict.fromkeys(METRICS[1:], "1.5")},
        )
        for number, value in enumerate(VALUES)
    ]
    return Search(name="hostile", objectives={METRICS[0]: "max"}, num_samples=len(trials), trials=trials)


def check_refusals(page: Page) -> None:
    """Open the tab without signing in, and as a user without permissions."""
    address = f"/modelarts/trials.html?dag_id={SEARCH}&run_id=shown&task_id=search&map_index={{MAP_INDEX}}"
    print_step("No signed-in user: the tab shows the response of Airflow")
    page.open(address)
    page.expect_words("main", "Airflow returned 401: Not authenticated", "Sign in to Airflow")
    print_step("A user without a role: the tab shows the response of Airflow")
    sign_in(page, "nora")
    page.open(address)
    page.expect_words("main", "Airflow returned 403: Forbidden", "requires a permission")
    page.sign_out()


def check_order(page: Page) -> None:
    """Check the sort order of mixed values, on an empty page with the scripts of the tab."""
    print_step("Numbers are sorted as numbers, before text, and missing values stay last")
    trial = {"rank": None, "tied": False, "value": None, "status": "", "reason": "", "duration": None, "metrics": []}
    trials = [{**trial, "trial_id": str(value), "parameters": [value]} for value in (10, "b", None, 9, "a", 2.5, True)]
    board = {"metric": "acc", "mode": "max", "parameters": ["mixed"], "metrics": [], "trials": trials, "omitted": 7}
    draw(page, board)
    page.press("mixed")
    page.expect("ascending", COLUMN, "4", ["2.5", "9", "10", "a", "b", "true", ""])
    page.press("mixed")
    page.expect("descending", COLUMN, "4", ["true", "b", "a", "10", "9", "2.5", ""])
    page.expect_words(".omitted", "Not shown: 7 more trials. trials.csv")

    print_step("Omitted columns are reported, and a column for reasons appears if there are any")
    columns = ["Rank", "Trial", "acc", "mixed", "Status", "Seconds"]
    page.expect("no reasons", TEXTS, ".leaderboard th", columns)
    trials[0]["reason"] = "not finished (ERROR)"
    draw(page, {**board, "omitted_columns": 3})
    page.expect("reasons", COUNT, ".leaderboard th", len(columns) + 1)
    page.expect_words("main", "Reason", "Not shown: 7 more trials and 3 more columns. trials.csv")


def draw(page: Page, board: dict[str, Any]) -> None:
    """Render the table of a leaderboard on a page with the scripts of the tab."""
    page.evaluate(f"renderLeaderboard(document.querySelector('main'), {json.dumps(board)})")


def check_search(page: Page, airflow: Standalone, client: ModelArtsClient) -> None:
    """Check the trials of a search, as a user with read permission only."""
    print_step("A search: its trials, best first, sorted by a parameter, and plots")
    airflow.wait_for_task("shown", "search", "success")
    trials = table_of(client, airflow.xcom(SEARCH, "search", "training_job_id"))
    page.requested_urls()
    page.console_errors()
    page.open(f"/dags/{SEARCH}/runs/shown/tasks/search")
    page.type("//a[contains(., 'Trials')]", Keys.ENTER)
    page.enter(FRAME)
    check_table(page, trials)
    page.expect("plots", COUNT, ".plots figure svg", 3)
    page.expect("points", COUNT, ".plots circle", 3 * len(trials))
    check_hosts(page, airflow)
    check_console(page)
    take_pictures(page)


def check_hostile(page: Page, airflow: Standalone) -> None:
    """Check the tab for a search with scripts as names and values."""
    print_step("Scripts as names and values: displayed as text")
    airflow.wait_for_task("hostile", "best_trial", "success")
    open_tab(page, CHOICE, "hostile", "best_trial")
    page.expect_words("main", *NAMES, *VALUES, *METRICS)
    page.expect("best first", COLUMN, "2", ["bad3", "bad2", "bad1", "bad0"])
    page.expect("plots", COUNT, ".plots figure svg", 1 + len(NAMES))
    page.expect("elements made of text", COUNT, "main :is(script, img, iframe, a, svg svg, [onload], [onerror])", 0)
    page.expect("scripts that ran", "return top.ran", "", None)
    check_console(page)


def check_other_tasks(page: Page, airflow: Standalone) -> None:
    """Check the tab for tasks without trials, or with none yet."""
    print_step("A task of another operator: an explanation")
    airflow.wait_for_task("hostile", "retrain", "success")
    open_tab(page, CHOICE, "hostile", "retrain")
    page.expect_words("main", "No trials", "The task retrain", "has no trials.")

    print_step("Unusual XComs: an invalid link, a path instead of the trials, the trials as text")
    set_xcom(airflow, "modelarts_training_job_link", "javascript:top.ran=1")
    open_tab(page, CHOICE, "hostile", "retrain")
    page.expect_words("main", "Training job")
    page.expect("an invalid link", "return document.body.innerText.includes(arguments[0])", "javascript:", False)
    set_xcom(airflow, "leaderboard", "s3://bucket/xcom/leaderboard.json")
    open_tab(page, CHOICE, "hostile", "retrain")
    page.expect_words("main", "stored elsewhere", "s3://bucket/xcom/leaderboard.json")
    set_xcom(airflow, "leaderboard", json.dumps(airflow.xcom(CHOICE, "best_trial", "leaderboard")))
    open_tab(page, CHOICE, "hostile", "retrain")
    page.expect("best first", COLUMN, "2", ["bad3", "bad2", "bad1", "bad0"])

    print_step("A sensor of a search without an objective: its summary")
    airflow.wait_for_task("aimless", "wait_for_search", "success")
    open_tab(page, CHOICE, "aimless", "wait_for_search")
    page.expect_words("main", "Completed", "4 TERMINATED", "The task that selects the best trial")

    print_step("A running search: its state, refreshed")
    airflow.wait_for_task("goes-on", "wait_for_search", "deferred")
    open_tab(page, CHOICE, "goes-on", "wait_for_search")
    page.expect_words(
        "main", "added-1", "deferred", "https://console.", "Search in progress", "The Logs tab", "every 15 seconds"
    )
    page.requested_urls()
    expect("a refresh", True, lambda: any("/taskInstances/" in url for url in page.requested_urls()), eq, seconds=25)

    print_step("Mapped tasks: each shows its own job")
    done = "select count(*) from task_instance where run_id = 'mapped' and task_id = 'retrain' and state = 'success'"
    airflow.wait_for(done, "3")
    job_of = "select value from xcom where key = 'training_job_id' and run_id = 'mapped' and map_index = "
    for index in (0, 2):
        open_tab(page, TOP_K, "mapped", f"retrain/mapped/{index}")
        page.expect_words("main", json.loads(airflow.query(f"{job_of} {index}")), "has no table of trials")
    check_hosts(page, airflow)


def check_console(page: Page) -> None:
    """Check that the console has no errors; responses of Airflow with status 404 are expected."""
    if console_errors := [text for text in page.console_errors() if " 404 " not in text]:
        sys.exit(f"the console has errors: {console_errors}")


def set_xcom(airflow: Standalone, key: str, value: str) -> None:
    """Create or replace an XCom of a task of another operator."""
    entries = f"dags/{CHOICE}/dagRuns/hostile/taskInstances/retrain/xcomEntries"
    if any(entry["key"] == key for entry in airflow.call("GET", entries)["xcom_entries"]):
        airflow.call("PATCH", f"{entries}/{key}", {"value": value})
    else:
        airflow.call("POST", entries, {"key": key, "value": value})


def sign_in(page: Page, name: str) -> None:
    """Sign in to Airflow."""
    page.open("/auth/login")
    page.fill({"username": name, "password": name})
    page.press("Sign in")
    page.expect_words("body", "Dags")


def open_tab(page: Page, dag_id: str, run_id: str, task: str) -> None:
    """Open the tab of a task instance, and switch to its frame."""
    page.open(f"/dags/{dag_id}/runs/{run_id}/tasks/{task}/plugin/modelarts_trials")
    page.enter(FRAME)


def table_of(client: ModelArtsClient, job_id: str) -> list[dict[str, Any]]:
    """Return the rows of a trial table from raw responses, without the parser of this package."""
    rows: list[dict[str, Any]] = []
    while True:
        query = {"limit": 50, "offset": len(rows) // 50}
        response: Any = client.request("GET", f"/v2/{{project_id}}/training-jobs/{job_id}/autosearch-trials", query)
        table = response["items"]
        rows += [dict(zip(table["header"], row, strict=True)) for row in table["data"]]
        if len(rows) >= response["total"]:
            return rows


def check_table(page: Page, trials: list[dict[str, Any]]) -> None:
    """Check that the best trial is first, and that the table sorts by a parameter in both directions."""
    winner = max(trials, key=lambda trial: float(trial["best_reward"]))["trial_id"]
    rates = sorted(trial["config"]["learning_rate"] for trial in trials)
    expect("winner", winner, lambda: [*page.evaluate(COLUMN, "2"), ""][0], eq)
    headers = page.evaluate(TEXTS, ".leaderboard th")
    column = str(1 + headers.index("learning_rate"))
    for key, direction, wanted in ((Keys.ENTER, "ascending", rates), (Keys.SPACE, "descending", rates[::-1])):
        page.type("//th/button[.='learning_rate']", key)
        page.expect(direction, TEXTS, f"th[aria-sort={direction}]", ["learning_rate"])
        expect(direction, wanted, lambda: [float(text) for text in page.evaluate(COLUMN, column)], eq)
    page.type("//th/button[.='Rank']", Keys.ENTER)


def check_hosts(page: Page, airflow: Standalone) -> None:
    """Check that the page requested nothing from other hosts."""
    requested = page.requested_urls()
    if not any("modelarts/trials.js" in url for url in requested):
        sys.exit("the request log is incomplete")
    origin = airflow.server.removesuffix(PATH)
    own = (f"{origin}/", f"blob:{origin}/", "data:")
    if strangers := [url for url in requested if not url.startswith(own)]:
        sys.exit(f"requested from other hosts: {strangers}")


def take_pictures(page: Page) -> None:
    """Save pictures of the tab and of the DAG graph."""
    page.resize(1280, 920)
    open_tab(page, SEARCH, "shown", "search")
    page.expect("plots", COUNT, ".plots figure svg", 3)
    page.leave()
    save(page, "trials-tab.png", left=330, top=66)
    page.resize(1280, 420)
    page.evaluate("localStorage.setItem('default_dag_view', JSON.stringify('graph'))")
    page.open(f"/dags/{SEARCH}/runs/shown")
    page.expect("tasks", COUNT, ".react-flow__node-task", 2)
    time.sleep(2)  # the graph moves into position
    page.evaluate("document.querySelector('.react-flow__minimap').remove()")
    save(page, "dag.png", left=64, right=395)
    page.evaluate("localStorage.clear()")
    page.resize(1280, 900)


def save(page: Page, name: str, **cut: int) -> None:
    """Save a picture to the docs."""
    path = ROOT / "docs" / name
    page.save_picture(path, **cut)
    if path.stat().st_size > MAX_PICTURE_BYTES:
        sys.exit(f"{path} is larger than {MAX_PICTURE_BYTES} bytes")


def open_report(page: Page, job_id: str, folder: Path) -> None:
    """Write a report to a folder, open it, and check that it is complete and requests nothing."""
    write_report(job_id, folder)
    report = folder / "report.html"
    trials = json.loads((folder / "trials.json").read_text())["trials"]
    page.requested_urls()
    page.console_errors()
    page.open(report.as_uri())
    plots = page.evaluate(COUNT, ".figure")
    for number in range(plots):
        page.evaluate("document.querySelectorAll('.figure')[arguments[0]].scrollIntoView()", str(number))
    page.expect("plots", COUNT, ".figure:has(svg, canvas)", plots)
    check_console(page)
    if strangers := [url for url in page.requested_urls() if not url.startswith(("file:", "data:", "blob:"))]:
        sys.exit(f"requested from other hosts: {strangers}")
    if report.stat().st_size > MAX_REPORT_BYTES:
        sys.exit(f"{report} has {report.stat().st_size} bytes, more than {MAX_REPORT_BYTES}")
    milliseconds = page.evaluate("return performance.getEntriesByType('navigation')[0].loadEventEnd")
    size = f"{report.stat().st_size / 1e6:.1f} MB"
    print_step(f"{len(trials)} trials, {plots} plots, {size}: loaded after {milliseconds:.0f} ms")


def write_report(job_id: str, folder: Path) -> None:
    """Write a report as a task does, without XComs."""
    from airflow_provider_modelarts.operators.modelarts import ModelArtsSearchReportOperator

    operator = ModelArtsSearchReportOperator(task_id="report", training_job_id=job_id, output_path=str(folder))
    operator.execute({"ti": SimpleNamespace(xcom_push=lambda **_: None)})


def check_hostile_report(page: Page, job_id: str, folder: Path) -> None:
    """Check the report of a search with scripts as names and values."""
    open_report(page, job_id, folder)
    page.expect_words("body", *NAMES, *VALUES, *METRICS)
    page.expect("best first", COLUMN, "2", ["bad3", "bad2", "bad1", "bad0"])
    page.expect("elements made of text", COUNT, "body :is(img, iframe, [onload], [onerror], a[href^=java])", 0)
    page.expect("scripts that ran", "return top.ran", "", None)


def large_search(count: int) -> Search:
    """Return a search with many trials."""
    trials = [
        TrialScript(
            trial_id=f"t{number:05}",
            config={"learning_rate": (number * 37 % count + 1) / count, "batch_size": 2 ** (number % 8)},
            cells={"acc": str((number * 91 % count) / count)},
        )
        for number in range(count)
    ]
    return Search(name="large", objectives={"acc": "max"}, num_samples=count, trials=trials)


if __name__ == "__main__":
    main()
