"""Agreement of the reference with docstrings, signatures, and the XComs of a run."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import Asset
from integration.docs.test_readme import quoted, table_rows
from integration.emulator.bench import SCRIPT, Bench
from integration.task_runs import TaskInstance, run_task
from integration.test_task_classes import CLASSES

from modelarts_emulator import running

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference.md").read_text(encoding="utf-8")
TEXTS = dict(re.findall(r"^#{2,3} (.*?)\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE))
SHARED = PAGE.partition("\n## ")[0]
BY_NAME = {cls.__name__: cls for cls in CLASSES}
CONFIGURED = "`[operators] default_deferrable`"


def documented(name):
    """Return the arguments of a class in the reference, in their order, followed by those of all classes."""
    return [*arguments(TEXTS[name]), *arguments(SHARED)]


def arguments(text):
    """Return the arguments of a table: name, default, and whether it is templated."""
    return [
        (*quoted(name), read_default(default), templated == "yes") for name, default, _, templated in table_rows(text)
    ]


def read_default(cell):
    """Return the default in a cell as in the signature."""
    if cell == "required":
        return inspect.Parameter.empty
    return repr(False if cell == CONFIGURED else ast.literal_eval(*quoted(cell)))


@pytest.mark.parametrize("name", BY_NAME)
def test_signature_is_that_of_the_reference(name):
    """Arguments, their order, their defaults and the templated fields are the same."""
    cls = BY_NAME[name]
    *shown, _ = inspect.signature(cls).parameters.values()

    assert documented(name) == [
        (
            parameter.name,
            parameter.default if parameter.default is inspect.Parameter.empty else repr(parameter.default),
            parameter.name in cls.template_fields,
        )
        for parameter in shown
    ]


@pytest.mark.parametrize("name", BY_NAME)
def test_docstring_describes_the_arguments_of_the_reference(name):
    """Each argument has a ``:param``, in the same order; the same ones are templated."""
    described = re.findall(r":param (\w+): (.*?)(?=\n\s*:param |\Z)", BY_NAME[name].__doc__, re.DOTALL)

    assert [(argument, text.rstrip().endswith("(templated)")) for argument, text in described] == [
        (argument, templated) for argument, _, templated in documented(name)
    ]


@pytest.mark.parametrize("name", BY_NAME)
def test_argument_of_the_reference_is_stored_under_its_name(name):
    """Airflow renders and serializes the attributes of a task by these names."""
    values = {argument: f"the {argument}" for argument, _, _ in documented(name)}

    task = BY_NAME[name](task_id="task", **values)

    assert {argument: getattr(task, argument) for argument in values} == values


def test_reference_describes_each_class_once():
    """No class is missing, and no other name is listed."""
    assert sorted(re.findall(r"^### (.*)$", PAGE, re.MULTILINE)) == sorted(BY_NAME)


@pytest.fixture(name="runs", scope="module")
def _runs(tmp_path_factory):
    """Successful run of each class on the emulator, by name."""
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch, running(root=root) as emulator:
        patch.setenv("AIRFLOW_CONN_MODELARTS_DEFAULT", json.dumps(emulator.connection()))
        yield {name: run_of(name, emulator) for name in BY_NAME}


def run_of(name, emulator):
    """Run a task of a class on the emulator."""
    bench = Bench(emulator)
    bench.write(SCRIPT)
    job = emulator.job_id("documented")
    given = {
        "ModelArtsHyperparameterSearchOperator": {"body": bench.search_body(), "poll_interval": 0.05},
        "ModelArtsTrainingJobOperator": {"body": bench.body(x=1), "poll_interval": 0.05},
        "ModelArtsSearchReportOperator": {"training_job_id": job, "output_path": str(emulator.root / "report")},
        "ModelArtsStopTrialOperator": {"training_job_id": emulator.job_id("pending-forever"), "trial_id": "9e9d0000"},
        "ModelArtsStopTrainingJobOperator": {"training_job_id": emulator.job_id("growing")},
        "ModelArtsDeleteTrainingJobOperator": {"training_job_id": emulator.job_id("tie")},
    }.get(name, {"training_job_id": job})
    run = run_task(lambda: BY_NAME[name](task_id=name, outlets=[Asset("asset")], **given), TaskInstance(task_id=name))
    assert run.state == "success", run.message
    return run


def xcoms(run):
    """Return the XComs of a run, by key."""
    return run.ti.xcom if run.value is None else {**run.ti.xcom, "return_value": run.value}


def test_xcoms_of_the_reference_are_those_of_a_run(runs):
    """The reference lists every key with every class that pushes it, and no other key."""
    described = {(name, *quoted(key)) for key, names, _ in table_rows(TEXTS["XComs"]) for name in quoted(names)}

    assert described == {(name, key) for name, run in runs.items() for key in xcoms(run)}


@pytest.mark.parametrize("row", [row for row in table_rows(TEXTS["XComs"]) if row[2].startswith("object with")])
def test_objects_in_xcoms_have_the_documented_fields(runs, row):
    """A DAG can read every documented field."""
    (key,), names, fields = quoted(row[0]), quoted(row[1]), set(quoted(row[2]))

    assert [set(xcoms(runs[name])[key]) for name in names] == [fields] * len(names)


def test_asset_events_carry_the_documented_keys(runs):
    """The events carry no other key."""
    described = {(name, *quoted(key)) for key, names, _ in table_rows(TEXTS["Assets"]) for name in quoted(names)}
    carried = {(name, key) for name, run in runs.items() for event in run.outlet_events.values() for key in event.extra}

    assert carried == described
