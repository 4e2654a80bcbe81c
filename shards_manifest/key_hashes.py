"""64-bit hashes of strings, so that millions of keys can be compared at eight bytes per key."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def hash_strings(strings: "Sequence[str] | npt.NDArray[Any]") -> npt.NDArray[np.uint64]:
    """Return uint64 [n]: a hash of each string, the same in every process and on every machine."""
    import pandas as pd  # here, not on top: the import takes 0.4 s, which other commands need not wait for

    hashes: npt.NDArray[np.uint64] = pd.util.hash_array(np.asarray(strings, object), categorize=False)
    return hashes
