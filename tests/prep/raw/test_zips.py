import io
import random
import struct
import zipfile

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests
from dumps import KEPT, PIPELINE, images_of, jpeg, make_dump
from forms import zipped

pytestmark = pytest.mark.usefixtures("inline")

FILES = {wnid: images_of(wnid, count) for wnid, count in KEPT.items()}
DOG = "n02084071"


def prepare(raw, folder):
    call("run", raw, folder / "work", folder / "out", *PIPELINE, "--workers", 1)
    return folder / "out"


def content(out):
    return digests(out, "*/*.tar") | digests(out, "*.parquet")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-class")
    return content(prepare(make_dump(folder / "raw.tar", FILES), folder))


class Unseekable(io.RawIOBase):
    """A stream to which a zip is written with lengths behind the members."""

    def __init__(self, path):
        self.file = path.open("wb")

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)

    def flush(self):
        self.file.flush()


def streamed(path, method=zipfile.ZIP_DEFLATED, large=False):
    stream = Unseekable(path)
    with zipfile.ZipFile(stream, "w", method) as archive:
        for wnid, images in FILES.items():
            for name, data in images:
                with archive.open(f"{wnid}/{name}", "w", force_zip64=large) as member:
                    member.write(data)
    stream.flush()
    return path


def shuffled(path):
    members = [(f"{wnid}/{name}", data) for wnid, images in FILES.items() for name, data in images]
    random.Random(1).shuffle(members)
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, data) in enumerate(members):
            archive.writestr(name, data, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2])
    return path


def with_bytes_before(path):
    zipped(path, FILES)
    path.write_bytes(b"PK\3\4" + b"#!" * 50 + path.read_bytes())
    return path


FORMS = {
    "stored": lambda path: zipped(path, FILES, zipfile.ZIP_STORED),
    "deflated": lambda path: zipped(path, FILES),
    "in any order": shuffled,
    "streamed": streamed,
    "streamed and stored": lambda path: streamed(path, zipfile.ZIP_STORED),
    "streamed, zip64": lambda path: streamed(path, large=True),
    "something before it": with_bytes_before,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_zip_gives_the_bytes_of_a_tar_of_class_tars(form, wanted, tmp_path):
    assert content(prepare(form(tmp_path / "raw.zip"), tmp_path)) == wanted


def test_a_zip64_with_its_directory_past_what_32_bits_hold(wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 10)
    assert content(prepare(zipped(tmp_path / "raw.zip", FILES), tmp_path)) == wanted


def test_the_pieces_of_a_zip_are_a_zip(wanted, tmp_path):
    data = zipped(tmp_path / "raw.zip", FILES).read_bytes()
    for number in range(3):
        third = len(data) // 3 + 1
        (tmp_path / f"piece.zip.00{number}").write_bytes(data[number * third : (number + 1) * third])
    assert content(prepare(tmp_path / "piece.zip.*", tmp_path)) == wanted


def rejects(work):
    rows = pq.read_table(work / "filter-rejects.parquet").to_pylist()
    return {(row["name"], row["reason"]) for row in rows}


def test_every_member_that_is_no_image_has_a_row(tmp_path):
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        archive.writestr(f"{DOG}/{DOG}_1.JPEG", jpeg(1))
        archive.writestr(f"{DOG}/{DOG}_2.JPEG", jpeg(2), zipfile.ZIP_BZIP2)
        archive.writestr(f"{DOG}/../../{DOG}_3.JPEG", jpeg(3))
        archive.writestr(f"{DOG}/{DOG}_4.JPEG", bytes(70 << 20), zipfile.ZIP_DEFLATED)
        archive.writestr(f"__MACOSX/{DOG}/._{DOG}_1.JPEG", b"mac")
        archive.writestr(f"{DOG}/notes.txt", b"")
        archive.writestr(f"{DOG}_5.JPEG", jpeg(5))
        archive.mkdir("empty")
        link = zipfile.ZipInfo(f"{DOG}/{DOG}_6.JPEG")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, f"{DOG}_1.JPEG")
    content = bytearray((tmp_path / "raw.zip").read_bytes())
    (tmp_path / "raw.zip").write_bytes(content)
    assert call("filter", tmp_path / "raw.zip", tmp_path / "work", "--min-images", 1)["images"] == 1
    assert rejects(tmp_path / "work") == {
        (f"{DOG}_2.JPEG", "unreadable-member"),
        (f"{DOG}/../../{DOG}_3.JPEG", "unsafe-name"),
        (f"{DOG}_4.JPEG", "unreadable-member"),
        (f"__MACOSX/{DOG}/._{DOG}_1.JPEG", "macos-metadata"),
        (f"{DOG}/notes.txt", "not-an-image-name"),
        (f"{DOG}_5.JPEG", "not-in-a-class"),
        (f"{DOG}/{DOG}_6.JPEG", "not-a-file"),
    }


def directory_of(data):
    """Return where each entry of the central directory begins."""
    found, at = [], data.index(b"PK\1\2")
    while data[at : at + 4] == b"PK\1\2":
        found.append(at)
        at += 46 + sum(struct.unpack_from("<3H", data, at + 28))
    return found


@pytest.mark.parametrize(
    ("field", "value"),
    [(8, struct.pack("<H", 1)), (42, struct.pack("<L", 1 << 30)), (20, struct.pack("<L", 1 << 25))],
    ids=["encrypted", "beyond the end", "longer than its place"],
)
def test_an_entry_of_the_directory_that_leads_astray_has_a_row(field, value, tmp_path):
    data = bytearray(zipped(tmp_path / "raw.zip", {DOG: FILES[DOG]}).read_bytes())
    at = directory_of(data)[3] + field
    data[at : at + len(value)] = value
    (tmp_path / "raw.zip").write_bytes(data)
    assert call("filter", tmp_path / "raw.zip", tmp_path / "work", "--min-images", 1)["images"] == 10
    assert rejects(tmp_path / "work") == {(f"{DOG}_3.JPEG", "unreadable-member")}


@pytest.mark.parametrize("damage", ["data", "header", "bomb"])
def test_a_member_that_does_not_unpack_has_a_row(damage, tmp_path):
    data = bytearray(zipped(tmp_path / "raw.zip", {DOG: FILES[DOG]}).read_bytes())
    at = struct.unpack_from("<L", data, directory_of(data)[3] + 42)[0]
    if damage == "header":
        data[at : at + 4] = b"PKno"
    elif damage == "data":
        start = at + 30 + sum(struct.unpack_from("<2H", data, at + 26))
        data[start + 40 : start + 60] = bytes(20)
    else:
        struct.pack_into("<L", data, at + 22, 10)
    (tmp_path / "raw.zip").write_bytes(data)
    summary = call("run", tmp_path / "raw.zip", tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1)
    assert summary["rejected"] == 1
    found = pq.read_table(tmp_path / "out/rejects.parquet").to_pylist()
    assert [(row["name"], row["reason"]) for row in found] == [(f"{DOG}_3.JPEG", "damaged")]


@pytest.mark.parametrize("cut", [1, 30, 400, 5000])
def test_a_zip_cut_short_is_one_line(cut, tmp_path):
    path = zipped(tmp_path / "raw.zip", FILES)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(RefusedError, match=r"raw\.zip is a (zip that is cut short|damaged zip)"):
        call("filter", path, tmp_path / "work", "--min-images", 1)
