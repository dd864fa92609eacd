"""A server that sends bytes of a test's choosing, however wrong they are as HTTP."""

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

#: What a server says, part by part.
Speech = Callable[[], Iterable[bytes]]


@contextlib.contextmanager
def speaking(speech: Speech) -> Iterator[str]:
    """Yield the URL of a server that says its speech after each request, and hangs up at its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, speech), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listener: socket.socket, speech: Speech) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                _answer(connection, speech)


def _answer(connection: socket.socket, speech: Speech) -> None:
    heard = b""
    while b"\r\n\r\n" not in heard:
        part = connection.recv(65536)
        if not part:
            return
        heard += part
    for part in speech():
        connection.sendall(part)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass


def with_headers(*lines: bytes, body: bytes = b"{}", status: bytes = b"200 OK") -> Speech:
    """Return what says a body under some lines of headers."""
    head = b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines)
    return lambda: [head, b"Content-Length: %d\r\n\r\n" % len(body), body]


def declared(size: int, *lines: bytes, status: bytes = b"200 OK") -> Speech:
    """Return what says a text of a size that it declares."""
    head = b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines)
    return lambda: [head + b"Content-Length: %d\r\n\r\n" % size, *_text(size)]


def endless(size: int) -> Speech:
    """Return what says a text of a size that only the end of the connection tells."""
    return lambda: [HEAD + b"Connection: close\r\n\r\n", *_text(size)]


def chunked(size: int) -> Speech:
    """Return what says a text in chunks, whose number nobody knows before."""
    return lambda: [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *_chunks(_text(size))]


def bomb(size: int, times: int = 1) -> Speech:
    """Return what says a text that is packed, as often as given: a thousandth of it is sent."""
    packed = packed_text(size, times)
    encoding = b"Content-Encoding: " + b", ".join([b"gzip"] * times) + b"\r\n"
    return lambda: [HEAD + encoding + b"Content-Length: %d\r\n\r\n" % len(packed), packed]


def chunked_bomb(size: int) -> Speech:
    """Return what says a packed text in chunks."""
    packed = packed_text(size)
    return lambda: [
        HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        *_chunks(packed[at : at + 1000] for at in range(0, len(packed), 1000)),
    ]


def packed_text(size: int, times: int = 1) -> bytes:
    """Return a text of a size, packed as often as given."""
    packed = b"".join(_members(size))
    for _ in range(times - 1):
        packed = gzip.compress(packed)
    return packed


def _members(size: int) -> Sequence[bytes]:
    return [gzip.compress(b"0" * MIB)] * (size // MIB)


def _text(size: int) -> Iterator[bytes]:
    yield from (b"0" * MIB for _ in range(size // MIB))


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    yield from (b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    yield b"0\r\n\r\n"


@contextlib.contextmanager
def keeping_alive(total: int = 30) -> Iterator[tuple[str, list[object]]]:
    """Yield the URL of a server that lists trials, one a page, and the connections that were made to it.

    Some pages are packed, some come in chunks, and one in seven is a passing error first.
    """
    connections: list[object] = []
    failed: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece: else it waits for an acknowledgement of its first

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
            self._say(json.dumps({"total": total, "items": items}).encode(), offset)

        def _say(self, body: bytes, offset: int) -> None:
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
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", connections
        server.shutdown()
        thread.join()
