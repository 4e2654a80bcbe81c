"""The rejects of a stage while it runs, in little memory: a list may leave out millions of images."""

import pyarrow as pa

from in21k.prep.records import REJECTS_SCHEMA, Reject, rejects_table

_HELD = 1 << 14


class RejectRows:
    """Rejects, the most of them as rows of tables, which take a third of the memory."""

    def __init__(self) -> None:
        self._held: list[Reject] = []
        self._tables: list[pa.Table] = []
        self._rows = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return self._rows + len(self._held)

    def append(self, reject: Reject) -> None:
        """Add one."""
        self._held.append(reject)
        if len(self._held) >= _HELD:
            self._tables.append(rejects_table(self._held))
            self._rows += len(self._held)
            self._held = []

    def table(self) -> pa.Table:
        """Return all as a table of REJECTS_SCHEMA, sorted by class, name and stage."""
        rest = rejects_table(self._held)
        if not self._tables:
            return rest
        keys = [(name, "ascending") for name in REJECTS_SCHEMA.names]
        return pa.concat_tables([*self._tables, rest]).sort_by(keys)
