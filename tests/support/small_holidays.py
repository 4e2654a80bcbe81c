"""Images named as INRIA Holidays' are, drawn: groups of a query and some other views of its place."""

from collections.abc import Sequence
from pathlib import Path

from small_dataset import jpeg

SIZES = (3, 2, 4, 1, 2, 3, 2, 5)
"""Images of each group; the fourth is a query alone."""


def write_holidays(root: Path, sizes: Sequence[int] = SIZES) -> Path:
    """Write GGGGNN.jpg in two folders, as its two archives unpack; NN is 00 for a group's query.

    Two groups look alike, and an exact copy of the first query stands in the last group.
    """
    for group, size in enumerate(sizes):
        for view in range(size):
            path = root / ("jpg1" if group % 2 else "jpg2") / f"{1000 + group}{view:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(group % 7, 100 * group + view))
    copy = root / "jpg1" / f"{1000 + len(sizes) - 1}{sizes[-1] - 1:02d}.jpg"
    copy.write_bytes((root / "jpg2" / "100000.jpg").read_bytes())
    return root
