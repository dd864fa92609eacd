"""Build the wheel, install it in a clean environment, and check that Airflow finds the provider."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "airflow-provider-modelarts"


def main(constraints: Path) -> int:
    """Return 0 if a clean Airflow finds provider and plugin of the built wheel.

    :param constraints: constraint file to install Airflow with.
    """
    with tempfile.TemporaryDirectory(prefix="modelarts-package-") as folder:
        home = Path(folder)
        print("==> Building the wheel", flush=True)
        run(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", folder, str(ROOT))
        (wheel,) = home.glob("*.whl")
        print(f"==> Installing {wheel.name} in a clean environment", flush=True)
        venv.create(home / "venv", with_pip=True)
        python = str(home / "venv" / "bin" / "python")
        run(python, "-m", "pip", "install", "-qq", "--constraint", str(constraints.resolve()), str(wheel))
        print("==> Checking that Airflow finds the provider and its plugin", flush=True)
        environment = {"AIRFLOW_HOME": folder, "PATH": "/usr/bin:/bin", "HOME": folder}
        missing = [
            expected
            for expected, *command in (
                ("connection-type: modelarts", "providers", "get", NAME, "--full", "--output", "yaml"),
                ("ModelArtsPlugin", "plugins", "--output", "yaml"),
            )
            if expected not in output_of([python, "-m", "airflow", *command], environment, home)
        ]
    print("\n".join(f"missing: {expected}" for expected in missing), file=sys.stderr)
    return 1 if missing else 0


def output_of(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> str:
    """Run a command; print and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    print(done.stdout, done.stderr if done.returncode else "", flush=True)
    return done.stdout


def run(*command: str) -> None:
    """Run a command; raise an error if it fails."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
