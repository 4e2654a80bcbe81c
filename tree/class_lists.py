"""Class lists: read from a text file, or published; and the digest that identifies one."""

import hashlib
import re
from codecs import BOM_UTF8
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path

from in21k.tree.errors import TreeError
from in21k.tree.wordnet import load_wordnet

_WNID_LINE = re.compile(r"(n[0-9]{8})(?:[\s,].*)?")
"""A line that names a synset, and may go on with its words, as LOC_synset_mapping.txt and CSVs do."""
_LARGEST = 64 << 20
"""Bytes of a file of classes, at most."""
_HEADER = re.compile(r"wnid(?:[\s,]|$)")


class PublishedList(StrEnum):
    """A published class list, by its name on the command line: facts, packaged as timm (Apache-2.0) lists them."""

    FALL11 = "fall11-p"
    """The 11,221 classes kept from the fall 2011 release (timm's `imagenet21k_miil_synsets.txt`)."""
    WINTER21 = "winter21-p"
    """The 10,450 classes kept from the winter 2021 release (timm's `imagenet21k_miil_w21_synsets.txt`)."""
    IN12K = "in12k"
    """The 11,821 classes of ImageNet-12K, timm's subset of fall 2011 (timm's `imagenet12k_synsets.txt`)."""
    IN1K = "in1k"
    """The 1,000 classes of ILSVRC 2012, ImageNet-1K (timm's `imagenet_synsets.txt`)."""


@cache
def published_class_list(release: PublishedList) -> tuple[str, ...]:
    """Return the wnids of a published list in order of class index, which is timm's order."""
    file = resources.files("in21k.tree.data").joinpath(f"{release.value}.csv")
    return tuple(file.read_text(encoding="ascii").split()[1:])  # below the header


def class_list_digest(wnids: Sequence[str]) -> str:
    """Return the SHA-256 of a class list, one wnid per line: datasets with the same digest have the same classes."""
    return hashlib.sha256("".join(f"{wnid}\n" for wnid in wnids).encode()).hexdigest()


def read_class_list(path: Path) -> list[str]:
    """Return the class names of a text file, one per line; blank lines are ignored.

    Raises:
        TreeError: the file is not text, is too long, or is empty.
        OSError: the file cannot be read.
    """
    try:
        names = [name for line in _content(path).decode("utf-8").split("\n") if (name := line.strip())]
    except UnicodeDecodeError:
        raise TreeError(f"{path} is not a text file of class names, one per line") from None
    if not names:
        raise TreeError(f"{path} lists no classes; write one class name per line")
    return names


def read_classes(path: Path) -> list[str]:
    """Return the classes of a text file, one per line, each once; behind a wnid, a line may go on with its name.

    A first line `wnid`, a CSV's header, is no class.

    Raises:
        TreeError: the file is not text, is too long, or is empty.
        OSError: the file cannot be read.
    """
    lines = read_class_list(path)
    if _HEADER.match(lines[0]):
        lines = lines[1:]
    found = [(match[1] if (match := _WNID_LINE.fullmatch(line)) else line) for line in lines]
    return list(dict.fromkeys(found))


def read_wnid_list(path: Path) -> list[str]:
    """Return the wnids of a text file, one per line; blank lines are ignored.

    Raises:
        TreeError: a line is not a wnid, or the file is too long or lists none.
        OSError: the file cannot be read.
    """
    try:
        lines = _content(path).decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise TreeError(f"{path} is not a text file of wnids, one per line") from None
    wordnet = load_wordnet()
    wnids = []
    for number, line in enumerate(lines, 1):
        if not (wnid := line.strip()):
            continue
        if wnid not in wordnet:
            raise TreeError(
                f"{path}, line {number}: {wnid[:80]!r} is not a noun synset of WordNet 3.0; expected a wnid such as "
                "n02084071"
            )
        wnids.append(wnid)
    if not wnids:
        raise TreeError(f"{path} lists no wnids; write one per line, such as n02084071")
    return wnids


def _content(path: Path) -> bytes:
    """Return a file's bytes without a byte order mark; one that is too long for a list is not read."""
    size = path.stat().st_size
    if size > _LARGEST:
        raise TreeError(f"{path}: {size:,} bytes are no list of classes; name a text file, a class a line")
    return path.read_bytes().removeprefix(BOM_UTF8)
