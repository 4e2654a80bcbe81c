"""What a user says of a dump: which classes its numbers stand for, and whether its own split counts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.near_classes import list_hint
from in21k.shards_manifest.errors import errors_naming
from in21k.tree.class_lists import PublishedList, class_list_digest, published_class_list, read_class_list


@dataclass(frozen=True)
class SourceChoices:
    """The user's choices about the dump."""

    class_list: str = ""
    """A text file of classes, or the name of a published list: those that numbers stand for in a dump that labels its
    images with numbers alone."""
    resplit: bool = False
    """Whether to forget the splits that the dump gives, and to hold out val images anew."""

    def recorded(self) -> dict[str, Any]:
        """Return what determines the list of images: choices that are made, and the digest of a class list.

        Raises:
            TreeError, DatasetError, PrepError: the class list cannot be read.
        """
        made: dict[str, Any] = {"resplit": True} if self.resplit else {}
        if self.class_list:
            made["class_list"] = f"{Path(self.class_list).name} {class_list_digest(self.classes())}"
        return made

    def classes(self) -> list[str]:
        """Return the classes that numbers stand for; none if no list is given.

        Raises:
            TreeError, DatasetError: the class list cannot be read.
        """
        if self.class_list in [member.value for member in PublishedList]:
            return list(published_class_list(PublishedList(self.class_list)))
        if self.class_list and not Path(self.class_list).exists():
            raise PrepError(f"--class-list {self.class_list}: no such file, and no list; {list_hint(self.class_list)}")
        with errors_naming(self.class_list):
            return read_class_list(Path(self.class_list)) if self.class_list else []


AS_GIVEN = SourceChoices()
"""The dump as it is."""
