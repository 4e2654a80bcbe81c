"""Samples as the stream takes them, and what reads them: the same for shards, folders and archives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample, its image not yet decoded."""

    key: str
    image: memoryview | Pixels
    """The image file's bytes, or uint8 [H, W, 3] where it is kept as pixels; none where the sample is damaged."""
    class_index: int
    """The sample's row in the data's label sets: its class, wherever an image has one."""
    damage: str = ""
    """What is wrong with the sample; empty as a rule."""


class SampleReader(Protocol):
    """Reads the samples of a split by number, in the process that decodes them."""

    @property
    def reads_ahead(self) -> bool:
        """Whether requests are worth making before their samples are needed."""

    def request(self, numbers: npt.NDArray[np.int64]) -> Sequence[Any]:
        """Begin to read the samples of these numbers (PADDING: none), and return what `collect` takes."""

    def collect(self, requests: Iterable[Any]) -> list[Sample | None]:
        """Return the samples of a request, in order; None for PADDING.

        Raises:
            TrainError: the data cannot be read, or are not what they were.
        """

    def close(self) -> None:
        """Close all that is open."""


class ReaderFactory(Protocol):
    """Opens a reader. It is pickled on its way to the loader's processes, so it holds no open file."""

    def __call__(self) -> SampleReader:
        """Return a new reader.

        Raises:
            DatasetError: the data cannot be read.
        """
