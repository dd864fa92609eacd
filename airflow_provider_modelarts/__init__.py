"""Airflow provider for hyperparameter search on Huawei Cloud ModelArts."""

__version__ = "0.1.0"
