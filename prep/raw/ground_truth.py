"""The classes of ImageNet-1K's flat validation images, from the devkit or a list beside them."""

from collections.abc import Iterator, Sequence

from in21k.prep.errors import PrepError
from in21k.prep.raw.entries import entries_of
from in21k.shards_manifest.storage.location import Location
from in21k.tree.ground_truth import (
    DEVKIT_FOLDER,
    DEVKIT_TAR,
    LONGEST_LIST,
    META,
    GroundTruth,
    chosen_ground_truth,
    devkit_lists,
)

_HINT = "give the classes in the devkit's order with --class-list"


def find_ground_truth(folder: Location, class_list: Sequence[str]) -> GroundTruth:
    """Return the classes of the validation images in a folder.

    Args:
        folder: what holds the tars, the devkit or a list.
        class_list: the classes that numbers stand for, if the devkit's `meta.mat` is not there to say it.

    Raises:
        PrepError: no list is there.
        TreeError: the devkit is damaged, or a list's numbers stand for nothing that is known.
    """
    texts: dict[str, bytes] = {}
    meta = b""
    for name, content in _lists(folder):
        if name.endswith(META):
            meta = content
        else:
            texts[name] = content
    found = chosen_ground_truth(texts, class_list, meta, _HINT)
    if found is None:
        raise PrepError(
            f"{folder.text} holds validation images without classes; put the devkit ({DEVKIT_TAR}) beside them, or a "
            "list with a line 'ILSVRC2012_val_00000001.JPEG n01751748' for each"
        )
    return found


def _lists(folder: Location) -> Iterator[tuple[str, bytes]]:
    """Yield the full path and content of what may say the classes."""
    places = ["", *(entry.name for entry in entries_of(folder, "") if entry.is_folder and entry.name == DEVKIT_FOLDER)]
    if len(places) > 1:
        places.append(f"{DEVKIT_FOLDER}/data")
    for place in places:
        for entry in entries_of(folder, place):
            path = f"{place}/{entry.name}" if place else entry.name
            if not entry.is_file or entry.size > LONGEST_LIST:
                continue
            if entry.name == DEVKIT_TAR:
                yield from devkit_lists(folder.child(path).read_bytes(), folder.child(path).text)
            elif entry.name.endswith((".txt", ".csv", META)):
                yield folder.child(path).text, folder.child(path).read_bytes()
