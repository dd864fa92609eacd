"""Fixtures of the integration tests, and settings of an Airflow without a database in a temporary folder."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile

import pytest

from modelarts_emulator.pytest_plugin import _modelarts_emulator, _modelarts_emulator_factory  # noqa: F401 - fixtures

# before the first import of Airflow
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="modelarts-tests-")
os.environ["MODELARTS_TEST_STATE_STORES"] = tempfile.mkdtemp(prefix="modelarts-stores-")
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = "sqlite:////nonexistent-folder/none.db"


@pytest.fixture(name="connect")
def _connect(monkeypatch):
    """Return a function that points the Airflow connection ``modelarts_default`` to an emulator."""

    def connect(emulator, **extra):
        connection = emulator.connection()
        connection["extra"] |= {"verify": False, **extra}  # the emulator speaks no TLS, whose certificates load slowly
        monkeypatch.setenv("AIRFLOW_CONN_MODELARTS_DEFAULT", json.dumps(connection))
        return emulator

    return connect


@pytest.fixture(name="connected")
def _connected(modelarts_emulator, connect):
    """Emulator, with an Airflow connection ``modelarts_default`` to it."""
    return connect(modelarts_emulator)


@pytest.fixture(name="connected_once")
def _connected_once(modelarts_emulator, connect):
    """Emulator, with an Airflow connection ``modelarts_default`` that does not retry calls."""
    return connect(modelarts_emulator, retry_seconds=0)


@pytest.fixture(params=["sync", "async"], name="call")
def _call(request):
    """Function that calls a method of one of the clients: settings, name of the method, arguments."""
    from integration.clients.both_clients import with_async, with_sync

    return with_sync if request.param == "sync" else with_async


@pytest.fixture(name="bench")
def _bench(modelarts_emulator_factory, tmp_path):
    """Emulator without scenarios, with a training script in a bucket."""
    from integration.emulator.bench import SCRIPT, Bench

    with modelarts_emulator_factory(scenarios=[], root=tmp_path) as emulator:
        bench = Bench(emulator)
        bench.write(SCRIPT)
        yield bench


@pytest.fixture(name="task_log")
def _task_log(caplog, capsys):
    """Return a function that returns the logs of tasks: Airflow 3 prints them, 2.11 uses Python's logging."""
    caplog.set_level("INFO")
    caplog.set_level("ERROR", logger="asyncio")  # its debug mode warns of slow steps on a busy machine
    return lambda: caplog.text or capsys.readouterr().out


@pytest.fixture(autouse=True)
def _state_stores(monkeypatch, tmp_path_factory):
    """Provide empty task state stores of Airflow 3.3 to each test."""
    from integration.task_runs import STORES

    monkeypatch.setenv(STORES, str(tmp_path_factory.mktemp("stores")))


@pytest.fixture(name="task_is")
def _task_is(monkeypatch):
    """Return a function that sets what Airflow answers when a process asks for its task.

    Its arguments are those of ``TaskFacts``; the owner is a task instance, whose XCom names the job.
    """
    from airflow_provider_modelarts import task_state

    def set_facts(state, owner=None, **facts):
        def ask(key):
            return task_state.TaskFacts(state, owner=owner and owner.xcom.get("training_job_id"), **facts)

        async def ask_in_trigger(key):
            return ask(key)

        monkeypatch.setattr(task_state, "_ask_supervisor", ask)
        monkeypatch.setattr(task_state, "_ask_database", ask)
        monkeypatch.setattr(task_state, "_ask_in_trigger", ask_in_trigger)

    return set_facts


@pytest.fixture(autouse=True)
def _no_start_date_from_database(monkeypatch):
    """Replace the database query of Airflow 2.11 for the first start of a rescheduled sensor."""
    from integration import task_runs

    with contextlib.suppress(ImportError, AttributeError):
        monkeypatch.setattr(
            "airflow.sensors.base._orig_start_date", lambda **_: task_runs.running.get().rescheduled_first
        )


@pytest.fixture(autouse=True)
def _no_secret_of_another_test():
    """Clear Airflow's secrets before each test: with each new secret, Airflow compiles all of them anew."""
    try:
        from airflow.sdk.log import _secrets_masker  # type: ignore[attr-defined]
    except ImportError:
        from airflow.utils.log.secrets_masker import _secrets_masker
    masker = _secrets_masker()
    masker.patterns, masker.replacer = set(), None
