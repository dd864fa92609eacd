"""Connections that are read together."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError
from airflow_provider_modelarts.hooks.modelarts import settings_of

SOURCE = ("modelarts_default", None, None)


class Connection:
    """An Airflow connection that somebody changes at times, and how often it was read."""

    def __init__(self):
        self.key = "old"
        self.readings = 0
        self.is_wrong = False

    async def read(self):
        """Read it; that takes a while."""
        self.readings += 1
        await asyncio.sleep(0)
        if self.is_wrong:
            raise ModelArtsConfigurationError("no region")
        return Settings(credentials=AccessKey(self.key, "SK"), region="cn-north-4")


@pytest.fixture(name="connection")
def _connection():
    return Connection()


def keys(some):
    """Return the keys in some settings."""
    return {settings.credentials.access_key for settings in some}


def test_waits_that_start_together_read_the_connection_once(connection):
    """A thousand readings would keep the triggerer's supervisor busy for minutes."""

    async def start():
        return await asyncio.gather(*(settings_of(SOURCE, connection.read) for _ in range(1000)))

    assert keys(asyncio.run(start())) == {"old"}
    assert connection.readings == 1


def test_wait_that_starts_shortly_after_takes_what_was_read(connection):
    """First looks are spread over an interval."""

    async def start():
        await settings_of(SOURCE, connection.read)
        await settings_of(SOURCE, connection.read)

    asyncio.run(start())

    assert connection.readings == 1


@pytest.mark.parametrize("other", [("another", None, None), (SOURCE[0], "eu-west-101", None), (SOURCE[0], None, "p")])
def test_another_connection_region_or_project_is_read_by_itself(connection, other):
    """What was read for one is not what the other says."""

    async def start():
        await settings_of(SOURCE, connection.read)
        await settings_of(other, connection.read)

    asyncio.run(start())

    assert connection.readings == 2


def test_refused_settings_are_read_anew_by_one_for_all(connection):
    """Somebody has put another key into the connection since."""

    async def start():
        refused = await settings_of(SOURCE, connection.read)
        connection.key = "new"
        together = await asyncio.gather(*(settings_of(SOURCE, connection.read, refused) for _ in range(1000)))
        return [*together, await settings_of(SOURCE, connection.read, refused)]

    assert keys(asyncio.run(start())) == {"new"}
    assert connection.readings == 2


def test_reading_that_began_before_the_refusal_is_not_taken(connection):
    """It may have seen the key that was replaced meanwhile."""

    async def start():
        has_seen, may_tell = asyncio.Event(), asyncio.Event()

        async def read_slowly():
            settings = await connection.read()
            has_seen.set()
            await may_tell.wait()
            return settings

        reading = asyncio.create_task(settings_of(SOURCE, read_slowly))
        await has_seen.wait()
        refused, connection.key = await connection.read(), "new"
        asyncio.get_running_loop().call_later(1, may_tell.set)
        newer = await settings_of(SOURCE, connection.read, refused)
        may_tell.set()
        await reading
        return newer

    assert keys([asyncio.run(start())]) == {"new"}


def test_refused_settings_that_are_still_the_same_are_told_so(connection):
    """Each asks for itself whether they have changed, and sees that they have not."""

    async def start():
        refused = await settings_of(SOURCE, connection.read)
        return [refused, await settings_of(SOURCE, connection.read, refused)]

    assert keys(asyncio.run(start())) == {"old"}
    assert connection.readings == 2


def test_reading_that_fails_fails_for_all_and_is_not_kept(connection):
    """The next one finds the connection mended."""

    async def start():
        connection.is_wrong = True
        failed = await asyncio.gather(*(settings_of(SOURCE, connection.read) for _ in range(3)), return_exceptions=True)
        connection.is_wrong = False
        return failed, await settings_of(SOURCE, connection.read)

    failed, settings = asyncio.run(start())

    assert [str(error) for error in failed] == ["no region"] * 3
    assert keys([settings]) == {"old"}
    assert connection.readings == 2


def test_one_that_is_cancelled_spoils_no_reading(connection):
    """Whoever asked first may be killed before the connection is there."""

    async def start():
        first = asyncio.create_task(settings_of(SOURCE, connection.read))
        await asyncio.sleep(0)
        second = asyncio.create_task(settings_of(SOURCE, connection.read))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert keys([asyncio.run(start())]) == {"old"}
    assert connection.readings == 1


def test_another_event_loop_reads_for_itself(connection):
    """What one process of tasks has read is not another's."""
    asyncio.run(settings_of(SOURCE, connection.read))
    asyncio.run(settings_of(SOURCE, connection.read))

    assert connection.readings == 2
