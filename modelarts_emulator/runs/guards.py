"""Ends scripts that outlive the emulator, because that was killed and could not end them itself."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process

# Reads which process group it guards, and then waits for a line. The pipe ends without one when the emulator is gone.
_WATCH = 'read -r group && { read -r line || kill -s KILL -- "-$group"; }'


class Guard:
    """A shell that kills a process group when this process is gone."""

    def __init__(self, shell: Process) -> None:
        self._shell = shell

    @classmethod
    async def start(cls) -> Guard:
        """Start one, which guards nothing yet.

        :raises OSError: when it cannot be started.
        """
        return cls(
            await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", _WATCH, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
            )
        )

    def watch(self, group: int) -> None:
        """Guard a process group from now on."""
        if self._shell.stdin is not None:
            self._shell.stdin.write(f"{group}\n".encode())

    async def dismiss(self) -> None:
        """Let it end: what it guards has ended, or never began."""
        await self._shell.communicate(b"\n\n")
