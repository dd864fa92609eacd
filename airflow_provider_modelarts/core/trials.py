"""Trials, and the reader of the ``{header, data}`` table in which ModelArts lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import cast

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, describe, integer, one_line, text
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError, sanitize

#: Columns with a meaning of their own; all others are metrics that the training script reported.
_OWN_COLUMNS = frozenset(
    {
        "",
        "best_reward",
        "config",
        "done",
        "pid",
        "reward_attr",
        "status",
        "time_total_s",
        "training_iteration",
        "trial_id",
        "worker_index",
    }
)
_REQUIRED_COLUMNS = ("trial_id", "status", "config")

# Ids and statuses enter logs and paths, names of metrics are columns in the UI.
_MAX_ID_CHARS = 64
_MAX_STATUS_CHARS = 40
_MAX_METRIC_CHARS = 100
# Far above the largest search, and small enough to be read in seconds.
_MAX_ROWS = 100_000


class TrialStatus(StrEnum):
    """Statuses of a trial: those of Ray Tune, the engine of the search.

    ::

        PENDING -> RUNNING <-> PAUSED
        RUNNING -> TERMINATED       its normal end, also when stopped early
        RUNNING -> ERROR            never becomes TERMINATED

    A status that this package does not know is ``UNKNOWN``: it never competes and is not a success.
    """

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    TERMINATED = "TERMINATED"
    ERROR = "ERROR"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def read(cls, word: str) -> TrialStatus:
        """Return the status of a word, in any case; ``UNKNOWN`` for a new one."""
        return _STATUSES.get(word) or _STATUSES.get(word.strip().upper(), cls.UNKNOWN)


_STATUSES = {status.value: status for status in TrialStatus}
_ENDED = frozenset({TrialStatus.TERMINATED, TrialStatus.ERROR})


@dataclass(frozen=True, repr=False)  # without slots, in which nothing could be cached
class Trial:
    """One run of the training script with one configuration: a row of the trial table.

    Properties are read from the cells on access, since most callers use few of them.

    :param raw: every cell under its column's name.
    """

    trial_id: str
    status: TrialStatus
    raw: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, JSON] | None:
        """The hyperparameters with their JSON types, without the platform's own keys (``trial_index``, ``param/*``).

        None when the cell is blank or cannot be read.
        """
        if self._config is None:
            return None
        return {
            name: value
            for name, value in self._config.items()
            if name != "trial_index" and not name.startswith("param/")
        }

    @property
    def index(self) -> int | None:
        """The platform's ``trial_index``."""
        return integer(self._config.get("trial_index")) if self._config is not None else None

    @cached_property
    def _config(self) -> dict[str, JSON] | None:
        return cells.configuration(self.raw.get("config"))

    @property
    def status_text(self) -> str:
        """The status in the platform's own word."""
        return sanitize(text(self.raw.get("status")), _MAX_STATUS_CHARS) or self.status.value

    @property
    def ended(self) -> bool:
        """Whether the trial has ended. In an unknown status, the ``done`` flag decides."""
        if self.status is TrialStatus.UNKNOWN:
            return self.done is True
        return self.status in _ENDED

    @property
    def done(self) -> bool | None:
        """The platform's flag."""
        return cells.flag(self.raw.get("done"))

    @property
    def reward(self) -> float | None:
        """Last value of the search's objective (column ``reward_attr``)."""
        return cells.number(self.raw.get("reward_attr"))

    @property
    def best_reward(self) -> float | None:
        """Best value of the search's objective within this trial."""
        return cells.number(self.raw.get("best_reward"))

    @property
    def training_iteration(self) -> int | None:
        """Number of reports so far."""
        return cells.integer(self.raw.get("training_iteration"))

    @property
    def duration(self) -> float | None:
        """Run time in seconds (column ``time_total_s``)."""
        return cells.number(self.raw.get("time_total_s"))

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of every numeric column that is not the platform's own, NaN and infinities included."""
        numbers = {name: self.metric(name) for name in self.raw}
        return {name: number for name, number in numbers.items() if number is not None}

    def metric(self, name: str) -> float | None:
        """Return the last value of one metric; None when it has none."""
        return cells.number(self.raw.get(name)) if _is_metric(name) else None

    def __repr__(self) -> str:
        """Show the id, the status, the config and the best value."""
        return f"Trial({self.trial_id!r}, {self.status}, config={self.config!r}, best_reward={self.best_reward!r})"


def _is_metric(name: str) -> bool:
    return name not in _OWN_COLUMNS and name.isprintable() and len(name) <= _MAX_METRIC_CHARS


def parameter_names(trials: Iterable[Trial]) -> list[str]:
    """Return the names of all hyperparameters of some trials, in the order of their first appearance."""
    return list(dict.fromkeys(name for trial in trials for name in trial.config or ()))


def metric_names(trials: Iterable[Trial]) -> list[str]:
    """Return the names of all metrics of some trials, in the order of their first appearance."""
    return list(dict.fromkeys(name for trial in trials for name in trial.metrics))


@dataclass(frozen=True, slots=True)
class TrialPage:
    """One page of the trial listing.

    :param total: how many trials the platform promises over all pages.
    :param limit: the page size in force; None when the response does not hold it.
    """

    trials: Sequence[Trial]
    total: int
    limit: int | None = None


def read_page(response: JSON) -> TrialPage:
    """Return the page of a ShowAutoSearchTrials response.

    :raises ModelArtsProtocolError: when it is not such a response.
    """
    page = as_object(response, "the list of trials")
    total = integer(page.get("total"))
    if total is None or total < 0:
        raise ModelArtsProtocolError(f"the list of trials has no usable total: {describe(page.get('total'))}")
    table = as_object(page.get("items") or {}, "items in the list of trials")
    return TrialPage(read_table(table.get("header"), table.get("data")), total, integer(page.get("limit")))


def read_table(header: JSON, data: JSON) -> list[Trial]:
    """Return the trials of a table, by column name. Of columns that share a name, the first counts.

    A row may be shorter than the header as long as it has its id, status and config: metrics appear late. The time
    grows with the number of cells, however many columns the header names.

    :raises ModelArtsProtocolError: for a row that is longer than the header, or has no usable id; it names the row.
    """
    columns = [text(name) for name in as_list(header or [], "the header of the trial table")]
    rows = as_list(data or [], "the data of the trial table")
    if rows and "trial_id" not in columns:
        shown = one_line(", ".join(columns[:20]), 200)
        raise ModelArtsProtocolError(f"the trial table has no column trial_id, only {shown}")
    if len(rows) > _MAX_ROWS:
        raise ModelArtsProtocolError(f"the trial table has {len(rows)} rows, more than the {_MAX_ROWS} allowed")
    positions: dict[str, int] = {}
    for position, name in enumerate(columns):
        positions.setdefault(name, position)
    shortest = 1 + max((positions[name] for name in _REQUIRED_COLUMNS if name in positions), default=-1)
    first = [name if positions[name] == position else None for position, name in enumerate(columns)]
    return [_read_row(_checked(row, number, shortest, len(columns)), number, first) for number, row in enumerate(rows)]


def _checked(row: JSON, number: int, shortest: int, longest: int) -> list[JSON]:
    cells_of_row = as_list(row, f"row {number} of the trial table")
    if not shortest <= len(cells_of_row) <= longest:
        raise ModelArtsProtocolError(
            f"row {number} of the trial table has {len(cells_of_row)} cells where the header has {longest} columns"
            f" and id, status and config require {shortest}"
        )
    return cells_of_row


def _read_row(row: list[JSON], number: int, columns: Sequence[str | None]) -> Trial:
    """Return the trial of a row.

    :param columns: names of the columns; None for a repeated name.
    """
    raw = cast("dict[str, JSON]", dict(zip(columns, row, strict=False)))
    raw.pop(cast("str", None), None)
    trial_id = text(raw["trial_id"]).strip()
    if not trial_id:
        raise ModelArtsProtocolError(f"row {number} of the trial table has no trial_id")
    if len(trial_id) > _MAX_ID_CHARS or not trial_id.isprintable():
        raise ModelArtsProtocolError(f"row {number} of the trial table has no usable trial_id: {describe(trial_id)}")
    return Trial(trial_id, TrialStatus.read(text(raw.get("status"))), raw)
