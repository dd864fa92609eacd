"""Makes the jobs that are created, keeps them, and ends them with the emulator."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path

from airflow_provider_modelarts.core.json_values import JSON, as_object, child
from airflow_provider_modelarts.exceptions import ModelArtsProtocolError
from modelarts_emulator.documents import JobTimes
from modelarts_emulator.errors import Refusal, bad_request
from modelarts_emulator.jobs import Clock
from modelarts_emulator.runs.archive import Archive, JobFolder
from modelarts_emulator.runs.buckets import Buckets
from modelarts_emulator.runs.commands import read_command
from modelarts_emulator.runs.job import CreatedJob
from modelarts_emulator.runs.plans import SearchPlan, read_plan
from modelarts_emulator.runs.running import Run
from modelarts_emulator.runs.searching import SearchRun
from modelarts_emulator.runs.state import JobState, read_state

_LOGGER = logging.getLogger(__name__)


class Workshop:
    """All jobs of one root. Everything here happens on one event loop.

    :param max_parallel: how many trials of a search may run at once.
    :raises OSError: when the root cannot be used.
    """

    def __init__(self, root: Path, clock: Clock, max_parallel: int) -> None:
        self._archive = Archive(root)
        self._buckets = Buckets(root)
        self._clock = clock
        self._max_parallel = max_parallel
        self._runs: dict[str, tuple[Run, asyncio.Task[None]]] = {}
        self._removals: set[asyncio.Task[None]] = set()

    def kept(self) -> list[CreatedJob]:
        """Return the jobs of earlier emulators on the same root, oldest first."""
        found = [job for folder, kept in self._archive.load() if (job := self._restore(folder, kept))]
        found.sort(key=lambda job: job[0].times.created)
        return [CreatedJob(state, plan) for state, plan in found]

    def create(self, body: Mapping[str, JSON], algorithm: dict[str, JSON]) -> CreatedJob:
        """Return a new job, which begins to run; or refuse it.

        :param body: kind, metadata and name are checked already.
        """
        try:
            command = read_command(algorithm, self._buckets)
        except OSError as error:
            raise bad_request("2791", f"Invalid OBS path: {error.strerror}.") from None
        plan = read_plan(algorithm)
        job_id, now = str(uuid.uuid4()), self._clock()
        document = _document(body, algorithm, job_id, now)
        state = JobState(document, self._archive.folder(job_id), self._clock, JobTimes(now))
        run = SearchRun(state, command, plan, self._max_parallel) if plan else Run(state, command)
        state.note("Info", "Training job is Creating.")
        task = asyncio.get_running_loop().create_task(run.run())
        task.add_done_callback(lambda _: self._runs.pop(job_id, None))
        self._runs[job_id] = run, task
        return CreatedJob(state, plan, run)

    def remove(self, job_id: str) -> None:
        """End a job if it runs, and forget it."""
        task = asyncio.get_running_loop().create_task(self._remove(job_id))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def close(self) -> None:
        """End everything that runs."""
        for run, _ in self._runs.values():
            run.kill()
        await asyncio.gather(*(task for _, task in self._runs.values()), *self._removals, return_exceptions=True)
        self._archive.close()

    async def _remove(self, job_id: str) -> None:
        if job_id in self._runs:
            run, task = self._runs.pop(job_id)
            run.kill()
            await asyncio.wait([task])
        await asyncio.to_thread(self._archive.folder(job_id).remove)

    def _restore(self, folder: JobFolder, kept: JSON) -> tuple[JobState, SearchPlan | None] | None:
        try:
            plan = read_plan(as_object(child(kept, "document", "algorithm"), "its algorithm"))
            return read_state(kept, folder, self._clock), plan
        except (KeyError, TypeError, ValueError, OverflowError, ModelArtsProtocolError, Refusal) as error:
            _LOGGER.warning("cannot restore the job in %s: %r", folder.path, error)
            return None


def _document(body: Mapping[str, JSON], algorithm: dict[str, JSON], job_id: str, now: float) -> dict[str, JSON]:
    metadata = as_object(body["metadata"], "metadata")
    return {
        **body,
        "metadata": {
            "workspace_id": "0",
            "user_name": "emulator",
            **metadata,
            "id": job_id,
            "create_time": round(now * 1000),
        },
        "algorithm": {
            "parameters": [],
            "inputs": [],
            "outputs": [],
            **algorithm,
            "policies": algorithm.get("policies") or {},
        },
        "spec": as_object(body.get("spec") or {"resource": {"node_count": 1}}, "spec"),
    }
