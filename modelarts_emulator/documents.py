"""Jobs and algorithms as the platform writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from airflow_provider_modelarts.core.jobs import JobPhase
from airflow_provider_modelarts.core.json_values import JSON
from modelarts_emulator.script import Search

#: The one task of a job.
TASK = "worker-0"

_ENGINE = "pytorch_1.8.0-cuda_10.2-py_3.7-ubuntu_18.04-x86_64"


@dataclass(frozen=True, slots=True)
class JobTimes:
    """When a job was created, started and ended, in seconds since the epoch."""

    created: float
    started: float | None = None
    ended: float | None = None

    @classmethod
    def at_first(cls, phase: JobPhase, now: float) -> JobTimes:
        """Return the times of a job that is in a phase when the emulator starts: an ended one ended an hour ago."""
        if phase.is_starting:
            return cls(now)
        if phase.is_terminal:
            return cls(now - 4200, None if phase is JobPhase.ABNORMAL else now - 4140, now - 3600)
        return cls(now - 120, now - 60)

    def after(self, phase: JobPhase, now: float) -> JobTimes:
        """Return the times once the job is in a phase."""
        times = self
        if times.started is None and not phase.is_starting and phase is not JobPhase.ABNORMAL:
            times = replace(times, started=now)
        if times.ended is None and phase.is_terminal:
            times = replace(times, ended=now)
        return times

    def duration(self, now: float) -> float:
        """Return for how long the job has run."""
        return 0.0 if self.started is None else (self.ended or now) - self.started


def job_document(search: Search, phase: JobPhase, times: JobTimes, now: float) -> dict[str, JSON]:
    """Return the answer of ShowTrainingJobDetails."""
    return {
        "kind": "job",
        "metadata": {
            "id": search.job_id,
            "name": search.name,
            "description": "",
            "create_time": _milliseconds(times.created),
            "workspace_id": "0",
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
            "policies": {"auto_search": auto_search(search)} if _holds_settings(search) else {},
        },
        "spec": {"resource": {"flavor_id": "modelarts.vm.cpu.8u", "node_count": 1}},
    }


def algorithm_document(search: Search) -> dict[str, JSON]:
    """Return the answer of ShowAlgorithmByUuid: here the values of a discrete parameter are one text."""
    settings = auto_search(replace(search, algorithm_id=None, space=[_as_text(entry) for entry in search.space]))
    return {
        "metadata": {"id": search.algorithm_id, "name": f"{search.name}-algorithm", "workspace_id": "0"},
        "job_config": {"code_dir": "/emulator/code/", "boot_file": "/emulator/code/train.py", "parameters": []},
        "resource_requirements": [],
        "advanced_config": {"auto_search": settings},
    }


def auto_search(search: Search) -> JSON:
    """Return the settings of a search; None where the job leaves them to its algorithm."""
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


def _holds_settings(search: Search) -> bool:
    return bool(search.objectives or search.num_samples)


def _as_text(entry: Mapping[str, JSON]) -> dict[str, JSON]:
    values = entry.get("discrete_values")
    return {**entry, "discrete_values": ",".join(map(str, values))} if isinstance(values, list) else dict(entry)


def job_status(phase: JobPhase, times: JobTimes, now: float, failure: tuple[int, str] | None) -> dict[str, JSON]:
    """Return the ``status`` of a job.

    :param failure: exit code and message of a job that broke.
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


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
