"""The classes of ImageNet-1K's flat validation images, from the devkit or a list beside them."""

import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from in21k.prep.errors import PrepError
from in21k.prep.raw.entries import entries_of
from in21k.prep.raw.names import is_wnid, printable
from in21k.shards_manifest.storage.location import Location
from in21k.tree.class_lists import PublishedList, published_class_list

_DEVKIT_FOLDER = "ILSVRC2012_devkit_t12"
_DEVKIT_TAR = f"{_DEVKIT_FOLDER}.tar.gz"
_META = "meta.mat"
_LONGEST = 64 << 20
"""Bytes of a list or of the devkit, unpacked."""
_MAT_HEADER = 128
_COMPRESSED = 15
_WNID = re.compile(rb"(?:n[0-9]{8}|n\0(?:[0-9]\0){8})")
_HEADINGS = ("imageid",)


@dataclass(frozen=True)
class GroundTruth:
    """Which class each validation image is of."""

    text: str
    """The file that says so."""
    by_name: Mapping[str, str]
    """Wnids by the stem of the image's name; empty if the list is in the order of the names."""
    in_order: Sequence[str]

    def wnids(self, names: Sequence[str]) -> list[str]:
        """Return the wnid of each image, empty where the list has none.

        Raises:
            PrepError: the list is in order, and of another length.
        """
        if self.by_name:
            return [self.by_name.get(name.partition(".")[0], "") for name in names]
        if len(names) != len(self.in_order):
            raise PrepError(f"{self.text} has {len(self.in_order)} lines for {len(names)} images; give the whole list")
        order = sorted(range(len(names)), key=lambda at: names[at].encode())
        found = [""] * len(names)
        for at, wnid in zip(order, self.in_order, strict=True):
            found[at] = wnid
        return found


def find_ground_truth(folder: Location, class_list: Sequence[str]) -> GroundTruth:
    """Return the classes of the validation images in a folder.

    Args:
        folder: what holds the tars, the devkit or a list.
        class_list: the classes that numbers stand for, if the devkit's `meta.mat` is not there to say it.

    Raises:
        PrepError: no list is there, or one whose numbers stand for nothing that is known.
    """
    texts: dict[str, bytes] = {}
    meta = b""
    for name, content in _lists(folder):
        if name.endswith(_META):
            meta = content
        else:
            texts[name] = content
    for name in sorted(texts, key=lambda name: ("ground_truth" not in name and "val" not in name.lower(), name)):
        found = _parsed(folder.child(name).text, texts[name], class_list, meta)
        if found is not None:
            return found
    raise PrepError(
        f"{folder.text} holds validation images without classes; put the devkit ({_DEVKIT_TAR}) beside them, or a list "
        "with a line 'ILSVRC2012_val_00000001.JPEG n01751748' for each"
    )


def _lists(folder: Location) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of what may say the classes."""
    places = ["", *(entry.name for entry in entries_of(folder, "") if entry.is_folder and entry.name == _DEVKIT_FOLDER)]
    if len(places) > 1:
        places.append(f"{_DEVKIT_FOLDER}/data")
    for place in places:
        for entry in entries_of(folder, place):
            path = f"{place}/{entry.name}" if place else entry.name
            if not entry.is_file or entry.size > _LONGEST:
                continue
            if entry.name == _DEVKIT_TAR:
                yield from _of_devkit(folder.child(path))
            elif entry.name.endswith((".txt", ".csv", _META)):
                yield path, folder.child(path).read_bytes()


def _of_devkit(location: Location) -> Iterator[tuple[str, bytes]]:
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(location.read_bytes(), _LONGEST)
        with tarfile.open(fileobj=io.BytesIO(content)) as devkit:
            for member in devkit:
                file = devkit.extractfile(member) if member.isreg() else None
                if file is not None and member.name.endswith(("ground_truth.txt", _META)):
                    yield f"{_DEVKIT_TAR}/{printable(member.name)}", file.read()
    except (zlib.error, tarfile.TarError) as error:
        raise PrepError(f"{location.text} is damaged ({error}); download it again") from error


def _parsed(text: str, content: bytes, class_list: Sequence[str], meta: bytes) -> GroundTruth | None:
    """Return what a list says, None if it is another kind of file.

    Raises:
        PrepError: its numbers stand for nothing that is known.
    """
    lines = [re.split(r"[\s,]+", line) for line in content.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if lines and lines[0][0].lower() in _HEADINGS:
        del lines[0]
    lines = [[field for field in line if field] for line in lines]
    widths = {min(len(line), 2) for line in lines}
    if len(widths) != 1 or not all(is_wnid(line[:2][-1]) or line[:2][-1].isdecimal() for line in lines):
        return None
    labels = [line[:2][-1] for line in lines]
    in_order = widths == {1}
    if not in_order and not all("_val_" in line[0] for line in lines):
        return None
    numbered = [label for label in labels if label.isdecimal()]
    if numbered:
        classes = _numbered_from_one(text, class_list, meta) if in_order else _numbered_from_zero(class_list)
        if odd := [label for label in numbered if len(label) > 6 or not classes.get(int(label))]:
            raise PrepError(f"{text} has the class {odd[0][:20]}, which is none of {len(classes)}")
        labels = [classes[int(label)] if label.isdecimal() else label for label in labels]
    if in_order:
        return GroundTruth(text, {}, labels)
    stems = (line[0].rpartition("/")[2].partition(".")[0] for line in lines)
    return GroundTruth(text, dict(zip(stems, labels, strict=True)), ())


def _numbered_from_zero(class_list: Sequence[str]) -> dict[int, str]:
    return dict(enumerate(class_list or published_class_list(PublishedList.IN1K)))


def _numbered_from_one(text: str, class_list: Sequence[str], meta: bytes) -> dict[int, str]:
    """Return the devkit's classes by number: those of a class list, or as its `meta.mat` has them.

    Raises:
        PrepError: there is neither.
    """
    wnids = list(class_list) or _wnids_of_meta(meta)
    if not wnids:
        raise PrepError(
            f"{text} has the devkit's numbers, and nothing says which classes they are; put the devkit's {_META} by "
            "it, or give the classes in the devkit's order with --class-list"
        )
    return dict(enumerate(wnids, 1))


def _wnids_of_meta(meta: bytes) -> list[str]:
    """Return ImageNet-1K's wnids in the order of the devkit's numbers, out of its MATLAB file; none if it has others.

    The file's one matrix has a wnid per synset in that order, the 1,000 classes first.
    """
    found = [match[0].replace(b"\0", b"").decode() for match in _WNID.finditer(_unpacked(meta))]
    wnids = list(dict.fromkeys(found))[:1000]
    return wnids if sorted(wnids) == list(published_class_list(PublishedList.IN1K)) else []


def _unpacked(meta: bytes) -> bytes:
    """Return the content of a MATLAB file, whose elements may be compressed."""
    parts, at = [], _MAT_HEADER
    while at + 8 <= len(meta):
        kind, length = (int.from_bytes(meta[at + shift : at + shift + 4], "little") for shift in (0, 4))
        content = meta[at + 8 : at + 8 + length]
        if kind == _COMPRESSED:
            try:
                content = zlib.decompressobj().decompress(content, _LONGEST)
            except zlib.error:
                return b""
        parts.append(content)
        at += 8 + length
    return b"".join(parts)
