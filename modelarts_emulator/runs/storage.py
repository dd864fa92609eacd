"""Storage below the root: OBS paths as folders, and one folder per job with its state as JSON and its logs.

``obs://bucket/code/`` and ``/bucket/code/`` are ``ROOT/bucket/code``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelarts_emulator.errors import bad_request
from modelarts_emulator.json_values import JSON, describe

_LOGGER = logging.getLogger(__name__)

# below the root, and not a bucket: the files of the emulator
_STATE_FOLDER = ".modelarts-emulator"
_STATE = "job.json"
# a script may have replaced a file of the emulator with a link
_NO_LINKS = os.O_CLOEXEC | os.O_NOFOLLOW

_OBS_PATH = re.compile(r"(?:obs://|/)([A-Za-z0-9][A-Za-z0-9._-]{0,62})(?:/([^\0]*))?")
_MAX_KEY = 1024  # limit of OBS
_MAX_NAME = 255  # limit of file systems


class Buckets:
    """The buckets of one emulator. No path leads out of them, neither by ``..`` nor by symbolic links."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def local(self, path: JSON, what: str) -> Path:
        """Return the local path of an OBS path, whether or not a file is there, or refuse it.

        :param what: the field with the path, for the refusal.
        """
        parts = _OBS_PATH.fullmatch(path) if isinstance(path, str) else None
        names = [name for name in (parts[2] or "").split("/") if name not in {"", "."}] if parts else []
        if parts is None or ".." in names or any(len(name.encode()) > _MAX_NAME for name in names):
            raise _bad_path(path, what)
        if len("/".join(names).encode()) > _MAX_KEY:
            raise _bad_path(path, what)
        return self._inside(self.root.joinpath(parts[1], *names), path, what)

    def _inside(self, local: Path, path: JSON, what: str) -> Path:
        try:
            resolved = local.resolve()
            inside = resolved.relative_to(self.root).parts
        except (OSError, RuntimeError, ValueError):  # a loop of links; a link that leads out
            raise _bad_path(path, what) from None
        if not inside or inside[0] == _STATE_FOLDER:
            raise _bad_path(path, what)
        return resolved


def _bad_path(path: JSON, what: str) -> Exception:
    return bad_request("2791", f"Invalid OBS path of {what}: {describe(path)}.")


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The folder of one job."""

    path: Path

    def save(self, state: dict[str, JSON]) -> None:
        """Replace the saved state atomically."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.path / f"{_STATE}.draft"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINKS, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(state, file)
        draft.replace(self.path / _STATE)

    def open_log(self, name: str) -> int:
        """Return a file descriptor that appends to a log."""
        return os.open(self.log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINKS, 0o600)

    def read_log(self, name: str, offset: int, size: int) -> bytes:
        """Return a piece of a log; nothing if there is no log."""
        try:
            with os.fdopen(os.open(self.log(name), os.O_RDONLY | _NO_LINKS), "rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError:
            return b""

    def size_of_log(self, name: str) -> int:
        """Return the size of a log; 0 if there is no log."""
        try:
            return self.log(name).lstat().st_size
        except OSError:
            return 0

    def log(self, name: str) -> Path:
        """Return the path of a log."""
        return self.path / f"{name}.log"

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)


class JobStore:
    """All job folders of one root. While it is open, no other emulator can open it."""

    def __init__(self, root: Path) -> None:
        """Open the store.

        :raises OSError: if the folder cannot be used, or another emulator uses it.
        """
        import fcntl

        self._folder = root / _STATE_FOLDER
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
        """Unlock the store for other emulators."""
        os.close(self._lock)

    def folder(self, job_id: str) -> JobFolder:
        """Return the folder of a job."""
        return JobFolder(self._folder / "jobs" / job_id)

    def load(self) -> Iterator[tuple[JobFolder, JSON]]:
        """Yield the saved state of every job. A file that cannot be read stays and is logged."""
        for path in (self._folder / "jobs").glob(f"*/{_STATE}"):
            try:
                yield JobFolder(path.parent), json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                _LOGGER.warning("cannot read %s: %s", path, error)
