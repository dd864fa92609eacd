"""Trials, and how they are read from the ``{header, data}`` table that ModelArts answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import cast

from airflow_provider_modelarts.core import cells
from airflow_provider_modelarts.core.json_values import JSON, as_list, as_object, describe, integer, text, words
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError, sanitize


class TrialStatus(StrEnum):
    """States of a trial. The engine is Ray Tune, whose states these are.

    ::

        PENDING -> RUNNING <-> PAUSED
        RUNNING -> TERMINATED       its normal end, also when stopped early
        RUNNING -> ERROR            never becomes TERMINATED

    A word that nobody has heard of is ``UNKNOWN``: it never competes and is no success.
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


@dataclass(frozen=True, repr=False)  # without slots, in which nothing could be cached
class Trial:
    """One run of the training script with one configuration: a row of the trial table.

    What a property tells is read from the row's cells when it is asked for, since few are of most trials.

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
        """How often it has reported."""
        return cells.integer(self.raw.get("training_iteration"))

    @property
    def duration(self) -> float | None:
        """Seconds that it has run (column ``time_total_s``)."""
        return cells.number(self.raw.get("time_total_s"))

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of every column that holds a number and is none of the platform's own.

        NaN and infinities stay in, what is no number stays out.
        """
        numbers = {name: self.metric(name) for name in self.raw}
        return {name: number for name, number in numbers.items() if number is not None}

    def metric(self, name: str) -> float | None:
        """Return the last value of one of them; None when it has none."""
        return cells.number(self.raw.get(name)) if _is_metric(name) else None

    def __repr__(self) -> str:
        """Tell what people look for first."""
        return f"Trial({self.trial_id!r}, {self.status}, config={self.config!r}, best_reward={self.best_reward!r})"

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it. In a status nobody knows, the ``done`` flag decides."""
        if self.status is TrialStatus.UNKNOWN:
            return self.done is True
        return self.status in _ENDED

    @property
    def status_text(self) -> str:
        """The status in the platform's own word."""
        return sanitize(text(self.raw.get("status")), _LONGEST_STATUS) or self.status.value


_ENDED = frozenset({TrialStatus.TERMINATED, TrialStatus.ERROR})

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
_NEEDED_COLUMNS = ("trial_id", "status", "config")

_LONGEST_ID = 64
_LONGEST_STATUS = 40
_LONGEST_METRIC = 100
_MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class TrialPage:
    """One page of the listing.

    :param total: how many trials the platform promises over all pages.
    :param limit: the page size in force; None when the answer does not say.
    """

    trials: Sequence[Trial]
    total: int
    limit: int | None = None


def read_page(answer: JSON) -> TrialPage:
    """Return the page that a ShowAutoSearchTrials answer holds.

    :raises ModelArtsProtocolError: when it is no such answer.
    """
    page = as_object(answer, "the list of trials")
    total = integer(page.get("total"))
    if total is None or total < 0:
        raise ModelArtsProtocolError(f"the list of trials should say its total, but says {describe(page.get('total'))}")
    items = as_object(page.get("items") or {}, "items in the list of trials")
    return TrialPage(read_table(items.get("header"), items.get("data")), total, integer(page.get("limit")))


def read_table(header: JSON, data: JSON) -> list[Trial]:
    """Return the trials of a table, by column name. Of columns that share a name, the first counts.

    A row may be shorter than the header as long as it has its id, status and config: metrics appear late. The time it
    takes grows with the number of cells, however many columns the header names.

    :raises ModelArtsProtocolError: for a row that is longer, or has no id that can be shown; it names the row.
    """
    columns = [text(name) for name in as_list(header or [], "the header of the trial table")]
    rows = as_list(data or [], "the data of the trial table")
    if rows and "trial_id" not in columns:
        raise ModelArtsProtocolError(
            f"the trial table has no column trial_id, only {words(', '.join(columns[:20]), 200)}"
        )
    if len(rows) > _MOST_ROWS:
        raise ModelArtsProtocolError(f"the trial table has {len(rows)} rows, more than the {_MOST_ROWS} allowed")
    where: dict[str, int] = {}
    for position, name in enumerate(columns):
        where.setdefault(name, position)
    shortest = 1 + max((where[name] for name in _NEEDED_COLUMNS if name in where), default=-1)
    first = [name if where[name] == position else None for position, name in enumerate(columns)]
    return [_read_row(_checked(row, number, shortest, len(columns)), number, first) for number, row in enumerate(rows)]


def _is_metric(name: str) -> bool:
    return name not in _OWN_COLUMNS and name.isprintable() and len(name) <= _LONGEST_METRIC


def _checked(row: JSON, number: int, shortest: int, longest: int) -> list[JSON]:
    cells_of_row = as_list(row, f"row {number} of the trial table")
    if not shortest <= len(cells_of_row) <= longest:
        raise ModelArtsProtocolError(
            f"row {number} of the trial table has {len(cells_of_row)} cells where the header has {longest} columns"
            f" and id, status and config need {shortest}"
        )
    return cells_of_row


def _read_row(row: list[JSON], number: int, columns: Sequence[str | None]) -> Trial:
    """Return the trial of a row.

    :param columns: names of the columns; None for one whose name another before it has.
    """
    raw = cast("dict[str, JSON]", dict(zip(columns, row, strict=False)))
    raw.pop(cast("str", None), None)
    trial_id = text(raw["trial_id"]).strip()
    if not trial_id:
        raise ModelArtsProtocolError(f"row {number} of the trial table has no trial_id")
    if len(trial_id) > _LONGEST_ID or not trial_id.isprintable():
        raise ModelArtsProtocolError(f"row {number} of the trial table has no usable trial_id: {describe(trial_id)}")
    return Trial(trial_id, TrialStatus.read(text(raw.get("status"))), raw)
