"""Clips: how many frames of a video are taken, how far apart, and where they begin."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from in21k.train.images.hashes import hashed

_STREAM = 6
"""Of random numbers."""

Places = tuple[Fraction, ...]
"""Where each clip of a video begins, from 0 to 1: shares of the time that is left when a clip is taken away."""


@dataclass(frozen=True)
class Clips:
    """The clips that stand for a video. Times are exact: seconds from its first frame, as fractions."""

    frames: int
    """T, of each clip."""
    rate: Fraction
    """Frames per second."""
    count: int = 1
    """Clips of a video, one after the other in its rows of a batch."""
    seed: int | None = None
    """Seed of where a clip begins, which changes with each epoch; None takes clips at even distances, the only one from
    the middle."""

    @property
    def rows(self) -> int:
        """Frames of a video, those of all its clips."""
        return self.frames * self.count

    def places(self, epoch: int, start: int, count: int) -> list[Places]:
        """Return where the clips of the videos at `count` positions of an epoch's order begin, from `start` on."""
        if self.seed is None:
            return [tuple(Fraction(2 * clip + 1, 2 * self.count) for clip in range(self.count))] * count
        numbers = hashed(self.seed, epoch, start, count, self.count, _STREAM)
        return [tuple(Fraction(int(number), 1 << 64) for number in row) for row in numbers]

    def times(self, duration: Fraction, place: Fraction) -> Sequence[Fraction]:
        """Return the times of a clip's frames, ascending; beyond the end where the video is too short.

        Args:
            duration: of the video, in seconds.
            place: where the clip begins.
        """
        room = max(duration - (self.frames - 1) / self.rate, Fraction(0))
        return [place * room + frame / self.rate for frame in range(self.frames)]
