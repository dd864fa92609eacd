"""One script: a process, the group of all that it starts, and a watchdog in case the emulator is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Seconds between SIGTERM and SIGKILL.
GRACE_SECONDS = 2.0

# Reads the process group to watch, then waits for a line. The pipe ends without one when the emulator is gone.
_WATCH = 'read -r group && { read -r line || kill -s KILL -- "-$group"; }'


class Watchdog:
    """A shell that kills a process group when the emulator's process is gone."""

    def __init__(self, shell: Process) -> None:
        self._shell = shell

    @classmethod
    async def start(cls) -> Watchdog:
        """Start a watchdog without a group.

        :raises OSError: if the shell cannot be started.
        """
        return cls(
            await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", _WATCH, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
            )
        )

    def watch(self, group: int) -> None:
        """Watch a process group from now on."""
        if self._shell.stdin is not None:
            self._shell.stdin.write(f"{group}\n".encode())

    async def dismiss(self) -> None:
        """End the watchdog without killing the group."""
        await self._shell.communicate(b"\n\n")


class ScriptProcess:
    """A running script. When it ends, all processes of its group are killed."""

    def __init__(self, process: Process, watchdog: Watchdog) -> None:
        self.pid = process.pid
        self._process = process
        self._watchdog = watchdog
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: int) -> ScriptProcess:
        """Start a script.

        :param log: file descriptor for its output; closed here.
        :raises OSError: if the script cannot be started.
        """
        try:
            watchdog = await Watchdog.start()
            try:
                process = await _spawn(argv, cwd, environment, log)
            except BaseException:
                await watchdog.dismiss()
                raise
        finally:
            os.close(log)
        watchdog.watch(process.pid)
        return cls(process, watchdog)

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after :data:`GRACE_SECONDS`."""
        if self._timer is None:
            self._signal(signal.SIGTERM)
            self._timer = asyncio.get_running_loop().call_later(GRACE_SECONDS, self.kill)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Return the exit code; as in a shell, 128 plus the number of the signal that ended the script."""
        code = await self._process.wait()
        if self._timer is not None:
            self._timer.cancel()
        self._signal(signal.SIGKILL, to_rest=True)
        await self._watchdog.dismiss()
        return code if code >= 0 else 128 - code

    def _signal(self, number: int, *, to_rest: bool = False) -> None:
        if self._process.returncode is not None and not to_rest:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def _spawn(argv: Sequence[str], cwd: Path, environment: Mapping[str, str], log: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=environment, stdin=DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
