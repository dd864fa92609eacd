"""ModelArts emulator for tests and demonstrations. It holds scripted searches, and runs the training jobs it is sent.

It checks signatures, pages tables and refuses unknown input as the platform does. Synchronous code serves one with
:func:`running`, a shell with ``python -m modelarts_emulator``; tests of DAGs use the fixtures of
:mod:`~modelarts_emulator.pytest_plugin`. The package imports nothing of the provider that it tests.

=================== ===========================================================
``emulator``        one emulator, as a test sees it
``server``, ``app`` an emulator over HTTP
``handlers``        the operations and their routes
``auth``            IAM, temporary keys, and the gateway's check of each request
``signing``         the signature of a received request
``project``         jobs and algorithms, job search, event listings
``jobs``            the interface of a job; scripted and given jobs
``runs``            jobs that run as processes of this machine
``scenario``        the script of a search, as data
``scenarios``       the scripted searches that every emulator holds
``documents``       jobs, algorithms and trial tables as the platform writes them
``importance``      importance of hyperparameters
``faults``          faulty responses, requested or at random
``errors``          error responses of the platform
``vocabulary``      words and limits of the platform
``json_values``     readers of JSON values
=================== ===========================================================
"""

from __future__ import annotations

from modelarts_emulator.auth import DEMO_KEY, DEMO_USER, AccessKey
from modelarts_emulator.documents import ConfigEncoding, OffsetUnit
from modelarts_emulator.emulator import Emulator, SeenRequest
from modelarts_emulator.faults import FAULTS
from modelarts_emulator.scenario import Search, TrialScript, job_id_of
from modelarts_emulator.scenarios import SCENARIOS
from modelarts_emulator.server import running

__all__ = [
    "DEMO_KEY",
    "DEMO_USER",
    "FAULTS",
    "SCENARIOS",
    "AccessKey",
    "ConfigEncoding",
    "Emulator",
    "OffsetUnit",
    "Search",
    "SeenRequest",
    "TrialScript",
    "job_id_of",
    "running",
]
