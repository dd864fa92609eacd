"""One script that runs: a process, and the group of all that it starts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelarts_emulator.runs.guards import Guard

#: How long a script may take to end when it is told to.
GRACE_SECONDS = 2.0


class Script:
    """A running script. Once it has ended, nothing of what it started is left."""

    def __init__(self, process: asyncio.subprocess.Process, guard: Guard) -> None:
        self.pid = process.pid
        self._process = process
        self._guard = guard
        self._reminder: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: int) -> Script:
        """Start one.

        :param log: descriptor that takes what it prints; it is closed here.
        :raises OSError: when it cannot be started.
        """
        try:
            guard = await Guard.start()
            try:
                process = await _spawn(argv, cwd, environment, log)
            except BaseException:
                await guard.dismiss()
                raise
        finally:
            os.close(log)
        guard.watch(process.pid)
        return cls(process, guard)

    def stop(self) -> None:
        """Ask it to end, and make it end if it does not."""
        if self._reminder is None:
            self._signal(signal.SIGTERM)
            self._reminder = asyncio.get_running_loop().call_later(GRACE_SECONDS, self.kill)

    def kill(self) -> None:
        """Make it end."""
        self._signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Return its exit code; as a shell does, 128 and the number of the signal that ended it."""
        code = await self._process.wait()
        if self._reminder is not None:
            self._reminder.cancel()
        self._signal(signal.SIGKILL, to_rest=True)
        await self._guard.dismiss()
        return code if code >= 0 else 128 - code

    def _signal(self, number: int, *, to_rest: bool = False) -> None:
        if self._process.returncode is not None and not to_rest:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def _spawn(
    argv: Sequence[str], cwd: Path, environment: Mapping[str, str], log: int
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
