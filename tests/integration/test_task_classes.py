"""Contract of every operator and sensor with Airflow, which constructs, renders and maps them."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException

from airflow_provider_modelarts.operators import modelarts as operators
from airflow_provider_modelarts.sensors import modelarts as sensors

CLASSES = [
    *(getattr(operators, name) for name in operators.__all__),
    sensors.ModelArtsHyperparameterSearchSensor,
    sensors.ModelArtsTrainingJobSensor,
]
#: The required arguments of each class.
REQUIRED = {
    "ModelArtsBestTrialOperator": ["training_job_id"],
    "ModelArtsDeleteTrainingJobOperator": ["training_job_id"],
    "ModelArtsHyperparameterSearchOperator": ["body"],
    "ModelArtsHyperparameterSearchSensor": ["training_job_id"],
    "ModelArtsSearchReportOperator": ["training_job_id", "output_path"],
    "ModelArtsStopTrainingJobOperator": ["training_job_id"],
    "ModelArtsStopTrialOperator": ["training_job_id", "trial_id"],
    "ModelArtsTrainingJobOperator": ["body"],
    "ModelArtsTrainingJobSensor": ["training_job_id"],
}
VALUES = {"training_job_id": "job", "trial_id": "trial", "body": {"kind": "job"}, "output_path": "reports"}


def required(cls):
    """Return a value for each required argument of a class."""
    return {name: VALUES[name] for name in REQUIRED[cls.__name__]}


def own_parameters(cls):
    """Return the parameters of a class, without the ``**kwargs`` of Airflow's own arguments."""
    *own, kwargs = inspect.signature(cls).parameters.values()
    assert (kwargs.name, kwargs.kind) == ("kwargs", inspect.Parameter.VAR_KEYWORD)
    return {parameter.name: parameter for parameter in own}


@pytest.mark.parametrize("cls", CLASSES)
def test_signature_shows_every_argument(cls):
    """Arguments are typed and keyword-only; no base class accepts a further one through ``**kwargs``."""
    shown = own_parameters(cls)
    bases = [base for base in cls.__mro__ if base.__module__.startswith("airflow_provider_modelarts.")]
    accepted = {name for base in bases if "__init__" in vars(base) for name in own_parameters(base)}

    assert accepted <= set(shown)
    assert {parameter.kind for parameter in shown.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert [name for name, parameter in shown.items() if parameter.annotation is inspect.Parameter.empty] == []


@pytest.mark.parametrize("cls", CLASSES)
def test_signature_requires_the_required_arguments(cls):
    """All other arguments have a default."""
    empty = inspect.Parameter.empty

    assert [name for name, parameter in own_parameters(cls).items() if parameter.default is empty] == list(
        required(cls)
    )


@pytest.mark.parametrize("cls", CLASSES)
def test_templated_fields_are_parameters_of_the_constructor(cls):
    """Airflow fails to parse a DAG if a templated field is not a parameter."""
    assert isinstance(cls.template_fields, tuple)
    assert set(cls.template_fields) <= set(own_parameters(cls))
    assert set(cls.template_fields_renderers) <= set(cls.template_fields)


@pytest.mark.parametrize("cls", CLASSES)
def test_class_is_constructed_without_a_connection(cls):
    """DAG files are parsed without a connection and without a network."""
    assert cls(task_id="task", **required(cls)).task_id == "task"


@pytest.mark.parametrize("cls", CLASSES)
def test_unknown_argument_is_refused(cls):
    """A typo in an argument fails the DAG at parse time."""
    with pytest.raises((TypeError, AirflowException), match="traning_job_id"):
        cls(task_id="task", **required(cls), traning_job_id="job")


@pytest.mark.parametrize("cls", CLASSES)
def test_argument_comes_from_the_default_args_of_the_dag(cls):
    """Airflow fills in every argument that the signature shows."""
    with DAG("dag", schedule=None, default_args={"modelarts_conn_id": "other", "region": "cn-north-4"}):
        task = cls(task_id="task", **required(cls), region="cn-east-3")

    assert (task.modelarts_conn_id, task.region) == ("other", "cn-east-3")


@pytest.mark.parametrize("cls", CLASSES)
def test_class_can_be_mapped(cls):
    """``expand`` accepts a required argument, and ``partial`` the others."""
    (name, value), *others = required(cls).items()

    with DAG("mapped", schedule=None) as dag:
        cls.partial(task_id="task", modelarts_conn_id="other", **dict(others)).expand(**{name: [value]})

    assert dag.task_ids == ["task"]


ACTIONS = {"ModelArtsStopTrainingJobOperator", "ModelArtsDeleteTrainingJobOperator", "ModelArtsStopTrialOperator"}


@pytest.mark.parametrize("cls", CLASSES)
def test_class_has_a_link_to_the_console(cls):
    """Every task links to the console page of its job, unless it ends the job."""
    wanted = [] if cls.__name__ in ACTIONS else ["ModelArts training job"]

    assert [link.name for link in cls.operator_extra_links] == wanted


def test_deferrable_defaults_to_the_configuration():
    """One setting of Airflow applies to every class that can wait in the triggerer."""
    code = """
import inspect, json
from integration.test_task_classes import CLASSES
parameters = {cls.__name__: inspect.signature(cls).parameters.get("deferrable") for cls in CLASSES}
print("deferrable:", json.dumps({name: found.default for name, found in parameters.items() if found}))
"""
    environment = {
        **os.environ,
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout

    assert json.loads(output.rpartition("deferrable:")[2]) == {
        "ModelArtsHyperparameterSearchOperator": True,
        "ModelArtsTrainingJobOperator": True,
        "ModelArtsHyperparameterSearchSensor": True,
        "ModelArtsTrainingJobSensor": True,
    }
