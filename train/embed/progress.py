"""How far the embedding has come, in images and in files."""

from collections.abc import Sequence

from in21k.shards_manifest.command.progress import TIMING, Progress, Timing
from in21k.train.embed.folder import Planned


class FileProgress(Progress):
    """How many images and files of one rank are embedded."""

    def __init__(self, files: Sequence[Planned], *, shown: bool, timing: Timing = TIMING) -> None:
        """Begin.

        Args:
            files: that the rank will embed.
            shown: whether anything is shown.
            timing: when lines are due.
        """
        super().__init__("embed", "image", sum(planned.rows for planned in files), shown=shown, timing=timing)
        self._files, self._whole = len(files), 0

    def add(self, images: int, *, is_whole: bool) -> None:
        """Count images, and the file that they belong to if it is whole now."""
        self._whole += is_whole
        self.note({"files": f"{self._whole}/{self._files}"})
        self.update(images)

    def line(self) -> str:
        """Return the line that says how far the work has come."""
        return f"{super().line()}, {self._whole:,} of {self._files:,} files"
