"""Program that reads responses with a client, and prints the memory growth in MiB and the outcome of each."""

from __future__ import annotations

import asyncio
import resource
import sys

from airflow_provider_modelarts.api.retry import RetryPolicy
from airflow_provider_modelarts.api.settings import Settings
from airflow_provider_modelarts.api.signing import AccessKey
from airflow_provider_modelarts.async_client import AsyncModelArtsClient
from airflow_provider_modelarts.client import ModelArtsClient
from airflow_provider_modelarts.exceptions import ModelArtsError


def settings(endpoint):
    """Return the settings for a server."""
    return Settings(
        credentials=AccessKey("AK", "SK"), region="cn-north-4", endpoint=endpoint, retry=RetryPolicy(0.002, 0.02, 2.0)
    )


def read_sync(endpoint):
    """Read a response with the synchronous client."""
    with ModelArtsClient(settings(endpoint)) as client:
        client.request("GET", "/v2/x")


def read_async(endpoint):
    """Read a response with the asynchronous client."""

    async def read():
        async with AsyncModelArtsClient(settings(endpoint)) as client:
            await client.request("GET", "/v2/x")

    asyncio.run(read())


def peak():
    """Return the peak memory of this process in MiB."""
    peak_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_memory / (1024 if sys.platform == "linux" else 1024**2)


def outcome(read, endpoint):
    """Return the outcome of reading a response."""
    try:
        read(endpoint)
    except ModelArtsError as error:
        return f"{type(error).__name__}: {error}"
    return "read"


if __name__ == "__main__":
    read = {"sync": read_sync, "async": read_async}[sys.argv[1]]
    outcome(read, sys.argv[2])  # load everything before the measurement
    before = peak()
    for endpoint in sys.argv[3:]:
        text = outcome(read, endpoint)
        sys.stdout.write(f"{peak() - before:.0f} {text}\n")
