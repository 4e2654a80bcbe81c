"""A proxy before a server on this machine that adds a delay to each request, and nothing to the bytes of the answers.

    python bench/slow_proxy.py SERVER_PORT MILLISECONDS

It prints its own port. What a client sends is passed on after the delay; each connection waits by itself. Answers move
from socket to socket within the kernel, so that the proxy takes little of the server's core.
"""

import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PIPE_BYTES = 1 << 20
_REQUEST_BYTES = 1 << 16


@contextmanager
def slowed(port: int, milliseconds: float) -> Iterator[int]:
    """Run the proxy as a process before the server at a port, and yield its own port."""
    command = [sys.executable, __file__, str(port), str(milliseconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def serve(port: int, seconds: float) -> None:
    """Pass on every connection to the server at a port, until the process ends."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pass_requests, args=(client, server, seconds), daemon=True).start()
            threading.Thread(target=_pass_answers, args=(server, client), daemon=True).start()


def _pass_requests(client: socket.socket, server: socket.socket, seconds: float) -> None:
    with suppress(OSError):
        while request := client.recv(_REQUEST_BYTES):
            time.sleep(seconds)
            server.sendall(request)
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)


def _pass_answers(server: socket.socket, client: socket.socket) -> None:
    out, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    with suppress(OSError):
        while held := os.splice(server.fileno(), into, _PIPE_BYTES):
            while held:
                held -= os.splice(out, client.fileno(), held)
    for end in (out, into):
        os.close(end)
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]) / 1000)
