"""A local ModelArts: the routes around hyperparameter search, on scripted searches, for tests and demonstrations.

It checks signatures, pages tables and refuses what it does not know as the cloud does. Synchronous code serves one
beside itself with :func:`running`; ``python -m airflow_provider_modelarts.emulator`` serves one by itself; tests of
DAGs take the fixture of :mod:`~airflow_provider_modelarts.emulator.pytest_plugin`.

================ ==========================================================
``script``       what becomes of a search and its trials, as data
``scenarios``    the searches that every emulator holds
``jobs``         state: a job that moves on when it is looked at
``cloud``        state: the jobs and algorithms of one project
``table``        how trial tables are written
``documents``    how jobs and algorithms are written
``job_searches`` conditions and order of a job search
``routes``       which operation has which path
``errors``       how the platform says no
``gate``         who may come in
``canned``       answers that a test puts in the place of the platform's
``instance``     one emulator, as a test sees it
``app``          all of it over HTTP
``server``       serving it
================ ==========================================================
"""

from __future__ import annotations

from airflow_provider_modelarts.emulator.instance import DEMO_KEY, Emulator, SeenRequest
from airflow_provider_modelarts.emulator.scenarios import SCENARIOS
from airflow_provider_modelarts.emulator.script import Search, TrialScript, job_id_of
from airflow_provider_modelarts.emulator.server import running
from airflow_provider_modelarts.emulator.table import ConfigEncoding, OffsetUnit

__all__ = [
    "DEMO_KEY",
    "SCENARIOS",
    "ConfigEncoding",
    "Emulator",
    "OffsetUnit",
    "Search",
    "SeenRequest",
    "TrialScript",
    "job_id_of",
    "running",
]
