"""Python programs that start in forks of a process that has PyTorch, pandas and the like imported, which takes seconds.

A fork is a process of its own, with its own arguments, environment, folder, input, outputs and status. Nothing of the
project is imported before it. One server serves a run of the tests, whichever of its processes starts it:

    python tests/support/warm.py serve SOCKET OWNER    serves until the process OWNER ends
    python tests/support/warm.py SOCKET ARGUMENTS …    is `python ARGUMENTS …` in such a fork: gets its signals, too

A test of how the interpreter starts and ends, or of the processes below one, starts a Python of its own instead.
"""

import json
import os
import signal
import socket
import sys
from typing import NoReturn

LIBRARIES = (
    "PIL.WebPImagePlugin numpy click tqdm xxhash simplejpeg pandas pyarrow.dataset pyarrow.fs pyarrow.parquet "
    "torch torch.distributed.run torch.utils.data torch.utils.tensorboard torchvision.ops torchvision.transforms.v2 "
    "cv2 matplotlib.pyplot safetensors.torch timm webdataset"
)
"""Pillow's libwebp first: of those that several libraries bring, the process has the one that is loaded first."""
PROGRAM = "IN21K_WARM_PYTHON"
WITHOUT_TORCH = """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] in ("torch", "torchvision", "timm", "cv2")]:
    del sys.modules[name]
"""
"""Code by which a fork forgets that these were imported, to see whether they are."""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def python(*arguments: object) -> list[str]:
    """Return the command `python ARGUMENTS …`, with `-m MODULE`, `-c CODE` or a file among them, as a fork."""
    if PROGRAM not in os.environ:
        os.environ[PROGRAM] = start()
    return [os.environ[PROGRAM], *map(str, arguments)]


def start() -> str:
    """Start the server, unless another process of this run has, and return the program that asks it."""
    import fcntl
    import shlex
    import subprocess
    import tempfile
    from pathlib import Path

    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"in21k-tests-{os.getuid()}-{owner}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path, program = folder / "socket", folder / "python"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            given = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "IN21K_"))}
            command = [sys.executable, __file__, "serve", str(path), str(owner)]
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=given, start_new_session=True
            )
            assert server.stdout is not None
            with server.stdout as says:
                assert says.readline() == b"ready\n"
            server.returncode = 0  # it outlives this process, perhaps
            asks = shlex.join([sys.executable, "-I", "-S", __file__, str(path)])
            program.write_text(f'#!/bin/sh\nexec {asks} "$@"\n')
            program.chmod(0o700)
    return str(program)


def serve(path: str, owner: int) -> None:
    """Import the libraries, then start what is asked for until the owner ends."""
    import contextlib
    import gc
    import importlib
    import select
    import shutil
    from pathlib import Path

    for name in LIBRARIES.split():
        with contextlib.suppress(ImportError):  # what is not installed, no test needs
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or every fork would copy it all, when it looks for garbage
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)
        os.write(1, b"ready\n")
        os.dup2(0, 1)
        poll, ended = select.poll(), os.pidfd_open(owner)
        poll.register(server, select.POLLIN)
        poll.register(ended, select.POLLIN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while all(ready != ended for ready, _ in poll.poll()):
            connection, _ = server.accept()
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                server.close()
                os.close(ended)
                watch(connection)
            connection.close()
    shutil.rmtree(Path(path).parent)


def watch(connection: socket.socket) -> NoReturn:
    """Start what is asked for, pass on its signals and its status, and end it with whoever asked."""
    import select

    length, files, _, _ = socket.recv_fds(connection, 8, 3)
    asked = connection.recv(int.from_bytes(length), socket.MSG_WAITALL)
    process = os.fork()
    if not process:
        connection.close()
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        run(**json.loads(asked))
    for file in (*files, 0, 1, 2):
        os.close(file)
    poll, ended = select.poll(), os.pidfd_open(process)
    poll.register(ended, select.POLLIN)
    poll.register(connection, select.POLLIN)
    while all(ready != ended for ready, _ in poll.poll()):
        number = connection.recv(1)
        os.kill(process, number[0] if number else signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def run(arguments: list[str], folder: str, environment: dict[str, str], umask: int) -> NoReturn:
    """Do in this process what the interpreter does with these arguments."""
    import runpy
    from pathlib import Path

    os.umask(umask)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if (torch := sys.modules.get("torch")) and "OMP_NUM_THREADS" in environment:  # PyTorch has read the server's
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    sys.executable = environment.get(PROGRAM, sys.executable)  # programs that start programs
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        mode, buffering = ("w" if number else "r"), (1 if name == "stderr" else -1)
        setattr(sys, name, os.fdopen(number, mode, buffering, closefd=False))
    while arguments[0] == "-u":
        del arguments[0]
    kind, *rest = arguments
    sys.path[0] = {"-m": folder, "-c": ""}.get(kind, str(Path(kind).resolve().parent))
    status: object = 0
    try:
        if kind == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            sys.argv = ["-c", *rest[1:]]
            exec(compile(rest[0], "<string>", "exec"), vars(sys.modules["__main__"]))
        else:
            sys.argv = arguments
            runpy.run_path(kind, run_name="__main__")
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    finish(status)


def finish(status: object) -> NoReturn:
    """End this process as an interpreter ends, but for taking down what was imported, which takes a while."""
    import atexit
    import threading

    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit((status or 0) & 0xFF)


def ask(path: str, arguments: list[str]) -> int:
    """Have a fork do what `python ARGUMENTS …` does, on this process's files, and return its status."""
    umask = os.umask(0)
    folder = os.getcwd()  # noqa: PTH109 - pathlib would be imported for it
    asked = {"arguments": arguments, "folder": folder, "environment": dict(os.environ), "umask": umask}
    content = json.dumps(asked).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: connection.send(bytes([number])))
        socket.send_fds(connection, [len(content).to_bytes(8)], [0, 1, 2])
        connection.sendall(content)
        status = int(connection.recv(8))
    if status < 0:
        if -status in PASSED_ON:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
