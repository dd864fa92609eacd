"""Calls of a method of the synchronous or the asynchronous client."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_provider_modelarts.async_client import AsyncModelArtsClient
from airflow_provider_modelarts.client import ModelArtsClient


def with_sync(settings: Any, method: str, *arguments: Any, **options: Any) -> Any:
    """Call a method of the synchronous client."""
    with ModelArtsClient(settings) as client:
        return getattr(client, method)(*arguments, **options)


def with_async(settings: Any, method: str, *arguments: Any, **options: Any) -> Any:
    """Call a method of the asynchronous client."""

    async def call() -> Any:
        async with AsyncModelArtsClient(settings) as client:
            return await getattr(client, method)(*arguments, **options)

    return asyncio.run(call())
