"""Hook with an Airflow connection to the emulator."""

from __future__ import annotations

import asyncio
import json

import pytest

from airflow_provider_modelarts.exceptions import ModelArtsAuthenticationError, ModelArtsConfigurationError
from airflow_provider_modelarts.hooks.modelarts import ModelArtsHook


@pytest.fixture(name="connection")
def _connection(modelarts_emulator, monkeypatch):
    """Return a function that defines the connection with some fields changed, and returns a hook."""

    def define(**changes):
        fields = {**modelarts_emulator.connection(), **changes}
        monkeypatch.setenv("AIRFLOW_CONN_MODELARTS_DEFAULT", json.dumps(fields))
        return ModelArtsHook()

    return define


def test_hook_lists_the_trials_of_a_search(connected):
    """A call passes through connection, project lookup, signature and pagination."""
    trials = ModelArtsHook().list_trials(connected.job_id("large"))

    assert len({trial.trial_id for trial in trials}) == 120


def test_hook_streams_the_trials_of_a_search(connected):
    """The first trial is yielded after the first page."""
    first = next(ModelArtsHook().iter_trials(connected.job_id("large"), page_size=10))

    assert first.trial_id
    assert sum("autosearch-trials" in request.path for request in connected.requests) == 1


def test_hook_reads_job_and_algorithm(connected):
    """Job and algorithm are values that hold the raw response."""
    hook = ModelArtsHook()

    job = hook.get_training_job(connected.job_id("algorithm-search"))
    algorithm = hook.get_algorithm(job.algorithm_id)

    assert job.search is None
    assert algorithm.search.objectives[0].metric == "acc"
    assert algorithm.raw["metadata"]["id"] == job.algorithm_id


def test_project_id_is_looked_up_once(connected):
    """A connection without project id costs one request to IAM per process."""
    for _ in range(3):
        ModelArtsHook().get_training_job(connected.job_id("documented"))

    assert sum(request.path == "/v3/projects" for request in connected.requests) == 1


def test_given_project_id_is_not_looked_up(connected):
    """An explicit project id requires no request to IAM."""
    ModelArtsHook(project_id=connected.project_id).get_training_job(connected.job_id("documented"))

    assert all(request.path != "/v3/projects" for request in connected.requests)


def test_connection_of_the_huaweicloud_provider_works(modelarts_emulator, connection):
    """A ``huaweicloud`` connection works, and its other fields are ignored."""
    extra = {**modelarts_emulator.connection()["extra"], "obs_bucket": "bucket", "enterprise_project_id": "0"}

    hook = connection(conn_type="huaweicloud", extra=extra)

    assert hook.get_training_job(modelarts_emulator.job_id("documented")).name


def test_connection_as_uri_works(modelarts_emulator, monkeypatch):
    """A connection from a URI works, although its fields are texts."""
    fields = modelarts_emulator.connection()
    query = f"region={fields['extra']['region']}&verify=false&timeout=5%2C10"
    iam = modelarts_emulator.endpoint.replace(":", "%3A").replace("/", "%2F")
    uri = f"modelarts://{fields['login']}:{fields['password']}@/?{query}&endpoint={iam}&iam_endpoint={iam}"
    monkeypatch.setenv("AIRFLOW_CONN_MODELARTS_DEFAULT", uri)

    assert ModelArtsHook().get_training_job(modelarts_emulator.job_id("documented")).name


def test_hook_does_nothing_before_its_first_call(monkeypatch):
    """A hook of a missing connection is created without an error."""
    monkeypatch.delenv("AIRFLOW_CONN_MODELARTS_DEFAULT", raising=False)

    assert ModelArtsHook("no_such_connection").modelarts_conn_id == "no_such_connection"


def test_connection_test_names_key_project_and_region(modelarts_emulator, connection):
    """The message names key, project and region, but not the secret."""
    works, message = connection().test_connection()

    assert works
    for word in (modelarts_emulator.access_key, modelarts_emulator.project_id, modelarts_emulator.region):
        assert word in message
    assert modelarts_emulator.secret_key not in message


BROKEN = {
    "wrong secret": ({"password": "wrong"}, "verify aksk signature fail"),
    "no key": ({"login": None}, "access key id (login)"),
    "bad timeout": ({"timeout": "soon"}, "timeout must be a number"),
    "bad verify": ({"verify": "perhaps"}, "verify must be true or false"),
    "bad endpoint": ({"endpoint": "ftp://x"}, "endpoint must be a URL"),
    "other region": ({"region": "elsewhere-1"}, "IAM has no project named 'elsewhere-1'"),
}


@pytest.mark.parametrize(("changes", "message"), BROKEN.values(), ids=BROKEN)
def test_connection_test_of_a_bad_connection_names_the_reason(modelarts_emulator, connection, changes, message):
    """The message names the reason, but never the secret."""
    fields = modelarts_emulator.connection()
    top = {name: value for name, value in changes.items() if name in fields}
    extra = {**fields["extra"], **{name: value for name, value in changes.items() if name not in fields}}

    works, text = connection(**top, extra=extra).test_connection()

    assert not works
    assert message in text
    assert modelarts_emulator.secret_key not in text


def test_async_client_lists_the_same_trials(connected):
    """The asynchronous client of the hook uses the same connection."""
    job_id = connected.job_id("large")

    async def read():
        async with await ModelArtsHook().get_async_conn() as client:
            return await client.list_trials(job_id)

    assert asyncio.run(read()) == ModelArtsHook().list_trials(job_id)


def test_wrong_secret_is_sent_once(modelarts_emulator, connection):
    """A wrong secret is not sent again, because five bad signatures lock a key."""
    hook = connection(password="wrong")

    with pytest.raises(ModelArtsAuthenticationError):
        hook.get_training_job(modelarts_emulator.job_id("documented"))

    assert len(modelarts_emulator.requests) == 1


def test_error_of_a_bad_field_names_the_connection(connection):
    """The error names the connection and the field."""
    with pytest.raises(ModelArtsConfigurationError, match="connection 'modelarts_default': timeout"):
        connection(extra={"timeout": "soon"}).get_training_job("x")
