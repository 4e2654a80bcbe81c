"""What commands say while they run: on a terminal, without one, and without what they say of their progress."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from pathlib import Path

HEADER = ("model", "weights", "teacher", "data", "recipe", "images", "step", "epochs", "device", "processes")
PROGRESS = re.compile(rf"\[\d/\d\] \w+: |epoch \d+/\d+, step |(?:{'|'.join(HEADER)}) {{2,}}")
"""How the lines begin that say what a command does and how far it has come."""


def without_progress(errors: str) -> str:
    """What stderr says besides what a command does and how far it has come."""
    return "".join(line for line in errors.splitlines(keepends=True) if not PROGRESS.match(line))


def detached(folder: Path, *command: object) -> list[str]:
    """Run a command as `nohup command > log 2>&1 &` does, and return the lines of the log."""
    with (folder / "nohup.log").open("wb") as log:
        subprocess.run(
            [*map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=300,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
            check=True,
        )
    return (folder / "nohup.log").read_text(encoding="utf-8").splitlines()


class Terminal:
    """A program on a terminal that someone types into; its end is the block's."""

    def __init__(self, *command: str, environment: dict[str, str]) -> None:
        self._main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self._process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, env=environment, start_new_session=True
        )
        os.close(other)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._main)

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._main, text.encode())

    def read_until(self, wanted: str) -> str:
        """Return what is printed up to a text; a test whose text does not come ends by its time limit."""
        printed = b""
        while wanted.encode() not in printed:
            printed += os.read(self._main, 1 << 16)
        return printed.decode(errors="replace")


def on_terminal(*command: object, columns: int = 160) -> str:
    """Run a command on a terminal, which may not say its width (0), and return all that it prints there."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen([*map(str, command)], stdin=other, stdout=other, stderr=other)
    os.close(other)
    printed = b""
    try:
        while data := os.read(main, 1 << 16):
            printed += data
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(main)
    assert process.wait(timeout=300) == 0, printed.decode()
    return printed.decode()
