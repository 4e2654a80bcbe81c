"""The fingerprints of many images, as arrays: 56 bytes per image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from in21k.prep.images.fingerprint import CROPS

_Numbers = npt.NDArray[np.uint64]
_WIDTH = 8


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The fingerprints of n images."""

    phashes: _Numbers
    """uint64 [n]: the hashes of the whole pictures."""
    crops: _Numbers
    """uint64 [n, 5]: those of their windows."""
    digests: _Numbers
    """uint64 [n]: those of the files; 0 where only the resized image is there."""

    def __len__(self) -> int:
        return len(self.phashes)

    @classmethod
    def of_table(cls, table: pa.Table) -> tuple["Fingerprints", npt.NDArray[np.bool_]]:
        """Return the fingerprints in a table with the columns of FINGERPRINTS, and bool [n], which are not null."""
        known = np.logical_and.reduce([table[name].is_valid().to_numpy() for name in table.column_names])
        phashes, digests = (table[name].fill_null(0).to_numpy() for name in ("phash", "file_digest"))
        content = table["crop_phashes"].fill_null(bytes(CROPS * _WIDTH)).combine_chunks()
        chunks = content.chunks if isinstance(content, pa.ChunkedArray) else [content]
        crops = [np.frombuffer(b"".join(chunk.to_pylist()), ">u8") for chunk in chunks]
        joined = np.concatenate([np.zeros(0, np.uint64), *crops]).astype(np.uint64)
        return cls(phashes, joined.reshape(-1, CROPS), digests), known

    @classmethod
    def of_rows(cls, rows: _Numbers) -> "Fingerprints":
        """Return the fingerprints in rows, uint64 [n, 7], of a hash, those of windows and a digest."""
        return cls(np.ascontiguousarray(rows[:, 0]), rows[:, 1 : 1 + CROPS], np.ascontiguousarray(rows[:, -1]))

    @classmethod
    def joined(cls, parts: Sequence["Fingerprints"]) -> "Fingerprints":
        """Return the fingerprints of several sets, one after the other."""
        return cls(
            np.concatenate([np.zeros(0, np.uint64), *(part.phashes for part in parts)]),
            np.concatenate([np.zeros((0, CROPS), np.uint64), *(part.crops for part in parts)]),
            np.concatenate([np.zeros(0, np.uint64), *(part.digests for part in parts)]),
        )
