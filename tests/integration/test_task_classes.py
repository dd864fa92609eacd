"""What holds for every operator and sensor: Airflow builds, renders and maps them alike."""

from __future__ import annotations

import inspect

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_modelarts.operators import modelarts as operators
from airflow_provider_modelarts.sensors import modelarts as sensors

CLASSES = [
    *(getattr(operators, name) for name in operators.__all__),
    sensors.ModelArtsHyperparameterSearchSensor,
    sensors.ModelArtsTrainingJobSensor,
]
NEEDED = {"training_job_id": "job", "trial_id": "trial", "body": {"kind": "job"}, "output_path": "reports"}


def parameters(cls):
    """Return the names of everything that the constructors of a class and its bases take."""
    own = [base for base in cls.__mro__ if "__init__" in vars(base)]
    return {name for base in own for name in inspect.signature(base.__init__).parameters}


def needed(cls):
    """Return the arguments that a class cannot do without."""
    return {name: value for name, value in NEEDED.items() if name in parameters(cls)}


@pytest.mark.parametrize("cls", CLASSES)
def test_rendered_fields_are_parameters_of_the_constructor(cls):
    """Airflow fails to parse a DAG where they are not."""
    assert isinstance(cls.template_fields, tuple)
    assert set(cls.template_fields) <= parameters(cls)


@pytest.mark.parametrize("cls", CLASSES)
def test_class_is_made_without_a_connection(cls):
    """DAG files are parsed where there is no connection and no network."""
    assert cls(task_id="task", **needed(cls)).task_id == "task"


@pytest.mark.parametrize("cls", CLASSES)
def test_class_can_be_mapped(cls):
    """Dynamic task mapping takes every needed argument, the others by partial()."""
    (name, value), *others = needed(cls).items()

    with DAG("mapped", schedule=None) as dag:
        cls.partial(task_id="task", modelarts_conn_id="other", **dict(others)).expand(**{name: [value]})

    assert dag.task_ids == ["task"]


@pytest.mark.parametrize("cls", CLASSES)
def test_class_has_a_link_to_the_console(cls):
    """Every task leads to its job."""
    assert [link.name for link in cls.operator_extra_links] == ["ModelArts training job"]
