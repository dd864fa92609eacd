"""Runs one job to its end. This is the course of a job that runs its script once; ``searching`` has the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping

from airflow_provider_modelarts.core.jobs import JobPhase
from modelarts_emulator.documents import TASK
from modelarts_emulator.runs.commands import Command
from modelarts_emulator.runs.scripts import Script
from modelarts_emulator.runs.state import JobState, interrupt

_CANNOT_START = 126
_LAST_PIECE = 4096


class Run:
    """What a job does while it runs. It ends by itself, by :meth:`stop`, or with the emulator."""

    def __init__(self, state: JobState, command: Command) -> None:
        self._state = state
        self._command = command
        self._scripts: dict[str, Script] = {}
        self._ending = False
        self._emulator_ends = False

    async def run(self) -> None:
        """Run the job to its end, whatever that is."""
        try:
            await self._run()
        except Exception as error:
            self._state.fail(1, f"the emulator failed: {error!r}")
        finally:
            await self._end_scripts()

    def stop(self) -> None:
        """Let nothing begin any more, and ask what runs to end."""
        self._ending = True
        for script in self._scripts.values():
            script.stop()

    def kill(self) -> None:
        """End at once, because the emulator ends."""
        self._ending = self._emulator_ends = True
        for script in self._scripts.values():
            script.kill()

    def stop_trial(self, trial_id: str) -> None:
        """Ask one trial to end, if it runs."""

    def read(self) -> None:
        """Read what has been printed since the last time."""

    async def _run(self) -> None:
        self._state.enter(JobPhase.PENDING)
        await asyncio.sleep(0)
        code, message = 0, ""
        if not self._ending:
            self._state.enter(JobPhase.RUNNING)
            for folder in self._command.outputs:
                folder.mkdir(parents=True, exist_ok=True)
            code, message = await self._work()
        if self._emulator_ends:
            interrupt(self._state)
        elif self._ending:
            self._state.enter(JobPhase.TERMINATED)
        elif code:
            self._state.fail(code, message)
        else:
            self._state.enter(JobPhase.COMPLETED)

    async def _work(self) -> tuple[int, str]:
        """Return exit code and last words of the job."""
        code = await self._execute(TASK, {}, lambda pid: None)
        return code, self._last_words(TASK)

    async def _execute(self, name: str, drawn: Mapping[str, str], started: Callable[[int], None]) -> int:
        """Run the script once, and return its exit code.

        :param name: of the log that takes what it prints.
        :param started: called with the id of its process.
        """
        command, log = self._command, self._state.folder.open_log(name)
        try:
            script = await Script.start(
                command.argv(drawn), cwd=command.code_dir, environment=command.environment, log=log
            )
        except OSError as error:
            self._write(name, f"the script cannot be started: {error}")
            return _CANNOT_START
        self._scripts[name] = script
        started(script.pid)
        if self._emulator_ends:
            script.kill()
        elif self._ending:
            script.stop()
        code = await script.wait()
        del self._scripts[name]
        return code

    def _write(self, name: str, line: str) -> None:
        with os.fdopen(self._state.folder.open_log(name), "a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    def _last_words(self, name: str) -> str:
        """Return the last line of a log that is not blank."""
        folder = self._state.folder
        piece = folder.read_log(name, max(0, folder.size_of_log(name) - _LAST_PIECE), _LAST_PIECE)
        lines = [line for line in piece.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else "the script has printed nothing"

    async def _end_scripts(self) -> None:
        for script in list(self._scripts.values()):
            script.kill()
            with contextlib.suppress(OSError):
                await script.wait()
