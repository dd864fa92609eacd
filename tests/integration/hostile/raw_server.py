"""Server that sends raw bytes, even if they are not HTTP."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MIB = 1024**2
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

#: Returns the parts of a raw response.
RawResponse = Callable[[], Iterable[bytes]]


@contextlib.contextmanager
def serving(raw_response: RawResponse) -> Iterator[str]:
    """Yield the URL of a server that sends a raw response to each request, and closes the connection after it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, raw_response), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listener: socket.socket, raw_response: RawResponse) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                _respond(connection, raw_response)


def _respond(connection: socket.socket, raw_response: RawResponse) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        part = connection.recv(65536)
        if not part:
            return
        request += part
    for part in raw_response():
        connection.sendall(part)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass


def with_headers(*lines: bytes, body: bytes = b"{}", status: bytes = b"200 OK") -> RawResponse:
    """Return a response with header lines and a body."""
    head = b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines)
    return lambda: [head, b"Content-Length: %d\r\n\r\n" % len(body), body]


def declared(size: int, *lines: bytes, status: bytes = b"200 OK") -> RawResponse:
    """Return a response whose Content-Length is its size."""
    head = b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines)
    return lambda: [head + b"Content-Length: %d\r\n\r\n" % size, *_text(size)]


def until_close(size: int) -> RawResponse:
    """Return a response whose size is unknown until the connection closes."""
    return lambda: [HEAD + b"Connection: close\r\n\r\n", *_text(size)]


def chunked(size: int) -> RawResponse:
    """Return a response in chunks, whose number is unknown before the last one."""
    return lambda: [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *_chunks(_text(size))]


def bomb(size: int, times: int = 1) -> RawResponse:
    """Return a response that is compressed ``times`` times to a thousandth of its size or less."""
    compressed = compressed_text(size, times)
    encoding = b"Content-Encoding: " + b", ".join([b"gzip"] * times) + b"\r\n"
    return lambda: [HEAD + encoding + b"Content-Length: %d\r\n\r\n" % len(compressed), compressed]


def chunked_bomb(size: int) -> RawResponse:
    """Return a compressed response in chunks."""
    compressed = compressed_text(size)
    return lambda: [
        HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        *_chunks(compressed[at : at + 1000] for at in range(0, len(compressed), 1000)),
    ]


def compressed_text(size: int, times: int = 1) -> bytes:
    """Return a text of a size, compressed ``times`` times."""
    compressed = b"".join(_members(size))
    for _ in range(times - 1):
        compressed = gzip.compress(compressed)
    return compressed


def _members(size: int) -> Sequence[bytes]:
    return [gzip.compress(b"0" * MIB)] * (size // MIB)


def _text(size: int) -> Iterator[bytes]:
    yield from (b"0" * MIB for _ in range(size // MIB))


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    yield from (b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    yield b"0\r\n\r\n"


@contextlib.contextmanager
def keeping_alive(total: int = 30) -> Iterator[tuple[str, list[object]]]:
    """Yield the URL of a server that lists one trial per page, and the connections that clients made to it.

    Some pages are compressed, some are chunked, and every seventh is a server error at first.
    """
    connections: list[object] = []
    failed: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # a response in one packet: otherwise its body waits for the acknowledgement of its head

        def setup(self) -> None:
            super().setup()
            connections.append(self.client_address)

        def do_GET(self) -> None:
            offset = int(self.path.rpartition("offset=")[2])
            if offset % 7 == 0 and self.path not in failed:
                failed.add(self.path)
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            row = [f"t{offset}", "TERMINATED", {}, "x" * 1000 * (offset % 100)]
            items = {"header": ["trial_id", "status", "config", "note"], "data": [row]}
            self._send_json(json.dumps({"total": total, "items": items}).encode(), offset)

        def _send_json(self, body: bytes, offset: int) -> None:
            self.send_response(200)
            if offset % 3 == 1:
                body = gzip.compress(body)
                self.send_header("Content-Encoding", "gzip")
            if offset % 3 == 2:
                self.send_header("Transfer-Encoding", "chunked")
                body = b"".join(_chunks([body]))
            else:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", connections
        server.shutdown()
        thread.join()
