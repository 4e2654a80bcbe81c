"""The members of a dump's tars: images, rejects, and hard links, whose files are looked up in a second pass."""

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from in21k.prep.raw.names import name_in_class, name_reject, printable
from in21k.prep.records import RawImage, Reason, Reject
from in21k.shards_manifest.tar import JUNK, TarLink, TarMember
from in21k.shards_manifest.tar_sparse import SPARSE

HARD_LINK, _SYMBOLIC_LINK, FOLDER = "1", "2", "5"
"""Types of tar members."""


@dataclass(frozen=True, slots=True)
class HardLink:
    """A hard link under an image's name."""

    wnid: str
    split: str
    member: TarLink


@dataclass(frozen=True, slots=True)
class Found:
    """What a tar, or a run of its members, holds."""

    images: list[RawImage] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    links: list[HardLink] = field(default_factory=list)


def sort_in(member: TarMember, wnid: str, archive: str, split: str, found: Found) -> None:
    """Add a member to what was found, as an image, a reject or a hard link."""
    refused = name_reject(wnid, member.name, member.size, member.is_file, f"tar type {member.type}")
    if refused is None:
        found.images.append(
            RawImage(
                name=name_in_class(member.name, wnid),
                archive=archive,
                offset=member.offset,
                size=member.size,
                given_split=split,
            )
        )
    elif refused.reason is Reason.NOT_A_FILE:
        _set_aside(member, refused, split, found)
    else:
        found.rejects.append(refused)


def reject(wnid: str, name: str, reason: Reason, detail: str) -> Reject:
    """Return a reject of filter."""
    return Reject(wnid=wnid, name=printable(name), stage="filter", reason=reason, detail=detail)


def junk_reject(wnid: str, member: TarMember) -> Reject:
    """Return the reject for the bytes behind an end mark."""
    detail = f"{member.size} bytes at byte {member.offset} are no tar"
    return reject(wnid, "", Reason.BEHIND_END_MARK, detail)


def followed(members: Iterable[TarMember], links: list[HardLink]) -> Iterator[tuple[HardLink, TarMember | None]]:
    """Yield each hard link with the file that it leads to as `tar -x` would make it, None where there is none.

    Args:
        members: all members of the archive, in order.
        links: its hard links, in order.
    """
    wanted = {_normal(link.member.target) for link in links}
    waiting = iter(links)
    following = next(waiting, None)
    files: dict[str, TarMember | None] = {}
    for member in members:
        file = member if member.is_file else None
        if is_link := isinstance(member, TarLink) and member.type == HARD_LINK:
            file = files.get(_normal(member.target))
        name = _normal(member.name)
        if name in wanted:
            files[name] = file
        if following is not None and is_link and member.offset == following.member.offset:
            yield following, file
            following = next(waiting, None)


def add_followed(link: HardLink, file: TarMember | None, archive: str, found: Found) -> None:
    """Add a hard link to what was found: an image if it leads to a file, else a reject."""
    if file is None:
        detail = f"a hard link to {printable(link.member.target)}, which is no file before it in the archive"
        found.rejects.append(reject(link.wnid, link.member.name, Reason.NOT_A_FILE, detail))
    else:
        sort_in(replace(file, name=link.member.name), link.wnid, archive, link.split, found)


def _set_aside(member: TarMember, refused: Reject, split: str, found: Found) -> None:
    """Add what is no regular file."""
    wnid = refused.wnid
    if isinstance(member, TarLink) and member.type == HARD_LINK:
        unfit = name_reject(wnid, member.name, 0, True, "")
        if unfit is None:
            found.links.append(HardLink(wnid, split, member))
            return
        refused = unfit
    elif isinstance(member, TarLink) and member.type == _SYMBOLIC_LINK:
        refused = replace(refused, detail=f"a symbolic link to {printable(member.target)}")
    elif member.type == SPARSE:
        detail = f"stored without its holes, {member.size} bytes; unpack the dump and give the folder"
        refused = replace(refused, reason=Reason.SPARSE_FILE, detail=detail)
    elif member.type == JUNK:
        refused = junk_reject(wnid, member)
    found.rejects.append(refused)


def _normal(name: str) -> str:
    return posixpath.normpath(name.lstrip("/"))
