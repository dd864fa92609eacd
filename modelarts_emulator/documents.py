"""Jobs, algorithms and trial tables as the platform writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from modelarts_emulator.json_values import JSON
from modelarts_emulator.scenario import Search
from modelarts_emulator.vocabulary import DEFAULT_WORKSPACE, TASK, JobPhase

_ENGINE = "pytorch_1.8.0-cuda_10.2-py_3.7-ubuntu_18.04-x86_64"
_TRIAL_LEADING = ("done", "pid", "best_reward", "time_total_s", "config")
_TRIAL_LAST = ("trial_id", "training_iteration", "reward_attr")
_NOT_IN_TRIAL = ("", "worker_index", "status")


@dataclass(frozen=True, slots=True)
class JobTimes:
    """Creation, start and end of a job, in seconds since the epoch."""

    created: float
    started: float | None = None
    ended: float | None = None

    @classmethod
    def at_first(cls, phase: JobPhase, now: float) -> JobTimes:
        """Return the times of a job that is already in a phase; an ended one ended an hour ago."""
        if phase.is_starting:
            return cls(now)
        if phase.is_terminal:
            return cls(now - 4200, None if phase is JobPhase.ABNORMAL else now - 4140, now - 3600)
        return cls(now - 120, now - 60)

    def after(self, phase: JobPhase, now: float) -> JobTimes:
        """Return the times of a job that enters a phase now."""
        times = self
        if times.started is None and not phase.is_starting and phase is not JobPhase.ABNORMAL:
            times = replace(times, started=now)
        if times.ended is None and phase.is_terminal:
            times = replace(times, ended=now)
        return times

    def duration(self, now: float) -> float:
        """Return the seconds for which the job has run."""
        return 0.0 if self.started is None else (self.ended or now) - self.started


def job_document(search: Search, phase: JobPhase, times: JobTimes, now: float) -> dict[str, JSON]:
    """Return the response of ShowTrainingJobDetails."""
    return {
        "kind": "job",
        "metadata": {
            "id": search.job_id,
            "name": search.name,
            "description": "",
            "create_time": _milliseconds(times.created),
            "workspace_id": DEFAULT_WORKSPACE,
            "user_name": "emulator",
        },
        "status": job_status(phase, times, now, (1, search.message) if search.message else None),
        "algorithm": {
            **({"id": search.algorithm_id} if search.algorithm_id else {}),
            "name": f"{search.name}-algorithm",
            "code_dir": "/emulator/code/",
            "boot_file": "/emulator/code/train.py",
            "parameters": [],
            "engine": {"engine_id": _ENGINE, "engine_name": "PyTorch", "engine_version": _ENGINE},
            "policies": {"auto_search": auto_search(search)} if _has_settings(search) else {},
        },
        "spec": {"resource": {"flavor_id": "modelarts.vm.cpu.8u", "node_count": 1}},
    }


def job_status(phase: JobPhase, times: JobTimes, now: float, failure: tuple[int, str] | None) -> dict[str, JSON]:
    """Return the ``status`` of a job.

    :param failure: exit code and message of a failed job.
    """
    status: dict[str, JSON] = {
        "phase": phase.value,
        "secondary_phase": "CreateFailed" if phase is JobPhase.ABNORMAL else phase.value,
        "duration": _milliseconds(times.duration(now)),
        "start_time": _milliseconds(times.started or 0),
        "node_count_metrics": None,
        "tasks": [TASK],
    }
    if phase.is_failure and failure:
        status["task_statuses"] = [{"task": TASK, "exit_code": failure[0], "message": failure[1]}]
    return status


def algorithm_document(search: Search) -> dict[str, JSON]:
    """Return the response of ShowAlgorithmByUuid, in which the values of a discrete parameter are one text."""
    settings = auto_search(replace(search, algorithm_id=None, space=[_with_text(entry) for entry in search.space]))
    return {
        "metadata": {
            "id": search.algorithm_id,
            "name": f"{search.name}-algorithm",
            "workspace_id": DEFAULT_WORKSPACE,
        },
        "job_config": {"code_dir": "/emulator/code/", "boot_file": "/emulator/code/train.py", "parameters": []},
        "resource_requirements": [],
        "advanced_config": {"auto_search": settings},
    }


def auto_search(search: Search) -> JSON:
    """Return the search settings of a job; None if its algorithm holds them."""
    if search.algorithm_id:
        return None
    number: JSON = {"key": "num_samples", "value": str(search.num_samples), "type": "Integer"}
    return {
        "skip_search_params": "",
        "reward_attrs": [
            {"name": name, "mode": mode, "regex": f"{name}: ([0-9.]+)"} for name, mode in search.objectives.items()
        ],
        "search_params": [dict(entry) for entry in search.space],
        "algo_configs": [{"name": "tpe_search", "params": [number] if search.num_samples else []}],
    }


def _has_settings(search: Search) -> bool:
    return bool(search.objectives or search.num_samples)


def _with_text(entry: Mapping[str, JSON]) -> dict[str, JSON]:
    values = entry.get("discrete_values")
    return {**entry, "discrete_values": ",".join(map(str, values))} if isinstance(values, list) else dict(entry)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


class ConfigEncoding(StrEnum):
    """Encoding of the ``config`` cell.

    The platform has written an object, JSON text and the ``repr`` of a Python dict. The vendor's SDK converts the
    object to ``decimal``: a ``repr`` with ``Decimal('0.03')`` in it.
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
    """Unit of ``offset``. The documents contradict each other."""

    PAGE = "page"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class TableStyle:
    """Style of trial tables.

    :param header_seed: shuffles the columns; None keeps the documented order.
    :param extra_columns: undocumented columns, each with the cell of all its rows.
    """

    config_encoding: ConfigEncoding = ConfigEncoding.OBJECT
    offset_unit: OffsetUnit = OffsetUnit.PAGE
    header_seed: int | None = None
    extra_columns: Mapping[str, str] = field(default_factory=dict)

    def rows_of_page(self, limit: int, offset: int) -> slice:
        """Return the rows of a page."""
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

        :param number: of the row: the cell of the column without a name.
        :param may_be_short: leave out blank cells at the end.
        """
        config = cells["config"]
        written: dict[str, JSON] = {"": str(number), **self.extra_columns, **cells}
        written["config"] = self.config_encoding.write(config) if isinstance(config, Mapping) else config
        row = [written.get(name, "") for name in header]
        while may_be_short and row and row[-1] == "":
            row.pop()
        return row


@dataclass(frozen=True, slots=True)
class TablePage:
    """Some rows of a table, and the number of all its rows."""

    header: Sequence[str]
    data: Sequence[Sequence[JSON]]
    total: int


def trial_header(columns: Iterable[str]) -> list[str]:
    """Return the columns of the table of one trial: in another order, without status and row numbers."""
    metrics = [name for name in columns if name not in {*_TRIAL_LEADING, *_TRIAL_LAST, *_NOT_IN_TRIAL}]
    return [*_TRIAL_LEADING, *metrics, *_TRIAL_LAST]


def write_reports(header: Sequence[str], reports: Iterable[Mapping[str, JSON]], style: TableStyle) -> TablePage:
    """Return the table of one trial: a row per report, the last one with its present state."""
    data = [style.write_row(header, number, cells, may_be_short=False) for number, cells in enumerate(reports)]
    return TablePage(header, data, len(data))


def _with_decimals(value: object) -> object:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {name: _with_decimals(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_decimals(item) for item in value]
    return value
