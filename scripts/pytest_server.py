"""Runs pytest in forks of one process that has imported what takes seconds to import: PyTorch, pandas and the like.

`make mutate` starts it once, and runs the tests hundreds of times:

    python scripts/pytest_server.py SOCKET                serves; says so on stdout
    python scripts/pytest_server.py SOCKET ARGUMENTS …    runs pytest with these arguments and ends with its status

Nothing of the project is imported before the fork, so each run reads the sources as they are then.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

# Pillow's libwebp first: of those that several libraries bring, the process has the one that is loaded first.
_HEAVY = (
    "PIL.WebPImagePlugin hypothesis matplotlib.pyplot pandas pyarrow.dataset pyarrow.parquet safetensors.torch timm "
    "webdataset"
)


def serve(path: str) -> None:
    """Answer runs one after another, each in a fork, until this process is ended."""
    for name in _HEAVY.split():
        with contextlib.suppress(ImportError):  # what is not installed, no test needs
            importlib.import_module(name)
    pytest = importlib.import_module("pytest")
    gc.collect()
    gc.freeze()  # or every fork would copy it all, when it looks for garbage
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                content, outputs, _, _ = socket.recv_fds(connection, 1 << 20, 2)
                child = os.fork()
                if not child:
                    os.setsid()
                    server.close()
                    os.dup2(outputs[0], 1)
                    os.dup2(outputs[1], 2)
                    sys.path.insert(0, str(Path.cwd()))
                    end(pytest.main(json.loads(content)))
                for output in outputs:
                    os.close(output)
                status = awaited(child, connection)
                with contextlib.suppress(OSError):  # whoever asked gave up
                    connection.sendall(json.dumps(status).encode())


def awaited(child: int, asked: socket.socket) -> int:
    """Return a fork's exit status; end it, and the processes of its tests, if whoever asked for it gives up."""
    ended, watch = os.pidfd_open(child), select.poll()
    for descriptor in (ended, asked.fileno()):
        watch.register(descriptor, select.POLLIN)
    if all(descriptor != ended for descriptor, _ in watch.poll()):
        os.killpg(child, signal.SIGKILL)
    os.close(ended)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def end(status: int) -> NoReturn:
    """End a fork as an interpreter ends, except that what was imported is not taken down, which takes seconds."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def ask(path: str, arguments: list[str]) -> int:
    """Have pytest run with these arguments, its output going to this process's, and return its status."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [json.dumps(arguments).encode()], [1, 2])
        return int(json.loads(connection.recv(100)))


if __name__ == "__main__":
    if sys.argv[2:]:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
    serve(sys.argv[1])
