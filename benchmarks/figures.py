"""Output of the benchmarks: Markdown tables, medians with their range, and test conditions."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version


def conditions(*packages: str) -> str:
    """Return date, cores and versions of a measurement.

    :param packages: distributions to list besides Python and Airflow.
    """
    versions = [f"{name} {installed(name) or 'not installed'}" for name in ("apache-airflow", *packages)]
    cores = len(os.sched_getaffinity(0))
    return f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores, Python {platform.python_version()}, {', '.join(versions)}"


def installed(package: str) -> str | None:
    """Return the version of a distribution, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median of several rounds, with minimum and maximum."""
    if not values:
        return "-"
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with a title."""
    print(f"\n{title}\n")
    for row in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)
