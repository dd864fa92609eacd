"""Every login of both clients, with IAM and metadata service of the emulator."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from integration.emulated import DEMO_LOGIN, settings_of

from airflow_provider_modelarts.api.credentials import Issued, MetadataLogin
from airflow_provider_modelarts.api.responses import Response
from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.api.session import session_of
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.async_client import AsyncModelArtsClient
from airflow_provider_modelarts.client import ModelArtsClient
from airflow_provider_modelarts.exceptions import (
    ModelArtsAuthenticationError,
    ModelArtsServerError,
    ModelArtsTransportError,
)

TOKENS = "/v3/auth/tokens"
KEYS = "/openstack/latest/securitykey"


class Sync:
    """Synchronous client for several calls."""

    def __init__(self, settings, **options):
        self.settings = settings
        self._client = ModelArtsClient(settings, **options)

    def get(self, job_id):
        """Return the id of a job that was read."""
        return self._client.get_training_job(job_id).id


class Async:
    """Asynchronous client with the interface of :class:`Sync`."""

    def __init__(self, settings, *, reload=None, on_secret=None):
        async def later(function, *arguments):
            return function(*arguments)

        self.settings = settings
        self._options = {
            "reload": (lambda: later(reload)) if reload else None,
            "on_secret": (lambda secret: later(on_secret, secret)) if on_secret else None,
        }

    def get(self, job_id):
        """Return the id of a job that was read."""

        async def call():
            async with AsyncModelArtsClient(self.settings, **self._options) as client:
                return (await client.get_training_job(job_id)).id

        return asyncio.run(call())


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"], name="client_for")
def _client_for(request, modelarts_emulator):
    """Return a function that makes a client with the given credentials."""

    def client_for(
        credentials, *, iam_endpoint=modelarts_emulator.endpoint, retry=RetryPolicy(0.002, 0.02, 60.0), **options
    ):
        settings = settings_of(modelarts_emulator)
        settings = dataclasses.replace(settings, credentials=credentials, iam_endpoint=iam_endpoint, retry=retry)
        return request.param(settings, **options)

    return client_for


@pytest.fixture(name="job_id")
def _job_id(modelarts_emulator):
    """Id of an existing job."""
    return modelarts_emulator.job_id("documented")


def requests_to(emulator, path):
    """Return the number of requests to a path."""
    return sum(request.path == path for request in emulator.requests)


def agency(emulator):
    """Return the login with the emulator's metadata service."""
    return MetadataLogin(emulator.endpoint)


LOGINS = pytest.mark.parametrize(
    ("login", "path"), [(lambda emulator: DEMO_LOGIN, TOKENS), (agency, KEYS)], ids=["password", "agency"]
)


@LOGINS
def test_one_login_serves_many_calls(modelarts_emulator, client_for, job_id, login, path):
    """Token or temporary key are shared by all clients with the same login."""
    first, second = client_for(login(modelarts_emulator)), client_for(login(modelarts_emulator))

    assert [client.get(job_id) for client in (first, first, second)] == [job_id] * 3
    assert requests_to(modelarts_emulator, path) == 1


@LOGINS
def test_credential_is_renewed_before_it_expires(modelarts_emulator, client_for, job_id, login, path):
    """The first call after three quarters of the lifetime renews the credential. Both bounds hold on a slow machine."""
    modelarts_emulator.iam.lifetime = 0.8
    client = client_for(login(modelarts_emulator))
    before = time.time()
    client.get(job_id)
    obtained = last = began = time.time()
    while requests_to(modelarts_emulator, path) == 1:
        last, began = began, time.time()
        client.get(job_id)

    assert last - obtained < 0.6 <= time.time() - before


@LOGINS
def test_revoked_credential_is_renewed_once(modelarts_emulator, client_for, job_id, login, path):
    """A change of permissions revokes a credential: the refused call succeeds with a new one."""
    client = client_for(login(modelarts_emulator))
    client.get(job_id)
    modelarts_emulator.iam.revoke()

    assert client.get(job_id) == job_id
    assert requests_to(modelarts_emulator, path) == 2


@LOGINS
def test_call_fails_if_the_renewed_credential_is_refused_too(modelarts_emulator, client_for, job_id, login, path):
    """No third credential is requested."""
    client = client_for(login(modelarts_emulator))
    client.get(job_id)
    refusal = b'{"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information"}'
    modelarts_emulator.respond_next(job_id, status=401, body=refusal, times=9)
    before = requests_to(modelarts_emulator, f"/v2/{modelarts_emulator.project_id}/training-jobs/{job_id}")

    with pytest.raises(ModelArtsAuthenticationError, match="Incorrect IAM authentication information"):
        client.get(job_id)

    after = requests_to(modelarts_emulator, f"/v2/{modelarts_emulator.project_id}/training-jobs/{job_id}")
    assert (after - before, requests_to(modelarts_emulator, path)) == (2, 2)


@LOGINS
def test_failed_renewal_keeps_the_valid_credential(modelarts_emulator, client_for, job_id, login, path):
    """An outage of IAM does not fail a call while the old credential is still valid."""
    client = client_for(login(modelarts_emulator), retry=RetryPolicy(total=0))
    client.get(job_id)
    now, session = time.time(), session_of(client.settings)
    session.keep(Issued(session.fresh(now), renew_at=now, expires_at=now + 3600))
    modelarts_emulator.respond_next(path, status=500, body=b"{}", times=10_000)

    assert client.get(job_id) == job_id
    assert requests_to(modelarts_emulator, path) == 2


@LOGINS
def test_failed_login_is_retried(modelarts_emulator, client_for, job_id, login, path):
    """Transient errors of the login do not fail a call."""
    modelarts_emulator.respond_next(path, status=503, body=b"{}", times=2)
    modelarts_emulator.respond_next(path, drop=True)

    assert client_for(login(modelarts_emulator)).get(job_id) == job_id


@LOGINS
def test_permanent_failure_of_the_login_is_raised(modelarts_emulator, client_for, job_id, login, path):
    """The error names the failed request."""
    modelarts_emulator.respond_next(path, status=503, body=b"busy", times=10_000)

    with pytest.raises(ModelArtsServerError, match=f"{path}: HTTP 503"):
        client_for(login(modelarts_emulator), retry=RetryPolicy(0.001, 0.01, 0.05)).get(job_id)


@LOGINS
def test_obtained_secrets_are_passed_to_on_secret(modelarts_emulator, client_for, job_id, login, path):
    """Token, or secret key and security token, can then be masked in logs."""
    secrets = []
    client_for(login(modelarts_emulator), on_secret=secrets.append).get(job_id)

    assert len(secrets) == (1 if path == TOKENS else 2)
    assert all(len(secret) >= 40 for secret in secrets)


@pytest.mark.parametrize("wrong", [{"user": "nobody"}, {"password": "wrong"}, {"domain_name": "elsewhere"}])
def test_wrong_password_fails_at_once(modelarts_emulator, client_for, job_id, wrong):
    """One request is sent; the error quotes IAM, and does not contain the password."""
    login = dataclasses.replace(DEMO_LOGIN, **wrong)

    with pytest.raises(ModelArtsAuthenticationError, match=r"POST /v3/auth/tokens: HTTP 401 IAM\.0062") as raised:
        client_for(login).get(job_id)

    assert login.password not in str(raised.value)
    assert [request.path for request in modelarts_emulator.requests] == [TOKENS]


def test_wrong_key_fails_at_once(modelarts_emulator, client_for, job_id):
    """One request is sent: five bad signatures in a row lock the key."""
    wrong = AccessKey(modelarts_emulator.access_key, "wrong")

    with pytest.raises(ModelArtsAuthenticationError, match="verify aksk signature fail"):
        client_for(wrong).get(job_id)

    assert len(modelarts_emulator.requests) == 1


CREDENTIALS = pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (lambda emulator: settings_of(emulator).credentials, AccessKey("OLD", "old")),
        (lambda emulator: DEMO_LOGIN, dataclasses.replace(DEMO_LOGIN, password="old")),
    ],
    ids=["key", "password"],
)


@CREDENTIALS
def test_refused_credentials_are_reloaded_from_the_connection(modelarts_emulator, client_for, job_id, right, wrong):
    """A wait of days may outlast an access key: the connection is read again once, and the call succeeds."""
    good = settings_of(modelarts_emulator, credentials=right(modelarts_emulator))
    reloads = []
    client = client_for(wrong, reload=lambda: reloads.append(1) or good)

    assert client.get(job_id) == job_id
    assert reloads == [1]


@CREDENTIALS
def test_unchanged_credentials_fail_at_once(modelarts_emulator, client_for, job_id, right, wrong):
    """The reloaded connection holds the same credentials: no second request is sent."""
    same = settings_of(modelarts_emulator, credentials=wrong)

    with pytest.raises(ModelArtsAuthenticationError):
        client_for(wrong, reload=lambda: same).get(job_id)

    assert len(modelarts_emulator.requests) == 1


def test_agency_works_without_hop_tokens(modelarts_emulator, client_for, job_id):
    """Older metadata services do not issue hop tokens."""
    modelarts_emulator.iam.hop_tokens = False

    assert client_for(agency(modelarts_emulator)).get(job_id) == job_id


def test_metadata_service_is_called_without_a_proxy(modelarts_emulator, client_for, job_id, monkeypatch):
    """A proxy cannot reach the metadata service, and must not see the temporary key."""
    host = modelarts_emulator.endpoint.removeprefix("http://")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    with pytest.raises(ModelArtsTransportError, match="/v3/projects"):
        client_for(agency(modelarts_emulator), retry=RetryPolicy(total=0)).get(job_id)
    assert [request.path for request in modelarts_emulator.requests] == ["/meta-data/latest/api/token", KEYS]

    monkeypatch.setenv("no_proxy", host.partition(":")[0])
    assert client_for(agency(modelarts_emulator)).get(job_id) == job_id


def test_missing_metadata_service_is_an_error(client_for, job_id):
    """A machine outside the cloud has no metadata service; the error names the request."""
    client = client_for(MetadataLogin("http://127.0.0.1:9"), retry=RetryPolicy(total=0))

    with pytest.raises(
        ModelArtsTransportError, match=r"PUT http://127\.0\.0\.1:9/meta-data/latest/api/token: no response"
    ):
        client.get(job_id)


def test_thousand_waits_make_one_token_request(modelarts_emulator, job_id):
    """Each wait has its own client. After a revocation, one more token serves them all."""
    settings = settings_of(
        modelarts_emulator, credentials=DEMO_LOGIN, project_id=modelarts_emulator.project_id, verify=False
    )

    async def get(client):
        return (await client.get_training_job(job_id)).id

    async def waits():
        clients = [AsyncModelArtsClient(settings) for _ in range(1000)]
        first = await asyncio.gather(*map(get, clients))
        modelarts_emulator.iam.revoke()
        second = await asyncio.gather(*map(get, clients))
        await asyncio.gather(*(client.close() for client in clients))
        return first + second

    assert asyncio.run(waits()) == [job_id] * 2000
    assert requests_to(modelarts_emulator, TOKENS) == 2


@pytest.mark.parametrize(
    "wrong", [AccessKey("AK", "wrong"), dataclasses.replace(DEMO_LOGIN, password="wrong")], ids=["key", "password"]
)
def test_thousand_waits_send_a_wrong_secret_once(modelarts_emulator, job_id, wrong):
    """Five wrong attempts would lock the key or user, for callers with the right secret too."""
    right = settings_of(modelarts_emulator, project_id=modelarts_emulator.project_id, verify=False)
    if isinstance(wrong, AccessKey):
        wrong = dataclasses.replace(wrong, access_key=right.credentials.access_key)
    settings = dataclasses.replace(right, credentials=wrong)

    async def get(reload=None):
        async with AsyncModelArtsClient(settings, reload=reload) as client:
            return (await client.get_training_job(job_id)).id

    async def corrected():
        return right

    async def waits():
        refused = await asyncio.gather(*(get() for _ in range(1000)), return_exceptions=True)
        refused += await asyncio.gather(get(), return_exceptions=True)
        sent = len(modelarts_emulator.requests)
        return refused, sent, await asyncio.gather(*(get(corrected) for _ in range(10)))

    refused, sent, found = asyncio.run(waits())

    assert {type(error) for error in refused} == {ModelArtsAuthenticationError}
    assert sent == 1
    assert str(refused[-1]).count("Another call got this response less than a minute ago; this one was not sent") == 1
    assert found == [job_id] * 10
    assert len(modelarts_emulator.requests) == 1 + 10


def test_urgent_calls_send_a_wrong_secret_of_an_edited_connection_once(modelarts_emulator, job_id):
    """The end of many deferred tasks at once must not lock the key that a user has just mistyped."""
    right = settings_of(modelarts_emulator, project_id=modelarts_emulator.project_id, verify=False)
    replaced = dataclasses.replace(right, credentials=AccessKey("REPLACED", "secret"))
    mistyped = dataclasses.replace(right, credentials=AccessKey(right.credentials.access_key, "mistyped"))
    session_of(replaced).learn(Response(200), now=0)  # the old key worked until it was replaced

    async def get():
        async with AsyncModelArtsClient(replaced, reload=edited, is_urgent=True) as client:
            await client.get_training_job(job_id)

    async def edited():
        return mistyped

    async def end():
        return await asyncio.gather(*(get() for _ in range(30)), return_exceptions=True)

    errors = asyncio.run(end())

    assert {type(error) for error in errors} == {ModelArtsAuthenticationError}
    assert len(modelarts_emulator.requests) == 30 + 1


def test_edited_connection_stays_with_an_urgent_client(modelarts_emulator, job_id):
    """The second call of the client does not send the refused key again."""
    good = settings_of(modelarts_emulator, project_id=modelarts_emulator.project_id, verify=False)
    reloads = []

    async def edited():
        reloads.append(1)
        return good

    async def get_twice():
        wrong = dataclasses.replace(good, credentials=AccessKey("AK", "wrong"))
        async with AsyncModelArtsClient(wrong, reload=edited, is_urgent=True) as client:
            return [(await client.get_training_job(job_id)).id for _ in range(2)]

    assert asyncio.run(get_twice()) == [job_id] * 2
    assert (reloads, len(modelarts_emulator.requests)) == ([1], 1 + 2)


def test_threads_do_not_send_a_token_that_is_being_renewed(modelarts_emulator, job_id):
    """Threads that call while one of them logs in anew wait for its token."""
    settings = settings_of(modelarts_emulator, credentials=DEMO_LOGIN, project_id=modelarts_emulator.project_id)
    renewing = threading.Event()

    def hold(request):
        if request.path == TOKENS:
            renewing.set()
            threading.Event().wait(0.3)  # so that the other threads call meanwhile

    calls = f"/v2/{modelarts_emulator.project_id}/training-jobs/{job_id}"
    with ModelArtsClient(settings) as client:
        client.get_training_job(job_id)
        modelarts_emulator.iam.revoke()
        modelarts_emulator.on_request = hold

    def get(_):
        with ModelArtsClient(settings) as client:
            return client.get_training_job(job_id).id

    with ThreadPoolExecutor(10) as threads:
        first = threads.submit(get, 0)
        renewing.wait(10)
        others = list(threads.map(get, range(9)))

    assert [first.result(), *others] == [job_id] * 10
    assert requests_to(modelarts_emulator, calls) == 1 + 2 + 9
