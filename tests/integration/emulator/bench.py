"""Emulator with a bucket, and calls that create, poll and end jobs on it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration.emulator.wire import Response, column, get_job, get_trials, send
from unit.emulator.bodies import job_body, search_body

from modelarts_emulator import Emulator

ENDED = {"Completed", "Failed", "Terminated", "Abnormal"}
JOBS = "/v2/{p}/training-jobs"

#: Prints a rising metric three times; fails when x is the number in --fail.
SCRIPT = """
import argparse, sys
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
parser.add_argument("--fail", type=float)
given, _ = parser.parse_known_args()
for epoch in (2, 1, 0):
    print(f"loss: {abs(given.x - 3) / 10}, acc: {1 - abs(given.x - 3) / 10 - epoch / 100}")
if given.fail == given.x:
    sys.exit(f"cannot train with x = {given.x}")
"""

#: Reports once, writes its process id and that of a child into a file, and waits until it is stopped.
WAITING_SCRIPT = """
import os, pathlib, subprocess, sys, time
print("acc: 0.5")
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
out = pathlib.Path(next(given for given in sys.argv if given.startswith("--train_url=")).split("=", 1)[1])
draft = out / f".{os.getpid()}"
draft.write_text(str(child.pid))
draft.rename(out / f"{os.getpid()}.pids")
time.sleep(600)
"""

#: The same script, which ignores SIGTERM.
STUBBORN_SCRIPT = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WAITING_SCRIPT}"


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the value of a condition as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)
    return value


@dataclass
class Bench:
    """Emulator, and bodies of jobs that run a script in its bucket."""

    emulator: Emulator

    def write(self, script: str, name: str = "train.py") -> Path:
        """Write a script into the code folder."""
        path = self.emulator.root / "bucket" / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        return path

    def body(self, name: str = "my-job", **parameters: object) -> dict[str, Any]:
        """Return the body of a job that runs the script once."""
        return job_body(name, **parameters)

    def search_body(self, name: str = "my-search", *, samples: int = 4, values: str = "1 2 3 4") -> dict[str, Any]:
        """Return the body of a search for the best x."""
        return search_body(name, samples=samples, values=values)

    def post(self, body: object) -> Response:
        """Send the body of a job."""
        return send(self.emulator, "POST", JOBS, body=body if isinstance(body, str) else json.dumps(body))

    def create(self, body: object) -> str:
        """Create a job and return its id."""
        response = self.post(body)
        assert response.status == 201, response.body
        return response.json["metadata"]["id"]

    def ended(self, job_id: str) -> dict[str, Any]:
        """Return a job once it has ended."""
        return until(lambda: (job := get_job(self.emulator, job_id))["status"]["phase"] in ENDED and job)

    def refusal(self, body: object) -> str:
        """Return the number of the error code for a body; check that the body leaves no trace."""
        before = sorted(self.emulator.root.rglob("*"))
        response = self.post(body)
        assert response.status == 400, response.body
        assert response.json["error_msg"]
        assert response.json["error_solution"]
        assert self.list_jobs() == []
        assert sorted(self.emulator.root.rglob("*")) == before
        return response.json["error_code"].removeprefix("ModelArts.")

    def done(self, body: object) -> dict[str, Any]:
        """Return the job of a body once it has ended."""
        return self.ended(self.create(body))

    def call(self, method: str, job_id: str, path: str = "", body: object = None) -> Response:
        """Call an operation on a job."""
        query = [tuple(pair.split("=", 1)) for pair in path.partition("?")[2].split("&") if pair]
        text = "" if body is None else json.dumps(body)
        return send(self.emulator, method, f"{JOBS}/{job_id}{path.partition('?')[0]}", query, text)

    def list_jobs(self, **body: object) -> list[dict[str, Any]]:
        """Return the jobs that a job search lists."""
        return send(self.emulator, "POST", "/v2/{p}/training-job-searches", body=json.dumps(body)).json["items"]

    def stop(self, job_id: str) -> Response:
        """Stop a job."""
        return self.call("POST", job_id, "/actions", {"action_type": "terminate"})

    def log(self, job_id: str) -> str:
        """Return the log of a job; blank while there is none."""
        response = self.call("GET", job_id, "/tasks/worker-0/logs/preview")
        return response.json["content"] if response.status == 200 else ""

    def rows(self, job_id: str) -> list[dict[str, Any]]:
        """Return the trials of a job, by column."""
        items = get_trials(self.emulator, job_id)["items"]
        return [dict(zip(items["header"], row, strict=True)) for row in items["data"]]

    def statuses(self, job_id: str) -> list[str]:
        """Return the statuses of the trials of a job."""
        page = get_trials(self.emulator, job_id)
        return column(page, "status") if page["total"] else []

    def waiting(self, count: int = 1, search_id: str = "") -> list[int]:
        """Return the process ids of the waiting scripts and their children, once ``count`` scripts wait.

        :param search_id: id of their search; if given, also wait until none of its trials is PENDING.
        """
        out = self.emulator.root / "bucket" / "out"
        found = until(lambda: len(paths := list(out.glob("*.pids"))) >= count and paths)
        until(lambda: not search_id or "PENDING" not in self.statuses(search_id))
        return [pid for path in found for pid in (int(path.stem), int(path.read_text()))]


def lives(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):  # the latter if the process ends between opening and reading
        return False
