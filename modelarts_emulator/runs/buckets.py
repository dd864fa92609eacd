"""OBS paths are folders below a root: ``obs://bucket/code/`` and ``/bucket/code/`` are ``ROOT/bucket/code``."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_modelarts.core.json_values import JSON, describe
from modelarts_emulator.errors import bad_request

#: Below the root, and no bucket: what the emulator itself writes.
STATE_FOLDER = ".modelarts-emulator"

_OBS_PATH = re.compile(r"(?:obs://|/)([A-Za-z0-9][A-Za-z0-9._-]{0,62})(?:/([^\0]*))?")
_LONGEST_KEY = 1024
_LONGEST_NAME = 255


class Buckets:
    """The buckets of one emulator. No path leads out of them, not by ``..`` and not by symbolic links."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def local(self, path: JSON, what: str) -> Path:
        """Return where an OBS path lies, whether or not anything is there, or refuse it.

        :param what: whose path it is, for the refusal.
        """
        parts = _OBS_PATH.fullmatch(path) if isinstance(path, str) else None
        names = [name for name in (parts[2] or "").split("/") if name not in {"", "."}] if parts else []
        if parts is None or ".." in names or any(len(name.encode()) > _LONGEST_NAME for name in names):
            raise _bad_path(path, what)
        if len("/".join(names).encode()) > _LONGEST_KEY:
            raise _bad_path(path, what)
        return self._inside(self.root.joinpath(parts[1], *names), path, what)

    def _inside(self, local: Path, path: JSON, what: str) -> Path:
        try:
            resolved = local.resolve()
            inside = resolved.relative_to(self.root).parts
        except (OSError, RuntimeError, ValueError):  # a loop of links; a link that leads out
            raise _bad_path(path, what) from None
        if not inside or inside[0] == STATE_FOLDER:
            raise _bad_path(path, what)
        return resolved


def _bad_path(path: JSON, what: str) -> Exception:
    return bad_request("2791", f"Invalid OBS path of {what}: {describe(path)}.")
