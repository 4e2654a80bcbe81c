"""A proxy before an object store that fails as networks do: broken connections, 503 answers, short bodies."""

import http.client
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass
class Faults:
    """How often what goes wrong, and how often it has."""

    refused: float = 0.0
    """Share of requests that are answered with 503, slow down."""
    cut: float = 0.0
    """Share of bodies that end at a random byte, with their connection."""
    silent: float = 0.0
    """Share of bodies that stop at a random byte and leave the connection open for a while."""
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    seen: dict[str, int] = field(default_factory=lambda: {"refused": 0, "cut": 0, "silent": 0, "bytes": 0})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = 0
    faults = Faults()
    leaving = threading.Event()

    def do_GET(self) -> None:
        self._forward()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def _forward(self) -> None:
        faults = self.faults
        if faults.dice.random() < faults.refused:
            faults.seen["refused"] += 1
            self._answer(503, [("Content-Type", "application/xml")], b"<Error><Code>SlowDown</Code></Error>")
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read()
            self._answer(answer.status, answer.getheaders(), body)
        except OSError:
            self.close_connection = True
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        faults = self.faults
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), len(body))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        cut, silent = faults.dice.random() < faults.cut, faults.dice.random() < faults.silent
        if len(body) > 1 and (cut or silent):
            faults.seen["cut" if cut else "silent"] += 1
            body = body[: faults.dice.randrange(len(body))]
            self.close_connection = True
        faults.seen["bytes"] += len(body)
        self.wfile.write(body)
        self.wfile.flush()
        if self.close_connection and silent and not cut:
            self.leaving.wait(20)


@contextmanager
def faulty(upstream: int, faults: Faults) -> Iterator[int]:
    """Give the port of a proxy before the server at another port of this machine."""
    leaving = threading.Event()
    handler = type("Handler", (_Handler,), {"upstream": upstream, "faults": faults, "leaving": leaving})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        leaving.set()
        server.shutdown()
        server.server_close()
        thread.join()
