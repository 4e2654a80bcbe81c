"""Every kind of bad data in one dump: each piece has its row or its sample, and no neighbor is missing."""

import re
import tarfile
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, prep
from dumps import (
    HTML,
    encode,
    images_of,
    jpeg,
    jpeg_of_size,
    make_dump,
    photo,
    png_of_size,
    sixteen_bit,
    tar_bytes,
    tar_member,
)
from image_files import FOREIGN, damaged_in_the_middle, tiff_of_size, webp_file, webp_of_size
from PIL import Image

DOG, COW, SUN, CAT, BIRD = "n02084071", "n01887787", "n09450163", "n02121620", "n01503061"
OPTIONS = ("--min-images", 4, "--val-per-class", 1, "--size", 16, "--workers", 1)


def animation() -> bytes:
    frames = [photo(seed).quantize(32) for seed in (13, 14)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:])


IMAGES = {
    "cut-short": jpeg(1, (64, 64))[:700],
    "no-end-mark": jpeg(3, (64, 64)).removesuffix(b"\xff\xd9"),
    "damaged": damaged_in_the_middle(),
    "zero-bytes": b"",
    "html": HTML,
    "jpeg-bomb": jpeg_of_size(30_000, 30_000),
    "png-bomb": png_of_size(30_000, 30_000),
    "one-pixel": encode(photo(17, (1, 1))),
    "sixteen-bit": encode(Image.fromarray(sixteen_bit()), "PNG"),
    "animation": animation(),
    "postscript": FOREIGN["eps"],
    "pdf": FOREIGN["pdf with a jpeg"],
    "webp": webp_file(photo(18)),
    "webp-bomb": webp_of_size(16_383, 16_383, "VP8"),
    "tiff-bomb": tiff_of_size(30_000, 30_000),
}
REASONS = {
    "cut-short": "truncated",
    "zero-bytes": "empty",
    "html": "not-an-image",
    "jpeg-bomb": "too-many-pixels",
    "png-bomb": "too-many-pixels",
    "postscript": "not-an-image",
    "pdf": "not-an-image",
    "webp-bomb": "too-many-pixels",
    "tiff-bomb": "too-many-pixels",
}
"""The reasons for what is rejected; the rest is kept."""

MEMBERS = {
    "../escape.JPEG": ("unsafe-name", "leads out of the folder"),
    "/absolute.JPEG": ("unsafe-name", "leads out of the folder"),
    "._n02084071_1.JPEG": ("macos-metadata", "bytes"),
    "link.JPEG": ("not-a-file", "a symbolic link to n02084071_1.JPEG"),
    "hardlink.JPEG": ("not-a-file", "a hard link to n02084071_1.JPEG, which is no file before it"),
    "device.JPEG": ("not-a-file", "tar type 3"),
    "fifo.JPEG": ("not-a-file", "tar type 6"),
    "notes.txt": ("not-an-image-name", "bytes"),
}
KINDS = {"link.JPEG": tarfile.SYMTYPE, "hardlink.JPEG": tarfile.LNKTYPE, "device.JPEG": tarfile.CHRTYPE}
KINDS["fifo.JPEG"] = tarfile.FIFOTYPE


def odd_members():
    for name in MEMBERS:
        kind = KINDS.get(name, tarfile.REGTYPE)
        content = jpeg(40) if kind == tarfile.REGTYPE else b""
        yield tar_member(name, content, kind, "n02084071_1.JPEG" if kind != tarfile.REGTYPE else ""), content


def name_of(kind: str) -> str:
    return f"{DOG}_{list(IMAGES).index(kind) + 100}.JPEG"


@pytest.fixture(scope="module")
def bad_dump(tmp_path_factory):
    """Dogs have bad images, suns bad members; the cows' tar is damaged; a cat appears twice; birds are in two tars."""
    cows = bytearray(tar_bytes(images_of(COW, 8)))
    cows[cows.index(f"{COW}_6.JPEG".encode()) + 150] ^= 0x7F
    cats, birds = images_of(CAT, 5), images_of(BIRD, 8)
    classes = [
        (DOG, [*images_of(DOG, 5), *((name_of(kind), data) for kind, data in IMAGES.items())]),
        (COW, bytes(cows)),
        (BIRD, birds[:3]),
        (SUN, [*images_of(SUN, 5), *odd_members()]),
        (CAT, [*cats, (cats[2][0], jpeg(99))]),
        (BIRD, birds[3:]),
    ]
    return make_dump(tmp_path_factory.mktemp("bad") / "bad.tar", classes, [("README.txt", b"read me")])


@pytest.fixture(scope="module")
def bad(bad_dump, tmp_path_factory):
    """The dataset prepared from it."""
    folder = tmp_path_factory.mktemp("made")
    summary = call("run", bad_dump, folder / "work", folder / "out", *OPTIONS)
    rows = {(row["wnid"], row["name"]): row for row in pq.read_table(folder / "out" / "rejects.parquet").to_pylist()}
    return SimpleNamespace(summary=summary, rows=rows, keys=keys_of(folder / "out"), out=folder / "out")


def keys_of(out) -> set[str]:
    return set(pq.read_table(out / "samples.parquet")["key"].to_pylist())


@pytest.mark.parametrize("kind", IMAGES)
def test_every_bad_image_has_its_row_or_its_sample(bad, kind):
    name = name_of(kind)
    key = name.removesuffix(".JPEG")
    if kind in REASONS:
        row = bad.rows[DOG, name]
        assert (row["reason"], row["stage"]) == (REASONS[kind], "resize")
        assert row["detail"]
        assert key not in bad.keys
    else:
        assert (DOG, name) not in bad.rows
        assert key in bad.keys


def test_the_neighbours_of_bad_images_are_all_there(bad):
    assert {f"{DOG}_{number}" for number in range(5)} <= bad.keys


@pytest.mark.parametrize("name", MEMBERS)
def test_every_bad_member_has_its_row(bad, name):
    reason, detail = MEMBERS[name]
    row = bad.rows[SUN, name]
    assert (row["reason"], row["stage"]) == (reason, "filter")
    assert detail in row["detail"]


def test_the_neighbours_of_bad_members_are_all_there(bad):
    assert {key for key in bad.keys if key.startswith(SUN)} == {f"{SUN}_{number}" for number in range(5)}


def test_the_readable_images_of_a_damaged_class_tar_are_kept(bad):
    row = bad.rows[COW, ""]
    assert (row["reason"], row["stage"]) == ("corrupt-tar", "filter")
    assert {key for key in bad.keys if key.startswith(COW)} == {f"{COW}_{number}" for number in range(6)}


def test_the_first_image_of_a_duplicate_name_is_kept(bad):
    row = bad.rows[CAT, f"{CAT}_2.JPEG"]
    assert (row["reason"], row["stage"]) == ("duplicate-name", "split")
    assert {key for key in bad.keys if key.startswith(CAT)} == {f"{CAT}_{number}" for number in range(5)}


def test_a_class_in_two_tars_is_one_class(bad):
    assert {key for key in bad.keys if key.startswith(BIRD)} == {f"{BIRD}_{number}" for number in range(8)}


def test_what_is_not_a_class_tar_has_its_row(bad):
    assert bad.rows["", "README.txt"]["reason"] == "not-a-class-tar"


def test_nothing_is_missing_without_a_row(bad):
    kept = 5 + len(IMAGES) - len(REASONS) + 6 + 5 + 5 + 8
    assert bad.summary["train"] + bad.summary["val"] == len(bad.keys) == kept
    assert bad.summary["rejected"] == len(bad.rows) == len(REASONS) + len(MEMBERS) + 3


def test_damage_that_decodes_is_counted_and_kept(bad):
    assert bad.summary["damaged_kept"] == 1


def test_damage_that_decodes_is_rejected_on_request(bad, bad_dump, tmp_path, inline):
    summary = call("run", bad_dump, tmp_path / "work", tmp_path / "out", *OPTIONS, "--on-warning", "reject")
    assert summary["damaged_kept"] == 0
    assert summary["rejected"] == bad.summary["rejected"] + 1
    assert bad.keys - keys_of(tmp_path / "out") == {name_of("damaged").removesuffix(".JPEG")}
    rejects = call("rejects", tmp_path / "out", "--reason", "damaged")
    assert (rejects["rejected"], rejects["reasons"]) == (1, {"damaged": 1})
    (row,) = rejects["list"]
    assert (row["name"], row["reason"]) == (name_of("damaged"), "damaged")


def test_rejects_are_listed_by_reason(bad):
    run = prep("rejects", bad.out)
    assert run.returncode == 0
    listed = [line.split("\t") for line in run.stdout.splitlines() if "\t" in line]
    assert {(wnid, name) for _, wnid, name, _ in listed} == set(bad.rows)
    reasons = [line[0] for line in listed]
    assert reasons == sorted(reasons)
    for reason in set(reasons):
        assert re.search(rf"^    {reason} +{reasons.count(reason)}$", run.stdout, re.MULTILINE)


def test_rejects_of_one_reason(bad):
    run = prep("rejects", bad.out, "--reason", "too-many-pixels")
    assert [line.split("\t")[2] for line in run.stdout.splitlines() if "\t" in line] == [
        name_of("jpeg-bomb"),
        name_of("png-bomb"),
        name_of("webp-bomb"),
        name_of("tiff-bomb"),
    ]


def test_an_unused_reason_is_one_line_that_lists_those_in_use(bad):
    with pytest.raises(
        RefusedError, match=r"nothing was rejected as 'weird'; reasons there: corrupt-tar, .*unsafe-name"
    ):
        call("rejects", bad.out, "--reason", "weird")
