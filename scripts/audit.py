"""Check the pinned versions of our dependencies against the PyPI advisories, if those are reachable."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow-provider-modelarts"


def main(constraints: Path) -> int:
    """Return 1 if one of our dependencies has a known vulnerability in the pinned version."""
    pinned = {name(line): line for line in constraints.read_text().split() if "==" in line}
    ours = [pinned[name(entry)] for entry in requires(PACKAGE) or [] if name(entry) in pinned]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(ours))
        file.flush()
        command = ["pip_audit", "--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json"]
        done = subprocess.run(
            [sys.executable, "-m", *command, "--requirement", file.name], capture_output=True, text=True, check=False
        )
    if not done.stdout.strip():
        print(f"==> NOT AUDITED: {done.stderr.strip()[-300:]}")
        return 0
    found = json.loads(done.stdout)["dependencies"]
    skipped = [entry["name"] for entry in found if "skip_reason" in entry]
    vulnerable = {entry["name"]: [vuln["id"] for vuln in entry["vulns"]] for entry in found if entry.get("vulns")}
    if skipped:
        print(f"==> NOT AUDITED, advisories not reachable: {', '.join(skipped)}")
    print(
        f"==> Known vulnerabilities: {vulnerable or 'none'} in {len(found) - len(skipped)} of {len(ours)} dependencies"
    )
    return 1 if vulnerable else 0


def name(requirement: str) -> str:
    """Return the normalised name of a requirement."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].split("==")[0].lower().replace("_", "-")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
