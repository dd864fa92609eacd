"""Capacity, cost and delay of deferred tasks in real triggerers of Airflow 3.

This script starts and stops PostgreSQL, Airflow and a stand-in for ModelArts. The searches of 20 trials are active
until a control request ends them; each is polled about every 30 seconds.

20 tasks run as usual: the scheduler starts them, a worker polls once and defers, the triggerer polls, a worker
completes the task. The scheduler starts about one task per second, so thousands of tasks would take hours. Therefore
all other deferrals are *copied*: a paused DAG has runs with as many mapped tasks, and the models of Airflow write for
each of them the rows of one of the 20 deferrals (a trigger, and the state of its task) with another job id. A
triggerer treats both alike. After the jobs end, the tasks are followed until their triggers have fired and they are
scheduled again. They are not resumed, since the scheduler is stopped by then.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

from figures import conditions, print_table, spread
from triggerers_stage import Control, Stage, Triggerer, print_step, stage_in

INTERVAL = 30.0  # seconds between two polls, as in the DAGs
WINDOW = INTERVAL * 1.2  # every wait polls at least once within it
SCHEDULED = 20  # mapped tasks of the DAG ``scheduled``
DEFAULT_CAPACITY = 1000
TIMEOUT_SECONDS = 400
PEER = "airflow.providers.standard.triggers.temporal.DateTimeTrigger"


@dataclass
class Row:
    """Measurements of a number of waits on a number of triggerers, in seconds unless noted."""

    waits: int
    how: str
    triggerers: int
    idle: float = 0.0  # percent of a core
    assigned: float = 0.0
    polled: float = 0.0
    held: int = 0
    polled_in_window: int = 0
    busy: float = 0.0  # percent of a core
    per_poll: float = 0.0  # milliseconds of CPU time
    megabytes: float = 0.0
    files: int = 0
    reads: int = 0
    logged: int = 0
    blocked: list[list[float]] = field(default_factory=list)  # at the start, until the jobs end, in total
    heartbeat: float = 0.0
    between: Sequence[float] = ()
    detected: Sequence[float] = ()
    resumed: Sequence[float] = ()
    ended: float = 0.0


def shown(value: float, digits: int) -> str:
    """Return a figure, or a dash if nothing was measured."""
    return f"{value:.{digits}f}" if value else "-"


def stalls(found: list[list[float]]) -> Iterator[str]:
    """Yield number and duration of event loop blocks between two counts."""
    for before, after in pairwise([[], *found]):
        yield f"{len(after) - len(before)} ({sum(after) - sum(before):.1f} s)"


TABLES: dict[str, dict[str, Callable[[Row], object]]] = {
    "Capacity": {
        "held": lambda row: row.held,
        f"polled within {WINDOW:.0f} s": lambda row: row.polled_in_window or "-",
        "running, as logged": lambda row: row.logged,
        "assigned after (s)": lambda row: shown(row.assigned, 0),
        "all polled after (s)": lambda row: shown(row.polled, 0),
        "connection reads": lambda row: row.reads,
    },
    "Cost (all processes of all triggerers)": {
        "CPU without tasks (% of a core)": lambda row: shown(row.idle, 1),
        "CPU while all wait (% of a core)": lambda row: shown(row.busy, 1),
        "CPU per poll (ms)": lambda row: shown(row.per_poll, 2),
        "memory (MB)": lambda row: shown(row.megabytes, 0),
        "open files per triggerer": lambda row: row.files,
    },
    "Delay (seconds: median, minimum and maximum)": {
        "between two polls": lambda row: spread(row.between),
        "oldest heartbeat": lambda row: shown(row.heartbeat, 1),
        "event loop blocked: at the start, waiting, at the end": lambda row: ", ".join(stalls(row.blocked)),
        "from the end of a job to the poll that detects it": lambda row: spread(row.detected),
        "from that poll to the scheduled task": lambda row: spread(row.resumed),
        "from the end of all jobs to the end of all tasks": lambda row: shown(row.ended, 0),
    },
}


def measure(stage: Stage, waits: int, count: int, *, scheduled: bool = False) -> Row:
    """Run deferred tasks on triggerers, measure them, and end the jobs."""
    row = Row(waits, "scheduled" if scheduled else "copied", count)
    print_step(f"{waits} {row.how} waits on {count} triggerer(s)")
    with stage.cloud() as control, stage.triggerers(count) as triggerers:

        def listen() -> None:
            row.heartbeat = max(row.heartbeat, stage.heartbeat_age(triggerers))

        row.idle = 100 * used_by(triggerers, 5) / 5
        reads, began = stage.connection_reads(), time.monotonic()
        if scheduled:
            stage.airflow.trigger("scheduled")
        else:
            stage.copy(waits)
        until(lambda: stage.waiting(triggerers) >= waits, listen)
        row.assigned = time.monotonic() - began
        until(lambda: polled(control, times=2 if scheduled else 1) >= waits, listen)
        row.polled = time.monotonic() - began
        row.blocked.append(blocked(triggerers))
        row.reads = stage.connection_reads() - reads
        if scheduled:
            stage.remember_deferral()
        watch(row, triggerers, control)
        finish(row, stage, triggerers)
        end(row, stage, control, listen)
        row.blocked.append(blocked(triggerers))
    return row


def measure_peer(stage: Stage, waits: int) -> Row:
    """Run tasks on a trigger of Airflow that only sleeps: the cost of the triggerer itself."""
    row = Row(waits, "that only sleep", 1)
    print_step(f"{waits} waits of Airflow's own DateTimeTrigger on 1 triggerer")
    with stage.triggerers(1) as triggerers:
        row.idle = 100 * used_by(triggerers, 5) / 5
        reads, began = stage.connection_reads(), time.monotonic()
        stage.copy(waits, (PEER, {"moment": datetime.now(UTC) + timedelta(days=7)}))
        until(lambda: stage.waiting(triggerers) >= waits)
        row.assigned = time.monotonic() - began
        time.sleep(INTERVAL)
        row.blocked.append(blocked(triggerers))
        row.busy = 100 * used_by(triggerers, WINDOW) / WINDOW
        row.reads = stage.connection_reads() - reads
        finish(row, stage, triggerers)
    return row


def finish(row: Row, stage: Stage, triggerers: list[Triggerer]) -> None:
    """Record the state at the end of the measurement."""
    row.held = stage.waiting(triggerers)
    row.megabytes = sum(triggerer.megabytes() for triggerer in triggerers)
    row.files = max(triggerer.open_files() for triggerer in triggerers)
    row.heartbeat = max(row.heartbeat, stage.heartbeat_age(triggerers))
    row.logged = sum(triggerer.logged() for triggerer in triggerers)
    row.blocked.append(blocked(triggerers))


def watch(row: Row, triggerers: list[Triggerer], control: Control) -> None:
    """Measure the cost of waiting."""
    before = time.monotonic()
    used = used_by(triggerers, WINDOW)
    polls = {job: times for job, times in control("seen")["polls_by_job"].items() if times[-1] > before}
    row.busy = 100 * used / WINDOW
    row.per_poll = 1000 * used / sum(time > before for times in polls.values() for time in times)
    row.between = [later - one for times in polls.values() for one, later in pairwise(times) if later > before]
    row.polled_in_window = len(polls)


def end(row: Row, stage: Stage, control: Control, listen: Callable[[], None]) -> None:
    """End the jobs, and follow the tasks until they are scheduled again."""
    clock, over = time.time() - time.monotonic(), time.time()
    control("end/0")
    resumed = f"from task_instance where scheduled_dttm > to_timestamp({over})"
    until(lambda: int(stage.airflow.query(f"select count(*) {resumed}")) >= row.waits, listen)
    # the event that resumes a task contains the job id; a completed task has no event
    job = "coalesce(substring(next_kwargs::text from 'search-[0-9]{6}'), 'search-' || lpad(map_index::text, 6, '0'))"
    result = stage.airflow.query(f"select {job}, extract(epoch from scheduled_dttm) {resumed}")  # noqa: S608 - our own
    times = dict(line.split("|") for line in result.splitlines())
    detected = {name: polls[-1] + clock for name, polls in control("seen")["polls_by_job"].items()}
    row.detected = [detected[name] - over for name in times]
    row.resumed = [float(resumed) - detected[name] for name, resumed in times.items()]
    if row.how == "scheduled":
        stage.airflow.wait_for_run("scheduled")
        row.ended = time.time() - over


def take_over(stage: Stage, waits: int, threshold: int) -> list[object]:
    """Kill one of two triggerers, and return a row with the longest time between two polls."""
    print_step(f"Killing one of two triggerers that hold {waits} waits, with a threshold of {threshold} s")
    with (
        stage.cloud() as control,
        stage.triggerers(2, triggerer_health_check_threshold=threshold) as (killed, other),
    ):
        stage.copy(waits)
        until(lambda: stage.waiting([killed, other]) >= waits and polled(control) >= waits)
        lost = stage.waiting([killed])
        began = time.monotonic()
        killed.end(signal.SIGKILL)
        until(lambda: stage.waiting([other]) >= waits)
        reassigned = time.monotonic() - began
        until(lambda: all(polls[-1] > began for polls in control("seen")["polls_by_job"].values()))
        repolled = time.monotonic() - began
        until(lambda: time.monotonic() - began > reassigned + WINDOW)
        polls = control("seen")["polls_by_job"].values()
        longest = max(later - one for times in polls for one, later in pairwise(times))
        return [waits, lost, threshold, f"{reassigned:.0f}", f"{repolled:.0f}", f"{longest:.0f}"]


def fill(stage: Stage, waits: int) -> list[list[object]]:
    """Return rows with the number of waits that one triggerer of the default capacity holds, and then two."""
    print_step(f"{waits} waits and the default capacity of {DEFAULT_CAPACITY}")
    rows: list[list[object]] = []
    with stage.cloud(), stage.triggerers(1, DEFAULT_CAPACITY) as triggerers:
        stage.copy(waits)
        for wanted in (DEFAULT_CAPACITY, waits):
            until(partial(stage.is_held, triggerers, wanted))
            time.sleep(5)  # the number must stay the same
            rows.append([waits, *(stage.waiting([triggerer]) for triggerer in triggerers)])
            if len(triggerers) == 1:
                rows[0].append("not started")
                triggerers.append(stage.start(DEFAULT_CAPACITY))
    return rows


def polled(control: Control, times: int = 1) -> int:
    """Return the number of jobs that were polled at least so often."""
    if times == 1:
        return int(control("polled"))
    return sum(len(polls) >= times for polls in control("seen")["polls_by_job"].values())


def blocked(triggerers: list[Triggerer]) -> list[float]:
    """Return the duration of each event loop block in seconds."""
    return [seconds for triggerer in triggerers for seconds in triggerer.blocked()]


def used_by(triggerers: list[Triggerer], seconds: float) -> float:
    """Return the CPU time of triggerers over some seconds."""
    before = sum(sum(triggerer.cpu()) for triggerer in triggerers)
    time.sleep(seconds)
    return sum(sum(triggerer.cpu()) for triggerer in triggerers) - before


def until(holds: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until a condition holds; exit after the timeout."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not holds():
        meanwhile()
        if time.monotonic() > deadline:
            sys.exit(f"the triggerers did not reach the expected state within {TIMEOUT_SECONDS} s")
        time.sleep(0.5)


def main() -> None:
    """Run all measurements, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waits", type=int, nargs="*", default=[1000, 5000], help="numbers of copied waits")
    parser.add_argument("--peer", type=int, nargs="*", default=[1000], help="numbers of waits that only sleep")
    parser.add_argument("--fill", type=int, default=1500, help="waits for triggerers of the default capacity")
    parser.add_argument("--take-over", type=int, default=1000, help="waits of two triggerers, one of which is killed")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="modelarts-triggerers-") as folder, stage_in(Path(folder)) as stage:
        rows = [measure(stage, SCHEDULED, 1, scheduled=True)]
        stage.airflow.wait_for("select count(*) > 0 from serialized_dag where dag_id = 'copied'", "t")
        for component in ("scheduler", "dag-processor"):
            stage.airflow.end(component, signal.SIGTERM)
        rows += [measure(stage, waits, 1) for waits in options.waits]
        rows += [measure_peer(stage, waits) for waits in options.peer]
        rows += [measure(stage, waits, 2) for waits in options.waits[-1:]]
        filled = fill(stage, options.fill) if options.fill else []
        taken = [take_over(stage, options.take_over, threshold) for threshold in (30, 10) if options.take_over]
    show(rows)
    print_table(
        f"Triggerers of the default capacity, {DEFAULT_CAPACITY}",
        ["tasks", "held by the first", "held by the second"],
        filled,
    )
    print_table(
        "One of two triggerers is killed (SIGKILL)",
        [
            "tasks",
            "held by the killed triggerer",
            "triggerer_health_check_threshold",
            "all reassigned after (s)",
            "all polled after (s)",
            "longest time between two polls (s)",
        ],
        taken,
    )
    print(f"\nin {time.monotonic() - began:.0f} s")


def show(rows: Sequence[Row]) -> None:
    """Print the tables."""
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"\n{conditions('aiohttp', 'psycopg2-binary')}; poll interval {INTERVAL:.0f} s")
    print(f"Load average over 1, 5 and 15 minutes: {load}.")
    print("The scheduler ran the tasks of the first row. The deferrals of all other rows are copies of theirs.")
    for title, columns in TABLES.items():
        lines = [
            [f"{row.waits:,} {row.how}", row.triggerers, *(cell(row) for cell in columns.values())] for row in rows
        ]
        print_table(title, ["tasks", "triggerers", *columns], lines)


if __name__ == "__main__":
    main()
