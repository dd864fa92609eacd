"""Server that sends scripted responses byte by byte, and records the requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODILESS = frozenset({204, 304})


@dataclass(frozen=True)
class Response:
    """Response, whole or cut off.

    :param cut: number of bytes at the end of the body that are not sent; None closes the connection without a response.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = 0

    def wire(self) -> bytes:
        """Return the bytes to send."""
        if self.cut is None:
            return b""
        body = b"" if self.status in BODILESS else self.body
        lines = [f"HTTP/1.1 {self.status} Said", "Connection: close", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body[: max(0, len(body) - self.cut)]


#: Response after the end of the script: no client retries it.
LAST = Response(400, body=b'{"error_code":"ModelArts.2775","error_msg":"gone"}')


@dataclass
class ScriptedServer:
    """Server with a script: one response for each request.

    :param requests: method, path with query, and body of each request.
    """

    endpoint: str = ""
    script: list[Response] = field(default_factory=list)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)

    def begin(self, script: Sequence[Response]) -> None:
        """Begin a script, and forget the earlier requests."""
        self.script, self.requests = list(script), []


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """Serve on a thread of its own while the block runs."""
    server = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.close_connection = True
            self.raw_requestline = self.rfile.readline(65537)
            if self.raw_requestline and self.parse_request():
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.requests.append((self.command, self.path, body))
                self.wfile.write((server.script.pop(0) if server.script else LAST).wire())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.endpoint = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
