"""Airflow with triggerers that can be measured and killed, and deferred tasks for them."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import requests

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "system"))

from local import print_step
from throwaway import IS_AIRFLOW_3, SERVER, Airflow, postgresql

PER_RUN = 500  # mapped tasks of the DAG whose deferrals are copied
UNLIMITED = 100_000  # a capacity above every number of waits
BLOCKED = re.compile(r"async thread was blocked for ([\d.]+) seconds")
SHOWN = 3  # longest event loop blocks to print per triggerer; the tables count all
RUNNING = re.compile(r"(\d+) triggers currently running")

Control: TypeAlias = Callable[[str], Any]


@dataclass(frozen=True)
class Deferral:
    """Rows of a deferral in the metadata database."""

    classpath: str
    kwargs: dict[str, Any]
    next_method: str | None
    next_kwargs: Any
    trigger_timeout: datetime | None


class Triggerer:
    """Triggerer: a supervisor with access to the database, and a runner with the triggers.

    :param settings: settings of ``[triggerer]`` that replace the defaults.
    """

    def __init__(self, airflow: Airflow, home: Path, name: str, capacity: int, settings: Mapping[str, float]) -> None:
        values = {"job_heartbeat_sec": 5, "triggerer_health_check_threshold": 30, **settings}
        environment = {f"AIRFLOW__TRIGGERER__{key.upper()}": str(value) for key, value in values.items()}
        self.name, self._airflow, self._log = name, airflow, home / f"{name}.log"
        known, self.is_up = self._newest(), True
        command = ("--capacity", str(capacity), "--skip-serve-logs")
        self._supervisor = psutil.Process(airflow.start("triggerer", *command, name=name, settings=environment))
        while (newest := self._newest()) == known:
            time.sleep(0.2)
        self.job_id = newest

    def wait_until_ready(self) -> None:
        """Wait for the second heartbeat in the database; the first one is that of the start."""
        beats = f"select latest_heartbeat > start_date + interval '1 second' from job where id = {self.job_id}"  # noqa: S608
        while self._airflow.query(beats) != "t":
            time.sleep(0.2)

    def _newest(self) -> int:
        return int(self._airflow.query("select coalesce(max(id), 0) from job where job_type = 'TriggererJob'"))

    def _processes(self) -> list[psutil.Process]:
        return [self._supervisor, *self._supervisor.children()]

    def cpu(self) -> list[float]:
        """Return the CPU time of supervisor and runner in seconds."""
        return [sum(process.cpu_times()[:2]) for process in self._processes()]

    def megabytes(self) -> float:
        """Return the unshared memory of supervisor and runner."""
        return float(sum(process.memory_full_info().uss for process in self._processes())) / 1e6

    def open_files(self) -> int:
        """Return the number of open files of the supervisor."""
        return int(self._supervisor.num_fds())

    def blocked(self) -> list[float]:
        """Return the duration of each event loop block in the log."""
        return [float(seconds) for seconds in BLOCKED.findall(self._log.read_text(errors="replace"))]

    def show_blocked(self) -> None:
        """Print the longest event loop blocks, each with the preceding log line."""
        lines = self._log.read_text(errors="replace").splitlines()
        found = [(float(match[1]), line, before) for before, line in pairwise(lines) if (match := BLOCKED.search(line))]
        for seconds, line, before in sorted(found, reverse=True)[:SHOWN]:
            print(f"    {self.name}: blocked for {seconds} s until {line[11:22]}; the line before: {before[11:120]}")

    def logged(self) -> int:
        """Return the maximum number of running triggers in the log, which has one such line per minute."""
        return max(map(int, RUNNING.findall(self._log.read_text(errors="replace"))), default=0)

    def end(self, how: signal.Signals) -> None:
        """End all processes of the triggerer."""
        self.is_up = False
        self._airflow.end(self.name, how)


@dataclass
class Stage:
    """Airflow without a triggerer."""

    airflow: Airflow
    home: Path
    deferral: Deferral | None = None
    triggerers_so_far: int = 0
    runs_so_far: int = 0

    @contextmanager
    def cloud(self) -> Iterator[Control]:
        """Run a new stand-in for ModelArts, set the connection to it, and yield a function for control requests."""
        command = [sys.executable, str(HERE / "wait_server.py")]
        with ExitStack() as stack:
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            session = stack.enter_context(requests.Session())
            stack.callback(process.terminate)
            assert process.stdout is not None  # noqa: S101 - for the type only
            url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
            extra = json.dumps({"region": "cn-north-4", "project_id": "0" * 32, "endpoint": url})
            body = {"connection_id": "modelarts_default", "conn_type": "modelarts", "extra": extra}
            is_new = self.airflow.query("select count(*) from connection") == "0"
            path = "connections" if is_new else "connections/modelarts_default"
            self.airflow.call("POST" if is_new else "PATCH", path, {**body, "login": "A" * 20, "password": "B" * 40})
            yield lambda command: session.get(f"{url}/control/{command}").json()

    @contextmanager
    def triggerers(self, count: int, capacity: int = UNLIMITED, **settings: float) -> Iterator[list[Triggerer]]:
        """Run triggerers; at the end print their event loop blocks, and delete all triggers."""
        started = [self.start(capacity, **settings) for _ in range(count)]
        for triggerer in started:
            triggerer.wait_until_ready()
        yield started
        for triggerer in started:
            triggerer.show_blocked()
            if triggerer.is_up:
                triggerer.end(signal.SIGTERM)
        self.airflow.query("update task_instance set state = 'failed', trigger_id = null where state = 'deferred'")
        self.airflow.query("delete from trigger")

    def start(self, capacity: int = UNLIMITED, **settings: float) -> Triggerer:
        """Start a triggerer."""
        self.triggerers_so_far += 1
        name = f"triggerer-{self.triggerers_so_far}"
        return Triggerer(self.airflow, self.home, name, capacity, settings)

    def remember_deferral(self) -> None:
        """Store the rows of the deferral of a scheduled task."""
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            ti = session.scalars(select(TaskInstance).where(TaskInstance.state == "deferred").limit(1)).one()
            trigger = ti.trigger
            self.deferral = Deferral(
                trigger.classpath, trigger.kwargs, ti.next_method, ti.next_kwargs, ti.trigger_timeout
            )

    def copy(self, waits: int, peer: tuple[str, dict[str, Any]] | None = None) -> None:
        """Copy the deferral to as many tasks.

        :param peer: path and arguments of another trigger to use.
        """
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.trigger import Trigger
        from airflow.utils.session import create_session
        from sqlalchemy import select

        assert self.deferral is not None  # noqa: S101 - for the type only
        deferral, run_ids = self.deferral, []
        for _ in range(math.ceil(waits / PER_RUN)):
            self.runs_so_far += 1
            run_ids.append(f"manual__{self.runs_so_far}")
            self.airflow.call("POST", "dags/copied/dagRuns", {"dag_run_id": run_ids[-1], "logical_date": None})
        chosen = select(TaskInstance).where(TaskInstance.run_id.in_(run_ids)).limit(waits)
        with create_session() as session:
            for number, ti in enumerate(session.scalars(chosen).all()):
                ours = deferral.classpath, {**deferral.kwargs, "training_job_id": f"search-{number:06}"}
                ti.trigger = Trigger(*(peer or ours))
                ti.state, ti.try_number, ti.trigger_timeout = "deferred", 1, deferral.trigger_timeout
                ti.next_method, ti.next_kwargs = deferral.next_method, deferral.next_kwargs

    def waiting(self, triggerers: list[Triggerer]) -> int:
        """Return the number of triggers assigned to these triggerers in the metadata database."""
        ids = ", ".join(str(triggerer.job_id) for triggerer in triggerers)
        return int(self.airflow.query(f"select count(*) from trigger where triggerer_id in ({ids})"))  # noqa: S608 - our own numbers

    def is_held(self, triggerers: list[Triggerer], waits: int) -> bool:
        """Return whether so many triggers are assigned to these triggerers."""
        return self.waiting(triggerers) >= waits

    def heartbeat_age(self, triggerers: list[Triggerer]) -> float:
        """Return the age of the oldest heartbeat."""
        ids = ", ".join(str(triggerer.job_id) for triggerer in triggerers)
        sql = f"select extract(epoch from max(now() - latest_heartbeat)) from job where id in ({ids})"  # noqa: S608 - our own numbers
        return float(self.airflow.query(sql))

    def connection_reads(self) -> int:
        """Return the number of reads of the connection table, from the statistics of PostgreSQL."""
        table = "pg_stat_user_tables where relname = 'connection'"
        return int(self.airflow.query(f"select seq_scan + coalesce(idx_scan, 0) from {table}"))  # noqa: S608 - our own words


@contextmanager
def stage_in(home: Path) -> Iterator[Stage]:
    """Run Airflow without a triggerer in a folder. Its models also work in this process."""
    if not IS_AIRFLOW_3:
        sys.exit("Airflow 3 is required")
    home.chmod(0o755)
    print_step("Starting PostgreSQL and Airflow")
    with postgresql(home / "postgresql") as database:
        settings = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "triggerers_dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.address,
            "NO_COLOR": "1",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        os.environ.update(settings)
        with Airflow(home, {**kept, **settings}, database, ["scheduler", "dag-processor", SERVER]) as airflow:
            yield Stage(airflow, home)
