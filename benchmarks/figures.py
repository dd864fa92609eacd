"""How the benchmarks show their figures: tables in Markdown, medians with their spread, and what measured them."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version


def conditions(*packages: str) -> str:
    """Return when, on what and with which versions something is measured.

    :param packages: distributions whose versions matter, besides Python and Airflow.
    """
    versions = [f"{name} {installed(name) or 'not installed'}" for name in ("apache-airflow", *packages)]
    cores = len(os.sched_getaffinity(0))
    return f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores, Python {platform.python_version()}, {', '.join(versions)}"


def installed(package: str) -> str | None:
    """Return the version of a distribution; None when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median of several rounds, with the least and the most."""
    if not values:
        return "-"
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table under its title."""
    print(f"\n{title}\n")
    for row in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)
