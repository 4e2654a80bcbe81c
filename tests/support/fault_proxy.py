"""A proxy before an object store that fails as networks do: broken connections, 503 answers, short bodies.

It also sees what is asked, and can hold requests back to see how many are in flight.
"""

import http.client
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


class Gate:
    """Holds requests until a number of them wait at once, or until one has waited too long; then lets all pass."""

    def __init__(self, count: int, opens: bool = True, patience: float = 20) -> None:
        """Hold requests until `count` of them wait, or even then, if the gate `opens` only when told to."""
        self._count, self._opens, self._patience = count, opens, patience
        self._opened, self._lock = threading.Event(), threading.Lock()
        self._waiting: Counter[tuple[str, str]] = Counter()
        self.most = 0
        """How many waited at once, at most; a client that asks again for the same waits once."""
        self.full = threading.Event()
        """Whether as many have waited as the gate is for."""

    def wait(self, path: str, asked: str) -> None:
        """Wait with a request for a range of a file."""
        with self._lock:
            self._waiting[path, asked] += 1
            self.most = max(self.most, len(+self._waiting))
        if self.most >= self._count:
            self.full.set()
            if self._opens:
                self.open()
        if not self._opened.wait(self._patience):
            self.open()
        with self._lock:
            self._waiting[path, asked] -= 1

    def open(self) -> None:
        self._opened.set()


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
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers (their names in lower case) of each request."""
    gate: Gate | None = None
    """Where requests wait, if they do."""

    def ranges(self) -> int:
        """How often a range of a shard was asked for."""
        return sum(method == "GET" and ".tar" in path for method, path, _ in self.asked)


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
        faults.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        if faults.gate is not None:
            faults.gate.wait(self.path, self.headers.get("Range", ""))
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
