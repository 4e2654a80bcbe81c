import io
import tarfile
from pathlib import Path

import pytest
from dumps import tar_bytes, tar_member
from hypothesis import given
from hypothesis import strategies as st

from in21k.shards_manifest.tar import (
    END,
    JUNK,
    TarError,
    member_bytes,
    member_header,
    read_joined_members,
    read_members,
)

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def members_of(data: bytes, start: int = 0, end: int | None = None):
    return list(read_members(lambda at, size: data[at : at + size], start, len(data) if end is None else end))


def ours(data: bytes):
    return [
        (m.name.rstrip("/"), m.type, m.offset, m.size, data[m.offset : m.offset + m.size]) for m in members_of(data)
    ]


def theirs(data: bytes):
    """Return what tarfile says of the same tar."""
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        return [
            (
                member.name,
                "0" if member.isreg() else member.type.decode(),
                member.offset_data,
                member.size if member.isreg() else 0,
                tar.extractfile(member).read() if member.isreg() else b"",
            )
            for member in tar
        ]


def with_checksum(header: bytes) -> bytes:
    """Return a header with the checksum that it should have."""
    fixed = bytearray(header)
    fixed[148:156] = b" " * 8
    fixed[148:156] = b"%06o\0 " % sum(fixed)
    return bytes(fixed)


def patched(header: bytes, at: int, value: bytes) -> bytes:
    return with_checksum(header[:at] + value + header[at + len(value) :])


EVERYTHING = [
    ("plain.JPEG", b"x" * 700),
    ("empty.JPEG", b""),
    ("whole-block.JPEG", b"y" * 512),
    (tar_member("folder", kind=tarfile.DIRTYPE), b""),
    ("folder/" + "a" * 60 + "/" + "b" * 80 + ".JPEG", b"in two fields of USTAR"),
    (tar_member("link", kind=tarfile.LNKTYPE, linkname="plain.JPEG"), b""),
    (tar_member("soft", kind=tarfile.SYMTYPE, linkname="elsewhere"), b""),
    (tar_member("pipe", kind=tarfile.FIFOTYPE), b""),
    (tar_member("contiguous", b"c" * 600, kind=tarfile.CONTTYPE), b"c" * 600),
    ("last.JPEG", b"z"),
]
LONG = [
    ("n" * 99, b"1"),
    ("n" * 100, b"2"),
    ("n" * 101, b"3"),
    ("deep/" * 60 + "image.JPEG", b"4" * 513),
    ("Füße-猫.JPEG", b"5"),
    (tar_member("soft", kind=tarfile.SYMTYPE, linkname="far/" * 60), b""),
    ("after.JPEG", b"6"),
]


@pytest.mark.parametrize("tar_format", FORMATS.values(), ids=FORMATS)
def test_members_of_all_kinds_equal_tarfiles(tar_format):
    data = tar_bytes(EVERYTHING, tar_format)
    assert ours(data) == theirs(data)
    assert [m.is_file for m in members_of(data)].count(True) == 6


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_long_and_unicode_names_equal_tarfiles(tar_format):
    data = tar_bytes(LONG, tar_format)
    assert ours(data) == theirs(data)
    assert [m.name for m in members_of(data)] == [m if isinstance(m, str) else m.name for m, _ in LONG]


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), st.binary())),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_any_names_and_contents_come_back(members, tar_format):
    members = [("n" + name.rstrip("/") + "x", content) for name, content in members]
    data = tar_bytes(members, tar_format)
    assert [(name, content) for name, _, _, _, content in ours(data)] == members


def test_undecodable_names_are_kept():
    data = tar_bytes([("caf\udce9.JPEG", b"latin-1")], tarfile.GNU_FORMAT)
    assert members_of(data)[0].name == "caf\udce9.JPEG"
    assert b"caf\xe9.JPEG" in data


def test_global_pax_headers_are_skipped():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "a" * 600}) as tar:
        tar.addfile(tar_member("a.JPEG", b"1"), io.BytesIO(b"1"))
    assert ours(stream.getvalue()) == theirs(stream.getvalue())


def test_pax_sizes_override_the_headers():
    data = tar_bytes([(tar_member("a.JPEG", b"abc"), b"abc")], tarfile.PAX_FORMAT)
    record = b"size=3\n"
    extension = patched(member_bytes("pax", b"%d %s" % (len(record) + 2, record))[:512], 156, b"x")
    body = (b"%d %s" % (len(record) + 2, record)).ljust(512, b"\0")
    wrong = patched(data[:512], 124, b"00000007777\0")
    whole = extension + body + wrong + data[512:]
    assert ours(whole) == theirs(whole)
    assert members_of(whole)[0].size == 3


def test_a_folder_of_a_tar_before_posix_is_not_a_file():
    header = bytearray(tar_bytes([("folder/", b"")])[:512])
    header[156] = 0
    header[257:265] = bytes(8)
    data = with_checksum(bytes(header)) + tar_bytes([("folder/a", b"1")])
    assert ours(data) == theirs(data)
    assert [m.is_file for m in members_of(data)] == [False, True]


def test_the_times_in_a_header_of_gnu_tar_are_no_part_of_the_name():
    data = tar_bytes([("a.JPEG", b"1")], tarfile.GNU_FORMAT)
    data = patched(data[:512], 345, b"15010101010\0") + data[512:]
    assert [member.name for member in members_of(data)] == ["a.JPEG"]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_what_has_no_content_is_followed_by_the_next_header_whatever_its_size_says(kind):
    link = patched(tar_bytes([(tar_member("link", kind=kind, linkname="a.JPEG"), b"")])[:512], 124, b"00000001234\0")
    data = link + tar_bytes([("a.JPEG", b"1")])
    assert ours(data) == theirs(data)
    assert [(member.name, member.size) for member in members_of(data)] == [("link", 0), ("a.JPEG", 1)]


@pytest.mark.parametrize("blocks", [2, 3, 7, 20, 2047, 2048, 2051])
def test_joined_tars_are_found_behind_any_number_of_zeros(blocks):
    parts = [member_bytes("a.JPEG", b"1"), bytes(512 * blocks), member_bytes("b.JPEG", b"2" * 600), END]
    data = b"".join(parts)
    found = list(read_joined_members(lambda at, size: data[at : at + size], 0, len(data)))
    assert [(member.name, data[member.offset : member.offset + member.size]) for member in found] == [
        ("a.JPEG", b"1"),
        ("b.JPEG", b"2" * 600),
    ]
    junk = data[: -len(END) - 1536] + b"no tar"
    *_, last = read_joined_members(lambda at, size: junk[at : at + size], 0, len(junk))
    assert (last.type, last.offset, last.size) == (JUNK, 1024 + 512 * blocks, 6)


def test_a_tar_within_a_tar_is_read_in_place():
    inner = tar_bytes([("a.JPEG", b"1" * 600), ("b.JPEG", b"2")])
    outer = tar_bytes([("before", b"x"), ("n01.tar", inner), ("after", b"y")])
    at = next(m for m in members_of(outer) if m.name == "n01.tar")
    found = members_of(outer, at.offset, at.offset + at.size)
    assert [(m.name, outer[m.offset : m.offset + m.size]) for m in found] == [
        ("a.JPEG", b"1" * 600),
        ("b.JPEG", b"2"),
    ]


def test_sizes_beyond_eight_gibibytes_are_read():
    member = tarfile.TarInfo("huge")
    member.size = 9 << 30
    header = member.tobuf(tarfile.GNU_FORMAT)
    assert header[124] == 0x80
    far = iter([header, END[:512]])
    (found,) = read_members(lambda at, size: next(far), 0, 10 << 30)
    assert found.size == 9 << 30


@given(st.integers(0, 511), st.integers(1, 255))
def test_any_changed_byte_of_a_header_is_noticed(at, change):
    data = bytearray(tar_bytes([("n01440764_10026.JPEG", b"1" * 20)]))
    data[at] ^= change
    try:
        assert members_of(bytes(data)) == members_of(tar_bytes([("n01440764_10026.JPEG", b"1" * 20)]))
    except TarError:
        return
    assert 148 <= at < 156  # padding of the checksum itself, which leaves its value


CUT = tar_bytes([("a.JPEG", b"1" * 700), ("b" * 120, b"2"), ("c.JPEG", b"3")], tarfile.PAX_FORMAT)
CUT_AT = [0, 1, 511, 512, 700, 1024, 1536, 1600, 2048, 2500, 3072, 3200, 3584, 4096, 4500]


@pytest.mark.parametrize("length", CUT_AT)
@pytest.mark.parametrize("known", [True, False], ids=["its-length-known", "its-length-promised-longer"])
def test_a_tar_truncated_anywhere_is_noticed(length, known):
    assert members_of(CUT)[-1].end > max(CUT_AT)
    cut = CUT[:length]
    with pytest.raises(TarError):
        members_of(cut, 0, None if known else len(CUT))


def test_what_comes_before_the_damage_is_yielded_first():
    data = bytearray(tar_bytes([("a.JPEG", b"1"), ("b.JPEG", b"2")]))
    data[1024] ^= 1
    members = read_members(lambda at, size: bytes(data[at : at + size]), 0, len(data))
    assert next(members).name == "a.JPEG"
    with pytest.raises(TarError, match="byte 1024 has a wrong checksum"):
        next(members)


def test_a_missing_end_of_archive_mark_is_an_error():
    data = member_bytes("a.JPEG", b"1")
    with pytest.raises(TarError, match="end-of-archive mark is missing after byte 1024"):
        members_of(data)


def test_a_member_that_reaches_past_the_end_says_by_how_much():
    data = tar_bytes([("a.JPEG", b"1" * 700)])
    with pytest.raises(TarError, match=r"'a.JPEG' at byte 0 ends 200 bytes"):
        members_of(data[:1012])


def test_zeros_at_the_beginning_of_a_header_that_is_not_empty_are_an_error():
    with pytest.raises(TarError, match="no tar header at byte 0"):
        members_of(bytes(100) + b"x" * 412 + END)


@pytest.mark.parametrize("size", [b"-0000001000\0", b"0000000009z\0", b"size=-1024\n", b"size=abc\n", b"no-record\n"])
def test_hostile_sizes_are_an_error_not_an_endless_loop(size):
    header = tar_bytes([("a.JPEG", b"1")])[:512]
    if size.endswith(b"\n"):
        content = b"%d %s" % (len(size) + 3, size)
        data = patched(member_bytes("pax", content)[:512], 156, b"x") + content.ljust(512, b"\0") + header
    else:
        data = patched(header, 124, size)
    with pytest.raises(TarError):
        members_of(data + bytes(512) + END)


@pytest.mark.parametrize(("size", "is_read"), [(1 << 20, True), ((1 << 20) + 1, False)])
def test_an_extension_of_more_than_a_mebibyte_is_refused(size, is_read):
    name = b"n" * (size - 1) + b"\0"
    long = patched(patched(member_bytes("@", b"")[:512], 156, b"L"), 124, b"%011o\0" % size)
    data = long + name + bytes(-size % 512) + member_bytes("a.JPEG", b"1") + END
    if is_read:
        assert [member.name for member in members_of(data)] == ["n" * (size - 1)]
    else:
        with pytest.raises(TarError, match="an extension header of 1048577 bytes"):
            members_of(data)


def test_an_enormous_extension_is_refused_unread():
    header = patched(tar_bytes([("a", b"")])[:512], 124, b"77777777777\0")
    reads = []

    def read(at, size):
        reads.append(size)
        return patched(header, 156, b"L")

    with pytest.raises(TarError, match="extension"):
        list(read_members(read, 0, 1 << 40))
    assert reads == [512]


@given(
    st.lists(
        st.tuples(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", fullmatch=True), st.binary(max_size=1200)),
        max_size=5,
    )
)
def test_written_members_are_what_tarfile_reads(members):
    data = b"".join(member_bytes(name, content) for name, content in members) + END
    assert [(name, content) for name, _, _, _, content in theirs(data)] == members
    assert ours(data) == theirs(data)


def test_headers_are_ustar_with_fixed_owner_mode_and_time():
    with tarfile.open(fileobj=io.BytesIO(member_bytes("a.jpg", b"1") + END)) as tar:
        (member,) = tar
    assert (member.mtime, member.mode, member.uid, member.gid) == (0, 0o644, 0, 0)
    assert (member.uname, member.gname, member.type) == ("", "", tarfile.REGTYPE)
    assert member_header("a.jpg", 1)[257:265] == b"ustar\x0000"


@pytest.mark.parametrize(("name", "size"), [("", 1), ("n" * 101, 1), ("ä", 1), ("a", -1), ("a", 8**11)])
def test_what_a_ustar_header_cannot_hold_is_refused(name, size):
    with pytest.raises(ValueError, match=r"ascii|no USTAR header"):
        member_header(name, size)


@pytest.mark.parametrize("tar_format", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_tars_of_the_system_tool_equal_tarfiles(tmp_path: Path, tar_format):
    import shutil
    import subprocess

    if shutil.which("tar") is None:
        pytest.skip("no tar program on this machine")
    (tmp_path / "n01").mkdir()
    for name, size in (("a.JPEG", 10), ("b.JPEG", 512), ("c" * 90 + ".JPEG", 2000)):
        (tmp_path / "n01" / name).write_bytes(b"x" * size)
    run = subprocess.run(
        ["tar", "-C", tmp_path, f"--format={tar_format}", "-c", "n01"], capture_output=True, check=True
    )
    assert ours(run.stdout) == theirs(run.stdout)
    assert sum(m.is_file for m in members_of(run.stdout)) == 3
