"""Run an example DAG with a real scheduler, triggerer and API server or webserver, on PostgreSQL.

Everything is started here, on loopback and free ports, and ended here. The exit code is 0 only if every check passed.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from demo import emulator, say  # noqa: E402 - a script beside this one

AIRFLOW = [sys.executable, "-m", "airflow"]
POLICY = """
def task_policy(task):
    for name in ("poke_interval", "poll_interval"):
        if hasattr(task, name):
            setattr(task, name, 0.5)
"""


def main() -> int:
    """Run everything, and return the exit code."""
    with tempfile.TemporaryDirectory(prefix="modelarts-e2e-") as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o755)
        say("Starting PostgreSQL")
        database = stack.enter_context(postgresql(home / "postgresql"))
        say("Starting the local ModelArts")
        local = stack.enter_context(emulator(home / "emulator.json"))
        environment = airflow_environment(home, database, local["connection"])
        say("Starting Airflow: scheduler, triggerer and server")
        stack.enter_context(airflow(home, environment))
        query = lambda sql: ask(database, sql)  # noqa: E731
        check_waiting_chain(environment, query, local["jobs"]["growing"])
    return 0


def check_waiting_chain(environment: Mapping[str, str], query: Callable[[str], str], job_id: str) -> None:
    """The deferred sensor resumes, and the next task receives the best trial's config."""
    say("Running modelarts_best_trial through scheduler and triggerer")
    trigger_dag(environment, query, "modelarts_best_trial", {"training_job_id": job_id})
    wait_for(query, "select state from dag_run where dag_id = 'modelarts_best_trial'", "success", seconds=180)
    config = xcom(query, "modelarts_best_trial", "retrain")
    expect("the last task received the winning config", config == {"batch_size": 64, "learning_rate": 0.02}, config)
    deferrals = query("select count(*) from task_instance where trigger_id is not null")
    expect("no trigger is left", deferrals == "0", deferrals)


def xcom(query: Callable[[str], str], dag_id: str, task_id: str, key: str = "return_value") -> Any:
    """Return an XCom; Airflow 2.11 stores it as bytes, 3 as JSON."""
    text = query(
        f"select value from xcom where dag_id = '{dag_id}' and task_id = '{task_id}' and key = '{key}'"  # noqa: S608
    )
    return json.loads(bytes.fromhex(text[2:]) if text.startswith(r"\x") else text)


def trigger_dag(
    environment: Mapping[str, str], query: Callable[[str], str], dag_id: str, conf: Mapping[str, object]
) -> None:
    """Unpause and trigger a DAG, once Airflow has parsed it."""
    wait_for(query, f"select count(*) from serialized_dag where dag_id = '{dag_id}'", "1", seconds=90)  # noqa: S608
    for arguments in (["unpause", dag_id], ["trigger", dag_id, "--conf", json.dumps(conf)]):
        done = subprocess.run(
            [*AIRFLOW, "dags", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"airflow dags {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def wait_for(query: Callable[[str], str], sql: str, wanted: str, *, seconds: float) -> None:
    """Wait until a query answers what is wanted; stop when it answers ``failed`` or time is up."""
    deadline = time.monotonic() + seconds
    while (answer := query(sql)) != wanted:
        if "failed" in answer or time.monotonic() > deadline:
            sys.exit(f"wanted {wanted!r}, but {sql!r} says {answer!r}")
        time.sleep(0.5)


def expect(what: str, holds: bool, seen: object) -> None:
    """Tell a check that passed, and stop at one that did not."""
    if not holds:
        sys.exit(f"FAILED: {what}: {seen}")
    print(f"    ok: {what}", flush=True)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server on loopback, and yield the address of an empty database in it."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        sys.exit("PostgreSQL is needed: apt-get install postgresql")
    folder.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = ["runuser", "-u", "postgres", "--"]
    port, data = free_port(), folder / "data"
    initdb = [*as_user, str(programs[-1] / "initdb"), "-D", str(data), "-U", "airflow", "-A", "trust"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    options = ["-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", str(folder)]
    server = [*as_user, str(programs[-1] / "postgres"), *options, "-c", "fsync=off", "-c", "max_connections=200"]
    with (folder / "log").open("w") as log, process(server, log, folder, signal.SIGINT):
        address = f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres"
        deadline = time.monotonic() + 30
        while subprocess.run(psql(address, "select 1"), capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                sys.exit(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.1)
        yield address


def psql(address: str, sql: str) -> list[str]:
    """Return the command that asks a database."""
    return ["psql", "-At", address.replace("+psycopg2", ""), "-c", sql]


def ask(address: str, sql: str) -> str:
    """Return the answer to a query as text."""
    return subprocess.run(psql(address, sql), capture_output=True, text=True, check=True).stdout.strip()


def airflow_environment(home: Path, database: str, connection: Mapping[str, object]) -> dict[str, str]:
    """Return the environment of an Airflow in a folder."""
    (home / "config").mkdir()
    (home / "config" / "airflow_local_settings.py").write_text(POLICY)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    port = str(free_port())
    return {
        **kept,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-this-run-" * 4,
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": port,
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW_CONN_MODELARTS_DEFAULT": json.dumps(connection),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


@contextmanager
def airflow(home: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run the whole of Airflow until the ``with`` statement ends; show the end of its log if that ends badly."""
    subprocess.run([*AIRFLOW, "db", "migrate"], env=environment, check=True, capture_output=True)
    path = home / "airflow.log"
    with path.open("w") as log, process([*AIRFLOW, "standalone"], log, home, signal.SIGINT, environment):
        try:
            yield
        except SystemExit:
            print(path.read_text()[-6000:], file=sys.stderr)
            shutil.copytree(home / "logs", tempfile.mkdtemp(prefix="modelarts-e2e-logs-"), dirs_exist_ok=True)
            raise


@contextmanager
def process(
    command: list[str],
    log: IO[str],
    folder: Path,
    ends_with: signal.Signals,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run a command in a process group of its own; end the group, and all that is left of it, at the end."""
    started = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment, start_new_session=True
    )
    try:
        yield
    finally:
        started.send_signal(ends_with)
        with suppress(subprocess.TimeoutExpired):
            started.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
