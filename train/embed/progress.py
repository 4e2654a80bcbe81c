"""How far the embedding has come: a bar on a terminal, otherwise a line now and then."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from in21k.train.embed.folder import Planned

_SECONDS = 30.0
"""From one line to the next, at least."""


class FileProgress:
    """Shows how many images and files of one rank are embedded."""

    def __init__(self, files: Sequence[Planned], *, shown: bool) -> None:
        """Begin.

        Args:
            files: that the rank will embed.
            shown: whether anything is shown.
        """
        self._images, self._files = sum(planned.rows for planned in files), len(files)
        self._done = self._whole = 0
        self._lines = shown and not sys.stderr.isatty()
        self._began = self._last = time.monotonic()
        self._bar = tqdm(total=self._images, unit="image", disable=None if shown else True)  # None: on a terminal

    def add(self, images: int, *, is_whole: bool) -> None:
        """Count images, and the file that they belong to if it is whole now."""
        self._done += images
        self._whole += is_whole
        self._bar.set_postfix(files=f"{self._whole}/{self._files}", refresh=False)
        self._bar.update(images)
        now = time.monotonic()
        if self._lines and now >= self._last + _SECONDS:
            self._last = now
            rate = self._done / (now - self._began)
            print(
                f"embedded {self._done:,} of {self._images:,} images, {self._whole:,} of {self._files:,} files, "
                f"{rate:,.1f} images per second",
                file=sys.stderr,
                flush=True,
            )

    def __enter__(self) -> "FileProgress":
        """Return itself."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close the bar."""
        self._bar.close()
