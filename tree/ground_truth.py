"""Which class each of ImageNet-1K's flat validation images is of: the devkit, or a list of names and classes."""

import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.errors import TreeError

DEVKIT_FOLDER = "ILSVRC2012_devkit_t12"
DEVKIT_TAR = f"{DEVKIT_FOLDER}.tar.gz"
META = "meta.mat"
"""The devkit's file of its classes."""
LONGEST_LIST = 64 << 20
"""Bytes of a list or of the devkit, unpacked."""

_MAT_HEADER = 128
_COMPRESSED = 15
_WNID = re.compile(rb"(?:n[0-9]{8}|n\0(?:[0-9]\0){8})")
_WNID_TEXT = re.compile(r"n[0-9]{8}")
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
            TreeError: the list is in order, and of another length.
        """
        if self.by_name:
            return [self.by_name.get(name.partition(".")[0], "") for name in names]
        if len(names) != len(self.in_order):
            raise TreeError(f"{self.text} has {len(self.in_order)} lines for {len(names)} images; give the whole list")
        order = sorted(range(len(names)), key=lambda at: names[at].encode())
        found = [""] * len(names)
        for at, wnid in zip(order, self.in_order, strict=True):
            found[at] = wnid
        return found


def chosen_ground_truth(
    texts: Mapping[str, bytes], class_list: Sequence[str], meta: bytes, hint: str
) -> GroundTruth | None:
    """Return what the first list that says the classes says, None if none does; lists of val images come first.

    Args:
        texts: contents of text files, by what to call them.
        class_list: the classes that numbers stand for, if `meta` does not say it; may be empty.
        meta: content of the devkit's `meta.mat`; may be empty.
        hint: what else would help where numbers stand for nothing that is known, for the message.

    Raises:
        TreeError: a list's numbers stand for nothing that is known.
    """
    for name in sorted(texts, key=lambda name: (not _is_of_val(name.rpartition("/")[2]), name)):
        found = _parsed(name, texts[name], class_list, meta, hint)
        if found is not None:
            return found
    return None


def _is_of_val(name: str) -> bool:
    return "ground_truth" in name or "val" in name.lower()


def devkit_lists(content: bytes, text: str) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of what the devkit's archive has to say the classes: a ground truth, and `meta.mat`.

    Args:
        content: the archive.
        text: what to call it.

    Raises:
        TreeError: it is damaged.
    """
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(content, LONGEST_LIST)
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as devkit:
            for member in devkit:
                file = devkit.extractfile(member) if member.isreg() else None
                if file is not None and member.name.endswith(("ground_truth.txt", META)):
                    yield f"{text}/{_printable(member.name)}", file.read()
    except (zlib.error, tarfile.TarError) as error:
        raise TreeError(f"{text} is damaged ({error}); download it again") from error


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _parsed(text: str, content: bytes, class_list: Sequence[str], meta: bytes, hint: str) -> GroundTruth | None:
    """Return what a list says, None if it is another kind of file.

    Raises:
        TreeError: its numbers stand for nothing that is known.
    """
    lines = [re.split(r"[\s,]+", line) for line in content.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if lines and lines[0][0].lower() in _HEADINGS:
        del lines[0]
    lines = [[field for field in line if field] for line in lines]
    widths = {min(len(line), 2) for line in lines}
    if len(widths) != 1 or not all(_WNID_TEXT.fullmatch(line[:2][-1]) or line[:2][-1].isdecimal() for line in lines):
        return None
    labels = [line[:2][-1] for line in lines]
    in_order = widths == {1}
    if not in_order and not all("_val_" in line[0] for line in lines):
        return None
    numbered = [label for label in labels if label.isdecimal()]
    if numbered:
        classes = _numbered_from_one(text, class_list, meta, hint) if in_order else _numbered_from_zero(class_list)
        if odd := [label for label in numbered if len(label) > 6 or not classes.get(int(label))]:
            raise TreeError(f"{text} has the class {odd[0][:20]}, which is none of {len(classes)}")
        labels = [classes[int(label)] if label.isdecimal() else label for label in labels]
    if in_order:
        return GroundTruth(text, {}, labels)
    stems = (line[0].rpartition("/")[2].partition(".")[0] for line in lines)
    return GroundTruth(text, dict(zip(stems, labels, strict=True)), ())


def _numbered_from_zero(class_list: Sequence[str]) -> dict[int, str]:
    return dict(enumerate(class_list or published_class_list(PublishedList.IN1K)))


def _numbered_from_one(text: str, class_list: Sequence[str], meta: bytes, hint: str) -> dict[int, str]:
    """Return the devkit's classes by number: those of a class list, or as its `meta.mat` has them.

    Raises:
        TreeError: there is neither.
    """
    wnids = list(class_list) or _wnids_of_meta(meta)
    if not wnids:
        raise TreeError(
            f"{text} has the devkit's numbers, and nothing says which classes they are; put the devkit's {META} by "
            f"it, or {hint}"
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
                content = zlib.decompressobj().decompress(content, LONGEST_LIST)
            except zlib.error:
                return b""
        parts.append(content)
        at += 8 + length
    return b"".join(parts)
