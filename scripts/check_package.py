"""Build the wheel, install it in a clean environment, and ask Airflow for the provider."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "airflow-provider-modelarts"


def main(constraints: Path) -> int:
    """Return 0 when a clean Airflow knows the provider of the built wheel.

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
        print("==> Asking Airflow for the provider", flush=True)
        environment = {"AIRFLOW_HOME": folder, "PATH": "/usr/bin:/bin", "HOME": folder}
        answer = subprocess.run(
            [python, "-m", "airflow", "providers", "get", NAME, "--full", "--output", "yaml"],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            check=False,
        )
    print(answer.stdout, flush=True)
    if answer.returncode or "connection-type: modelarts" not in answer.stdout:
        print(answer.stderr, file=sys.stderr)
        return 1
    return 0


def run(*command: str) -> None:
    """Run a command, and stop at its failure."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
