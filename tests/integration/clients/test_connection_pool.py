"""What asynchronous clients of one event loop share."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from integration.clients.counting_server import counting

from airflow_provider_modelarts.api.connection_pool import MAX_CALLS
from airflow_provider_modelarts.api.responses import Response
from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.api.session import session_of
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.async_client import AsyncModelArtsClient


def settings(server, key="AK", **options):
    """Return settings that lead to a server, with a key that is known to be good."""
    known = Settings(credentials=AccessKey(key, "SK"), endpoint=server.url, project_id="project", **options)
    session_of(known).learn(Response(200), now=0)
    return known


@asynccontextmanager
async def clients(server, count, key="AK", **options):
    """Open clients that call alike."""
    async with AsyncExitStack() as stack:
        one = settings(server, key, **options)
        yield [await stack.enter_async_context(AsyncModelArtsClient(one)) for _ in range(count)]


async def all_call(some):
    """Let each client call once, all at the same time."""
    await asyncio.gather(*(client.get_training_job("job") for client in some))


async def until(happened):
    """Let others go on until something has happened."""
    async with asyncio.timeout(60):
        while not happened():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


def test_clients_that_call_alike_have_a_cap_on_calls_under_way():
    """A thousand waits must not open a thousand connections."""

    async def measure():
        async with counting() as server, clients(server, 5 * MAX_CALLS) as some:
            server.may_answer.clear()
            calls = asyncio.create_task(all_call(some))
            await until(lambda: server.at_once == MAX_CALLS)
            server.may_answer.set()
            await calls
            return server

    server = asyncio.run(measure())

    assert server.arrivals == 5 * MAX_CALLS
    assert server.most_at_once == MAX_CALLS
    assert len(server.connections) == MAX_CALLS


def test_connections_outlive_a_client_that_shared_them():
    """A wait that ends closes nothing that others still use."""

    async def measure():
        async with counting() as server, clients(server, 1) as (staying,):
            await staying.get_training_job("job")
            async with AsyncModelArtsClient(settings(server)) as leaving:
                await leaving.get_training_job("job")
            await staying.get_training_job("job")
            return len(server.connections)

    assert asyncio.run(measure()) == 1


def test_last_client_closes_the_connections():
    """Nothing stays open in a triggerer without waits."""

    async def measure():
        async with counting() as server:
            async with clients(server, 3) as some:
                await all_call(some)
            await until(lambda: not server.open_connections)
            return len(server.connections)

    assert asyncio.run(measure()) == 3


def test_client_works_again_after_it_was_closed():
    """It joins the others anew."""

    async def measure():
        async with counting() as server:
            client = AsyncModelArtsClient(settings(server))
            for _ in range(2):
                await client.get_training_job("job")
                await client.close()
            await client.close()
            return len(server.connections)

    assert asyncio.run(measure()) == 2


@asynccontextmanager
async def refused_for_an_hour(server):
    """Let a client be told to come again after an hour; it waits for that while the block runs."""
    server.refused, server.pause = {0}, 3600
    async with clients(server, 1, retry=RetryPolicy(total=7200)) as (client,):
        call = asyncio.create_task(client.get_training_job("job"))
        await until(lambda: server.arrivals)
        yield
        call.cancel()


async def until_it_must_wait(client):
    """Let a client call until a call does not get through."""

    async def call_often():
        for _ in range(1000):
            await asyncio.wait_for(client.get_training_job("job"), 0.5)

    with pytest.raises(TimeoutError):
        await call_often()


def test_refusal_slows_down_all_who_call_alike():
    """One was told to come again later: so are those who share its limit. They get through until that is heard."""

    async def measure():
        async with counting() as server, clients(server, 1) as (other,), refused_for_an_hour(server):
            await until_it_must_wait(other)

    asyncio.run(measure())


def test_refusal_slows_down_nobody_else():
    """Whoever calls with another key has a limit of his own."""

    async def measure():
        async with counting() as server, clients(server, 1, "another") as (other,), refused_for_an_hour(server):
            async with asyncio.timeout(60):
                for _ in range(100):
                    await other.get_training_job("job")
            return server.arrivals

    assert asyncio.run(measure()) == 101


def test_time_in_the_queue_is_no_time_of_trying():
    """A call may be tried for 2 s. One that has queued for longer is refused at once, and comes again."""

    async def measure():
        async with counting() as server, clients(server, MAX_CALLS + 1, retry=RetryPolicy(0.01, total=2)) as some:
            server.may_answer.clear()
            server.refused = {MAX_CALLS}
            calls = asyncio.create_task(all_call(some))
            await until(lambda: server.arrivals == MAX_CALLS)
            await asyncio.sleep(2.1)  # in the queue
            server.may_answer.set()
            await calls
            return server.arrivals

    assert asyncio.run(measure()) == MAX_CALLS + 2


def test_call_that_is_cancelled_gives_its_turn_away():
    """A task that is killed in mid-call blocks nobody."""

    async def measure():
        async with counting() as server, clients(server, MAX_CALLS + 1) as some:
            server.may_answer.clear()
            stuck = [asyncio.create_task(client.get_training_job("job")) for client in some[1:]]
            await until(lambda: server.arrivals == MAX_CALLS)
            waiting = asyncio.create_task(some[0].get_training_job("job"))
            for call in stuck:
                call.cancel()
            server.may_answer.set()
            return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(measure()).id == "job"


def test_urgent_call_goes_past_calls_that_hang():
    """All turns are taken by calls that get no response: a job can still be stopped."""

    async def measure():
        async with counting() as server, clients(server, MAX_CALLS) as some:
            server.may_answer.clear()
            stuck = asyncio.create_task(all_call(some))
            await until(lambda: server.arrivals == MAX_CALLS)
            async with AsyncModelArtsClient(settings(server), is_urgent=True) as urgent:
                stopping = asyncio.create_task(urgent.stop_training_job("job"))
                await until(lambda: server.arrivals == MAX_CALLS + 1)
                server.may_answer.set()
                await stuck
                return await stopping

    assert asyncio.run(measure())


def test_urgent_call_goes_past_a_pause():
    """All who call alike are to come again after an hour."""

    async def measure():
        async with counting() as server, clients(server, 1) as (other,), refused_for_an_hour(server):
            await until_it_must_wait(other)
            async with AsyncModelArtsClient(settings(server), is_urgent=True) as urgent, asyncio.timeout(60):
                return await urgent.stop_training_job("job")

    assert asyncio.run(measure())


def test_call_that_hangs_holds_up_others_for_a_while():
    """Nobody knows whether their key is good, so that one of them goes first; but not until its answer times out."""

    async def measure():
        async with counting() as server, AsyncExitStack() as stack:
            unknown = dataclasses.replace(settings(server), credentials=AccessKey("unknown", "SK"), connect_timeout=1.0)
            some = [await stack.enter_async_context(AsyncModelArtsClient(unknown)) for _ in range(10)]
            server.may_answer.clear()
            calls = asyncio.create_task(all_call(some))
            await until(lambda: server.arrivals == 10)
            server.may_answer.set()
            await calls

    asyncio.run(measure())
