"""How the folders and tars of a dump name its classes: by wnid, by any label, or by the path to them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from in21k.prep.raw.names import GIVEN_SPLITS, MACOS_FOLDER, is_wnid, printable


@dataclass(frozen=True)
class ClassLabels:
    """Which names are labels of classes; by default wnids are."""

    is_label: Callable[[str], bool] = is_wnid
    """Whether a name shows by itself that it is a class's. Where none does, the folders at hand are the classes."""
    by_path: bool = False
    """Whether each folder with images is a class, labeled with its path in the dump."""

    def of_tar(self, path: str) -> str:
        """Return the label of a class tar."""
        pure = PurePosixPath(path)
        return printable(str(pure.with_suffix("")) if self.by_path else pure.stem)

    def of_folder(self, folder: str) -> tuple[str, str]:
        """Return the given split and the label of the images in a folder, empty where no folder is around them."""
        return _split_and_label(self, folder)


@lru_cache(maxsize=1024)
def _split_and_label(labels: ClassLabels, folder: str) -> tuple[str, str]:
    """Return the split and the label: the innermost folder that is named as a class, or else the innermost."""
    parts = PurePosixPath(folder).parts
    if not parts:
        return "", ""
    if MACOS_FOLDER in parts and not any(map(labels.is_label, map(printable, parts))):
        return "", ""
    if labels.by_path:
        return "", printable("/".join(parts))
    at = next((at for at in reversed(range(len(parts))) if labels.is_label(printable(parts[at]))), len(parts) - 1)
    return GIVEN_SPLITS.get(parts[at - 1], "") if at else "", printable(parts[at])


WNIDS = ClassLabels()
"""Classes are named by their wnids, as in ImageNet's own dumps."""


def no_label(_name: str) -> bool:
    """Return False: no name is a class's by itself."""
    return False


ANY_NAMES = ClassLabels(is_label=no_label)
"""Any folder or tar at hand is a class."""

PATHS = ClassLabels(is_label=no_label, by_path=True)
"""Nested folders; each with images is a class."""
