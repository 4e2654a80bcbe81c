"""The side of the training images by epoch: one size, or a schedule such as `0:112, 30:168, 60:224`."""

import re
from dataclasses import dataclass

from in21k.train.errors import TrainError

MAX_SIDE = 4096
"""The largest side of images in pixels that can be asked for."""

EXAMPLE = "0:112, 30:168, 60:224"

_NUMBER = re.compile(r"-?[0-9]{1,12}")
_PART = re.compile(r"([0-9]{1,7}):([0-9]{1,4})")


@dataclass(frozen=True)
class SizeSchedule:
    """Sides of the training images in pixels, each from an epoch on."""

    parts: tuple[tuple[int, int], ...]
    """(first epoch, size), in order of the epochs, of which the first is 0."""

    def at(self, epoch: int) -> int:
        """Return the size of an epoch's images."""
        return next(size for first, size in reversed(self.parts) if first <= epoch)

    @property
    def last(self) -> int:
        """The size at the end of the run, at which the model is evaluated and which its file names."""
        return self.parts[-1][1]

    @property
    def largest(self) -> int:
        """The largest of the sizes."""
        return max(self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """All sizes, each once, in ascending order."""
        return tuple(sorted({size for _, size in self.parts}))

    @property
    def is_constant(self) -> bool:
        """Whether all epochs have one size."""
        return len(self.parts) == 1


def schedule_of(image_size: int | str) -> SizeSchedule:
    """Return the schedule that `data.image_size` stands for; a number is the size of all epochs.

    Raises:
        TrainError: a text is no schedule.
    """
    return SizeSchedule(((0, image_size),)) if isinstance(image_size, int) else _read(image_size, "data.image_size")


def checked_size(name: str, value: str) -> int | str:
    """Return a schedule as text, always written alike; as a number if it is one, or has one size for all epochs.

    Args:
        name: what to call the setting in an error.
        value: digits, or a schedule.

    Raises:
        TrainError: it is neither, or a size of the schedule is out of range.
    """
    if _NUMBER.fullmatch(value.strip()):
        return int(value)
    schedule = _read(value, name)
    if schedule.is_constant:
        return schedule.last
    return ", ".join(f"{first}:{size}" for first, size in schedule.parts)


def only_size(image_size: int | str, what: str) -> int:
    """Return the one size of images, 0 where it is not given.

    Args:
        image_size: `data.image_size`.
        what: needs the size, such as `an evaluation`.

    Raises:
        TrainError: it is a schedule.
    """
    if isinstance(image_size, int):
        return image_size
    raise TrainError(f"{what} takes one --image-size, not the schedule {image_size!r}; give its last size")


def _read(text: str, name: str) -> SizeSchedule:
    found = [_PART.fullmatch(part.strip()) for part in text.split(",")]
    parts = tuple((int(part[1]), int(part[2])) for part in found if part)
    epochs, sizes = [first for first, _ in parts], [size for _, size in parts]
    if len(parts) < len(found):
        raise TrainError(
            f"{name} must be a whole number of pixels or sizes by their first epoch, such as {EXAMPLE}, not {text!r}"
        )
    if not all(1 <= size <= MAX_SIDE for size in sizes):
        raise TrainError(f"{name} must have sizes between 1 and {MAX_SIDE}, not {text!r}")
    if epochs[0] != 0 or epochs != sorted(set(epochs)):
        raise TrainError(f"{name} must begin with epoch 0 and go on with later epochs, as in {EXAMPLE}, not {text!r}")
    return SizeSchedule(_merged(parts))


def _merged(parts: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Return the parts that change the size."""
    before = (None, *(size for _, size in parts))
    return tuple(part for part, last in zip(parts, before, strict=False) if part[1] != last)
