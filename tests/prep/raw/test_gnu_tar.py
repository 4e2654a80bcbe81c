"""Archives that GNU tar makes, against what GNU tar unpacks: nothing is lost, and nothing is another file's."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from dumps import write_with_holes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raw_contents import RawContents, read_raw

from in21k.prep.raw.names import printable
from in21k.prep.records import Reason

DOG, CAT = "n02084071", "n02121620"
TAR = shutil.which("gtar") or shutil.which("tar")
IS_GNU = TAR is not None and b"GNU tar" in subprocess.run([TAR, "--version"], capture_output=True, check=False).stdout

pytestmark = pytest.mark.skipif(not IS_GNU, reason="no GNU tar on this machine")

FORMATS = {
    "v7": ["--format=v7"],
    "oldgnu": ["--format=oldgnu"],
    "gnu": ["--format=gnu"],
    "ustar": ["--format=ustar"],
    "posix": ["--format=posix"],
    **{f"pax-{version}": ["--format=posix", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")},
}
HOLE = bytes(8192)
KINDS = {
    "empty": lambda name: b"",
    "short": lambda name: name,
    "blocks": lambda name: name * 300,
    "hole": lambda name: HOLE,
    "hole-first": lambda name: HOLE + name,
    "hole-last": lambda name: name.ljust(4096, b"x") + HOLE,
    "holes": lambda name: (HOLE + name.ljust(4096, b"x")) * 25,  # more than an old header holds
}


@dataclass(frozen=True)
class Archive:
    """What to pack, and how."""

    files: dict[str, str]
    """The kind of each file, by name."""
    hard: dict[str, str]
    soft: dict[str, str]
    packed_as: str
    is_sparse: bool


stems = st.sampled_from(["a", "b", "c", "caf\udce9", "F\xfc\xdfe", "n" * 90, "l" * 120, "d/e", "long/" * 40 + "f"])
names = st.builds("{}/{}.{}".format, st.sampled_from([DOG, CAT]), stems, st.sampled_from(["JPEG", "png", "txt"]))
archives = st.builds(
    Archive,
    files=st.dictionaries(names, st.sampled_from(list(KINDS)), min_size=1, max_size=5),
    hard=st.dictionaries(names, names, max_size=3),
    soft=st.dictionaries(names, names, max_size=2),
    packed_as=st.sampled_from(list(FORMATS)),
    is_sparse=st.booleans(),
)


def content(name: str, kind: str) -> bytes:
    return KINDS[kind](os.fsencode(name))


def pack(archive: Archive, folder: Path) -> bytes:
    """Return the archive that GNU tar makes; what its format cannot store, it leaves out."""
    for name, kind in archive.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_with_holes(folder / name, content(name, kind))
    for name, target in archive.hard.items():
        if not (folder / name).exists() and (folder / target).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).hardlink_to(folder / target)
    for name, target in archive.soft.items():
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)
    sparse = ["-S"] if archive.is_sparse else []
    options = [*FORMATS[archive.packed_as], *sparse, "--sort=name"]
    packed = subprocess.run(
        [TAR, "-C", folder, *options, "-c", *sorted(path.name for path in folder.iterdir())],
        capture_output=True,
        check=False,
    )
    return packed.stdout


def unpacked(path: Path, folder: Path) -> dict[str, bytes]:
    """Return the regular files that `tar -i -x` makes, by path."""
    folder.mkdir()
    subprocess.run([TAR, "-i", "-C", folder, "-x", "-f", path], capture_output=True, check=False)
    files = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if not file.is_symlink()}


def is_found(found: RawContents, path: str, data: bytes) -> bool:
    """Return whether a file's bytes are an image, or whether a row says why they are not."""
    base = printable(path.rpartition("/")[2])
    if any(data in stored for (_, name), stored in found.images.items() if name == base):
        return True
    reasons = {reject.reason for reject in found.rejects if reject.name.endswith(base)}
    if base.endswith(".txt"):
        return Reason.NOT_AN_IMAGE_NAME in reasons or Reason.SPARSE_FILE in reasons
    return HOLE in data and not reasons.isdisjoint({Reason.SPARSE_FILE, Reason.NOT_A_FILE})


HOLES = {f"{DOG}/a.JPEG": "holes", f"{DOG}/b.JPEG": "short"}


@given(st.lists(archives, min_size=1, max_size=3), st.binary(max_size=2000))
@example([Archive(HOLES, {f"{CAT}/c.JPEG": f"{DOG}/b.JPEG"}, {}, name, True) for name in FORMATS], b"")
@example([Archive({f"{DOG}/a.txt": "short"}, {f"{DOG}/b.JPEG": f"{DOG}/a.txt"}, {}, "gnu", False)], b"")
@settings(max_examples=40)
def test_every_file_that_gnu_tar_unpacks_is_an_image_or_has_a_row(drawn, junk):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packed = [pack(archive, folder / str(number)) for number, archive in enumerate(drawn)]
        (folder / "raw.tar").write_bytes(b"".join(packed) + junk)
        files = unpacked(folder / "raw.tar", folder / "unpacked")
        if all(path.endswith(".txt") for path in files):
            return  # no dump of images
        found = read_raw(folder / "raw.tar", folder / "work")
    assert [path for path, data in files.items() if not is_found(found, path, data)] == []
    assert (Reason.BEHIND_END_MARK in {reject.reason for reject in found.rejects}) == bool(junk.strip(b"\0"))
    packed_bytes = {content(*file) for archive in drawn for file in archive.files.items()}
    assert {data for each in found.images.values() for data in each} <= packed_bytes
