"""64-bit hashes of keys: to compare millions of them at eight bytes each, and to shuffle and choose by."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SHUFFLE = b"shuffle"
"""The purpose of the hash in whose order the samples of a split are."""

SELECTION = b"select"
"""The purpose of the hash in whose order the training images of a class are taken, where not all of them are."""


def hash_strings(strings: "Sequence[str] | npt.NDArray[Any]") -> npt.NDArray[np.uint64]:
    """Return uint64 [n]: a hash of each string, the same in every process and on every machine."""
    import pandas as pd  # here, not on top: the import takes 0.4 s, which other commands need not wait for

    hashes: npt.NDArray[np.uint64] = pd.util.hash_array(np.asarray(strings, object), categorize=False)
    return hashes


def keyed_hash(seed: int, purpose: bytes, key: str) -> int:
    """Return a 64-bit hash of a key, independent for each seed and purpose."""
    return int.from_bytes(
        hashlib.blake2b(key.encode(), digest_size=8, key=str(seed).encode(), person=purpose).digest(), "big"
    )
