"""No key, password, token or signature is seen anywhere, whatever a task does, and however it ends."""

from __future__ import annotations

import io
import json
import logging
import re
import traceback

import pytest
from integration.task_runs import MODES, TaskInstance, run_task

from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook
from airflow_provider_modelarts.operators.modelarts import ModelArtsBestTrialOperator
from airflow_provider_modelarts.sensors.modelarts import ModelArtsHyperparameterSearchSensor
from airflow_provider_modelarts.triggers.modelarts import ModelArtsHyperparameterSearchTrigger
from modelarts_emulator import DEMO_KEY, DEMO_USER


class Eavesdropper:
    """Hears all that is logged at DEBUG, by whatever library, and sees what was sent."""

    def __init__(self, emulator):
        self._emulator = emulator
        self._sent = []
        self._heard = io.StringIO()
        self._handler = logging.StreamHandler(self._heard)
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
    def heard(self):
        """All that was logged."""
        return self._heard.getvalue()

    def secrets(self):
        """Return all that was used to sign in: by the connection, and what came over the wire."""
        headers = [value for sent in self._sent for value in sent.items()]
        signatures = [value.rpartition("Signature=")[2] for name, value in headers if name == "authorization"]
        tokens = [value for name, value in headers if name in {"x-auth-token", "x-security-token", "x-metadata-token"}]
        return {DEMO_KEY.secret_key, DEMO_USER.password, *signatures, *tokens}


def with_key(connection):
    """Sign in by the access key."""


def with_password(connection):
    """Sign in by a password, for a token."""
    connection |= {"login": DEMO_USER.name, "password": DEMO_USER.password}
    connection["extra"] |= {"auth": "password", "domain_name": DEMO_USER.domain_name}


def with_variables(connection):
    """Sign in by the vendor's variables."""
    connection |= {"login": "", "password": ""}
    connection["extra"] |= {"auth": "environment"}


def wait(mode, job_id):
    """Wait for a search in one of the modes."""
    arguments = {"task_id": "wait", "training_job_id": job_id, "poke_interval": 0.02}
    arguments |= {"deferrable": True} if mode == "deferrable" else {"deferrable": False, "mode": mode}
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
def test_no_secret_is_seen(modelarts_emulator, monkeypatch, capfd, action, end, credentials):
    """Not in logs at DEBUG, errors with their causes, XCom, the link, or on the task's output."""
    connection = modelarts_emulator.connection()
    credentials(connection)
    connection["extra"]["retry_seconds"] = 0
    monkeypatch.setenv("AIRFLOW_CONN_MODELARTS_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", DEMO_KEY.access_key)
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", DEMO_KEY.secret_key)
    name, act = action
    job_id = modelarts_emulator.job_ids.get(end, end)

    with Eavesdropper(modelarts_emulator) as eavesdropper:
        if end == "an-echo":
            echo(modelarts_emulator, job_id)
        run = act(name, job_id)

    error = "".join(traceback.format_exception(run.error)) if run.error else ""
    seen = "\n".join([eavesdropper.heard, error, json.dumps(run.ti.xcom), *capfd.readouterr()])
    succeeds = end == "documented" or (name == "best trial" and end == "failing-job")
    assert (run.state == "success") is succeeds, run.message
    assert "training-jobs" in eavesdropper.heard
    assert len(eavesdropper.secrets()) > 2
    assert [secret for secret in eavesdropper.secrets() if secret in seen] == []
    assert not re.search(r"Signature=[0-9a-f]{8}", seen)


def echo(emulator, job_id):
    """Let a gateway answer that repeats in its error what it was sent to sign in."""
    receive = emulator.receive

    def receive_and_repeat(received):
        if job_id in received.path:
            proof = [received.headers[name] for name in ("authorization", "x-auth-token") if name in received.headers]
            body = {"error_code": "X.1", "error_msg": f"debug: {' '.join(proof)}"}
            emulator.respond_next(job_id, status=502, body=json.dumps(body).encode())
        return receive(received)

    emulator.receive = receive_and_repeat


def test_no_secret_is_stored_or_shown(modelarts_emulator, connect):
    """Not in what a trigger stores, in rendered fields, nor in the reprs that a debugger shows."""
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
