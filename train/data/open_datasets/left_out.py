"""Files in folders of images that are in no form that is read: photos of a phone or a camera, above all."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from in21k.train.data.open_datasets.image_files import is_image_name, is_metadata, printable

_PHOTOS = frozenset(
    ".heic .heif .avif .jxl .jp2 .psd .tga .svg .raw .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .srw .pef".split()
)
"""Extensions of pictures in other forms."""

_SILENT = frozenset(
    (
        " .txt .md .json .jsonl .csv .tsv .xml .html .yaml .yml .ini .db .log .xmp .aae .thm .py .parquet .npy .npz"
        " .mat .pkl .pt"
    ).split(" ")
)
"""Extensions of what lies beside photos and is none; and no extension."""


class LeftOut:
    """Counts the files that are left out of folders of images, by extension, while these are listed."""

    def __init__(self, is_named: Callable[[str], bool] = is_image_name) -> None:
        """Begin.

        Args:
            is_named: whether a path is of the files that are meant, by its name.
        """
        self._is_named = is_named
        self._counts: Counter[str] = Counter()
        self._first = ""

    def beside(self, folder: Path) -> Callable[[str], bool]:
        """Return `is_named` for paths below a folder, which counts what it does not take."""

        def is_named(path: str) -> bool:
            if self._is_named(path):
                return True
            self._add(folder, path)
            return False

        return is_named

    @property
    def text(self) -> str:
        """What was left out and what to do about it, such as `6 .heic files, such as a.heic; …`; empty if nothing."""
        return self._text(self._counts)

    @property
    def photos(self) -> str:
        """The same of pictures alone, in forms that are not read."""
        return self._text({extension: count for extension, count in self._counts.items() if extension in _PHOTOS})

    def _text(self, counts: "Counter[str] | dict[str, int]") -> str:
        if not counts:
            return ""
        most = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        kinds = " and ".join(f"{count:,} {extension}" for extension, count in most)
        files = "file" if sum(counts.values()) == 1 else "files"
        what = "them" if _PHOTOS.issuperset(counts) else "photos among them"
        return f"{kinds} {files}, such as {self._first}; convert {what} to JPEG"

    def _add(self, folder: Path, path: str) -> None:
        extension = os.path.splitext(path)[1].lower()  # noqa: PTH122 - there may be millions
        if extension in _SILENT or is_metadata(path):
            return
        self._counts[extension] += 1
        shown = printable(str(folder / path.lstrip("/")))
        self._first = min(self._first or shown, shown)
