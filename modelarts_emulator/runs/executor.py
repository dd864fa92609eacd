"""Executor: creates, restores and ends the jobs of one emulator."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path

from modelarts_emulator.auth import Clock
from modelarts_emulator.documents import JobTimes
from modelarts_emulator.errors import Refusal, bad_request
from modelarts_emulator.json_values import JSON, as_object, child
from modelarts_emulator.runs.job import CreatedJob
from modelarts_emulator.runs.request import read_command
from modelarts_emulator.runs.runner import Runner, SearchRunner
from modelarts_emulator.runs.search import SearchSpec, read_search
from modelarts_emulator.runs.state import JobState, read_state
from modelarts_emulator.runs.storage import Buckets, JobFolder, JobStore

_LOGGER = logging.getLogger(__name__)


class Executor:
    """All jobs of one root, on one event loop.

    :param max_parallel: number of trials of a search that may run at once.
    :raises OSError: if the root cannot be used.
    """

    def __init__(self, root: Path, clock: Clock, max_parallel: int) -> None:
        self._store = JobStore(root)
        self._buckets = Buckets(root)
        self._clock = clock
        self._max_parallel = max_parallel
        self._running: dict[str, tuple[Runner, asyncio.Task[None]]] = {}
        self._removals: set[asyncio.Task[None]] = set()

    def restored_jobs(self) -> list[CreatedJob]:
        """Return the jobs of earlier emulators on the same root, oldest first."""
        found = [job for folder, saved in self._store.load() if (job := self._restore(folder, saved))]
        found.sort(key=lambda job: job[0].times.created)
        return [CreatedJob(state, search) for state, search in found]

    def create(self, body: Mapping[str, JSON], algorithm: dict[str, JSON]) -> CreatedJob:
        """Create and start a job, or refuse it.

        :param body: with a checked kind and metadata.
        """
        try:
            command = read_command(algorithm, self._buckets)
        except OSError as error:
            raise bad_request("2791", f"Invalid OBS path: {error.strerror}.") from None
        search = read_search(algorithm)
        job_id, now = str(uuid.uuid4()), self._clock()
        document = _document(body, algorithm, job_id, now)
        state = JobState(document, self._store.folder(job_id), self._clock, JobTimes(now))
        runner = SearchRunner(state, command, search, self._max_parallel) if search else Runner(state, command)
        state.add_event("Info", "Training job is Creating.")
        task = asyncio.get_running_loop().create_task(runner.run())
        task.add_done_callback(lambda _: self._running.pop(job_id, None))
        self._running[job_id] = runner, task
        return CreatedJob(state, search, runner)

    def remove(self, job_id: str) -> None:
        """Remove a job, after ending it if it is running."""
        task = asyncio.get_running_loop().create_task(self._remove(job_id))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def close(self) -> None:
        """End all running jobs."""
        for runner, _ in self._running.values():
            runner.kill()
        await asyncio.gather(*(task for _, task in self._running.values()), *self._removals, return_exceptions=True)
        self._store.close()

    async def _remove(self, job_id: str) -> None:
        if job_id in self._running:
            runner, task = self._running.pop(job_id)
            runner.kill()
            await asyncio.wait([task])
        await asyncio.to_thread(self._store.folder(job_id).remove)

    def _restore(self, folder: JobFolder, saved: JSON) -> tuple[JobState, SearchSpec | None] | None:
        try:
            search = read_search(as_object(child(saved, "document", "algorithm"), "its algorithm"))
            return read_state(saved, folder, self._clock), search
        except (KeyError, TypeError, ValueError, OverflowError, Refusal) as error:
            _LOGGER.warning("cannot restore the job in %s: %r", folder.path, error)
            return None


def _document(body: Mapping[str, JSON], algorithm: dict[str, JSON], job_id: str, now: float) -> dict[str, JSON]:
    metadata = as_object(body["metadata"], "metadata")
    return {
        **body,
        "metadata": {
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
