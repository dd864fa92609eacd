"""The trial table as the platform writes it: header and data, cells of text, one page of it at a time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from airflow_provider_modelarts.core.json_values import JSON

_TRIAL_LEADING = ("done", "pid", "best_reward", "time_total_s", "config")
_TRIAL_LAST = ("trial_id", "training_iteration", "reward_attr")
_NOT_IN_TRIAL = ("", "worker_index", "status")


class ConfigEncoding(StrEnum):
    """How the ``config`` cell is written.

    The platform has written an object, JSON text and the ``repr`` of a Python dict; ``decimal`` is what the vendor's
    SDK makes of the object: a ``repr`` with ``Decimal('0.03')`` in it.
    """

    OBJECT = "object"
    JSON_TEXT = "json"
    REPR = "repr"
    DECIMAL = "decimal"

    def write(self, config: Mapping[str, JSON]) -> JSON:
        """Return the cell of a configuration."""
        if self is ConfigEncoding.OBJECT:
            return dict(config)
        if self is ConfigEncoding.JSON_TEXT:
            return json.dumps(config)
        return repr(dict(config) if self is ConfigEncoding.REPR else _with_decimals(config))


class OffsetUnit(StrEnum):
    """What ``offset`` counts. The documents contradict each other."""

    PAGE = "page"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class TableStyle:
    """How tables are written.

    :param header_seed: shuffles the columns; None leaves the documented order.
    :param extra_columns: columns that nobody has heard of, each with the cell of all its rows.
    """

    config_encoding: ConfigEncoding = ConfigEncoding.OBJECT
    offset_unit: OffsetUnit = OffsetUnit.PAGE
    header_seed: int | None = None
    extra_columns: Mapping[str, str] = field(default_factory=dict)

    def rows_of_page(self, limit: int, offset: int) -> slice:
        """Return which rows a page holds."""
        first = offset if self.offset_unit is OffsetUnit.ROW else offset * limit
        return slice(first, first + limit)

    def header(self, columns: Sequence[str]) -> list[str]:
        """Return the header of a table with these columns."""
        header = [*columns, *self.extra_columns]
        if self.header_seed is not None:
            random.Random(self.header_seed).shuffle(header)
        return header

    def write_row(
        self, header: Iterable[str], number: int, cells: Mapping[str, JSON], *, may_be_short: bool
    ) -> list[JSON]:
        """Return the row of a trial, in the order of a header.

        :param number: of the row, which is the cell of the column without a name.
        :param may_be_short: leave out blank cells at its end.
        """
        config = cells["config"]
        written: dict[str, JSON] = {"": str(number), **self.extra_columns, **cells}
        written["config"] = self.config_encoding.write(config) if isinstance(config, Mapping) else config
        row = [written.get(name, "") for name in header]
        while may_be_short and row and row[-1] == "":
            row.pop()
        return row


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a table, and how many it has in all."""

    header: Sequence[str]
    data: Sequence[Sequence[JSON]]
    total: int


@dataclass(frozen=True, slots=True)
class Log:
    """The newest part of a log, and how long it is in all."""

    content: bytes
    size: int


def trial_header(columns: Iterable[str]) -> list[str]:
    """Return the columns of the table of one trial: another order, and neither status nor numbers of rows."""
    metrics = [name for name in columns if name not in {*_TRIAL_LEADING, *_TRIAL_LAST, *_NOT_IN_TRIAL}]
    return [*_TRIAL_LEADING, *metrics, *_TRIAL_LAST]


def write_reports(header: Sequence[str], reports: Iterable[Mapping[str, JSON]], style: TableStyle) -> Page:
    """Return the table of one trial: a row per report, the last of them its present state."""
    data = [style.write_row(header, number, cells, may_be_short=False) for number, cells in enumerate(reports)]
    return Page(header, data, len(data))


def _with_decimals(value: object) -> object:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {name: _with_decimals(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_decimals(item) for item in value]
    return value
