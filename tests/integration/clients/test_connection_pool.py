"""Connections, queue and rate that the asynchronous clients of one event loop share."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from integration.clients.counting_server import counting_server

from airflow_provider_modelarts.api.connection_pool import MAX_CALLS
from airflow_provider_modelarts.api.responses import Response
from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.api.session import session_of
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.async_client import AsyncModelArtsClient


def settings(server, key="AK", **options):
    """Return settings for a server, with an access key that has already been accepted."""
    known = Settings(credentials=AccessKey(key, "SK"), endpoint=server.url, project_id="project", **options)
    session_of(known).learn(Response(200), now=0)
    return known


@asynccontextmanager
async def clients(server, count, key="AK", **options):
    """Open clients with the same settings."""
    async with AsyncExitStack() as stack:
        one = settings(server, key, **options)
        yield [await stack.enter_async_context(AsyncModelArtsClient(one)) for _ in range(count)]


async def all_call(some):
    """Call once with each client, all at the same time."""
    await asyncio.gather(*(client.get_training_job("job") for client in some))


async def until(condition):
    """Let other tasks run until a condition is true."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


def test_clients_with_the_same_settings_share_a_cap_on_concurrent_calls():
    """A thousand waits do not open a thousand connections."""

    async def measure():
        async with counting_server() as server, clients(server, 5 * MAX_CALLS) as some:
            server.may_respond.clear()
            calls = asyncio.create_task(all_call(some))
            await until(lambda: server.concurrent == MAX_CALLS)
            server.may_respond.set()
            await calls
            return server

    server = asyncio.run(measure())

    assert server.requests == 5 * MAX_CALLS
    assert server.max_concurrent == MAX_CALLS
    assert len(server.connections) == MAX_CALLS


def test_connections_outlive_a_client_that_shared_them():
    """A wait that ends does not close the connections of other waits."""

    async def measure():
        async with counting_server() as server, clients(server, 1) as (remaining,):
            await remaining.get_training_job("job")
            async with AsyncModelArtsClient(settings(server)) as leaving:
                await leaving.get_training_job("job")
            await remaining.get_training_job("job")
            return len(server.connections)

    assert asyncio.run(measure()) == 1


def test_last_client_closes_the_connections():
    """A triggerer without waits has no open connection."""

    async def measure():
        async with counting_server() as server:
            async with clients(server, 3) as some:
                await all_call(some)
            await until(lambda: not server.open_connections)
            return len(server.connections)

    assert asyncio.run(measure()) == 3


def test_client_works_again_after_it_was_closed():
    """A closed client joins the pool again with its next call."""

    async def measure():
        async with counting_server() as server:
            client = AsyncModelArtsClient(settings(server))
            for _ in range(2):
                await client.get_training_job("job")
                await client.close()
            await client.close()
            return len(server.connections)

    assert asyncio.run(measure()) == 2


@asynccontextmanager
async def throttled_for_an_hour(server):
    """Throttle one client with a Retry-After of an hour. Its retry is pending while the block runs."""
    server.throttled, server.retry_after = {0}, 3600
    async with clients(server, 1, retry=RetryPolicy(total=7200)) as (client,):
        call = asyncio.create_task(client.get_training_job("job"))
        await until(lambda: server.requests)
        yield
        call.cancel()


async def until_held_up(client):
    """Call repeatedly until a call of the client is held up."""

    async def call_often():
        for _ in range(1000):
            await asyncio.wait_for(client.get_training_job("job"), 0.5)

    with pytest.raises(TimeoutError):
        await call_often()


def test_throttling_pauses_all_clients_with_the_same_key():
    """The Retry-After of one response applies to all clients that share the rate limit."""

    async def measure():
        async with counting_server() as server, clients(server, 1) as (other,), throttled_for_an_hour(server):
            await until_held_up(other)

    asyncio.run(measure())


def test_throttling_does_not_pause_clients_with_another_key():
    """The rate limit is that of one access key."""

    async def measure():
        async with (
            counting_server() as server,
            clients(server, 1, "another") as (other,),
            throttled_for_an_hour(server),
        ):
            async with asyncio.timeout(60):
                for _ in range(100):
                    await other.get_training_job("job")
            return server.requests

    assert asyncio.run(measure()) == 101


def test_time_in_the_queue_does_not_count_as_retry_time():
    """Retries may take 2 s: a call that was queued for longer, and is then throttled, is still retried."""

    async def measure():
        async with (
            counting_server() as server,
            clients(server, MAX_CALLS + 1, retry=RetryPolicy(0.01, total=2)) as some,
        ):
            server.may_respond.clear()
            server.throttled = {MAX_CALLS}
            calls = asyncio.create_task(all_call(some))
            await until(lambda: server.requests == MAX_CALLS)
            await asyncio.sleep(2.1)  # in the queue
            server.may_respond.set()
            await calls
            return server.requests

    assert asyncio.run(measure()) == MAX_CALLS + 2


def test_cancelled_call_leaves_the_queue():
    """A task that is killed during a call does not block the others."""

    async def measure():
        async with counting_server() as server, clients(server, MAX_CALLS + 1) as some:
            server.may_respond.clear()
            stuck = [asyncio.create_task(client.get_training_job("job")) for client in some[1:]]
            await until(lambda: server.requests == MAX_CALLS)
            waiting = asyncio.create_task(some[0].get_training_job("job"))
            for call in stuck:
                call.cancel()
            server.may_respond.set()
            return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(measure()).id == "job"


def test_urgent_call_bypasses_the_queue():
    """A job can be stopped while the pool is full of calls without a response."""

    async def measure():
        async with counting_server() as server, clients(server, MAX_CALLS) as some:
            server.may_respond.clear()
            stuck = asyncio.create_task(all_call(some))
            await until(lambda: server.requests == MAX_CALLS)
            async with AsyncModelArtsClient(settings(server), is_urgent=True) as urgent:
                stopping = asyncio.create_task(urgent.stop_training_job("job"))
                await until(lambda: server.requests == MAX_CALLS + 1)
                server.may_respond.set()
                await stuck
                return await stopping

    assert asyncio.run(measure())


def test_urgent_call_bypasses_a_pause():
    """A job can be stopped while the other clients are throttled for an hour."""

    async def measure():
        async with counting_server() as server, clients(server, 1) as (other,), throttled_for_an_hour(server):
            await until_held_up(other)
            async with AsyncModelArtsClient(settings(server), is_urgent=True) as urgent, asyncio.timeout(60):
                return await urgent.stop_training_job("job")

    assert asyncio.run(measure())


def test_hanging_first_call_holds_up_the_others_only_briefly():
    """One call tests a new access key first; the others wait for it no longer than the connect timeout."""

    async def measure():
        async with counting_server() as server, AsyncExitStack() as stack:
            unknown = dataclasses.replace(settings(server), credentials=AccessKey("unknown", "SK"), connect_timeout=1.0)
            some = [await stack.enter_async_context(AsyncModelArtsClient(unknown)) for _ in range(10)]
            server.may_respond.clear()
            calls = asyncio.create_task(all_call(some))
            await until(lambda: server.requests == 10)
            server.may_respond.set()
            await calls

    asyncio.run(measure())
