"""Server with prepared trial pages, in a separate process and with little overhead.

The rows have the documented shape: text cells, the config as an object, a tensor as text.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

DOCUMENTED = Path(__file__).resolve().parent.parent / "tests" / "data" / "list_trials_documented.json"
PARAMETERS = {"batch_size": 32, "learning_rate": 0.05512301741232006, "dropout": 0.25, "depth": 6, "optimizer": "adam"}
METRICS = {"val_acc": "0.0624", "val_loss": "0.0801", "f1": "0.0612"}

#: A new process inherits neither modules nor memory.
FRESH = multiprocessing.get_context("spawn")


class Listing:
    """Trial table of a search.

    :param size: number of trials.
    :param unit: unit of ``offset``, ``page`` or ``row``.
    """

    def __init__(self, size: int, unit: str) -> None:
        items = json.loads(DOCUMENTED.read_text())["items"]
        self._size, self._unit = size, unit
        self._header = json.dumps([*items["header"], *METRICS])
        self._rows = [_row(items["data"][0], number) for number in range(size)]

    def response(self, limit: int, offset: int) -> bytes:
        """Return the HTTP response with a page."""
        first = offset * (limit if self._unit == "page" else 1)
        rows = self._rows[first : first + limit]
        body = (
            f'{{"total": {self._size}, "count": {len(rows)}, "limit": {limit}, "offset": {offset}, "group_by": "",'
            f' "items": {{"header": {self._header}, "data": [{", ".join(rows)}]}}}}'
        )
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return f"{head}{body}".encode()


def _row(documented: Sequence[object], number: int) -> str:
    """Return a documented row with its own number and id, and more parameters and metrics."""
    row = [*documented, *METRICS.values()]
    copies = {f"param/{name}": value for name, value in PARAMETERS.items()}
    row[0], row[3], row[4] = str(number), {**PARAMETERS, "trial_index": number, **copies}, f"{number:08x}"
    return json.dumps(row)


class Connected(asyncio.Protocol):
    """Connection to the server. The id of a search is its number of trials; requests have no body."""

    def __init__(self, listings: Mapping[str, Listing]) -> None:
        self._listings = listings
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type only
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to each complete request."""
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            url = urlsplit(request.split(b" ", 2)[1].decode())
            query = parse_qs(url.query)
            listing = self._listings[url.path.split("/")[-2]]
            self._transport.write(listing.response(int(query["limit"][0]), int(query["offset"][0])))


@contextmanager
def serving(sizes: Sequence[int], unit: str) -> Iterator[str]:
    """Serve searches of these sizes, and yield the base URL."""
    here, there = FRESH.Pipe()
    process = FRESH.Process(target=_serve, args=(sizes, unit, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(sizes: Sequence[int], unit: str, ready: Connection) -> None:
    asyncio.run(_serve_for_ever({str(size): Listing(size, unit) for size in sizes}, ready))


async def _serve_for_ever(listings: Mapping[str, Listing], ready: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Connected(listings), "127.0.0.1", 0)
    ready.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await server.serve_forever()
