"""Trials of a report as CSV."""

from __future__ import annotations

import csv
import io

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object

_FIELDS = ("rank", "tied", "trial_id", "number", "status", "value", "reason", "duration", "reports")
_LISTS = {"params": "parameters", "metrics": "metrics"}  # prefix of the columns -> key in the leaderboard
_FORMULA = {*"=+-@\uff1d\uff0b\uff0d\uff20"}  # also in the full width of East Asian scripts


def csv_text(board: dict[str, JSON]) -> str:
    """Return the trials of a leaderboard, best first, as CSV (RFC 4180).

    Columns are named as in a data frame: ``params_<name>``, ``metrics_<name>``. A text that a spreadsheet would read as
    a formula, because it begins with ``=``, ``+``, ``-`` or ``@`` and is not a number, is prefixed with ``'``.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    names = [f"{prefix}_{name}" for prefix, key in _LISTS.items() for name in as_list(board[key], "the names")]
    writer.writerow([*_FIELDS, *map(_cell, names)])
    for entry in as_list(board["trials"], "the trials"):
        trial = as_object(entry, "a trial")
        values = [value for key in _LISTS.values() for value in as_list(trial[key], "values")]
        writer.writerow(map(_cell, [*(trial[field] for field in _FIELDS), *values]))
    return table.getvalue()


def _cell(value: JSON) -> JSON:
    if not isinstance(value, str) or cells.number(value) is not None:
        return value
    first = next((char for char in value if char.isprintable() and not char.isspace()), "")
    return f"'{value}" if first in _FORMULA else value
