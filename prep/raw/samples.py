"""The samples of WebDataset shards: members under one key, one of which is an image and others say its class."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from in21k.prep.errors import PrepError
from in21k.prep.raw.members import FOLDER, junk_reject, reject
from in21k.prep.raw.names import ACCEPTED_SUFFIXES, base_name, name_in_class, name_reject, printable
from in21k.prep.records import RawImage, Reason, Reject
from in21k.shards_manifest.tar import JUNK, TarMember

IMAGE_SUFFIXES = frozenset(suffix[1:] for suffix in ACCEPTED_SUFFIXES)
LABEL_SUFFIXES = frozenset(("cls", "json"))

_LONGEST_LABEL = 1 << 16
"""Bytes of a `.cls` or `.json` from which a class is read."""
_LONGEST_NAME = 200
"""Characters of a class's name."""
_WNID_IN_KEY = re.compile(r"(?:^|/)(n[0-9]{8})(?=[_/]|$)")

Read = Callable[[int, int], bytes]


class Sample:
    """The members of a sample."""

    __slots__ = ("images", "key", "others")

    def __init__(self, key: str) -> None:
        """Begin a sample without members; `key` is their path up to the first dot of their file name."""
        self.key = key
        self.images: list[TarMember] = []
        self.others: dict[str, TarMember] = {}
        """By suffix in lower case, without the dot."""


@dataclass(frozen=True, slots=True)
class Labeled:
    """The images of some samples, with their classes."""

    wnids: list[str] = field(default_factory=list)
    images: list[RawImage] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def samples(members: Iterable[TarMember], rejects: list[Reject]) -> Iterator[Sample]:
    """Yield the samples of a shard, whose members lie side by side; what belongs to none is added to `rejects`."""
    sample = Sample("")
    for member in members:  # there are millions
        name = member.name
        slash = name.rfind("/")
        dot = name.find(".", slash + 1)
        if member.type != "0" or dot <= slash + 1 or dot + 1 == len(name) or (slash >= 0 and _is_unsafe(name)):
            if member.type != FOLDER:
                rejects.append(_refusal(member))
            continue
        key = name[:dot]
        if key != sample.key:
            if sample.key:
                yield sample
            sample = Sample(key)
        suffix = name[dot + 1 :]
        if suffix not in LABEL_SUFFIXES:
            suffix = suffix.lower()
            if suffix in IMAGE_SUFFIXES or suffix.rpartition(".")[2] in IMAGE_SUFFIXES:
                sample.images.append(member)
                continue
        sample.others[suffix] = member
    if sample.key:
        yield sample


def _is_unsafe(name: str) -> bool:
    return name[0] == "/" or (".." in name and ".." in name.split("/"))


class Labels:
    """Finds the class of samples: a wnid in the key, else what `.json` calls it, else what `.cls` says."""

    def __init__(self, text: str, class_list: Sequence[str]) -> None:
        """Keep what is needed.

        Args:
            text: what to call the dump in messages.
            class_list: the classes that numbers in `.cls` stand for; may be empty.
        """
        self._text = text
        self._class_list = class_list

    def add(self, sample: Sample, archive: str, split: str, read: Read, found: Labeled) -> None:
        """Add the images of a sample to what was found, or the reject that it becomes.

        Raises:
            PrepError: its class is a number, and there is no class list.
        """
        if not sample.images:
            found.rejects.extend(_refusal(member) for member in sample.others.values())
            return
        wnid = wnid_in(sample.key) or self._label(sample, read)
        for member in sample.images:
            if not wnid:
                detail = "neither its key nor a .json or .cls beside it names its class"
                found.rejects.append(reject("", base_name(member.name), Reason.NOT_IN_A_CLASS, detail))
                continue
            found.wnids.append(wnid)
            name = name_in_class(member.name, wnid)
            found.images.append(RawImage(name, archive, member.offset, member.size, split))

    def _label(self, sample: Sample, read: Read) -> str:
        return self._of_json(sample, read) or self._of_cls(sample, read)

    def _of_json(self, sample: Sample, read: Read) -> str:
        member = sample.others.get("json")
        if member is None or member.size > _LONGEST_LABEL:
            return ""
        try:
            described: Any = json.loads(read(member.offset, member.size))
        except (ValueError, RecursionError):
            return ""
        name = described.get("class_name") if isinstance(described, dict) else None
        return fit_class(name) if isinstance(name, str) else ""

    def _of_cls(self, sample: Sample, read: Read) -> str:
        member = sample.others.get("cls")
        if member is None or member.size > _LONGEST_LABEL:
            return ""
        text = read(member.offset, member.size).decode("utf-8", "replace").strip()
        if not re.fullmatch(r"[0-9]{1,9}", text):
            return fit_class(text)
        if not self._class_list:
            raise PrepError(
                f"{self._text}: {printable(sample.key)} is of class {text}, and nothing says which that is; give the "
                "classes in the order of their numbers with --class-list"
            )
        number = int(text)
        return self._class_list[number] if number < len(self._class_list) else ""


def wnid_in(key: str) -> str:
    """Return the wnid that a key or path begins with or has as a folder, empty if there is none."""
    found = _WNID_IN_KEY.search(key)
    return found[1] if found else ""


def fit_class(name: str) -> str:
    """Return a class's name if it may be one, else an empty text."""
    name = name.strip()
    return name if len(name) <= _LONGEST_NAME and name.isprintable() else ""


def _refusal(member: TarMember) -> Reject:
    if member.type == JUNK:
        return junk_reject("", member)
    refused = name_reject("", member.name, member.size, member.is_file, f"tar type {member.type}")
    return refused or reject("", member.name, Reason.NOT_IN_A_CLASS, "its name has no key")
