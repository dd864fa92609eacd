"""A local ModelArts for tests and demonstrations: it holds scripted searches, and really runs training jobs.

It checks signatures, pages tables and refuses what it does not know as the cloud does. Synchronous code serves one
beside itself with :func:`running`; ``python -m modelarts_emulator`` serves one by itself; tests of
DAGs take the fixture of :mod:`~modelarts_emulator.pytest_plugin`.

================ ==========================================================
``script``       what becomes of a scripted search and its trials, as data
``scenarios``    the scripted searches that every emulator holds
``runs``         jobs that are created, and run as processes of this machine
``jobs``         state: what a job is, and one that follows its script
``cloud``        state: the jobs and algorithms of one project
``table``        how trial tables are written
``documents``    how jobs and algorithms are written
``events``       how the events of a job are listed
``analysis``     how much each hyperparameter matters
``job_searches`` conditions and order of a job search
``calls``        what operations read
``looking``      operations that look
``acting``       operations that change something
``signing_in``   operations that sign in
``iam``          state: tokens and temporary keys that were given out
``routes``       which operation has which path
``errors``       how the platform says no
``gate``         who may come in
``deliveries``   how an answer goes over the wire, well or badly
``faults``       what can become of an answer, by name
``canned``       answers in the place of the platform's, put in or by chance
``instance``     one emulator, as a test sees it
``app``          all of it over HTTP
``server``       serving it
================ ==========================================================
"""

from __future__ import annotations

from modelarts_emulator.faults import FAULTS
from modelarts_emulator.instance import DEMO_KEY, Emulator, SeenRequest
from modelarts_emulator.scenarios import SCENARIOS
from modelarts_emulator.script import Search, TrialScript, job_id_of
from modelarts_emulator.server import running
from modelarts_emulator.table import ConfigEncoding, OffsetUnit

__all__ = [
    "DEMO_KEY",
    "FAULTS",
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
