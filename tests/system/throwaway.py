"""A throw-away PostgreSQL and a whole Airflow on it, on loopback and free ports; and what one asks of them."""

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

import requests
from local import AIRFLOW, run

IS_AIRFLOW_3 = int(version("apache-airflow").split(".")[0]) >= 3
USER = "e2e"  # of Airflow 2, with the same word as password; Airflow 3 is open to everybody
SERVER = "api-server" if IS_AIRFLOW_3 else "webserver"
_COMPONENTS = ("scheduler", "triggerer", *(("dag-processor",) if IS_AIRFLOW_3 else ()), SERVER)


class Process:
    """A command that runs in a process group of its own, with all that it starts.

    :param options: such as its environment.
    """

    def __init__(self, command: list[str], log: Path, folder: Path, **options: Any) -> None:
        with log.open("a") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True, **options
            )

    @property
    def pid(self) -> int:
        """The process id of the command."""
        return self._process.pid

    def end(self, how: signal.Signals) -> None:
        """Signal the command to end, wait for it, and end what is left of its group."""
        self._process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Database:
    """A PostgreSQL server that is asked by SQL.

    :param address: as Airflow wants it.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, sql: str) -> str:
        """Return the answer to a query as text."""
        return subprocess.run(self._command(sql), capture_output=True, text=True, check=True).stdout.strip()

    def dump(self) -> str:
        """Return all that is in the database, as text."""
        command = ["pg_dump", "--inserts", self.address.replace("+psycopg2", "")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def answers(self) -> bool:
        """Return whether the server is there."""
        return subprocess.run(self._command("select 1"), capture_output=True, check=False).returncode == 0

    def _command(self, sql: str) -> list[str]:
        return ["psql", "-At", self.address.replace("+psycopg2", ""), "-c", sql]


@contextmanager
def postgresql(folder: Path) -> Iterator[Database]:
    """Run a PostgreSQL server on loopback, and yield an empty database in it."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        sys.exit("PostgreSQL is needed: apt-get install postgresql")
    folder.mkdir()
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
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
        while not database.answers():
            if time.monotonic() > deadline:
                sys.exit(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.1)
        yield database
    finally:
        process.end(signal.SIGINT)


class Airflow:
    """Scheduler, server and triggerer, each a process of its own, while the ``with`` statement lasts.

    :param components: those to start, instead of all.
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
        self._wait_for_server()
        self._sign_in()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for component in list(self._processes):
            self.end(component, signal.SIGTERM)
        if kind is not None:
            self._keep_logs()

    def start(self, component: str, *arguments: str, name: str = "", settings: Mapping[str, str] | None = None) -> int:
        """Start a component, such as ``triggerer``, and return its process id.

        :param arguments: of its command.
        :param name: of its own, when there are several of it; its log is named so, too.
        :param settings: of its own, as environment variables.
        """
        name = name or component
        log, environment = self._home / f"{name}.log", {**self._environment, **(settings or {})}
        process = Process([*AIRFLOW, component, *arguments], log, self._home, env=environment)
        self._processes[name] = process
        return process.pid

    def end(self, name: str, how: signal.Signals) -> None:
        """End a component: SIGTERM lets it shut down, SIGKILL does not."""
        self._processes.pop(name).end(how)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call Airflow's REST API, whose versions 1 and 2 agree in what is called here."""
        answer = self._session.request(method, f"{self.server}/api/v{2 if IS_AIRFLOW_3 else 1}/{path}", json=body)
        if not answer.ok:
            sys.exit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def ask(self, sql: str) -> str:
        """Return what the metadata database answers, as text."""
        return self._database.ask(sql)

    def written(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the text of all that was written: the metadata database, and every log."""
        yield "metadata database", self._database.dump()
        for path in [*self._home.glob("*.log"), *(self._home / "logs").rglob("*.log")]:
            yield path.name, path.read_text(errors="replace")

    def unpause(self, dag_id: str) -> None:
        """Unpause a DAG, once Airflow has parsed it."""
        self.wait_for(f"select count(*) > 0 from serialized_dag where dag_id = '{dag_id}'", "t")
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, **conf: object) -> None:
        """Start a run of a DAG."""
        self.unpause(dag_id)
        self.call("POST", f"dags/{dag_id}/dagRuns", {"conf": conf, **({"logical_date": None} if IS_AIRFLOW_3 else {})})

    def clear(self, dag_id: str, task_id: str) -> None:
        """Clear a task in all runs of a DAG."""
        if IS_AIRFLOW_3:
            body = {"dry_run": False, "task_ids": [task_id], "only_failed": False}
            self.call("POST", f"dags/{dag_id}/clearTaskInstances", body)
        else:  # the API of Airflow 2.11 forgets to save that a running task is cleared; UI and command line do not
            run(["tasks", "clear", dag_id, "--task-regex", task_id, "--yes"], self._environment)

    def wait_for(self, sql: str, *wanted: str, seconds: float = 180) -> str:
        """Wait until the database answers one of what is wanted; stop when time is up."""
        deadline = time.monotonic() + seconds
        while (answer := self.ask(sql)) not in wanted:
            if time.monotonic() > deadline:
                sys.exit(f"wanted {' or '.join(wanted)}, but {sql!r} says {answer!r}")
            time.sleep(0.3)
        return answer

    def wait_for_run(self, dag_id: str, seconds: float = 180) -> None:
        """Wait until the only run of a DAG has succeeded; stop when it fails."""
        sql = f"select state from dag_run where dag_id = '{dag_id}'"
        state = self.wait_for(sql, "success", "failed", seconds=seconds)
        if state == "failed":
            sys.exit(f"the run of {dag_id} failed")

    def xcom(self, dag_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return the only XCom of a task's key."""
        (value,) = self.xcoms(dag_id, task_id, key)
        return value

    def xcoms(self, dag_id: str, task_id: str, key: str) -> list[Any]:
        """Return the XComs of a mapped task; Airflow 2.11 stores them as bytes, 3 as JSON."""
        texts = self.ask(
            f"select value from xcom where dag_id = '{dag_id}' and task_id = '{task_id}' and key = '{key}'"
        )
        return [json.loads(bytes.fromhex(text[2:]) if text.startswith(r"\x") else text) for text in texts.splitlines()]

    def _wait_for_server(self) -> None:
        deadline = time.monotonic() + 120
        while not self._is_up():
            if time.monotonic() > deadline:
                sys.exit("Airflow's server did not start")
            time.sleep(0.3)

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
        print(f"the logs of this run are kept in {kept}", file=sys.stderr)


def _settings(port: int) -> dict[str, str]:
    """Return the settings of an Airflow whose server has a port, and that does not take its time."""
    return {
        "PATH": f"{Path(AIRFLOW[0]).parent}:{os.environ['PATH']}",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "12",
        # Airflow may take the end of a deferring task for that of the resumed one, and fail it. A retry adopts its job.
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
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",  # how long a dead triggerer keeps its triggers
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    }


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
