"""Build the wheel, install it in a clean environment, and use it there as a new user of the documentation does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "airflow-provider-modelarts"


def main(constraints: Path) -> int:
    """Return 0 if Airflow finds provider and plugin of the built wheel, and the documented test passes.

    :param constraints: constraint file to install Airflow with.
    """
    with tempfile.TemporaryDirectory(prefix="modelarts-package-") as folder:
        home = Path(folder)
        print("==> Building the wheel", flush=True)
        run([sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", folder, str(ROOT)])
        (wheel,) = home.glob("*.whl")
        print(f"==> Installing {wheel.name} in a clean environment", flush=True)
        venv.create(home / "venv", with_pip=True)
        scripts = home / "venv" / "bin"
        install = [str(scripts / "python"), "-m", "pip", "install", "-qq", "--constraint", str(constraints.resolve())]
        run([*install, f"{wheel}[optuna]", "pytest"])
        environment = {"AIRFLOW_HOME": folder, "PATH": f"{scripts}:/usr/bin:/bin", "HOME": folder}
        print("==> Checking that Airflow finds the provider and its plugin", flush=True)
        missing = [
            expected
            for expected, command in (
                ("connection-type: modelarts", ["providers", "get", NAME, "--full", "--output", "yaml"]),
                ("ModelArtsPlugin", ["plugins", "--output", "yaml"]),
            )
            if expected not in run([str(scripts / "airflow"), *command], environment, home)
        ]
        print("==> Testing the pipeline of the README with the commands of docs/testing.md", flush=True)
        pipeline = home / "pipeline"
        commands = write_pipeline(pipeline)
        if "1 passed" not in run(["/bin/sh", "-ec", commands], environment, pipeline):
            missing.append("1 passed")
        if not list(pipeline.glob("reports/*/report.html")):
            missing.append("reports/*/report.html")
    print("\n".join(f"missing: {expected}" for expected in missing), file=sys.stderr)
    return 1 if missing else 0


def write_pipeline(folder: Path) -> str:
    """Copy the documented DAG, job body, conftest and test to a folder; return the documented commands."""
    testing, pipelines = (ROOT / "docs" / name for name in ("testing.md", "pipelines.md"))
    conftest, test = blocks(testing, "python")
    (body,) = blocks(pipelines, "json", section="Job body")
    dag = blocks(ROOT / "README.md", "python", "Search and retrain") + blocks(pipelines, "python", "Search report")
    shutil.copytree(ROOT / "example_dags" / "training", folder / "training")
    for name, content in {
        "search_and_retrain.py": "\n".join(dag).replace("/data/", f"{folder}/"),
        "job.json": body,
        "conftest.py": conftest,
        "test_it.py": test,
    }.items():
        (folder / name).write_text(content, encoding="utf-8")
    (commands,) = blocks(testing, "sh")
    return commands


def blocks(document: Path, language: str, section: str = "") -> list[str]:
    """Return the fenced blocks of a language in a document, or in one of its sections."""
    text = document.read_text(encoding="utf-8")
    if section:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run(command: list[str], environment: Mapping[str, str] | None = None, folder: Path = ROOT) -> str:
    """Run a command; print and return its output. Exit if it fails."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder, check=False
    )
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {' '.join(command)}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
