"""Stand-in for ModelArts and SageMaker with little overhead, which records every request.

Every job id exists, as a search of 20 trials that is active until a control request ends it. All responses are
prepared. Times are of the monotonic clock, which all processes of a machine share. Requests under ``/control/`` end the
jobs and return the records.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections import defaultdict

TRIALS = 20
SAMPLE_SECONDS = 0.5
JOB = "search-000000"  # all ids are as long as this one
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
NAME = re.compile(rb"search-\d{6}")


def job_body(*, over: bool) -> bytes:
    """Return a search job in the JSON of ModelArts."""
    phase = "Completed" if over else "Running"
    search = {
        "skip_search_params": "",
        "reward_attrs": [{"name": "acc", "mode": "max", "regex": "acc: ([0-9.]+)"}],
        "search_params": [
            {"name": "batch_size", "param_type": "discrete", "discrete_values": ["16", "32", "64"]},
            {"name": "learning_rate", "param_type": "continuous", "lower_bound": "0.001", "upper_bound": "0.1"},
        ],
        "algo_configs": [
            {"name": "tpe_search", "params": [{"key": "num_samples", "value": str(TRIALS), "type": "Integer"}]}
        ],
    }
    document = {
        "kind": "job",
        "metadata": {"id": JOB, "name": JOB, "description": "", "create_time": 1764100000000, "workspace_id": "0"},
        "status": {
            "phase": phase,
            "secondary_phase": phase,
            "duration": 540000,
            "start_time": 1764100060000,
            "node_count_metrics": None,
            "tasks": ["worker-0"],
        },
        "algorithm": {
            "name": "search",
            "code_dir": "/bucket/code/",
            "boot_file": "/bucket/code/train.py",
            "parameters": [],
            "engine": {"engine_id": "pytorch_1.8.0-cuda_10.2-py_3.7-ubuntu_18.04-x86_64", "engine_name": "PyTorch"},
            "policies": {"auto_search": search},
        },
        "spec": {"resource": {"flavor_id": "modelarts.vm.cpu.8u", "node_count": 1}},
    }
    return json.dumps(document).encode()


def trials_body(*, over: bool) -> bytes:
    """Return the trial table of a search, with 16 columns."""
    header = ["", "done", "pid", "config", "trial_id", "training_iteration", "time_total_s", "worker_index"]
    header += ["reward_attr", "status", "acc", "loss", "val_acc", "val_loss", "f1", "best_reward"]
    rows = [trial_row(number, over=over) for number in range(TRIALS)]
    page = {"total": TRIALS, "count": TRIALS, "limit": 50, "offset": 0, "group_by": ""}
    return json.dumps({**page, "items": {"header": header, "data": rows}}).encode()


def trial_row(number: int, *, over: bool) -> list[object]:
    """Return one row; while the search is active, the last trials have not ended."""
    chance = random.Random(number)
    values = {"batch_size": chance.choice([16, 32, 64]), "learning_rate": chance.uniform(0.001, 0.1)}
    config = {**values, "trial_index": number, **{f"param/{name}": value for name, value in values.items()}}
    status = "TERMINATED" if over or number < TRIALS - 8 else "RUNNING" if number < TRIALS - 4 else "PENDING"
    acc, loss = str(chance.random()), f"tensor({chance.random():.4f}, device='cuda:0', requires_grad=True)"
    row: list[object] = [str(number), str(status == "TERMINATED"), str(310 + number), config, f"ae54{number:04x}"]
    row += ["2", str(chance.uniform(1, 20)), "", acc, status, acc, loss]
    return [*row, str(chance.random()), str(chance.random()), str(chance.random()), acc]


def tuning_body(*, over: bool) -> bytes:
    """Return a tuning job in the JSON of SageMaker."""
    return json.dumps(
        {
            "HyperParameterTuningJobName": JOB,
            "HyperParameterTuningJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/{JOB}",
            "HyperParameterTuningJobStatus": "Completed" if over else "InProgress",
            "CreationTime": 1764100000.0,
            "TrainingJobStatusCounters": {
                "Completed": 12,
                "InProgress": 4,
                "RetryableError": 0,
                "NonRetryableError": 0,
            },
            "ObjectiveStatusCounters": {"Succeeded": 12, "Pending": 4, "Failed": 0},
        }
    ).encode()


def response(status: str, body: bytes, *headers: str) -> bytes:
    """Return a response in the format of HTTP/1.1."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Cloud:
    """Prepared responses, and records of the requests.

    :param limit: requests per second; further requests get status 429.
    :param retry_after: send ``Retry-After`` with status 429.
    """

    def __init__(self, limit: int | None, *, retry_after: bool) -> None:
        ends = (False, True)
        self._job = [response("200 OK", job_body(over=over)) for over in ends]
        self._trials = [response("200 OK", trials_body(over=over)) for over in ends]
        self._tuning = [response("200 OK", tuning_body(over=over)) for over in ends]
        refusal = json.dumps({"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached"})
        headers = ["Retry-After: 1"] if retry_after else []
        self._refusal = response("429 Too Many Requests", refusal.encode(), *headers)
        self._limit = limit
        self._second, self._in_second = 0, 0
        self.polls_by_job: dict[str, list[float]] = defaultdict(list)
        self.arrivals: list[float] = []
        self.polls: list[float] = []
        self.polled: set[str] = set()
        self.ends: dict[str, float] = {}
        self.refused = 0
        self.open = self.in_flight = self.most_open = self.most_in_flight = 0
        self.samples: list[tuple[float, int, int]] = []

    def opened(self) -> None:
        """Count a connection."""
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def arrived(self, head: bytes, job: str) -> bool:
        """Record a request, and return whether it is within the limit."""
        now = time.monotonic()
        self.arrivals.append(now)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if int(now) != self._second:
            self._second, self._in_second = int(now), 0
        if self._limit is not None and self._in_second >= self._limit:
            self.refused += 1
            return False
        self._in_second += 1
        if b"/autosearch-trials" not in head:
            self.polls_by_job[job].append(now)
        return True

    def response(self, head: bytes, job: str, *, granted: bool) -> bytes:
        """Return the response to a request that arrived earlier."""
        self.in_flight -= 1
        if not granted:
            return self._refusal
        now = time.monotonic()
        over = self.ends.get(job, now) < now
        if head.startswith(b"GET") and b"/autosearch-trials" not in head:
            return self._job[over].replace(JOB.encode(), job.encode())
        self.polls.append(now)
        self.polled.add(job)
        return self._trials[over] if head.startswith(b"GET") else self._tuning[over].replace(JOB.encode(), job.encode())

    def control(self, path: str) -> object:
        """End all jobs, spread over some seconds (``end/SECONDS``), or return the records."""
        match path.split("/"):
            case ["end", seconds]:
                jobs = random.Random(1).sample(sorted(self.polled), len(self.polled))
                now, step = time.monotonic(), float(seconds) / len(jobs)
                self.ends = {job: now + number * step for number, job in enumerate(jobs)}
                return len(jobs)
            case ["polled"]:
                return len(self.polled)
        names = ("polls_by_job", "arrivals", "polls", "ends", "refused", "most_open", "most_in_flight", "samples")
        return {name: getattr(self, name) for name in names}

    async def sample(self) -> None:
        """Record the open connections and the requests in flight at regular intervals."""
        while True:
            self.samples.append((time.monotonic(), self.open, self.in_flight))
            await asyncio.sleep(SAMPLE_SECONDS)


class Connection(asyncio.Protocol):
    """HTTP/1.1 connection, which stays open until the client closes it."""

    def __init__(self, cloud: Cloud, latency: float) -> None:
        self._cloud = cloud
        self._latency = latency
        self._received = b""
        self._is_counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type only
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection as closed."""
        self._cloud.open -= self._is_counted

    def data_received(self, data: bytes) -> None:
        """Handle each complete request."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = LENGTH.search(head)
            end += 4 + (int(length[1]) if length else 0)
            if len(self._received) < end:
                return
            request, self._received = self._received[:end], self._received[end:]
            self._take(head, request)

    def _take(self, head: bytes, request: bytes) -> None:
        if head.startswith(b"GET /control/"):
            records = self._cloud.control(head.split()[1].decode().removeprefix("/control/"))
            self._transport.write(response("200 OK", json.dumps(records).encode()))
            return
        if not self._is_counted:
            self._is_counted = True
            self._cloud.opened()
        # the name of a tuning job is in the body, after all headers
        found = NAME.search(request, 0 if head.startswith(b"GET") else len(head))
        job = found[0].decode() if found else JOB
        granted = self._cloud.arrived(head, job)
        asyncio.get_running_loop().call_later(self._latency, self._respond, head, job, granted)

    def _respond(self, head: bytes, job: str, granted: bool) -> None:
        self._transport.write(self._cloud.response(head, job, granted=granted))


async def serve(options: argparse.Namespace) -> None:
    """Serve on a free port of loopback, and print the port."""
    cloud, loop = Cloud(options.limit, retry_after=options.retry_after), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(cloud, options.latency / 1000), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await cloud.sample()


def main() -> None:
    """Parse the options, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=50.0, help="milliseconds from each request to its response")
    parser.add_argument("--limit", type=int, help="requests per second; further requests get status 429")
    parser.add_argument("--retry-after", action="store_true", help="send Retry-After with status 429")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
