"""How many deferred tasks real triggerers of Airflow 3 hold at once, what that costs, and how late it makes them.

Everything is started here: PostgreSQL, Airflow, a stand-in for ModelArts. The searches of 20 trials are at work until
they are told to be over; each is looked at about every 30 seconds.

20 tasks wait as any task does: the scheduler starts them, a worker looks once and defers, the triggerer waits, a worker
ends the task. A worker starts about one task a second, so thousands would take hours. Therefore the others are
*copied*: a paused DAG has runs with as many mapped tasks, and Airflow's own models write for each of them what the
deferral of one of the 20 has left in the metadata database (a trigger, and the state of its task), but for the id of
the job. Triggerers cannot tell the difference. When the jobs are over, the tasks are followed until their triggers have
fired and they are scheduled again; there is no scheduler any more that would resume them.
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

INTERVAL = 30.0  # between two looks, in the DAGs
WINDOW = INTERVAL * 1.2  # in which every wait looks at its job at least once
SCHEDULED = 20  # mapped tasks of the DAG that the scheduler runs
DEFAULT_CAPACITY = 1000
PATIENCE = 400
PEER = "airflow.providers.standard.triggers.temporal.DateTimeTrigger"


@dataclass
class Row:
    """What was measured of so many waits on so many triggerers; seconds, unless it is said."""

    waits: int
    how: str
    triggerers: int
    idle: float = 0.0  # percent of a core
    taken: float = 0.0
    looked: float = 0.0
    held: int = 0
    looked_at: int = 0
    busy: float = 0.0  # percent of a core
    per_look: float = 0.0  # milliseconds of CPU time
    megabytes: float = 0.0
    files: int = 0
    reads: int = 0
    says: int = 0
    blocked: list[list[float]] = field(default_factory=list)  # until all waited, until they were told to end, in all
    heartbeat: float = 0.0
    between: Sequence[float] = ()
    seen: Sequence[float] = ()
    resumed: Sequence[float] = ()
    ended: float = 0.0


def shown(value: float, digits: int) -> str:
    """Return a figure, or a dash where nothing was measured."""
    return f"{value:.{digits}f}" if value else "-"


def stalls(found: list[list[float]]) -> Iterator[str]:
    """Yield how often and how long event loops stood still from one counting to the next."""
    for before, after in pairwise([[], *found]):
        yield f"{len(after) - len(before)} ({sum(after) - sum(before):.1f} s)"


TABLES: dict[str, dict[str, Callable[[Row], object]]] = {
    "Deferred tasks that triggerers hold": {
        "held": lambda row: row.held,
        f"looked at in {WINDOW:.0f} s": lambda row: row.looked_at or "-",
        "said to run": lambda row: row.says,
        "taken after (s)": lambda row: shown(row.taken, 0),
        "all looked at after (s)": lambda row: shown(row.looked, 0),
        "connection reads": lambda row: row.reads,
    },
    "What that costs (all processes of all triggerers)": {
        "CPU without tasks (% of a core)": lambda row: shown(row.idle, 1),
        "CPU while all wait (% of a core)": lambda row: shown(row.busy, 1),
        "CPU per look (ms)": lambda row: shown(row.per_look, 2),
        "memory (MB)": lambda row: shown(row.megabytes, 0),
        "open files of one": lambda row: row.files,
    },
    "How late it makes them (seconds: median, least and most)": {
        "between two looks": lambda row: spread(row.between),
        "oldest heartbeat": lambda row: shown(row.heartbeat, 1),
        "event loop blocked: at the start, waiting, at the end": lambda row: ", ".join(stalls(row.blocked)),
        "from the end of a job to the look that sees it": lambda row: spread(row.seen),
        "from that look to the task being scheduled": lambda row: spread(row.resumed),
        "from the end of all jobs to all tasks being done": lambda row: shown(row.ended, 0),
    },
}


def measure(stage: Stage, waits: int, count: int, *, scheduled: bool = False) -> Row:
    """Let tasks wait on triggerers, look on, and end the jobs."""
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
        row.taken = time.monotonic() - began
        until(lambda: looked_at(control, times=2 if scheduled else 1) >= waits, listen)
        row.looked = time.monotonic() - began
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
    """Let tasks wait on Airflow's own trigger that only sleeps: what the triggerer itself costs."""
    row = Row(waits, "that only sleep", 1)
    print_step(f"{waits} waits of Airflow's own DateTimeTrigger on 1 triggerer")
    with stage.triggerers(1) as triggerers:
        row.idle = 100 * used_by(triggerers, 5) / 5
        reads, began = stage.connection_reads(), time.monotonic()
        stage.copy(waits, (PEER, {"moment": datetime.now(UTC) + timedelta(days=7)}))
        until(lambda: stage.waiting(triggerers) >= waits)
        row.taken = time.monotonic() - began
        time.sleep(INTERVAL)
        row.blocked.append(blocked(triggerers))
        row.busy = 100 * used_by(triggerers, WINDOW) / WINDOW
        row.reads = stage.connection_reads() - reads
        finish(row, stage, triggerers)
    return row


def finish(row: Row, stage: Stage, triggerers: list[Triggerer]) -> None:
    """Note what is so at the end of waiting."""
    row.held = stage.waiting(triggerers)
    row.megabytes = sum(triggerer.megabytes() for triggerer in triggerers)
    row.files = max(triggerer.open_files() for triggerer in triggerers)
    row.heartbeat = max(row.heartbeat, stage.heartbeat_age(triggerers))
    row.says = sum(triggerer.says() for triggerer in triggerers)
    row.blocked.append(blocked(triggerers))


def watch(row: Row, triggerers: list[Triggerer], control: Control) -> None:
    """Measure what waiting costs."""
    before = time.monotonic()
    used = used_by(triggerers, WINDOW)
    looks = {job: times for job, times in control("seen")["looks"].items() if times[-1] > before}
    row.busy = 100 * used / WINDOW
    row.per_look = 1000 * used / sum(time > before for times in looks.values() for time in times)
    row.between = [later - one for times in looks.values() for one, later in pairwise(times) if later > before]
    row.looked_at = len(looks)


def end(row: Row, stage: Stage, control: Control, listen: Callable[[], None]) -> None:
    """End the jobs, and follow the tasks as far as something goes on with them."""
    clock, over = time.time() - time.monotonic(), time.time()
    control("end/0")
    resumed = f"from task_instance where scheduled_dttm > to_timestamp({over})"
    until(lambda: int(stage.airflow.query(f"select count(*) {resumed}")) >= row.waits, listen)
    # the event that resumes a task names its job; a task that has ended has forgotten that
    job = "coalesce(substring(next_kwargs::text from 'search-[0-9]{6}'), 'search-' || lpad(map_index::text, 6, '0'))"
    answer = stage.airflow.query(f"select {job}, extract(epoch from scheduled_dttm) {resumed}")  # noqa: S608 - our own
    times = dict(line.split("|") for line in answer.splitlines())
    seen = {name: looks[-1] + clock for name, looks in control("seen")["looks"].items()}
    row.seen = [seen[name] - over for name in times]
    row.resumed = [float(resumed) - seen[name] for name, resumed in times.items()]
    if row.how == "scheduled":
        stage.airflow.wait_for_run("scheduled")
        row.ended = time.time() - over


def take_over(stage: Stage, waits: int, threshold: int) -> list[object]:
    """Kill one of two triggerers, and return the row that tells how long its waits were not looked at."""
    print_step(f"Killing one of two triggerers that hold {waits} waits, with a threshold of {threshold} s")
    with (
        stage.cloud() as control,
        stage.triggerers(2, triggerer_health_check_threshold=threshold) as (killed, other),
    ):
        stage.copy(waits)
        until(lambda: stage.waiting([killed, other]) >= waits and looked_at(control) >= waits)
        lost = stage.waiting([killed])
        began = time.monotonic()
        killed.end(signal.SIGKILL)
        until(lambda: stage.waiting([other]) >= waits)
        taken = time.monotonic() - began
        until(lambda: all(looks[-1] > began for looks in control("seen")["looks"].values()))
        looked = time.monotonic() - began
        until(lambda: time.monotonic() - began > taken + WINDOW)
        looks = control("seen")["looks"].values()
        longest = max(later - one for times in looks for one, later in pairwise(times))
        return [waits, lost, threshold, f"{taken:.0f}", f"{looked:.0f}", f"{longest:.0f}"]


def fill(stage: Stage, waits: int) -> list[list[object]]:
    """Return rows that tell how many waits one triggerer of the default capacity holds, and then two."""
    print_step(f"{waits} waits and the default capacity of {DEFAULT_CAPACITY}")
    rows: list[list[object]] = []
    with stage.cloud(), stage.triggerers(1, DEFAULT_CAPACITY) as triggerers:
        stage.copy(waits)
        for wanted in (DEFAULT_CAPACITY, waits):
            until(partial(stage.is_held, triggerers, wanted))
            time.sleep(5)  # to see that it stays so
            rows.append([waits, *(stage.waiting([triggerer]) for triggerer in triggerers)])
            if len(triggerers) == 1:
                rows[0].append("not started")
                triggerers.append(stage.start(DEFAULT_CAPACITY))
    return rows


def looked_at(control: Control, times: int = 1) -> int:
    """Return how many jobs were looked at, at least so often."""
    if times == 1:
        return int(control("polled"))
    return sum(len(looks) >= times for looks in control("seen")["looks"].values())


def blocked(triggerers: list[Triggerer]) -> list[float]:
    """Return for how many seconds event loops stood still, each time."""
    return [seconds for triggerer in triggerers for seconds in triggerer.blocked()]


def used_by(triggerers: list[Triggerer], seconds: float) -> float:
    """Return the CPU time that triggerers use in some seconds."""
    before = sum(sum(triggerer.cpu()) for triggerer in triggerers)
    time.sleep(seconds)
    return sum(sum(triggerer.cpu()) for triggerer in triggerers) - before


def until(holds: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until something holds; stop when it takes too long."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        meanwhile()
        if time.monotonic() > deadline:
            sys.exit(f"the triggerers did not get that far in {PATIENCE} s")
        time.sleep(0.5)


def main() -> None:
    """Measure, and print the tables."""
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
            "held by the killed one",
            "triggerer_health_check_threshold",
            "all taken over after (s)",
            "all looked at after (s)",
            "longest time between two looks (s)",
        ],
        taken,
    )
    print(f"\nin {time.monotonic() - began:.0f} s")


def show(rows: Sequence[Row]) -> None:
    """Print what was measured."""
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"\n{conditions('aiohttp', 'psycopg2-binary')}; a look at each search about every {INTERVAL:.0f} s")
    print(f"The load of the machine in the last 1, 5 and 15 minutes was {load}.")
    print("The tasks of the first row were run by the scheduler. The deferrals of the others are copies of theirs.")
    for title, columns in TABLES.items():
        lines = [
            [f"{row.waits:,} {row.how}", row.triggerers, *(cell(row) for cell in columns.values())] for row in rows
        ]
        print_table(title, ["tasks", "triggerers", *columns], lines)


if __name__ == "__main__":
    main()
