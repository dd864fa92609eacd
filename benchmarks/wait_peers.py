"""Waiting process: with the trigger of this package, or with another implementation."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")  # before Airflow is imported

from airflow.triggers.base import BaseTrigger

GOOD_ENDS = {"done", "success"}
Wait = Callable[[str], Awaitable[str]]  # job id -> status in the event


@dataclass(frozen=True)
class Waiter:
    """Implementation of a wait.

    :param opened: returns the wait function for a port and the seconds between two polls.
    :param package: required distribution; None if it is always installed.
    :param max_waits: larger numbers of waits are not measured.
    """

    name: str
    opened: Callable[[int, float], AbstractAsyncContextManager[Wait]]
    package: str | None = None
    max_waits: int | None = None


@asynccontextmanager
async def modelarts(port: int, interval: float) -> AsyncIterator[Wait]:
    """Wait with the trigger of this package."""
    from airflow_provider_modelarts.triggers.modelarts import ModelArtsHyperparameterSearchTrigger

    extra = {"region": "cn-north-4", "project_id": "project", "endpoint": f"http://127.0.0.1:{port}"}
    connection = {"conn_type": "modelarts", "login": "ACCESSKEY", "password": "no-secret", "extra": extra}
    os.environ["AIRFLOW_CONN_MODELARTS_DEFAULT"] = json.dumps(connection)

    async def wait(job: str) -> str:
        return await status_of(ModelArtsHyperparameterSearchTrigger(training_job_id=job, poll_interval=interval))

    yield wait


@asynccontextmanager
async def bare_loop(port: int, interval: float) -> AsyncIterator[Wait]:
    """Wait with two requests and a sleep, with the spread of this package: no signature, no parsing, no retry."""
    import aiohttp

    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def read(path: str) -> dict[str, dict[str, str]]:
            async with session.get(f"/v2/project/training-jobs/{path}") as response:
                read: dict[str, dict[str, str]] = await response.json()
                return read

        async def wait(job: str) -> str:
            await asyncio.sleep(interval * random.random())
            while True:
                document = await read(job)
                await read(f"{job}/autosearch-trials?limit=50&offset=0")
                if document["status"]["phase"] == "Completed":
                    return "done"
                await asyncio.sleep(interval)

        yield wait


@asynccontextmanager
async def sagemaker(port: int, interval: float) -> AsyncIterator[Wait]:
    """Wait with the SageMaker trigger of the Amazon provider, which sends one request per poll."""
    from airflow.providers.amazon.aws.triggers.sagemaker import SageMakerTrigger

    extra = {"region_name": "us-east-1", "endpoint_url": f"http://127.0.0.1:{port}"}
    connection = {"conn_type": "aws", "login": "ACCESSKEY", "password": "no-secret", "extra": extra}
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(connection)

    async def wait(job: str) -> str:
        return await status_of(SageMakerTrigger(job_name=job, job_type="tuning", waiter_delay=round(interval)))

    yield wait


async def status_of(trigger: BaseTrigger) -> str:
    """Run a trigger as a triggerer does; return the status of its event, or the whole payload of a failure."""
    *_, payload = [event.payload async for event in trigger.run()]
    return str(payload["status"] if payload["status"] in GOOD_ENDS else payload)


WAITERS = (
    Waiter("this package", modelarts),
    Waiter("bare aiohttp loop", bare_loop),
    Waiter("SageMaker trigger", sagemaker, "apache-airflow-providers-amazon", max_waits=1000),
)


@dataclass(frozen=True)
class Plan:
    """Parameters of a waiting process.

    :param waiter: index in ``WAITERS``.
    :param interval: seconds between two polls of a wait.
    :param seconds: duration of the measurement.
    :param timeout: seconds for all waits to start, and to end.
    """

    waiter: int
    waits: int
    interval: float
    seconds: float
    port: int
    timeout: float = 300.0


@dataclass
class Account:
    """Measurements of a waiting process; times are of the monotonic clock."""

    began: float = 0.0
    opened: float = 0.0
    closed: float = 0.0
    cpu: float = 0.0
    bytes_per_wait: float = 0.0
    blocked_at_start: float = 0.0
    blocked_later: float = 0.0
    fired: dict[str, tuple[float, str]] = field(default_factory=dict)


class Watchdog:
    """Records how long the event loop is blocked, as Airflow does."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._task = asyncio.create_task(self._poller())

    async def _poller(self) -> None:
        while True:
            slept = time.monotonic()
            await asyncio.sleep(0.1)
            self._worst = max(self._worst, time.monotonic() - slept - 0.1)

    def worst(self) -> float:
        """Return the longest block since the last call."""
        worst, self._worst = self._worst, 0.0
        return worst


class Waits:
    """Waits of one event loop."""

    def __init__(self, plan: Plan, wait: Wait) -> None:
        self._plan = plan
        self._wait = wait
        self._tasks: list[asyncio.Task[None]] = []
        self.fired: dict[str, tuple[float, str]] = {}

    async def start(self, count: int) -> None:
        """Start more waits at once."""
        for number in range(len(self._tasks), len(self._tasks) + count):
            self._tasks.append(asyncio.create_task(self._one(f"search-{number:06d}")))
            await asyncio.sleep(0)  # as in the triggerer

    async def _one(self, job: str) -> None:
        status = await self._wait(job)
        self.fired[job] = (time.monotonic(), status)

    async def polled(self) -> None:
        """Return when each wait has polled."""
        deadline = time.monotonic() + self._plan.timeout
        while int(await control(self._plan.port, "polled")) < len(self._tasks):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not all waits have polled after {self._plan.timeout:g} s")
            await asyncio.sleep(0.25)

    async def ended(self) -> None:
        """Return when all waits have ended."""
        _, late = await asyncio.wait(self._tasks, timeout=self._plan.timeout)
        if late:
            raise TimeoutError(f"{len(late)} waits have not ended after {self._plan.timeout:g} s")
        for task in self._tasks:
            task.result()  # raises the error of a wait

    async def end(self) -> None:
        """End all waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def measure(plan: Plan) -> Account:
    """Wait in this process until all jobs have ended."""
    return asyncio.run(_measure(plan))


async def _measure(plan: Plan) -> Account:
    account = Account()
    async with WAITERS[plan.waiter].opened(plan.port, plan.interval) as wait:
        waits, watchdog = Waits(plan, wait), Watchdog()
        await waits.start(1)
        await waits.polled()
        memory_of_one = resident()
        await asyncio.sleep(0.2)  # garbage collection blocks the loop, and is not caused by the waits
        watchdog.worst()
        account.began = time.monotonic()
        await waits.start(plan.waits - 1)
        await waits.polled()
        account.blocked_at_start = watchdog.worst()
        account.opened, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(plan.seconds)
        account.closed, account.cpu = time.monotonic(), time.process_time() - cpu
        account.blocked_later = watchdog.worst()
        account.bytes_per_wait = (resident() - memory_of_one) / plan.waits
        await control(plan.port, f"end/{plan.interval}")
        await waits.ended()
        account.fired = waits.fired
    return account


def endure(plan: Plan) -> Account:
    """Wait in this process for one interval, then for the duration of the measurement, even if waits fail."""
    return asyncio.run(_endure(plan))


async def _endure(plan: Plan) -> Account:
    account = Account()
    async with WAITERS[plan.waiter].opened(plan.port, plan.interval) as wait:
        waits = Waits(plan, wait)
        account.began = time.monotonic()
        await waits.start(plan.waits)
        await asyncio.sleep(plan.interval)
        account.opened = time.monotonic()
        await asyncio.sleep(plan.seconds)
        account.closed, account.fired = time.monotonic(), dict(waits.fired)
        await waits.end()
    return account


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


async def control(port: int, what: str) -> bytes:
    """Send a control request to the server, with little overhead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /control/{what} HTTP/1.1\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
    writer.close()
    return body
