"""Build the wheel, install it in a clean environment, and ask Airflow for the provider."""

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
        print("==> Asking Airflow for the provider and its plugin", flush=True)
        environment = {"AIRFLOW_HOME": folder, "PATH": "/usr/bin:/bin", "HOME": folder}
        missing = [
            wanted
            for wanted, *question in (
                ("connection-type: modelarts", "providers", "get", NAME, "--full", "--output", "yaml"),
                ("ModelArtsPlugin", "plugins", "--output", "yaml"),
            )
            if wanted not in ask([python, "-m", "airflow", *question], environment, home)
        ]
    print("\n".join(f"missing: {wanted}" for wanted in missing), file=sys.stderr)
    return 1 if missing else 0


def ask(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> str:
    """Return what a command answers, and print it."""
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    print(answer.stdout, answer.stderr if answer.returncode else "", flush=True)
    return answer.stdout


def run(*command: str) -> None:
    """Run a command, and stop at its failure."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
