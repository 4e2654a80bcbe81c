import io
import shutil
import subprocess
import tarfile

import pytest
from dumps import tar_bytes, write_with_holes

from in21k.shards_manifest.tar import TarError, read_members

HOLE = bytes(8192)
FILES = {"whole": b"x" * 700, "holes": (HOLE + b"y" * 4096) * 40 + b"z", "hole": HOLE, "end": b"y" * 4096 + HOLE}
VERSIONS = {
    "oldgnu": ["--format=oldgnu"],
    "gnu": ["--format=gnu"],
    **{f"pax-{version}": ["--format=posix", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")},
}


def members_of(data: bytes):
    return list(read_members(lambda at, size: data[at : at + size], 0, len(data)))


def sparse_tar(folder, options) -> bytes:
    program = shutil.which("gtar") or shutil.which("tar")
    if program is None or b"GNU" not in subprocess.run([program, "--version"], capture_output=True, check=True).stdout:
        pytest.skip("no GNU tar on this machine")
    for name, data in FILES.items():
        write_with_holes(folder / name, data)
    if (folder / "holes").stat().st_blocks * 512 >= len(FILES["holes"]):
        pytest.skip("this file system keeps no holes")
    command = [program, "-C", folder, *options, "-S", "--sort=name", "-c", *sorted(FILES)]
    return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.parametrize("options", VERSIONS.values(), ids=VERSIONS)
def test_files_with_holes_are_told_from_whole_ones_and_their_neighbors_are_found(tmp_path, options):
    data = sparse_tar(tmp_path, options)
    found = {member.name: member for member in members_of(data)}
    assert {name: member.type for name, member in found.items()} == {
        "end": "S",
        "hole": "S",
        "holes": "S",
        "whole": "0",
    }
    whole, holes = found["whole"], found["holes"]
    assert data[whole.offset : whole.offset + whole.size] == FILES["whole"]
    assert data[holes.offset : holes.offset + holes.size].startswith(b"y" * 4096)
    assert holes.size < 41 * 4096
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [member.name for member in tar] == list(found)


def pax_header(records: dict[str, str]) -> bytes:
    lines = b""
    for key, value in records.items():
        rest = f" {key}={value}\n".encode()
        length = len(rest) + 2
        lines += b"%d" % (length if len(b"%d" % length) == 2 else length + 1) + rest
    member = tarfile.TarInfo("pax")
    member.type, member.size = tarfile.XHDTYPE, len(lines)
    return member.tobuf(tarfile.USTAR_FORMAT) + lines + bytes(-len(lines) % 512)


@pytest.mark.parametrize(
    "records",
    [
        {"GNU.sparse.map": "0,x", "GNU.sparse.size": "5"},
        {"GNU.sparse.map": "0", "GNU.sparse.size": "5"},
        {"GNU.sparse.map": "0,5"},
        {"GNU.sparse.map": "0,9", "GNU.sparse.size": "9"},
        {"GNU.sparse.map": "3,3,0,2", "GNU.sparse.size": "6"},
        {"GNU.sparse.major": "1", "GNU.sparse.realsize": "x"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5"},
    ],
    ids=str,
)
def test_a_damaged_map_of_holes_is_an_error(records):
    with pytest.raises(TarError):
        members_of(pax_header(records) + tar_bytes([("a.JPEG", b"12345")]))


def test_a_map_without_holes_is_a_plain_file():
    header = pax_header({"GNU.sparse.map": "0,2,2,3", "GNU.sparse.size": "5", "GNU.sparse.name": "b.JPEG"})
    (member,) = members_of(header + tar_bytes([("a.JPEG", b"12345")]))
    assert (member.name, member.type, member.size) == ("b.JPEG", "0", 5)


@pytest.mark.parametrize("padding", [b"", b"1\n2\n3\n", b"junk"])
def test_what_pads_the_map_of_holes_is_no_part_of_it(padding):
    header = pax_header({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"})
    content = (b"1\n4\n5\n" + padding).ljust(512, b"\0") + b"12345"
    data = header + tar_bytes([("a.JPEG", content), ("b.JPEG", b"")])
    found = members_of(data)
    assert [(member.name, member.type, member.size) for member in found] == [("a.JPEG", "S", 5), ("b.JPEG", "0", 0)]
    assert data[found[0].offset : found[0].offset + 5] == b"12345"


def test_pieces_of_an_old_map_lie_gigabytes_apart():
    pieces = [(0, 512), (0o07777770000, 512), (0o10000000000, 0)]
    header = bytearray(tar_bytes([("a.JPEG", bytes(1024))])[:512])
    header[156:157] = b"S"
    header[257:265] = b"ustar  \0"
    header[386:458] = b"".join(b"%011o\0%011o\0" % piece for piece in pieces)
    header[483:495] = b"%011o\0" % 0o10000000000
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (member,) = members_of(bytes(header) + b"x" * 1024 + bytes(1024))
    assert (member.name, member.type, member.size) == ("a.JPEG", "S", 1024)


def test_the_map_of_holes_of_a_header_that_never_ends_is_an_error():
    header = bytearray(tar_bytes([("a.JPEG", b"")])[:512])
    header[156:157], header[482] = b"S", 1
    header[257:265] = b"ustar  \0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    endless = b"0" * 504 + b"\1" + bytes(7)
    with pytest.raises(TarError, match="map of holes"):
        list(read_members(lambda at, size: bytes(header) if at == 0 else endless, 0, 1 << 40))
