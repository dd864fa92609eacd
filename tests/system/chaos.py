"""Run hundreds of searches with faulty responses, workers that are told to end, and triggerers that die or stall.

The emulator runs the searches. Each search is a task with retries, as in Airflow: a worker creates the search and waits
or defers, a triggerer in a separate process polls, a worker selects the best trial. The triggerer is killed and
restarted three times; once it stalls, another takes over, and it kills the triggers that it has lost, as Airflow does.
Every fifth worker gets a signal. No task is ended, so that no job may be stopped. The exit code is 0 only if every
search ended with its best trial, and none was lost, created twice or stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")  # before Airflow is imported

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_modelarts import task_state
from airflow_provider_modelarts.exceptions import ModelArtsError
from airflow_provider_modelarts.operators.modelarts import ModelArtsHyperparameterSearchOperator
from airflow_provider_modelarts.task_exceptions import ModelArtsTaskInterruptedError, ModelArtsTrainingJobFailedError
from modelarts_emulator import Emulator, running
from modelarts_emulator.documents import TableStyle

BEGAN = datetime.now(UTC)
TRIALS = 2
KILLS = (0.2, 0.4, 0.6)  # shares of the deferred searches with an event at which the triggerer is killed
STALL = 0.1  # the same, at which it stalls as soon as it is busy
STALL_SECONDS = 1.0  # shorter than a search: its job is at work when the triggerer continues
INTERRUPTED = 5  # every fifth worker gets a signal
MAX_TRIES = 6

SCRIPT = """
import argparse, time
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--best", type=float)
given, _ = parser.parse_known_args()
time.sleep(2)
print("acc:", 1 - abs(given.x - given.best))
"""

#: Triggerer: runs the triggers in a folder, and writes their events. When it has stalled, it kills all triggers.
TRIGGERER = """
import asyncio, importlib, json, os, pathlib, sys, types
from airflow_provider_modelarts import task_state
from airflow_provider_modelarts.triggers import modelarts
folder = pathlib.Path(sys.argv[1])

async def ask(key):
    return task_state.TaskFacts("deferred", owner=(folder / key.task_id).read_text())

task_state._ask_in_trigger = ask

async def wait(trigger, path):
    event = await anext(trigger.run())
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(event.payload))
    draft.rename(path.with_suffix(".event"))

def load(path):
    module, name, arguments, ti = json.loads(path.read_text())
    trigger = getattr(importlib.import_module(module), name)(**arguments)
    trigger.task_instance = types.SimpleNamespace(**ti)
    return trigger

async def main():
    waits = {}
    (folder / f"{os.getpid()}.ready").touch()
    while True:
        if (folder / f"{os.getpid()}.stalled").exists():
            for trigger, task in waits.values():
                task.cancel()
            await asyncio.gather(*(trigger.on_kill() for trigger, task in waits.values() if not task.done()))
            sys.exit()
        for path in folder.glob("*.trigger"):
            if path not in waits and not path.with_suffix(".event").exists():
                trigger = load(path)
                waits[path] = trigger, asyncio.create_task(wait(trigger, path))
        if sum(not task.done() for _, task in waits.values()) >= 5:
            (folder / f"{os.getpid()}.busy").touch()
        await asyncio.sleep(0.1)

asyncio.run(main())
"""


@dataclass
class TaskInstance:
    """Stand-in for a task instance of Airflow, with its XComs.

    :param owners: folder with the id of the job of each task.
    """

    task_id: str
    owners: Path
    try_number: int = 1
    max_tries: int = MAX_TRIES - 1
    dag_id: str = "chaos"
    run_id: str = "run"
    map_index: int = -1
    xcom: dict[str, Any] = field(default_factory=dict)
    task: Any = None

    def xcom_push(self, key: str, value: Any) -> None:
        """Store an XCom."""
        self.xcom[key] = value
        if key == "training_job_id":
            (self.owners / self.task_id).write_text(str(value))

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        """Return an XCom."""
        return self.xcom.get(key)


class Triggerer:
    """Process that runs all triggers in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.folder = folder
        self.kills = 0
        self.has_stalled = False
        self._start()

    def _open(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", TRIGGERER, str(self._folder)])

    def _start(self) -> None:
        self._process = self._open()
        while not (self._folder / f"{self._process.pid}.ready").exists():
            time.sleep(0.05)

    def restart(self) -> None:
        """Kill the process, and start another."""
        self.kill()
        self.kills += 1
        self._start()

    def is_busy(self) -> bool:
        """Return whether the process has several triggers."""
        return (self.folder / f"{self._process.pid}.busy").exists()

    def stall(self) -> None:
        """Let the process stall while another takes over, and go on until it ends itself."""
        stalled, self.has_stalled = self._process, True
        stalled.send_signal(signal.SIGSTOP)
        self._process = self._open()
        time.sleep(STALL_SECONDS)
        (self.folder / f"{stalled.pid}.stalled").touch()
        stalled.send_signal(signal.SIGCONT)
        stalled.wait()

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def wait(self, ti: TaskInstance, trigger: Any) -> dict[str, Any]:
        """Pass the trigger of a task to the process as the metadata database does, and return its event."""
        path, arguments = trigger.serialize()
        module, _, cls = path.rpartition(".")
        draft = self._folder / f"{ti.task_id}-{ti.try_number}.new"
        known = {name: getattr(ti, name) for name in ("dag_id", "task_id", "run_id", "map_index", "try_number")}
        draft.write_text(json.dumps([module, cls, arguments, known]))
        draft.rename(draft.with_suffix(".trigger"))
        event = draft.with_suffix(".event")
        while not event.exists():
            time.sleep(0.05)
        payload: dict[str, Any] = json.loads(event.read_text())
        return payload

    def fired(self) -> int:
        """Return the number of triggers that have fired."""
        return len(list(self._folder.glob("*.event")))


@dataclass
class Outcome:
    """Result of one search."""

    job_id: str
    config: Mapping[str, object]
    tries: int
    fired_at: float


def main() -> int:
    """Run all searches, print the figures, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=300)
    parser.add_argument("--fault-share", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it logs clients that disconnect early
    with tempfile.TemporaryDirectory(prefix="modelarts-chaos-") as folder:
        home = Path(folder)
        with cloud(home, options.fault_share, options.seed) as emulator:
            began = time.monotonic()
            outcomes, kills = run_all(home, options.searches)
            return report(emulator, outcomes, kills, time.monotonic() - began, options)


@contextmanager
def cloud(home: Path, fault_share: float, seed: int) -> Iterator[Emulator]:
    """Serve an emulator with faulty responses, and set the Airflow connection to it."""
    code = home / "obs" / "bucket" / "code"
    code.mkdir(parents=True)
    (code / "train.py").write_text(SCRIPT)
    with running(scenarios=[], root=home / "obs", fault_share=fault_share, fault_seed=seed) as emulator:
        connection = emulator.connection()
        extra = {**dict(connection["extra"]), "timeout": "2,1", "retry_seconds": 30}  # type: ignore[call-overload]
        os.environ["AIRFLOW_CONN_MODELARTS_DEFAULT"] = json.dumps({**connection, "extra": extra})
        yield emulator


def run_all(home: Path, searches: int) -> tuple[list[Outcome], int]:
    """Run all tasks, and kill the triggerer in between."""
    folder = home / "triggers"
    folder.mkdir()
    for line in ("_ask_supervisor", "_ask_database"):
        setattr(task_state, line, lambda key: task_state.TaskFacts("running", is_live=True))
    triggerer = Triggerer(folder)
    try:
        with ThreadPoolExecutor(max_workers=searches) as tasks:
            running_tasks = [tasks.submit(run_task, number, triggerer) for number in range(searches)]
            while not all(task.done() for task in running_tasks):
                share = triggerer.fired() / (searches / 2)
                if triggerer.kills < len(KILLS) and share >= KILLS[triggerer.kills]:
                    triggerer.restart()
                if not triggerer.has_stalled and share >= STALL and triggerer.is_busy():
                    triggerer.stall()
                time.sleep(0.1)
            for lost in filter(None, (task.exception() for task in running_tasks)):
                print(f"lost: {lost!r}")
            return [task.result() for task in running_tasks if task.exception() is None], triggerer.kills
    finally:
        triggerer.kill()


def run_task(number: int, triggerer: Triggerer) -> Outcome:
    """Run one task as Airflow does, with its retries."""
    ti = TaskInstance(f"search-{number}", triggerer.folder)
    time.sleep(number * 0.05)  # a scheduler does not start all tasks at once either
    while True:
        try:
            return run_try(number, ti, triggerer)
        except (ModelArtsError, ModelArtsTrainingJobFailedError, ModelArtsTaskInterruptedError):
            if ti.try_number == MAX_TRIES:
                raise
            ti = TaskInstance(ti.task_id, ti.owners, try_number=ti.try_number + 1)


def run_try(number: int, ti: TaskInstance, triggerer: Triggerer) -> Outcome:
    """Run one try of a task: create or adopt, wait, select."""
    context = {
        "ti": ti,
        "outlet_events": {},
        "dag_run": SimpleNamespace(start_date=BEGAN, clear_number=0, logical_date=None),
    }
    worker = operator(number, context)
    if number % INTERRUPTED == 0 and ti.try_number == 1:
        threading.Timer(random.Random(number).uniform(0, 5), worker.on_kill).start()
    try:
        config = worker.execute(context)
        fired_at = time.time()
    except TaskDeferred as deferred:
        event = triggerer.wait(ti, deferred.trigger)
        fired_at = time.time()
        config = operator(number, context).execute_complete(context, event)
    return Outcome(ti.xcom["training_job_id"], config, ti.try_number, fired_at)


def operator(number: int, context: Any) -> Any:
    """Return a new operator for a task, as in a new process."""
    made = ModelArtsHyperparameterSearchOperator(
        task_id=f"search-{number}",
        body={
            "algorithm": {
                "code_dir": "/bucket/code/",
                "boot_file": "/bucket/code/train.py",
                "parameters": [{"name": "x", "value": "0"}, {"name": "best", "value": str(best_of(number))}],
            }
        },
        search_space={"x": {"min": 0.0, "max": 1.0}},
        objective={"metric": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"},
        algorithm={"name": "tpe_search", "num_samples": TRIALS, "seed": number},
        poll_interval=0.5,
        retries=MAX_TRIES - 1,
        deferrable=number % 2 == 0,
    )
    context["ti"].task = made
    made.pre_execute(context)
    return made


def best_of(number: int) -> float:
    """Return the value at which the script of a search has its maximum."""
    return random.Random(number).random()


def report(emulator: Emulator, outcomes: list[Outcome], kills: int, seconds: float, options: argparse.Namespace) -> int:
    """Print the figures, and return the exit code. Expected values come from the emulator itself, not over HTTP."""
    faults, requests = dict(emulator.fault_counts), len(emulator.requests)
    faulty, jobs = sum(faults.values()), {job.id: job for job in emulator.project.jobs()}
    wrong = [outcome for outcome in outcomes if dict(outcome.config) != expected_config(jobs[outcome.job_id])]
    delays = [outcome.fired_at - ended_at(jobs[outcome.job_id]) for outcome in outcomes]
    stopped = [job.id for job in jobs.values() if job.document()["status"]["phase"].startswith("Terminat")]
    for name, value in {
        "seed": options.seed,
        "searches": options.searches,
        "kills of the triggerer": kills,
        "signals to workers": -(-options.searches // INTERRUPTED),
        "faulty responses": f"{faulty} of {requests} ({faulty / requests:.0%})",
        **{f"- {name}": count for name, count in sorted(faults.items())},
        "task tries": sum(outcome.tries for outcome in outcomes),
        "wrong results": len(wrong),
        "lost searches": options.searches - len(outcomes),
        "jobs created": len(jobs),
        "duplicate jobs": len(jobs) - options.searches,
        "jobs stopped that nobody ended": len(stopped),
        "longest delay": f"{max(delays):.1f} s from the end of a search to the event",
        "median delay": f"{statistics.median(delays):.1f} s",
        "requests sent per request required": f"{requests / (requests - faulty):.2f}",
        "duration": f"{seconds:.0f} s",
    }.items():
        print(f"{name:36}{value}")
    return 1 if wrong or stopped or len(jobs) != options.searches or len(outcomes) != options.searches else 0


def expected_config(job: Any) -> dict[str, object]:
    """Return the config of the trial with the highest accuracy, without the selection of this package."""
    page = job.trials(slice(None), TableStyle())
    rows = [dict(zip(page.header, row, strict=True)) for row in page.data]
    best = max(rows, key=lambda row: float(row["best_reward"]))
    return {"x": best["config"]["x"]}


def ended_at(job: Any) -> float:
    """Return the end of a job in seconds since the epoch."""
    document = job.document()
    return float(document["status"]["start_time"] + document["status"]["duration"]) / 1000


if __name__ == "__main__":
    sys.exit(main())
