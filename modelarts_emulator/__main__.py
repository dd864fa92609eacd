"""Command that serves a ModelArts emulator until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import math
import signal
import sys
from pathlib import Path

from modelarts_emulator.auth import DEMO_KEY, AccessKey
from modelarts_emulator.documents import ConfigEncoding, OffsetUnit
from modelarts_emulator.emulator import Emulator
from modelarts_emulator.scenarios import SCENARIOS
from modelarts_emulator.server import LOOPBACK, serving


def main(arguments: list[str] | None = None) -> int:
    """Serve with the options of a command line, and return the exit code."""
    options = _parser().parse_args(arguments)
    emulator = Emulator(
        scenarios=options.scenario,
        key=AccessKey(options.access_key, options.secret_key),
        config_encoding=options.config_encoding,
        offset_unit=options.offset_unit,
        root=options.root,
        max_parallel=options.max_parallel,
        listing_lag=options.listing_lag,
        fault_share=options.fault_share,
        fault_seed=options.fault_seed,
    )
    if not _is_loopback(options.host):
        print(
            f"{options.host} is not a loopback address: other machines can send scripts for this emulator to execute",
            file=sys.stderr,
        )
    try:
        asyncio.run(_serve(emulator, options.host, options.port, options.ready_file))
    except (OSError, OverflowError) as error:
        print(f"cannot serve on {options.host} port {options.port}: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(emulator: Emulator, host: str, port: int, ready_file: Path | None) -> None:
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stopped.set)
    async with serving(emulator, host, port):
        if ready_file:
            await asyncio.to_thread(_write_atomically, ready_file, json.dumps(_description(emulator)))
        print(_summary(emulator), flush=True)
        await stopped.wait()


def _description(emulator: Emulator) -> dict[str, object]:
    """Return the endpoint, connection and jobs of an emulator, as plain JSON."""
    return {
        "endpoint": emulator.endpoint,
        "project_id": emulator.project_id,
        "connection": emulator.connection(),
        "jobs": dict(emulator.job_ids),
        "root": str(emulator.root),
    }


def _summary(emulator: Emulator) -> str:
    jobs = " ".join(emulator.job_ids.values())
    return (
        f"ModelArts emulator at {emulator.endpoint} access key {emulator.access_key} "
        f"project {emulator.project_id} jobs {jobs}; "
        f"it executes the training scripts of its jobs, from {emulator.root}"
    )


def _write_atomically(path: Path, text: str) -> None:
    """Write a file that is complete as soon as it exists."""
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _share(text: str) -> float:
    share = _float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return share


def _seconds(text: str) -> float:
    seconds = _float(text)
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 on")
    return seconds


def _float(text: str) -> float:
    """Return the number in a text, or NaN, which is in no range."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m modelarts_emulator",
        description="Serve a ModelArts emulator until SIGINT or SIGTERM, with scripted hyperparameter searches. "
        "It executes the training scripts of its jobs on this machine.",
    )
    add = parser.add_argument
    add("--host", default=LOOPBACK, help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on (default: a free one)")
    add(
        "--scenario",
        action="append",
        choices=list(SCENARIOS),
        help="scripted search to hold; repeatable (default: all)",
    )
    add(
        "--config-encoding",
        choices=[*ConfigEncoding],
        default=ConfigEncoding.OBJECT.value,
        help="encoding of the config cell (default: %(default)s)",
    )
    add(
        "--offset-unit",
        choices=[*OffsetUnit],
        default=OffsetUnit.PAGE.value,
        help="unit of offset (default: %(default)s)",
    )
    add("--access-key", default=DEMO_KEY.access_key, help="access key id to accept (default: %(default)s)")
    add("--secret-key", default=DEMO_KEY.secret_key, help="its secret (default: a fixed one, see --ready-file)")
    add("--root", type=Path, help="folder of the buckets, which also keeps the jobs (default: a temporary one)")
    add("--max-parallel", type=_positive, default=2, help="trials of a search that run at once (default: %(default)s)")
    add(
        "--listing-lag",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="time until job searches list a new job (default: none)",
    )
    add("--fault-share", type=_share, default=0.0, help="share of faulty responses, from 0 to 1 (default: none)")
    add("--fault-seed", type=int, default=0, help="the same seed gives the same faults (default: %(default)s)")
    add("--ready-file", type=Path, help="JSON file to write once the emulator serves: endpoint, connection, job ids")
    return parser


if __name__ == "__main__":
    sys.exit(main())
