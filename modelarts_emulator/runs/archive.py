"""What outlives the emulator: one folder per job, with its state as JSON and the logs of its scripts."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_modelarts.core.json_values import JSON
from modelarts_emulator.runs.buckets import STATE_FOLDER

_LOGGER = logging.getLogger(__name__)
_STATE = "job.json"
# a script may have put a link in the place of a file of ours
_NO_LINKS = os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The folder of one job."""

    path: Path

    def save(self, state: dict[str, JSON]) -> None:
        """Keep a state in the place of the one before; nobody ever reads half of it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path / f"{_STATE}.draft"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINKS, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(state, file)
        draft.replace(self.path / _STATE)

    def open_log(self, name: str) -> int:
        """Return a descriptor that appends to a log."""
        return os.open(self.log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINKS, 0o600)

    def read_log(self, name: str, offset: int, size: int) -> bytes:
        """Return a piece of a log; nothing where there is none."""
        try:
            with os.fdopen(os.open(self.log(name), os.O_RDONLY | _NO_LINKS), "rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError:
            return b""

    def size_of_log(self, name: str) -> int:
        """Return how long a log is."""
        try:
            return self.log(name).lstat().st_size
        except OSError:
            return 0

    def log(self, name: str) -> Path:
        """Return where a log lies."""
        return self.path / f"{name}.log"

    def remove(self) -> None:
        """Forget the job."""
        shutil.rmtree(self.path, ignore_errors=True)


class Archive:
    """All folders of one root. While it is open, no other emulator can open it."""

    def __init__(self, root: Path) -> None:
        """Open the archive.

        :raises OSError: when the folder cannot be used, or another emulator uses it.
        """
        import fcntl

        self._folder = root / STATE_FOLDER
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if self._folder.is_symlink():
            raise OSError(f"{self._folder} is a symbolic link")
        self._lock = os.open(self._folder / "lock", os.O_WRONLY | os.O_CREAT | _NO_LINKS, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise OSError(f"another emulator uses the root {root}") from None

    def close(self) -> None:
        """Let other emulators use it."""
        os.close(self._lock)

    def folder(self, job_id: str) -> JobFolder:
        """Return the folder of a job."""
        return JobFolder(self._folder / "jobs" / job_id)

    def load(self) -> Iterator[tuple[JobFolder, JSON]]:
        """Yield the state of every job; what cannot be read is left alone."""
        for path in (self._folder / "jobs").glob(f"*/{_STATE}"):
            try:
                yield JobFolder(path.parent), json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                _LOGGER.warning("cannot read %s: %s", path, error)
