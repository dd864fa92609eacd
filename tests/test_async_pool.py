"""What asynchronous clients of one event loop share."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from counting_server import counting

from airflow_provider_modelarts.async_client import AsyncModelArtsClient
from airflow_provider_modelarts.async_pool import MOST_CALLS
from airflow_provider_modelarts.core.retry import RetryPolicy
from airflow_provider_modelarts.core.settings import Settings
from airflow_provider_modelarts.core.signing import AccessKey


def settings(server, key="AK", **options):
    """Return settings that lead to a server."""
    return Settings(sign_in=AccessKey(key, "SK"), endpoint=server.url, project_id="project", **options)


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
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


def test_clients_that_call_alike_have_a_cap_on_calls_under_way():
    """A thousand waits must not open a thousand connections."""

    async def measure():
        async with counting() as server, clients(server, 5 * MOST_CALLS) as some:
            server.seconds = 0.02
            await all_call(some)
            return server

    server = asyncio.run(measure())

    assert len(server.arrivals) == 5 * MOST_CALLS
    assert server.most_at_once == MOST_CALLS
    assert len(server.connections) == MOST_CALLS


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


@pytest.mark.parametrize(("key", "waited"), [("AK", True), ("another", False)])
def test_refusal_slows_down_all_who_call_alike(key, waited):
    """One was told to come again after a second: so are those who share its limit, and nobody else."""

    async def measure():
        async with counting() as server, clients(server, 1) as (refused,), clients(server, 1, key) as (other,):
            server.refused = {0}
            first = asyncio.create_task(refused.get_training_job("job"))
            await until(lambda: server.arrivals and not server.at_once)
            await asyncio.sleep(0.05)  # for the refusal to arrive
            await other.get_training_job("job")
            came = server.arrivals[1] - server.arrivals[0]
            await first
            return came

    assert (asyncio.run(measure()) >= 1.0) is waited


def test_time_in_the_queue_is_no_time_of_trying():
    """A call may be tried for 2.1 s. One that has queued for 1.2 s is refused at once, and comes again in 1 s."""

    async def measure():
        async with counting() as server, clients(server, MOST_CALLS + 1, retry=RetryPolicy(total=2.1)) as some:
            server.seconds = 1.2
            server.refused = {MOST_CALLS}
            calls = asyncio.gather(*(client.get_training_job("job") for client in some))
            await until(lambda: len(server.arrivals) == MOST_CALLS)
            server.seconds = 0
            await calls
            return len(server.arrivals)

    assert asyncio.run(measure()) == MOST_CALLS + 2


def test_call_that_is_cancelled_gives_its_turn_away():
    """A task that is killed in mid-call blocks nobody."""

    async def measure():
        async with counting() as server, clients(server, MOST_CALLS + 1) as some:
            server.seconds = 3600
            stuck = [asyncio.create_task(client.get_training_job("job")) for client in some[1:]]
            await until(lambda: len(server.arrivals) == MOST_CALLS)
            server.seconds = 0
            waiting = asyncio.create_task(some[0].get_training_job("job"))
            for call in stuck:
                call.cancel()
            return await asyncio.wait_for(waiting, 5)

    assert asyncio.run(measure()).id == "job"
