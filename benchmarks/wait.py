"""Cost of deferred waits: hundreds and thousands in one event loop, as in a triggerer.

The waits run in a separate process. A server in another process responds with the latency of a cloud, and records every
request. All waits start at once. The measurement begins after each wait has polled once: CPU time per poll, memory per
wait, evenness and punctuality of the polls. Then all jobs end, spread over one poll interval, and the delay until each
event is measured. Two other implementations wait for the same jobs: a bare loop of two requests and a sleep, and the
SageMaker trigger of the Amazon provider, which sends one request per poll and reads no trials. Finally the waits of
this package run against a server with a rate limit, which rejects further requests with status 429.

The CPU time of a poll falls as the poll rate rises, since caches stay warm: polling in bursts is cheaper. Compare only
figures of one size, on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypedDict

from figures import conditions, installed, print_table, spread
from wait_peers import GOOD_ENDS, WAITERS, Account, Plan, Waiter, endure, measure

SLOT = 0.1  # seconds, for the evenness of the polls


class Size(NamedTuple):
    """Number of waits, and seconds between two polls of each."""

    waits: int
    interval: float

    @classmethod
    def read(cls, text: str) -> Size:
        """Parse an option such as ``1000:15``."""
        waits, interval = text.split(":")
        return cls(int(waits), float(interval))


class Seen(TypedDict):
    """Records of the server; times are of the monotonic clock, by job id where they belong to a job."""

    polls_by_job: dict[str, list[float]]
    arrivals: list[float]
    polls: list[float]
    ends: dict[str, float]
    refused: int
    most_open: int
    most_in_flight: int
    samples: list[tuple[float, int, int]]


@dataclass(frozen=True)
class Round:
    """One round: measurements of the waiting process, and records of the server."""

    plan: Plan
    account: Account
    seen: Seen

    def within(self, instants: Sequence[float]) -> list[float]:
        """Return the times within the measurement."""
        return [instant for instant in instants if self.account.opened <= instant < self.account.closed]

    def seconds(self) -> float:
        """Return the duration of the measurement."""
        return self.account.closed - self.account.opened

    def cpu(self) -> float:
        """Return the CPU time per poll in milliseconds."""
        return self.account.cpu / len(self.within(self.seen["polls"])) * 1000

    def requests(self) -> float:
        """Return the requests per poll, over the whole round."""
        return len(self.seen["arrivals"]) / len(self.seen["polls"])

    def start(self) -> float:
        """Return the seconds until each wait has polled."""
        return self.account.opened - self.account.began

    def open_later(self) -> float:
        """Return the median of open connections during the measurement."""
        return statistics.median(opened for at, opened, _ in self.seen["samples"] if self.within([at]))

    def unevenness(self, begin: float) -> float:
        """Return the requests in the busiest slot divided by the mean, over one interval."""
        interval = self.plan.interval
        slots = Counter(int((at - begin) / SLOT) for at in self.seen["arrivals"] if begin <= at < begin + interval)
        return max(slots.values()) / (slots.total() * SLOT / interval)

    def lateness(self) -> list[float]:
        """Return the delay of each poll relative to the interval in seconds, sorted."""
        pairs = (pair for polls in self.seen["polls_by_job"].values() for pair in pairwise(polls))
        return sorted(late - early - self.plan.interval for early, late in pairs if self.within([late]))

    def delays(self) -> list[float]:
        """Return the seconds from the end of each job to its event, sorted."""
        return sorted(at - self.seen["ends"][job] for job, (at, _) in self.account.fired.items())

    def failures(self) -> list[str]:
        """Return the statuses of failed waits."""
        return [status for _, status in self.account.fired.values() if status not in GOOD_ENDS]

    def longest_gap(self) -> float:
        """Return the longest time between two polls of a wait."""
        opened, closed = self.account.opened, self.account.closed
        polls = (self.seen["polls_by_job"].get(f"search-{number:06d}", []) for number in range(self.plan.waits))
        return max(late - early for times in polls for early, late in pairwise([opened, *self.within(times), closed]))


def main() -> None:
    """Run all rounds and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = [Size(100, 2), Size(1000, 2), Size(5000, 20)]
    parser.add_argument("--sizes", nargs="*", type=Size.read, default=sizes, metavar="WAITS:SECONDS")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--intervals", type=float, default=1.0, help="duration of the measurement, in poll intervals")
    parser.add_argument("--latency", type=float, default=50.0, help="milliseconds from each request to its response")
    parser.add_argument("--limit", type=int, nargs="*", default=[80], help="requests per second; empty: no limit")
    parser.add_argument("--limited-size", type=Size.read, default=Size(1000, 15), metavar="WAITS:SECONDS")
    parser.add_argument("--limited-seconds", type=float, default=60.0, help="duration of the run with a limit")
    parser.add_argument("--limited-rounds", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="without the other implementations")
    options = parser.parse_args()
    print(conditions("aiohttp", "apache-airflow-providers-amazon"))
    print(f"{options.latency:g} ms from each request to its response, logs of level ERROR; median (min-max) of rounds")
    if options.sizes:
        show_waits(options)
    if options.limit:
        show_limits(options)


def show_waits(options: argparse.Namespace) -> None:
    """Measure every implementation with every size, and print the tables."""
    costs, manners, punctuality, ends = [], [], [], []
    for size in options.sizes:
        for waiter in WAITERS[:1] if options.alone else WAITERS:
            name = [waiter.name, f"{size.waits:,}", f"{size.interval:g} s"]
            rounds = rounds_of(waiter, size, options)
            if isinstance(rounds, str):
                costs.append([*name, rounds, *["-"] * 3])
                continue
            costs.append([*name, *costs_of(rounds)])
            manners.append([*name, *manners_of(rounds)])
            punctuality.append([*name, *punctuality_of(rounds)])
            ends.append([*name, *ends_of(rounds, size.interval)])
    who = ["implementation", "waits", "interval"]
    print_table("Costs", [*who, "CPU per poll, ms", "memory per wait, KB", "requests per poll", "all polled, s"], costs)
    busiest = "busiest 0.1 s / mean"
    header = ["maximum connections", "later", "maximum requests in flight", f"{busiest}, from the start", "later"]
    print_table("Load on the cloud", [*who, *header], manners)
    header = [f"delay of a poll, s: {part}" for part in ("median", "99 %", "maximum")]
    header += ["event loop blocked at start, s (Airflow warns at 0.1)", "later"]
    print_table("Punctuality", [*who, *header], punctuality)
    header = [f"from the end of a job to the event, s: {part}" for part in ("median", "99 %", "maximum")]
    print_table("Ends", [*who, *header, "maximum, in intervals", "failed"], ends)


def rounds_of(waiter: Waiter, size: Size, options: argparse.Namespace) -> list[Round] | str:
    """Return the rounds of an implementation, or the reason for none."""
    if waiter.package is not None and installed(waiter.package) is None:
        return "not installed"
    if waiter.max_waits is not None and size.waits > waiter.max_waits:
        return "not measured"
    number, seconds = WAITERS.index(waiter), size.interval * options.intervals

    def plan(port: int) -> Plan:
        return Plan(number, *size, seconds, port)

    print(f"{waiter.name}, {size.waits:,} waits", file=sys.stderr)
    try:
        return [play(measure, plan, "--latency", str(options.latency)) for _ in range(options.rounds)]
    except TimeoutError as error:
        return str(error)


def costs_of(rounds: Sequence[Round]) -> list[str]:
    """Return the cells of the table of costs."""
    memory = [one.account.bytes_per_wait / 1024 for one in rounds]
    return [
        spread([one.cpu() for one in rounds], 2),
        spread(memory, 0),
        spread([one.requests() for one in rounds], 2),
        spread([one.start() for one in rounds]),
    ]


def manners_of(rounds: Sequence[Round]) -> list[str]:
    """Return the cells of the table of the load on the cloud."""
    return [
        spread([one.seen["most_open"] for one in rounds], 0),
        spread([one.open_later() for one in rounds], 0),
        spread([one.seen["most_in_flight"] for one in rounds], 0),
        spread([one.unevenness(one.account.began) for one in rounds]),
        spread([one.unevenness(one.account.opened) for one in rounds]),
    ]


def punctuality_of(rounds: Sequence[Round]) -> list[str]:
    """Return the cells of the table of punctuality."""
    cells = quantiles([one.lateness() for one in rounds])
    cells.append(spread([one.account.blocked_at_start for one in rounds], 2))
    return [*cells, spread([one.account.blocked_later for one in rounds], 2)]


def ends_of(rounds: Sequence[Round], interval: float) -> list[str]:
    """Return the cells of the table of ends."""
    delays = [one.delays() for one in rounds]
    most = spread([times[-1] / interval for times in delays], 2)
    return [*quantiles(delays), most, str(sum(len(one.failures()) for one in rounds))]


def quantiles(rounds: Sequence[Sequence[float]]) -> list[str]:
    """Return median, 99 % and maximum of the sorted values of several rounds."""
    shares = (0.5, 0.99, 1.0)
    return [
        spread([values[min(int(len(values) * share), len(values) - 1)] for values in rounds], 2) for share in shares
    ]


def show_limits(options: argparse.Namespace) -> None:
    """Measure the waits with a rate limit, and print the table."""
    size: Size = options.limited_size
    rows, failures = [], []
    for limit in options.limit:
        for how in ("without", "with"):
            served_with = ["--latency", str(options.latency), "--limit", str(limit)]
            served_with += ["--retry-after"] if how == "with" else []

            def plan(port: int) -> Plan:
                return Plan(0, *size, options.limited_seconds, port)

            rounds = [play(endure, plan, *served_with) for _ in range(options.limited_rounds)]
            rows.append([limit, how, *limits_of(rounds, min(limit / 2, size.waits / size.interval))])
            failures += [failure for one in rounds for failure in one.failures()]
    required = 2 * size.waits / size.interval
    title = f"{size.waits:,} waits with an interval of {size.interval:g} s require {required:.0f} requests per second"
    header = ["limit, requests per second", "Retry-After", "status 429", "share of responses", "failed waits"]
    header += ["polls per second", "share of the possible polls", "longest time between two polls of a wait, s"]
    print_table(f"{title}. With a rate limit, over {options.limited_seconds:g} s", header, rows)
    for failure, count in Counter(failures).most_common(3):
        print(f"{count} x {failure}")


def limits_of(rounds: Sequence[Round], possible: float) -> list[str]:
    """Return the cells of the table of limits."""
    polls = [len(one.within(one.seen["polls"])) / one.seconds() for one in rounds]
    return [
        spread([one.seen["refused"] for one in rounds], 0),
        spread([one.seen["refused"] / len(one.seen["arrivals"]) * 100 for one in rounds]) + " %",
        spread([len(one.failures()) for one in rounds], 0),
        spread(polls),
        spread([rate / possible * 100 for rate in polls], 0) + " %",
        spread([one.longest_gap() for one in rounds]),
    ]


@contextmanager
def served(*options: str) -> Iterator[int]:
    """Run a server in a separate process, and yield its port."""
    command = [sys.executable, str(Path(__file__).with_name("wait_server.py")), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None  # noqa: S101 - for the type only
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def play(part: Callable[[Plan], Account], planned: Callable[[int], Plan], *options: str) -> Round:
    """Run one round with a server and a waiting process."""
    spawn = multiprocessing.get_context("spawn")
    with served(*options) as port, ProcessPoolExecutor(1, mp_context=spawn) as process:
        plan = planned(port)
        account = process.submit(part, plan).result()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/control/seen", timeout=60) as response:
            return Round(plan, account, json.load(response))


if __name__ == "__main__":
    main()
