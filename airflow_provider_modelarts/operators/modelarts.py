"""The operators, as DAGs import them."""

from airflow_provider_modelarts.operators.best_trial import ModelArtsBestTrialOperator
from airflow_provider_modelarts.operators.job_actions import (
    ModelArtsDeleteTrainingJobOperator,
    ModelArtsStopTrainingJobOperator,
    ModelArtsStopTrialOperator,
)
from airflow_provider_modelarts.operators.report import ModelArtsSearchReportOperator
from airflow_provider_modelarts.operators.search import ModelArtsHyperparameterSearchOperator
from airflow_provider_modelarts.operators.training_job import ModelArtsTrainingJobOperator

__all__ = [
    "ModelArtsBestTrialOperator",
    "ModelArtsDeleteTrainingJobOperator",
    "ModelArtsHyperparameterSearchOperator",
    "ModelArtsSearchReportOperator",
    "ModelArtsStopTrainingJobOperator",
    "ModelArtsStopTrialOperator",
    "ModelArtsTrainingJobOperator",
]
