"""The README and the pages in docs are true."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseHook

from airflow_provider_modelarts.api.settings import read_connection
from airflow_provider_modelarts.core.job_body import auto_search
from airflow_provider_modelarts.get_provider_info import EXTRA_FIELDS
from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook
from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor
from modelarts_emulator import FAULTS, Emulator
from modelarts_emulator.project import JobRules

PACKAGE = "airflow_provider_modelarts"
ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"]
DOCUMENTS += [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS}
README, CONNECTION, PIPELINES = TEXTS["README.md"], TEXTS["docs/connection.md"], TEXTS["docs/pipelines.md"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def section(title, text=README):
    """Return the text under a heading."""
    return re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)[1]


def blocks(text, language=""):
    """Return the fenced blocks of a language, without their fences."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def table_rows(text):
    """Return the cells of the only table in a text, without its header."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def quoted(text):
    """Return the inline code of a text."""
    return re.findall(r"`([^`\n]+)`", text)


(SEARCH_AND_RETRAIN,) = blocks(section("Search and retrain"), "python")
(REPORT,) = blocks(section("Search report", PIPELINES), "python")
SEARCH_AND_REPORT = f"{SEARCH_AND_RETRAIN}\n{REPORT}"
DAG_BLOCKS = [
    *blocks(section("Existing search", PIPELINES), "python"),
    SEARCH_AND_RETRAIN,
    SEARCH_AND_REPORT,
    *blocks(section("Dynamic task mapping", PIPELINES), "python"),
]
FIELDS = CONNECTION.partition("## Authentication")[0]
LISTED = [name for row in table_rows(section("Classes and functions")) for name in quoted(row[0])]
COMMANDS = [name.split()[2] for name in LISTED if name.startswith("python -m ")]
NAMES = [name for name in LISTED if not name.startswith("python ")]


@pytest.fixture(name="run_block")
def _run_block(tmp_path):
    """Return a function that runs a block as a separate file, like a DAG file, and returns its globals."""

    def run_block(code):
        path = tmp_path / "readme_block.py"
        path.write_text(code, encoding="utf-8")
        return runpy.run_path(str(path))

    return run_block


@pytest.fixture(name="example_connection")
def _example_connection(monkeypatch):
    """Set the environment variable of the README as a shell does, and return the connection that Airflow reads."""
    (line,) = [line for line in README.splitlines() if line.startswith("AIRFLOW_CONN_")]
    (assignment,) = shlex.split(line)
    name, _, value = assignment.partition("=")
    monkeypatch.setenv(name, value)
    return BaseHook.get_connection("modelarts_default")


def task_names(code):
    """Return the task ids in source code: literal ids, and functions decorated with ``@task``."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.keyword) and node.arg == "task_id" and isinstance(node.value, ast.Constant):
            names.add(node.value.value)
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(mark) == "task" for mark in node.decorator_list):
            names.add(node.name)
    return names


@pytest.mark.parametrize("number", range(len(DAG_BLOCKS)))
def test_dag_block_makes_a_dag(run_block, number):
    """Every DAG of the README and of the pipelines page parses, and has the tasks in its code."""
    code = DAG_BLOCKS[number]

    dags = [value for value in run_block(code).values() if isinstance(value, DAG)]

    assert {task for dag in dags for task in dag.task_ids} == task_names(code)


@pytest.mark.parametrize(
    ("number", "tasks"),
    [
        (0, {"wait_for_search": set(), "best_trial": {"wait_for_search"}, "retrain": {"best_trial"}}),
        (1, {"search": set(), "retrain": {"search"}}),
        (2, {"search": set(), "retrain": {"search"}, "report": {"search"}}),
        (3, {"train": set()}),
    ],
)
def test_dag_of_the_readme(run_block, number, tasks):
    """Each task has the documented upstream tasks."""
    dag = run_block(DAG_BLOCKS[number])["dag"]

    assert {task.task_id: set(task.upstream_task_ids) for task in dag.tasks} == tasks


def test_every_dag_is_run():
    """No Python block of the pipelines page is in a section that the tests do not read."""
    assert len(re.findall("^```python", PIPELINES, re.MULTILINE)) == len(DAG_BLOCKS) - len([SEARCH_AND_RETRAIN])


def test_mapping_makes_a_task_of_each_data_set(run_block):
    """Two mapped tasks, each with its own hyperparameters."""
    train = run_block(DAG_BLOCKS[3])["train"]

    assert train.expand_input.value == {"hyperparameters": [{"data": "a"}, {"data": "b"}]}


def test_search_space_example_is_valid(run_block):
    """The search operator accepts it; it contains a range, a grid and a list."""
    (space,) = blocks(section("Search space", PIPELINES), "json")
    operator = run_block(SEARCH_AND_RETRAIN)["search"]

    search = auto_search(json.loads(space), operator.objective, operator.algorithm)

    assert [entry["param_type"] for entry in search["search_params"]] == ["continuous", "continuous", "discrete"]
    assert search["search_params"][1]["discrete_points_num"] == "11"


def test_fault_table_lists_every_fault():
    """Each fault once, and whether it is one of the random faults."""
    rows = table_rows(section("Faults", TEXTS["docs/testing.md"]))
    listed = [(name, random == "yes") for names, _, random in rows for name in quoted(names)]

    assert sorted(listed) == sorted((fault.name, fault.is_transient) for fault in FAULTS.values())


def test_job_search_table_lists_options_of_the_emulator():
    """Each option is an argument, and an attribute with its value; the default is another value."""
    rows = table_rows(section("Job search", TEXTS["docs/testing.md"]))
    options = {name: ast.literal_eval(value) for (cell, _) in rows for name, value in [cell.strip("`").split("=")]}
    emulator, default = Emulator(scenarios=[], **options), Emulator(scenarios=[])

    assert sorted(options) == sorted(JobRules.__annotations__)
    assert {name: getattr(emulator, name) for name in options} == options
    assert not [name for name, value in options.items() if getattr(default, name) == value]


def test_connection_example_is_a_connection(example_connection):
    """Airflow reads the intended connection from the line, quotes included."""
    assert example_connection.conn_type == "modelarts"
    assert (example_connection.login, example_connection.password) == ("<access key id>", "<secret access key>")
    assert example_connection.extra_dejson == {"region": "cn-north-4"}


def test_connection_example_is_enough(example_connection):
    """The connection has every required field."""
    settings = read_connection(
        login=example_connection.login,
        password=example_connection.password,
        host=example_connection.host,
        port=example_connection.port,
        extra=example_connection.extra_dejson,
    )

    assert settings.base_url("modelarts") == "https://modelarts.cn-north-4.myhuaweicloud.com"


def test_connection_table_names_every_field():
    """The table has exactly the fields of the connection form, each once."""
    described = [name for row in table_rows(FIELDS) for name in quoted(row[0])]

    assert sorted(described) == sorted([*EXTRA_FIELDS, "login", "password"])
    assert {"host", "port"} <= set(quoted(FIELDS))


@pytest.mark.parametrize(
    ("field", "documented", "extra"),
    [
        ("verify", "`true` (default)", {"verify": "true"}),
        ("timeout", "`10,60` (default)", {"timeout": "10,60"}),
        ("retry_seconds", "`90` (default)", {"retry_seconds": "90"}),
    ],
)
def test_connection_defaults(field, documented, extra):
    """A documented default is the default of the code."""
    (meaning,) = [row[1] for row in table_rows(FIELDS) if f"`{field}`" in row[0]]
    given = {"login": "a", "password": "b", "host": None, "port": None}

    assert documented in meaning
    assert read_connection(**given, extra={"region": "r", **extra}) == read_connection(**given, extra={"region": "r"})


def test_connection_proxies_example():
    """The example for proxies is valid JSON for the field."""
    (meaning,) = [row[1] for row in table_rows(FIELDS) if "`proxies`" in row[0]]
    (example,) = [text for text in quoted(meaning) if text.startswith("{")]

    settings = read_connection(login="a", password="b", host=None, port=None, extra={"region": "r", "proxies": example})

    assert settings.proxies == json.loads(example)


def test_table_lists_the_main_classes():
    """The test reads the table: it finds the sensor, the operator, the hook and the clients."""
    assert {name.rpartition(".")[2] for name in NAMES} >= {
        "ModelArtsHyperparameterSearchSensor",
        "ModelArtsBestTrialOperator",
        "ModelArtsHook",
        "ModelArtsClient",
        "AsyncModelArtsClient",
        "ModelArtsHyperparameterSearchTrigger",
    }


@pytest.mark.parametrize("name", NAMES)
def test_listed_name_imports(name):
    """Every listed class and function can be imported by its listed path."""
    module, _, attribute = name.rpartition(".")

    assert callable(getattr(importlib.import_module(f"{PACKAGE}.{module}"), attribute))


@pytest.mark.parametrize("module", COMMANDS)
def test_named_command_exists(module):
    """Every listed ``python -m`` command has a ``__main__`` module."""
    assert importlib.util.find_spec(f"{module}.__main__")


def test_named_hook_methods_exist():
    """The hook has every listed method."""
    (purpose,) = [row[1] for row in table_rows(section("Classes and functions")) if "ModelArtsHook" in row[0]]
    named = quoted(purpose)

    assert "request" in named
    assert [name for name in named if not callable(getattr(ModelArtsHook, name, None))] == []


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (ModelArtsHyperparameterSearchSensor, ["max_failed_trials", "accept_stopped", "modelarts_conn_id"]),
        (
            ModelArtsBestTrialOperator,
            ["mode", "metric", "constraints", "only_if_better_than", "top_k", "modelarts_conn_id"],
        ),
    ],
)
def test_named_arguments_exist(cls, arguments):
    """The pages name these arguments, and the classes accept them."""
    made = cls(task_id="task", training_job_id="job-1")

    assert [name for name in arguments if not hasattr(made, name)] == []
    assert set(arguments) <= {name for text in TEXTS.values() for name in quoted(text)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_resolve(document):
    """No link into the repository is dead, and the README links to every page."""
    links = re.findall(r"\]\(([^)\s]+)\)", TEXTS[document])
    relative = {link.partition("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)}

    assert [link for link in relative if not (ROOT / document).parent.joinpath(link).exists()] == []
    assert document != "README.md" or {name for name in DOCUMENTS if name.startswith("docs/")} <= relative


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_exist(document):
    """Every documented ``make`` target is in the Makefile."""
    text = (ROOT / document).read_text(encoding="utf-8")
    code = [
        line for block in re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) for line in block.split("\n")
    ]
    targets = {match[1] for line in [*code, *quoted(text)] if (match := re.match(r"make ([a-z0-9-]+)", line))}

    assert "test" in targets
    assert targets <= set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))


def test_make_help_lists_every_target():
    """``make help`` prints all targets of the Makefile, and no other."""
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))

    assert set(re.findall(r'@echo "make ([a-z0-9-]+) ', MAKEFILE)) == targets - {"help"}


def test_paths_of_the_architecture_exist():
    """Every file and folder in the text and in the drawing of the layers is in the repository."""
    text = TEXTS["docs/architecture.md"]
    (drawing,) = blocks(text)
    paths = {name for name in [*quoted(text), *drawing.split()] if re.fullmatch(r"\w[\w/]*(/|\.py|\.md)", name)}

    assert {"core/", "client.py", "operators/job.py", "docs/reference.md"} <= paths
    assert [path for path in paths if not (ROOT / path).exists() and not (ROOT / PACKAGE / path).exists()] == []


def test_versions_that_run_on_every_change_have_constraints():
    """The versions tested on every change are the pinned versions."""
    always = [row[0] for row in table_rows(section("Versions")) if "every change" in row[2]]

    assert sorted(always) == sorted(
        path.stem.removeprefix("airflow-") for path in (ROOT / "constraints").glob("airflow-*.txt")
    )


@pytest.fixture(scope="module", name="demo")
def _demo():
    """Return the sections of the demo output in the README, by title."""
    (shown,) = re.findall(r"<!-- demo -->\n```\n(.*?)```\n<!-- /demo -->", README, re.DOTALL)
    return dict(section.split("\n", 1) for section in shown.removeprefix("==> ").split("\n==> "))


@pytest.fixture(scope="module", name="train")
def _train():
    """Return a function that runs the training script of the examples, and returns its output."""

    def train(**values):
        arguments = [f"--{name}={value}" for name, value in values.items()]
        script = ROOT / "example_dags" / "training" / "train.py"
        return subprocess.run(
            [sys.executable, str(script), *arguments], capture_output=True, text=True, check=True
        ).stdout

    return train


def test_demo_titles_match_the_script(demo):
    """The README shows the last titles that the script prints."""
    printed = re.findall(r'print_step\("([^"]+)"\)', (ROOT / "scripts" / "demo.py").read_text(encoding="utf-8"))

    assert list(demo) == printed[-len(demo) :]


def test_demo_table_is_ranked_and_true(demo, train):
    """Each accuracy is the result of the script for the values of its row, to the displayed digits."""
    rows = [line.split() for line in demo["Ranked trials"].splitlines()[2:10]]

    assert len(rows) == 8
    assert [row[2] for row in rows] == sorted((row[2] for row in rows), key=float, reverse=True)
    for _, _, shown, learning_rate, momentum in rows:
        printed = train(learning_rate=learning_rate, momentum=momentum)
        reached = max(float(value) for value in re.findall(r"\bacc: (\S+)", printed))
        assert reached == pytest.approx(float(shown), abs=0.0021)


def test_demo_retrained_with_the_winner(demo, train):
    """The hyperparameters are the config of the first row, and the accuracy of the model is the documented one."""
    received = ast.literal_eval(demo["Hyperparameters of the retraining"].strip())
    winner = demo["Ranked trials"].splitlines()[2].split()

    assert [f"{received[name]:.8g}" for name in ("learning_rate", "momentum")] == winner[3:]
    assert f"held_out_acc: {demo['Accuracy on held-out data'].splitlines()[1].split()[0]}\n" in train(**received)
