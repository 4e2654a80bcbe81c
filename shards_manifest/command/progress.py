"""How far work has come, on stderr: a bar on a terminal; elsewhere, as under nohup or Slurm, a line now and then."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from in21k.shards_manifest.command.numbers import bytes_text, count_text, plural, rate_text, seconds_text, share_text

BYTES = "B"
"""The unit whose amounts are shown as sizes."""


@dataclass(frozen=True)
class Timing:
    """When lines are due, in seconds."""

    first: float = 10.0
    """From the beginning to the first line; work that is done before has none."""
    every: float = 60.0
    """From one line to the next."""
    clock: Callable[[], float] = time.monotonic


TIMING = Timing()

_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
"""tqdm's own, but always in units per second, never `s/ steps`."""

_COLUMNS = 80
"""Of a terminal that does not say how many it has."""


@dataclass
class _Stage:
    """One of the stages of a command."""

    mark: str
    """Such as `[2/4] `."""
    is_begun: bool = False
    """Whether anything has shown how far it has come."""


_STAGE: ContextVar[_Stage | None] = ContextVar("stage", default=None)


def tell(line: str) -> None:
    """Print a line on stderr; that nobody can read it is no reason to stop."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


@contextmanager
def stage(number: int, stages: int, name: str) -> Iterator[None]:
    """Mark the work within the block as one of the stages of a command: where it begins and where it ends is told.

    A stage in which there is nothing left to do is told, too.
    """
    current = _Stage(f"[{number}/{stages}] ")
    token = _STAGE.set(current)
    try:
        yield
        if not current.is_begun:
            tell(f"{current.mark}{name}: nothing left to do")
    finally:
        _STAGE.reset(token)


class Progress:
    """How far a piece of work has come: a bar on a terminal, otherwise lines, and nothing where it is not shown.

    Work that is no stage has its first line after a while, and a last one only if it had a first.
    """

    stays = True
    """Whether the bar stays when it is full."""
    has_last_line = True

    def __init__(
        self,
        what: str,
        unit: str,
        total: int,
        done: int = 0,
        *,
        shown: bool = True,
        timing: Timing = TIMING,
    ) -> None:
        """Begin.

        Args:
            what: is done.
            unit: of the work, such as `image`; `BYTES` for bytes.
            total: units of it; 0 until `reach` says it.
            done: units that were done before.
            shown: whether anything is shown; only the first rank shows anything.
            timing: when lines are due.
        """
        current = _STAGE.get()
        self.what = f"{current.mark if current else ''}{what}"
        self.unit, self.total, self.done = unit, total, done
        self._before, self._timing = done, timing
        self._begun = self._last = timing.clock()
        self._bar = self._open_bar() if shown and sys.stderr.isatty() else None
        self._speaks = shown and self._bar is None
        self._has_spoken = False
        if current is not None:
            current.is_begun = True
            if self._speaks:
                before = f"{self._amount(done)} of " if done else ""
                self._tell(f"{self.what}: {before}{self._amount(total)}{self._units(total)}")

    @property
    def is_bar(self) -> bool:
        """Whether it is shown as a bar."""
        return self._bar is not None

    def update(self, count: int = 1) -> None:
        """Count units that were done since, and print a line if one is due."""
        self.advance(count)
        if self._speaks and self.is_due():
            self.say()

    def advance(self, count: int = 1) -> None:
        """Count units that were done since; no line is printed."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)

    def reach(self, done: int, total: int | None = None) -> None:
        """Say how many units are done by now, and of how many if that was not known."""
        if total is not None and total != self.total:
            self.total = total
            if self._bar is not None:
                self._bar.total = total
        self.update(done - self.done)

    def note(self, facts: Mapping[str, str]) -> None:
        """Show facts behind the bar; lines have their own text."""
        if self._bar is not None:
            self._bar.set_postfix(facts, refresh=False)

    def rename(self, what: str) -> None:
        """Say what is done by another name."""
        self.what = what
        if self._bar is not None:
            self._bar.set_description(what, refresh=False)

    def is_due(self) -> bool:
        """Return whether it is time for a line."""
        wait = self._timing.every if self._has_spoken else min(self._timing.first, self._timing.every)
        return self._timing.clock() - self._last >= wait

    def say(self) -> None:
        """Print a line now, where lines are printed."""
        if self._speaks:
            self._tell(self.line())

    def say_above(self) -> None:
        """Print a line now, above the bar where that is shown."""
        self.say()
        if self._bar is not None:
            self._bar.write(self.line(), file=sys.stderr)

    def line(self) -> str:
        """Return the line that says how far the work has come."""
        facts = [f"{self._amount(self.done)} of {self._amount(self.total)}{self._units(self.total)}"]
        if self.total:
            facts[0] += f" ({share_text(self.done / self.total)})"
        if self._rate:
            left = (self.total - self.done) * self._seconds / (self.done - self._before)
            facts += [self._rate, f"{seconds_text(max(left, 0))} left"]
        return f"{self.what}: {', '.join(facts)}"

    def close(self, *, is_whole: bool = True) -> None:
        """Close the bar, or print the last line if the work came to its end."""
        ends = is_whole and self.has_last_line
        if ends:  # what is behind a tar's last member is not counted on the way
            self.done = max(self.done, self.total)
        if self._bar is not None:
            self._bar.update(self.done - self._bar.n)
            self._bar.close()
        if ends and self._has_spoken:
            rate = f", {self._rate}" if self._rate else ""
            tell(
                f"{self.what}: {self._amount(self.done)}{self._units(self.done)} in {seconds_text(self._seconds)}{rate}"
            )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None) -> None:
        """Close it."""
        self.close(is_whole=kind is None)

    def _open_bar(self) -> Any:
        from tqdm import tqdm  # only where there is a terminal

        is_bytes = self.unit == BYTES
        return tqdm(
            bar_format=_BAR,
            desc=self.what,
            unit=BYTES if is_bytes else self._units(),
            total=self.total,
            initial=self.done,
            leave=self.stays,
            unit_scale=is_bytes,
            **_width(),
        )

    def _tell(self, line: str) -> None:
        self._last, self._has_spoken = self._timing.clock(), True
        tell(line)

    @property
    def _seconds(self) -> float:
        return self._timing.clock() - self._begun

    @property
    def _rate(self) -> str:
        """Units per second as a text; empty before there is any."""
        if self.done <= self._before or self._seconds <= 0:
            return ""
        rate = (self.done - self._before) / self._seconds
        return f"{bytes_text(rate)}/s" if self.unit == BYTES else f"{rate_text(rate)}{self._units()}/s"

    def _amount(self, units: int) -> str:
        return bytes_text(units) if self.unit == BYTES else count_text(units)

    def _units(self, amount: int = 2) -> str:
        """Return the unit's name behind an amount of it."""
        return "" if self.unit == BYTES else f" {self.unit if amount == 1 else plural(self.unit)}"


def _width() -> dict[str, Any]:
    """Return how wide a bar is: as the terminal, or 80 columns where that does not say it, as in some containers."""
    with suppress(OSError, ValueError):
        if os.get_terminal_size(sys.stderr.fileno()).columns:
            return {"dynamic_ncols": True}
    return {"ncols": _COLUMNS}
