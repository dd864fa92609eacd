"""Connections that the triggers of one event loop read together.

To read a connection, a triggerer of Airflow 3 exchanges several messages with its supervisor, which takes one at a
time: for a thousand waits that start together it would take minutes, in which no other trigger gets through.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

from airflow_provider_modelarts.async_sharing import together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_modelarts.core.settings import Settings

#: What a hook is made with: connection, region and project.
Source: TypeAlias = "tuple[str, str | None, str | None]"

_FRESH = 10.0  # seconds for which others take what one has read

_read: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Source, tuple[float, Settings]]] = WeakKeyDictionary()


async def settings_of(
    source: Source, read: Callable[[], Awaitable[Settings]], refused: Settings | None = None
) -> Settings:
    """Return the settings of a connection, which somebody may have read just before.

    :param read: reads them.
    :param refused: settings with a key or password that the platform does not take: these must be newer.
    """
    known = _read.setdefault(asyncio.get_running_loop(), {}).get(source)
    if known and asyncio.get_running_loop().time() < known[0] + _FRESH and known[1] != refused:
        return known[1]
    # a reading that began before the refusal may be older than what is wanted now
    return await together((source, refused and refused.sign_in), lambda: _read_and_keep(source, read))


async def _read_and_keep(source: Source, read: Callable[[], Awaitable[Settings]]) -> Settings:
    settings = await read()
    loop = asyncio.get_running_loop()
    _read[loop][source] = loop.time(), settings
    return settings
