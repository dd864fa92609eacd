"""Login by an Airflow connection, on the emulator."""

from __future__ import annotations

import asyncio
import json

import pytest
from integration.task_runs import fire

from airflow_provider_modelarts.exceptions import ModelArtsAuthenticationError
from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook
from airflow_provider_modelarts.triggers.modelarts import ModelArtsHyperparameterSearchTrigger
from modelarts_emulator import DEMO_USER

PASSWORD = {"login": DEMO_USER.name, "password": DEMO_USER.password}
TOKENS = "/v3/auth/tokens"


@pytest.fixture(name="define")
def _define(modelarts_emulator, monkeypatch):
    """Return a function that defines the connection ``modelarts_default``."""

    def define(*, login=None, password=None, **extra):
        connection = modelarts_emulator.connection()
        connection |= {"login": login, "password": password}
        connection["extra"] |= extra
        monkeypatch.setenv("AIRFLOW_CONN_MODELARTS_DEFAULT", json.dumps(connection))

    return define


@pytest.fixture(name="right_key")
def _right_key(modelarts_emulator):
    """Login and password of the emulator's key."""
    return {"login": modelarts_emulator.access_key, "password": modelarts_emulator.secret_key}


def in_the_triggerer(job_id):
    """Read a job as a trigger does, and return its id."""

    async def read():
        async with await ModelArtsHook().get_async_conn() as client:
            return (await client.get_training_job(job_id)).id

    return asyncio.run(read())


def on_a_worker(job_id):
    """Read a job as a task does, and return its id."""
    return ModelArtsHook().get_training_job(job_id).id


PLACES = pytest.mark.parametrize("read", [on_a_worker, in_the_triggerer])


@PLACES
def test_connection_with_a_password(modelarts_emulator, define, read):
    """An IAM user logs in for a token."""
    define(**PASSWORD, auth="password", domain_name=DEMO_USER.domain_name)
    job_id = modelarts_emulator.job_id("documented")

    assert read(job_id) == job_id
    assert modelarts_emulator.requests[0].path == TOKENS


@PLACES
def test_connection_with_environment_variables(modelarts_emulator, define, monkeypatch, right_key, read):
    """The key is read from the variables of the vendor's SDK."""
    define(auth="environment")
    monkeypatch.setenv("HUAWEICLOUD_SDK_AK", right_key["login"])
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", right_key["password"])
    job_id = modelarts_emulator.job_id("documented")

    assert read(job_id) == job_id


@PLACES
def test_connection_with_a_profile_file(modelarts_emulator, define, monkeypatch, tmp_path, right_key, read):
    """The key is read from the profile file in the home folder of Airflow's user."""
    define(auth="environment")
    for name in ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".huaweicloud").mkdir()
    profile = f"[basic]\nak = {right_key['login']}\nsk = {right_key['password']}\n"
    (tmp_path / ".huaweicloud" / "credentials").write_text(profile)
    job_id = modelarts_emulator.job_id("documented")

    assert read(job_id) == job_id


def test_connection_test_names_user_project_and_region(modelarts_emulator, define):
    """The message names user, project and region in one line without secrets."""
    define(**PASSWORD, auth="password", domain_name=DEMO_USER.domain_name)

    works, message = ModelArtsHook().test_connection()

    assert works
    assert message == (
        f"Signed in to {modelarts_emulator.endpoint} as emulator-user of emulator-account: "
        f"project {modelarts_emulator.project_id}, region cn-north-4, {len(modelarts_emulator.job_ids)} training jobs"
    )


def test_connection_test_with_a_wrong_password(define):
    """The message begins with the error of IAM."""
    define(login=DEMO_USER.name, password="wrong", auth="password", domain_name=DEMO_USER.domain_name)

    works, message = ModelArtsHook().test_connection()

    assert not works
    assert message.startswith("POST /v3/auth/tokens: HTTP 401 IAM.0062: Incorrect username or password.")


@pytest.mark.parametrize("is_changed", [True, False], ids=["changed", "unchanged"])
def test_refused_key_is_read_again_from_the_connection(modelarts_emulator, define, right_key, is_changed):
    """A call succeeds with a changed key, and fails at once with an unchanged one."""
    define(login="OLD", password="old")
    hook = ModelArtsHook()
    hook.get_conn()
    if is_changed:
        define(**right_key)
    job_id = modelarts_emulator.job_id("documented")

    if is_changed:
        assert hook.get_training_job(job_id).id == job_id
    else:
        with pytest.raises(ModelArtsAuthenticationError):
            hook.get_training_job(job_id)
        assert len(modelarts_emulator.requests) == 1


def test_wait_outlives_several_tokens(modelarts_emulator, define):
    """A wait renews each token before its expiry, replaces a revoked one, and ends with the search.

    IAM's clock stands still: no token is refused for its age on a slow machine.
    """
    define(**PASSWORD, auth="password", domain_name=DEMO_USER.domain_name)
    modelarts_emulator.iam.lifetime, modelarts_emulator.iam.clock = 0.3, lambda: 1_800_000_000.0
    revoked = []

    def revoke(request):
        if not revoked and sum("autosearch-trials" in seen.path for seen in modelarts_emulator.requests) == 4:
            revoked.append(modelarts_emulator.iam.revoke())

    modelarts_emulator.on_request = revoke
    job_id = modelarts_emulator.job_id("growing")

    event = fire(ModelArtsHyperparameterSearchTrigger(training_job_id=job_id, poll_interval=0.12))

    assert (event["status"], event["summary"]["trial_counts"]) == ("done", {"TERMINATED": 8})
    assert sum(request.path == TOKENS for request in modelarts_emulator.requests) > 3
