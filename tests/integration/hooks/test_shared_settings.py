"""Settings that the waits of a process share."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.exceptions import ModelArtsConfigurationError
from airflow_provider_modelarts.hooks.modelarts import settings_of

SOURCE = ("modelarts_default", None, None)


class Connection:
    """Airflow connection that can be edited, and counts its readings."""

    def __init__(self):
        self.key = "old"
        self.readings = 0
        self.is_wrong = False

    async def read(self):
        """Read the connection, after a turn of the event loop."""
        self.readings += 1
        await asyncio.sleep(0)
        if self.is_wrong:
            raise ModelArtsConfigurationError("no region")
        return Settings(credentials=AccessKey(self.key, "SK"), region="cn-north-4")


@pytest.fixture(name="connection")
def _connection():
    return Connection()


def keys(all_settings):
    """Return the access keys of settings."""
    return {settings.credentials.access_key for settings in all_settings}


def test_waits_that_start_together_read_the_connection_once(connection):
    """A thousand concurrent waits share one reading: a thousand would keep the supervisor busy for minutes."""

    async def start():
        return await asyncio.gather(*(settings_of(SOURCE, connection.read) for _ in range(1000)))

    assert keys(asyncio.run(start())) == {"old"}
    assert connection.readings == 1


def test_later_wait_reuses_the_settings(connection):
    """A wait uses the settings that an earlier one has read."""

    async def start():
        await settings_of(SOURCE, connection.read)
        await settings_of(SOURCE, connection.read)

    asyncio.run(start())

    assert connection.readings == 1


@pytest.mark.parametrize("other", [("another", None, None), (SOURCE[0], "eu-west-101", None), (SOURCE[0], None, "p")])
def test_settings_of_another_connection_region_or_project_are_not_shared(connection, other):
    """Each connection, region and project is read by itself."""

    async def start():
        await settings_of(SOURCE, connection.read)
        await settings_of(other, connection.read)

    asyncio.run(start())

    assert connection.readings == 2


def test_refused_settings_are_read_again_once(connection):
    """A thousand waits with refused settings share one reading of the edited connection."""

    async def start():
        refused = await settings_of(SOURCE, connection.read)
        connection.key = "new"
        together = await asyncio.gather(*(settings_of(SOURCE, connection.read, refused) for _ in range(1000)))
        return [*together, await settings_of(SOURCE, connection.read, refused)]

    assert keys(asyncio.run(start())) == {"new"}
    assert connection.readings == 2


def test_reading_that_began_before_the_refusal_is_not_shared(connection):
    """An earlier reading may return the refused key, so a new one begins."""

    async def start():
        has_seen, may_return = asyncio.Event(), asyncio.Event()

        async def read_slowly():
            settings = await connection.read()
            has_seen.set()
            await may_return.wait()
            return settings

        reading = asyncio.create_task(settings_of(SOURCE, read_slowly))
        await has_seen.wait()
        refused, connection.key = await connection.read(), "new"
        asyncio.get_running_loop().call_later(1, may_return.set)
        newer = await settings_of(SOURCE, connection.read, refused)
        may_return.set()
        await reading
        return newer

    assert keys([asyncio.run(start())]) == {"new"}


def test_refused_settings_that_are_unchanged_are_returned(connection):
    """A wait reads the connection again after a refusal, and gets the same settings."""

    async def start():
        refused = await settings_of(SOURCE, connection.read)
        return [refused, await settings_of(SOURCE, connection.read, refused)]

    assert keys(asyncio.run(start())) == {"old"}
    assert connection.readings == 2


def test_failed_reading_is_shared_but_not_kept(connection):
    """A reading fails for all concurrent waits, and the next wait reads the corrected connection."""

    async def start():
        connection.is_wrong = True
        failed = await asyncio.gather(*(settings_of(SOURCE, connection.read) for _ in range(3)), return_exceptions=True)
        connection.is_wrong = False
        return failed, await settings_of(SOURCE, connection.read)

    failed, settings = asyncio.run(start())

    assert [str(error) for error in failed] == ["no region"] * 3
    assert keys([settings]) == {"old"}
    assert connection.readings == 2


def test_cancelled_wait_does_not_cancel_the_reading(connection):
    """The reading goes on for other waits if the first wait is cancelled."""

    async def start():
        first = asyncio.create_task(settings_of(SOURCE, connection.read))
        await asyncio.sleep(0)
        second = asyncio.create_task(settings_of(SOURCE, connection.read))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert keys([asyncio.run(start())]) == {"old"}
    assert connection.readings == 1


def test_settings_are_not_shared_between_event_loops(connection):
    """Each event loop reads the connection by itself."""
    asyncio.run(settings_of(SOURCE, connection.read))
    asyncio.run(settings_of(SOURCE, connection.read))

    assert connection.readings == 2
