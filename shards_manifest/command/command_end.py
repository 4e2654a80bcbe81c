"""How a command of ours ends: one line on stderr and an exit status, whatever stopped it.

| what stopped it | status |
|---|---|
| nothing | 0, or what the command returns |
| an expected error: one line, after the traceback if `--debug` is given | 1 |
| wrong usage: the usage, then one line | 2 |
| SIGINT (Ctrl-C) | 130 |
| SIGTERM | 143 |
| nobody reads stdout any more, as after `head -1`: nothing is printed | 141, as the shell reports SIGPIPE |

Output that fits into the pipe's buffer is written before the reader leaves; the status is then that of the command.
"""

import io
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO

import pyarrow as pa

from in21k.shards_manifest.errors import as_dataset_error, one_line, traceback_without_secrets
from in21k.shards_manifest.stop_signals import sigterm_raises

FAILED, WRONG_USAGE = 1, 2
INTERRUPTED, TERMINATED, OUTPUT_CLOSED = (128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE))

_FROM_OUTSIDE = (OSError, MemoryError, RecursionError, pa.ArrowException, ImportError)
"""What files and machines can bring about in a command, besides our own errors."""


class CommandEnd(SystemExit):
    """A command ends with a line on stderr and an exit status; cleanup runs as it does for any exception."""

    def __init__(self, line: str, status: int, *, above: str = "") -> None:
        super().__init__(status)
        self.line = line
        """Empty if there is nothing to say."""
        self.above = above and f"{above}\n"
        """What stands above the line: how the command is used, where that was wrong."""


@dataclass(frozen=True)
class Program:
    """A program of ours, as far as its commands end alike."""

    name: str
    """What users type."""
    errors: tuple[type[Exception], ...]
    """Its expected errors, whose messages are written for users."""
    extras: Mapping[str, str]
    """The extra that installs each optional package, by the package's import name."""
    other_extra: str = ""
    """The extra that installs all other packages; empty for none."""
    after_stop: str = ""
    """What to do after the command was stopped; empty for nothing."""
    silent: tuple[type[Exception], ...] = ()
    """Those of them that another process tells."""
    on_error: Callable[[str], None] = lambda _: None
    """Is called with the line of an error, after it is printed."""

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Run a whole command within the block, SIGTERM included, and print the line with which it ends.

        Raises:
            SystemExit: it ended other than by reaching the end of the block.
        """
        _open_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            _escape_what_it_cannot_encode(stream)
        try:
            with sigterm_raises(lambda: self.stopped("stopped by SIGTERM", TERMINATED)), self.answers():
                yield
                sys.stdout.flush()
        except CommandEnd as end:
            if end.line:
                with suppress(BrokenPipeError):
                    print(f"{end.above}{self.name}: {end.line}", file=sys.stderr, flush=True)
            if end.line and end.code == FAILED:
                self.on_error(f"{self.name}: {end.line}")
            raise
        finally:
            _discard_unwritable(sys.stdout)
            _discard_unwritable(sys.stderr)

    @contextmanager
    def answers(self, *, debug: bool = False) -> Iterator[None]:
        """Turn whatever is expected to stop a command into its end; anything else is a bug, and keeps its traceback.

        Args:
            debug: print the traceback of what is expected, too.

        Raises:
            CommandEnd: the command was stopped.
        """
        try:
            yield
        except (KeyboardInterrupt, *_FROM_OUTSIDE, *self.errors) as error:
            end = self._end(error)
            if end is None:
                raise
            if debug:
                print(traceback_without_secrets(), end="", file=sys.stderr)
            raise end from error

    def _end(self, error: BaseException) -> CommandEnd | None:
        """Return how an exception ends a command; None if it is a bug."""
        if isinstance(error, KeyboardInterrupt):
            return self.stopped("interrupted", INTERRUPTED)
        if isinstance(error, BrokenPipeError) and _is_closed(sys.stdout):
            return CommandEnd("", OUTPUT_CLOSED)
        if isinstance(error, MemoryError):
            return CommandEnd("error: there is not enough memory; free some, or ask for less at a time", FAILED)
        if isinstance(error, RecursionError):
            return CommandEnd("error: what it reads is nested too deeply; --debug shows where", FAILED)
        if not isinstance(error, ImportError):
            return CommandEnd("" if isinstance(error, self.silent) else f"error: {_message(error)}", FAILED)
        package = (error.name or "").partition(".")[0]
        return None if package in ("", "in21k") else CommandEnd(f"error: {self._missing(package, error)}", FAILED)

    def stopped(self, what: str, status: int) -> CommandEnd:
        """Return the end of a command that something stopped, with what to do then."""
        return CommandEnd(f"{what}; {self.after_stop}" if self.after_stop else what, status)

    def _missing(self, package: str, error: ImportError) -> str:
        if not isinstance(error, ModuleNotFoundError):
            return f"the package {package} cannot be loaded: {one_line(error)}"
        extra = self.extras.get(package, self.other_extra)
        wanted = f"'in21k[{extra}]'" if extra else "in21k"
        return f"the package {package} is not installed; pip install {wanted}"


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return one_line(as_dataset_error(str(error.filename), error), longest=None)
    return one_line((isinstance(error, OSError) and error.strerror) or error, longest=None)


def _open_closed_streams() -> None:
    """Let what is printed go nowhere where the command was started without an output (`>&-`), which Python has as None.

    Otherwise a message for stderr would land in stdout, and a bar would ask None for a terminal.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def _escape_what_it_cannot_encode(stream: TextIO) -> None:
    """Let a stream print letters that its locale lacks as escapes."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _is_closed(stream: TextIO) -> bool:
    """Return whether a stream is a pipe that nobody reads any more."""
    with suppress(OSError, ValueError):
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    return False


def _discard_unwritable(stream: TextIO) -> None:
    """Point a stream that cannot be written to nowhere; the interpreter's own flush at exit would complain."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
