"""Temporary PostgreSQL, and a complete Airflow on it, on loopback and free ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import requests
from local import AIRFLOW, run

IS_AIRFLOW_3 = int(version("apache-airflow").split(".")[0]) >= 3
USER = "e2e"  # and password in Airflow 2; Airflow 3 makes every user an admin here
SERVER = "api-server" if IS_AIRFLOW_3 else "webserver"
_COMPONENTS = ("scheduler", "triggerer", *(("dag-processor",) if IS_AIRFLOW_3 else ()), SERVER)


class Process:
    """Command in its own process group, with its child processes.

    :param options: arguments of ``Popen``, such as the environment.
    """

    def __init__(self, command: list[str], log: Path, folder: Path, **options: Any) -> None:
        with log.open("a") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True, **options
            )

    @property
    def pid(self) -> int:
        """Process id of the command."""
        return self._process.pid

    def end(self, how: signal.Signals) -> None:
        """Send a signal, wait for the command to end, and kill the rest of its process group."""
        self._process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Database:
    """PostgreSQL server.

    :param address: SQLAlchemy URL for Airflow.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def query(self, sql: str) -> str:
        """Return the result of a query as text."""
        return subprocess.run(self._command(sql), capture_output=True, text=True, check=True).stdout.strip()

    def dump(self) -> str:
        """Return a dump of the database as text."""
        command = ["pg_dump", "--inserts", self.address.replace("+psycopg2", "")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def is_ready(self) -> bool:
        """Return whether the server accepts queries."""
        return subprocess.run(self._command("select 1"), capture_output=True, check=False).returncode == 0

    def _command(self, sql: str) -> list[str]:
        return ["psql", "-At", self.address.replace("+psycopg2", ""), "-c", sql]


@contextmanager
def postgresql(folder: Path) -> Iterator[Database]:
    """Run a PostgreSQL server on loopback, and yield an empty database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        sys.exit("PostgreSQL is required: apt-get install postgresql")
    folder.mkdir()
    user = "postgres" if os.geteuid() == 0 else None  # the server does not run as root
    if user:
        shutil.chown(folder, user)
    port, data = free_port(), folder / "data"
    initdb = [str(programs[-1] / "initdb"), "-D", str(data), "-U", "airflow", "-A", "trust"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder, user=user)
    options = ["-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", str(folder)]
    server = [str(programs[-1] / "postgres"), *options, "-c", "fsync=off", "-c", "max_connections=200"]
    process = Process(server, folder / "log", folder, user=user)
    try:
        database = Database(f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres")
        deadline = time.monotonic() + 30
        while not database.is_ready():
            if time.monotonic() > deadline:
                sys.exit(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.1)
        yield database
    finally:
        process.end(signal.SIGINT)


class Airflow:
    """Scheduler, server and triggerer in separate processes, for the duration of a ``with`` statement.

    :param components: components to start; all by default.
    """

    def __init__(
        self, home: Path, environment: Mapping[str, str], database: Database, components: Iterable[str] = _COMPONENTS
    ) -> None:
        port = free_port()
        self.server = f"http://127.0.0.1:{port}"
        self._home = home
        self._database = database
        self._components = components
        self._environment = {**environment, **_settings(port)}
        self._session = requests.Session()
        self._processes: dict[str, Process] = {}

    def __enter__(self) -> Airflow:
        run(["db", "migrate"], self._environment)
        for component in self._components:
            self.start(component)
        self.wait_for_server()
        self._sign_in()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for component in list(self._processes):
            self.end(component, signal.SIGTERM)
        if kind is not None:
            self._keep_logs()

    def start(self, component: str, *arguments: str, name: str = "", settings: Mapping[str, str] | None = None) -> int:
        """Start a component, such as ``triggerer``, and return its process id.

        :param arguments: further arguments of the command.
        :param name: name of the process and of its log, if several of a component run.
        :param settings: additional environment variables.
        """
        name = name or component
        log, environment = self._home / f"{name}.log", {**self._environment, **(settings or {})}
        process = Process([*AIRFLOW, component, *arguments], log, self._home, env=environment)
        self._processes[name] = process
        return process.pid

    def end(self, name: str, how: signal.Signals) -> None:
        """End a component: it shuts down on SIGTERM, but not on SIGKILL."""
        self._processes.pop(name).end(how)

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the process of a component and all its descendants."""
        process = psutil.Process(self._processes[name].pid)
        return [process, *process.children(recursive=True)]

    def kill_without(self, name: str, kept: Iterable[psutil.Process]) -> None:
        """Kill the processes of a component, except some that outlive it."""
        for process in set(self.processes(name)) - set(kept):
            process.kill()
        self._processes.pop(name)

    def wait_for_server(self) -> None:
        """Wait until the server responds; exit after the timeout."""
        deadline = time.monotonic() + 120
        while not self._is_up():
            if time.monotonic() > deadline:
                sys.exit("the Airflow server did not start")
            time.sleep(0.3)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the REST API of Airflow; versions 1 and 2 agree in the endpoints used here."""
        response = self._session.request(method, f"{self.server}/api/v{2 if IS_AIRFLOW_3 else 1}/{path}", json=body)
        if not response.ok:
            sys.exit(f"{method} {path}: {response.status_code} {response.text}")
        return response.json() if response.content else None

    def run(self, *arguments: str) -> str:
        """Run an Airflow command and return its output."""
        return run([*arguments], self._environment)

    def query(self, sql: str) -> str:
        """Return the result of a query to the metadata database as text."""
        return self._database.query(sql)

    def written_texts(self) -> Iterator[tuple[str, str]]:
        """Yield name and text of the metadata database and of every log."""
        yield "metadata database", self._database.dump()
        for path in [*self._home.glob("*.log"), *(self._home / "logs").rglob("*.log")]:
            yield path.name, path.read_text(errors="replace")

    def task_log(self, dag_id: str) -> str:
        """Return the logs of all tries and triggers of the tasks of a DAG."""
        paths = sorted((self._home / "logs" / f"dag_id={dag_id}").rglob("*.log*"))
        return "".join(path.read_text(errors="replace") for path in paths)

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG after Airflow has parsed it."""
        self.wait_for(f"select count(*) > 0 from serialized_dag where dag_id = '{dag_id}'", "t")
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, *, run_id: str | None = None, **conf: object) -> None:
        """Start a DAG run.

        :param run_id: its id; one that Airflow chooses when None.
        """
        self.unpause(dag_id)
        body = {"conf": conf, **({"dag_run_id": run_id} if run_id else {})}
        self.call("POST", f"dags/{dag_id}/dagRuns", {**body, **({"logical_date": None} if IS_AIRFLOW_3 else {})})

    def clear(self, dag_id: str, task_id: str) -> None:
        """Clear a task in all runs of a DAG."""
        if IS_AIRFLOW_3:
            body = {"dry_run": False, "task_ids": [task_id], "only_failed": False}
            self.call("POST", f"dags/{dag_id}/clearTaskInstances", body)
        else:  # the API of Airflow 2.11 does not save the clearing of a running task; UI and command line do
            self.run("tasks", "clear", dag_id, "--task-regex", task_id, "--yes")

    def wait_for(self, sql: str, *wanted: str, seconds: float = 180) -> str:
        """Wait until a query returns one of the expected values; exit after the timeout."""
        deadline = time.monotonic() + seconds
        while (found := self.query(sql)) not in wanted:
            if time.monotonic() > deadline:
                sys.exit(f"expected {' or '.join(wanted)}, but {sql!r} returns {found!r}")
            time.sleep(0.3)
        return found

    def wait_for_run(self, dag_id: str, seconds: float = 180) -> None:
        """Wait until the only run of a DAG has succeeded; exit if it fails."""
        sql = f"select state from dag_run where dag_id = '{dag_id}'"
        state = self.wait_for(sql, "success", "failed", seconds=seconds)
        if state == "failed":
            sys.exit(f"the run of {dag_id} failed")

    def xcom(self, dag_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return the only XCom of a task with this key."""
        (value,) = self.xcoms(dag_id, task_id, key)
        return value

    def xcoms(self, dag_id: str, task_id: str, key: str) -> list[Any]:
        """Return the XComs of a mapped task; Airflow 2.11 stores them as bytes, 3 as JSON."""
        texts = self.query(
            f"select value from xcom where dag_id = '{dag_id}' and task_id = '{task_id}' and key = '{key}'"
        )
        return [json.loads(bytes.fromhex(text[2:]) if text.startswith(r"\x") else text) for text in texts.splitlines()]

    def _sign_in(self) -> None:
        if IS_AIRFLOW_3:
            token = self._session.get(f"{self.server}/auth/token").json()["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        else:
            names = ["--username", USER, "--firstname", "e", "--lastname", "e", "--email", "e@example.com"]
            run(["users", "create", "--role", "Admin", "--password", USER, *names], self._environment)
            self._session.auth = (USER, USER)

    def _is_up(self) -> bool:
        with suppress(requests.RequestException):
            path = "api/v2/monitor/health" if IS_AIRFLOW_3 else "health"
            return self._session.get(f"{self.server}/{path}", timeout=5).ok
        return False

    def _keep_logs(self) -> None:
        kept = Path(tempfile.mkdtemp(prefix="modelarts-e2e-logs-"))
        shutil.copytree(self._home / "logs", kept / "tasks", dirs_exist_ok=True)
        for log in self._home.glob("*.log"):
            shutil.copy(log, kept)
        print(f"logs of this run: {kept}", file=sys.stderr)


def _settings(port: int) -> dict[str, str]:
    """Return the settings of an Airflow with short intervals, whose server listens on a port."""
    return {
        "PATH": f"{Path(AIRFLOW[0]).parent}:{os.environ['PATH']}",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "12",
        # Airflow may mistake the end of the deferring process for that of the resumed task, and fail the task. A retry
        # adopts the job.
        "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "2",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth,airflow.api.auth.backend.session",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-this-run-" * 4,
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",  # a dead triggerer keeps its triggers so long
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    }


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
