"""Cost of reading the trials of a search in pages of 50, compared with a bare loop and the vendor's client.

A server in another process sends prepared pages, so that only the client is measured. In each round, every reader runs
in a new process: it imports its modules, reads once to warm up, and then reads each size until it has sent about 200
requests. The readers of this package also parse status, config and best reward of each trial; the others leave the rows
unparsed. Times are per read. One more round, whose times are not used, measures the peak memory of a read with
``tracemalloc``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from figures import conditions, installed, print_table, spread
from read_server import FRESH, serving

if TYPE_CHECKING:
    from airflow_provider_modelarts.api.settings import Settings
    from airflow_provider_modelarts.core.trials import Trial

PROJECT = "benchmark"
PAGE_SIZE = 50
REQUESTS = 200  # per measurement, approximately: a single request is too short to measure
WARM_UP = 20  # trials

Read = Callable[[str], int]  # from the id of a search to the number of its trials


@contextmanager
def bare_loop(url: str, unit: str) -> Iterator[Read]:
    """Read with the minimum: no signature, no retry, no parsing of rows."""
    # requests prefers simplejson, a dependency of the vendor's client, to the faster json
    sys.modules["simplejson"] = None  # type: ignore[assignment]
    import requests

    with requests.Session() as session:

        def read(job_id: str) -> int:
            address = f"{url}/v2/{PROJECT}/training-jobs/{job_id}/autosearch-trials"
            rows: list[object] = []
            offset, total = 0, 1
            while len(rows) < total:
                page = session.get(address, params={"limit": PAGE_SIZE, "offset": offset}).json()
                rows += page["items"]["data"]
                offset, total = (offset + 1 if unit == "page" else len(rows)), page["total"]
            return len(rows)

        yield read


@contextmanager
def our_stream(url: str, unit: str) -> Iterator[Read]:
    """Read with this package as a stream, without keeping trials."""
    from airflow_provider_modelarts.client import ModelArtsClient

    with ModelArtsClient(_settings(url)) as client:
        yield lambda job_id: _parsed(client.iter_trials(job_id, page_size=PAGE_SIZE))


@contextmanager
def our_list(url: str, unit: str) -> Iterator[Read]:
    """Read with this package as a list."""
    from airflow_provider_modelarts.client import ModelArtsClient

    with ModelArtsClient(_settings(url)) as client:
        yield lambda job_id: _parsed(client.list_trials(job_id, page_size=PAGE_SIZE))


@contextmanager
def our_asynchronous_list(url: str, unit: str) -> Iterator[Read]:
    """Read with the asynchronous client of this package."""
    from airflow_provider_modelarts.async_client import AsyncModelArtsClient

    client = AsyncModelArtsClient(_settings(url))
    with asyncio.Runner() as runner:
        yield lambda job_id: _parsed(runner.run(client.list_trials(job_id, page_size=PAGE_SIZE)))
        runner.run(client.close())


@contextmanager
def vendors_client(url: str, unit: str) -> Iterator[Read]:
    """Read with the vendor's client, without parsing rows."""
    from huaweicloudsdkcore.auth.credentials import BasicCredentials
    from huaweicloudsdkmodelarts.v1 import ModelArtsClient, ShowAutoSearchTrialsRequest

    credentials = BasicCredentials("key", "secret", PROJECT)
    client = ModelArtsClient.new_builder().with_credentials(credentials).with_endpoint(url).build()

    def read(job_id: str) -> int:
        rows: list[object] = []
        offset, total = 0, 1
        while len(rows) < total:
            request = ShowAutoSearchTrialsRequest(training_job_id=job_id, limit=PAGE_SIZE, offset=offset)
            page = client.show_auto_search_trials(request)
            rows += page.items.data
            offset, total = (offset + 1 if unit == "page" else len(rows)), page.total
        return len(rows)

    yield read


def _parsed(trials: Iterable[Trial]) -> int:
    """Count trials by the fields that a ranking uses, so that no parsing is deferred."""
    return sum(1 for trial in trials if trial.status and trial.config and trial.best_reward is not None)


def _settings(url: str) -> Settings:
    from airflow_provider_modelarts.api.settings import Settings
    from airflow_provider_modelarts.api.signing import AccessKey

    return Settings(credentials=AccessKey("key", "secret"), project_id=PROJECT, endpoint=url)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reader to measure.

    :param package: distribution that the reader requires.
    :param opened: returns a read function for the URL of the server and the unit of ``offset``.
    """

    name: str
    package: str
    opened: Callable[[str, str], AbstractContextManager[Read]]


BARE = Reader("bare loop of requests and .json()", "requests", bare_loop)
READERS = [
    BARE,
    Reader("**this package**, `iter_trials`", "airflow-provider-modelarts", our_stream),
    Reader("**this package**, `list_trials`", "airflow-provider-modelarts", our_list),
    Reader("**this package**, asynchronous `list_trials`", "airflow-provider-modelarts", our_asynchronous_list),
    Reader("vendor's client", "huaweicloudsdkmodelarts", vendors_client),
]


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one read."""

    cpu: float
    wall: float


def take_times(number: int, url: str, unit: str, sizes: Sequence[int]) -> list[Times]:
    """Return the times of a reader for each size. Runs in a new process."""
    with READERS[number].opened(url, unit) as read:
        _read_all(read, WARM_UP)
        return [_times(read, size) for size in sizes]


def _times(read: Read, size: int) -> Times:
    reads = max(1, REQUESTS * PAGE_SIZE // max(size, PAGE_SIZE))
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(reads):
        _read_all(read, size)
    return Times(1000 * (time.process_time() - cpu) / reads, 1000 * (time.perf_counter() - wall) / reads)


def take_peaks(number: int, url: str, unit: str, sizes: Sequence[int]) -> list[float]:
    """Return the peak memory of a reader in megabytes for each size. Runs in a new process."""
    with READERS[number].opened(url, unit) as read:
        _read_all(read, WARM_UP)
        tracemalloc.start()
        return [_peak(read, size) for size in sizes]


def _peak(read: Read, size: int) -> float:
    gc.collect()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    _read_all(read, size)
    return (tracemalloc.get_traced_memory()[1] - before) / 1e6


def _read_all(read: Read, size: int) -> None:
    found = read(str(size))
    if found != size:
        raise RuntimeError(f"read {found} of {size} trials")


def row_of(reader: Reader, times: Sequence[Times], bare: Sequence[Times], peak: float | None) -> list[str]:
    """Return a row of the table."""
    if peak is None:
        return [reader.name, f"{reader.package} is not installed", *["-"] * 4]
    rounds = list(zip(times, bare, strict=True))
    return [
        reader.name,
        spread([one.cpu for one in times]),
        spread([one.wall for one in times]),
        spread([one.cpu / base.cpu for one, base in rounds], 2),
        spread([one.wall / base.wall for one, base in rounds], 2),
        f"{peak:,.2f}",
    ]


def main() -> None:
    """Measure all readers in several rounds, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 500, 10_000], help="trials of a search")
    parser.add_argument("--offset", choices=["page", "row"], default="page", help="unit of offset on the server")
    options = parser.parse_args()
    print(f"{conditions('requests', 'aiohttp', 'huaweicloudsdkmodelarts')}; {options.rounds} rounds, median (min-max)")
    times, peaks = run(options.rounds, options.sizes, options.offset)
    for position, size in enumerate(options.sizes):
        of_size = {name: [one[position] for one in rounds] for name, rounds in times.items()}
        print_table(
            f"Reading {size:,} trials in pages of {PAGE_SIZE}; offset counts {options.offset}s",
            ["", "CPU ms", "wall ms", "CPU / bare loop", "wall / bare loop", "peak MB"],
            [
                row_of(
                    reader,
                    of_size.get(reader.name, []),
                    of_size[BARE.name],
                    peaks[reader.name][position] if reader.name in peaks else None,
                )
                for reader in READERS
            ],
        )


def run(rounds: int, sizes: Sequence[int], unit: str) -> tuple[Mapping[str, list[list[Times]]], dict[str, list[float]]]:
    """Return the times of each reader by round and size, and its peak memory by size."""
    numbers = [number for number, reader in enumerate(READERS) if installed(reader.package)]
    times: dict[str, list[list[Times]]] = {READERS[number].name: [] for number in numbers}
    peaks: dict[str, list[float]] = {}
    with (
        serving([WARM_UP, *sizes], unit) as url,
        ProcessPoolExecutor(1, mp_context=FRESH, max_tasks_per_child=1) as processes,
    ):
        for done in range(rounds):
            turn = done % len(numbers)
            for number in numbers[turn:] + numbers[:turn]:
                times[READERS[number].name].append(processes.submit(take_times, number, url, unit, sizes).result())
        for number in numbers:
            peaks[READERS[number].name] = processes.submit(take_peaks, number, url, unit, sizes).result()
    return times, peaks


if __name__ == "__main__":
    main()
