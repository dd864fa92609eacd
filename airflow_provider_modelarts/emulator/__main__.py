"""Serve a local ModelArts until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import signal
import sys
from pathlib import Path

from airflow_provider_modelarts.core.signing import AccessKey
from airflow_provider_modelarts.emulator.instance import DEMO_KEY, Emulator, describe
from airflow_provider_modelarts.emulator.scenarios import SCENARIOS
from airflow_provider_modelarts.emulator.server import LOOPBACK, serving
from airflow_provider_modelarts.emulator.table import ConfigEncoding, OffsetUnit


def main(arguments: list[str] | None = None) -> int:
    """Serve as the command line says, and return the exit code."""
    options = _parser().parse_args(arguments)
    emulator = Emulator(
        scenarios=options.scenario,
        key=AccessKey(options.access_key, options.secret_key),
        config_encoding=options.config_encoding,
        offset_unit=options.offset_unit,
    )
    if not _is_loopback(options.host):
        print(f"{options.host} is no loopback address: other machines can reach this emulator", file=sys.stderr)
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
            await asyncio.to_thread(_write_at_once, ready_file, json.dumps(describe(emulator)))
        print(_summary(emulator), flush=True)
        await stopped.wait()


def _summary(emulator: Emulator) -> str:
    jobs = " ".join(emulator.job_ids.values())
    return (
        f"ModelArts emulator at {emulator.endpoint} access key {emulator.access_key} "
        f"project {emulator.project_id} jobs {jobs}"
    )


def _write_at_once(path: Path, text: str) -> None:
    """Write a file that nobody can see before it is complete."""
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_modelarts.emulator",
        description="Serve a local ModelArts with scripted hyperparameter searches, until SIGINT or SIGTERM.",
    )
    add = parser.add_argument
    add("--host", default=LOOPBACK, help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port to listen on (default: a free one)")
    add("--scenario", action="append", choices=list(SCENARIOS), help="a search to hold; repeatable (default: all)")
    add("--config-encoding", choices=[*ConfigEncoding], default=ConfigEncoding.OBJECT.value, help="how configs look")
    add("--offset-unit", choices=[*OffsetUnit], default=OffsetUnit.PAGE.value, help="what offset counts")
    add("--access-key", default=DEMO_KEY.access_key, help="access key id to let in (default: %(default)s)")
    add("--secret-key", default=DEMO_KEY.secret_key, help="its secret (default: a fixed one, see --ready-file)")
    add("--ready-file", type=Path, help="JSON file to write once it serves: endpoint, connection, job ids")
    return parser


if __name__ == "__main__":
    sys.exit(main())
