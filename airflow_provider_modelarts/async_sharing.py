"""What many look for at once on one event loop is looked for once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")

_under_way: dict[tuple[asyncio.AbstractEventLoop, Hashable], asyncio.Task[Any]] = {}


async def together(key: Hashable, look: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what is found, or raise what goes wrong: the same for all who ask while somebody looks for it.

    It goes on when the one who asked first is cancelled.

    :param key: what is looked for.
    :param look: looks for it.
    """
    whole_key = asyncio.get_running_loop(), key
    if whole_key not in _under_way:
        task = _under_way[whole_key] = asyncio.create_task(look())
        task.add_done_callback(lambda _: _under_way.pop(whole_key))
    found: T = await asyncio.shield(_under_way[whole_key])
    return found
