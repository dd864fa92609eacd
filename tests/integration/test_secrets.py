"""Secrecy of keys, passwords, tokens and signatures in every task and for every outcome."""

from __future__ import annotations

import io
import json
import logging
import re
import traceback

import pytest
from integration.task_runs import MODES, TaskInstance, mode_arguments, run_task

from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook
from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor
from airflow_provider_modelarts.triggers.modelarts import ModelArtsHyperparameterSearchTrigger
from modelarts_emulator import DEMO_KEY, DEMO_USER


class Recorder:
    """Recorder of all log lines at DEBUG, of every library, and of the headers of all requests."""

    def __init__(self, emulator):
        self._emulator = emulator
        self._sent = []
        self._log = io.StringIO()
        self._handler = logging.StreamHandler(self._log)
        self._receive = emulator.receive

    def __enter__(self):
        def receive(received):
            self._sent.append(dict(received.headers))
            return self._receive(received)

        self._emulator.receive = receive
        self._level = logging.root.level
        logging.root.addHandler(self._handler)
        logging.root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_):
        logging.root.removeHandler(self._handler)
        logging.root.setLevel(self._level)

    @property
    def logged(self):
        """All log lines."""
        return self._log.getvalue()

    def secrets(self):
        """Return all secrets: those of the connection, and those in the headers of the requests."""
        headers = [value for sent in self._sent for value in sent.items()]
        signatures = [value.rpartition("Signature=")[2] for name, value in headers if name == "authorization"]
        tokens = [value for name, value in headers if name in {"x-auth-token", "x-security-token", "x-metadata-token"}]
        return {DEMO_KEY.secret_key, DEMO_USER.password, *signatures, *tokens}


def with_key(connection):
    """Keep the access key of the connection."""


def with_password(connection):
    """Log in with a password, for a token."""
    connection |= {"login": DEMO_USER.name, "password": DEMO_USER.password}
    connection["extra"] |= {"auth": "password", "domain_name": DEMO_USER.domain_name}


def with_variables(connection):
    """Log in with the environment variables of the vendor."""
    connection |= {"login": "", "password": ""}
    connection["extra"] |= {"auth": "environment"}


def wait(mode, job_id):
    """Wait for a search in one of the modes."""
    arguments = {"task_id": "wait", "training_job_id": job_id, "poke_interval": 0.02, **mode_arguments(mode)}
    return run_task(lambda: ModelArtsHyperparameterSearchSensor(**arguments))


def choose(mode, job_id):
    """Choose the best trial."""
    return run_task(lambda: ModelArtsBestTrialOperator(task_id="best", training_job_id=job_id), TaskInstance())


ACTIONS = dict.fromkeys(MODES, wait) | {"best trial": choose}
ENDS = {
    "success": "documented",
    "failed search": "failing-job",
    "missing job": "no-such-job",
    "echo": "an-echo",
}


@pytest.mark.parametrize("credentials", [with_key, with_password, with_variables])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("action", ACTIONS.items(), ids=ACTIONS)
def test_no_secret_is_exposed(modelarts_emulator, monkeypatch, capfd, action, end, credentials):
    """Logs at DEBUG, errors with their causes, XComs, link and output of a task contain no secret."""
    connection = modelarts_emulator.connection()
    credentials(connection)
    connection["extra"]["retry_seconds"] = 0
    monkeypatch.setenv("AIRFLOW_CONN_MODELARTS_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", DEMO_KEY.access_key)
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", DEMO_KEY.secret_key)
    name, act = action
    job_id = modelarts_emulator.job_ids.get(end, end)

    with Recorder(modelarts_emulator) as recorder:
        if end == "an-echo":
            echo(modelarts_emulator, job_id)
        run = act(name, job_id)

    error = "".join(traceback.format_exception(run.error)) if run.error else ""
    seen = "\n".join([recorder.logged, error, json.dumps(run.ti.xcom), *capfd.readouterr()])
    succeeds = end == "documented" or (name == "best trial" and end == "failing-job")
    assert (run.state == "success") is succeeds, run.message
    assert "training-jobs" in recorder.logged
    assert len(recorder.secrets()) > 2
    assert [secret for secret in recorder.secrets() if secret in seen] == []
    assert not re.search(r"Signature=[0-9a-f]{8}", seen)


def echo(emulator, job_id):
    """Respond like a gateway with an error that repeats the credentials of the request."""
    receive = emulator.receive

    def receive_and_echo(received):
        if job_id in received.path:
            sent = [received.headers[name] for name in ("authorization", "x-auth-token") if name in received.headers]
            body = {"error_code": "X.1", "error_msg": f"debug: {' '.join(sent)}"}
            emulator.respond_next(job_id, status=502, body=json.dumps(body).encode())
        return receive(received)

    emulator.receive = receive_and_echo


def test_no_secret_is_stored_or_shown(modelarts_emulator, connect):
    """Stored arguments of a trigger, rendered fields and reprs contain no secret."""
    connect(modelarts_emulator)
    hook = ModelArtsHook()
    client = hook.get_conn()
    client.get_training_job(modelarts_emulator.job_id("documented"))
    sensor = ModelArtsHyperparameterSearchSensor(task_id="wait", training_job_id="x")
    trigger = ModelArtsHyperparameterSearchTrigger(training_job_id="x")
    fields = {name: getattr(sensor, name) for name in sensor.template_fields}

    shown = repr([vars(hook), vars(client), client.settings, sensor, trigger, trigger.serialize(), fields])

    assert "EMULATORACCESSKEY000" in shown
    assert DEMO_KEY.secret_key not in shown
