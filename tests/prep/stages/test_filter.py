import tarfile

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call
from dumps import images_of, jpeg, make_dump, tar_bytes, tar_member

DOG, CAT, COW, BIRD = "n02084071", "n02121620", "n01887787", "n01503061"
UNKNOWN = "n99999999"


def tiny(wnid, count):
    """Return files that only look like images: filter opens none of them."""
    return [(f"{wnid}_{number}.JPEG", b"%d" % number) for number in range(count)]


def filtered(tmp_path, classes, min_images=3, more=()):
    """Filter a dump and return the summary and the rows of the three tables."""
    raw = make_dump(tmp_path / "raw.tar", classes, more)
    counts = call("filter", raw, tmp_path / "work", "--min-images", min_images)
    names = ("images", "classes", "filter-rejects")
    return counts, *(pq.read_table(tmp_path / "work" / f"{name}.parquet").to_pylist() for name in names)


def refusals(rejects):
    return {(row["wnid"], row["name"], row["reason"]) for row in rejects}


def test_a_class_with_exactly_the_minimum_is_kept_and_one_fewer_is_not(tmp_path):
    counts, _, classes, _ = filtered(tmp_path, {DOG: tiny(DOG, 3), CAT: tiny(CAT, 2), COW: tiny(COW, 4)})
    assert {row["wnid"]: (row["images"], row["kept"], row["reason"]) for row in classes} == {
        COW: (4, True, "kept"),
        DOG: (3, True, "kept"),
        CAT: (2, False, "too-few-images"),
    }
    assert (counts["classes"], counts["images"]) == (3, 9)
    assert (counts["classes_kept"], counts["images_kept"], counts["classes_unknown"]) == (2, 7, 0)


def test_class_indices_are_ranks_of_kept_wnids_in_byte_order(tmp_path):
    classes = {DOG: tiny(DOG, 3), CAT: tiny(CAT, 1), BIRD: tiny(BIRD, 3), COW: tiny(COW, 3), UNKNOWN: tiny(UNKNOWN, 9)}
    _, _, rows, _ = filtered(tmp_path, classes)
    assert [row["wnid"] for row in rows] == sorted(classes)
    assert {row["wnid"]: row["class_index"] for row in rows} == {BIRD: 0, COW: 1, DOG: 2, CAT: -1, UNKNOWN: -1}


def test_a_wnid_unknown_to_wordnet_is_not_kept_whatever_its_size(tmp_path):
    counts, _, classes, _ = filtered(tmp_path, {UNKNOWN: tiny(UNKNOWN, 9), DOG: tiny(DOG, 3)})
    assert [(row["wnid"], row["reason"]) for row in classes] == [(DOG, "kept"), (UNKNOWN, "unknown-wnid")]
    assert counts["classes_unknown"] == 1


def test_every_image_row_leads_to_its_bytes_in_the_dump(tmp_path):
    counts, images, _, _ = filtered(tmp_path, {DOG: images_of(DOG, 3), CAT: images_of(CAT, 3)})
    raw = (tmp_path / "raw.tar").read_bytes()
    found = {(row["wnid"], row["name"]): raw[row["offset"] : row["offset"] + row["size"]] for row in images}
    expected = {(wnid, name): data for wnid in (DOG, CAT) for name, data in images_of(wnid, 3)}
    assert found == expected
    assert counts["rejected"] == 0


def test_what_is_not_an_image_file_is_a_row_with_its_reason(tmp_path):
    odd = [
        (f"._{DOG}_0.JPEG", b"finder"),
        (tar_member("soft.JPEG", kind=tarfile.SYMTYPE, linkname="/etc/passwd"), b""),
        (tar_member("hard.JPEG", kind=tarfile.LNKTYPE, linkname="elsewhere.JPEG"), b""),
        (tar_member("pipe.JPEG", kind=tarfile.FIFOTYPE), b""),
        ("../../outside.JPEG", b"x"),
        ("/absolute.JPEG", b"x"),
        (tar_member("folder", kind=tarfile.DIRTYPE), b""),
    ]
    counts, images, classes, rejects = filtered(tmp_path, {DOG: [*tiny(DOG, 3), *odd]})
    assert refusals(rejects) == {
        (DOG, f"._{DOG}_0.JPEG", "macos-metadata"),
        (DOG, "soft.JPEG", "not-a-file"),
        (DOG, "hard.JPEG", "not-a-file"),
        (DOG, "pipe.JPEG", "not-a-file"),
        (DOG, "../../outside.JPEG", "unsafe-name"),
        (DOG, "/absolute.JPEG", "unsafe-name"),
    }
    assert [row["name"] for row in images] == [name for name, _ in tiny(DOG, 3)]
    assert classes[0]["images"] == 3
    assert counts["rejected"] == 6


def test_images_in_folders_of_a_class_tar_are_listed_by_their_path_in_the_class(tmp_path):
    files = [(f"{DOG}/deep/{name}", data) for name, data in tiny(DOG, 3)]
    _, images, _, _ = filtered(tmp_path, {DOG: files})
    assert [row["name"] for row in images] == [f"deep/{name}" for name, _ in tiny(DOG, 3)]


def test_outer_members_that_are_not_class_tars_are_rows(tmp_path):
    more = [
        ("readme.txt", b"hello"),
        (f"._{DOG}.tar", b"finder"),
        (tar_member("folder", kind=tarfile.DIRTYPE), b""),
        (tar_member("link.tar", kind=tarfile.SYMTYPE, linkname="/x"), b""),
    ]
    _, _, _, rejects = filtered(tmp_path, {DOG: tiny(DOG, 3)}, more=more)
    assert refusals(rejects) == {("", name, "not-a-class-tar") for name in ("readme.txt", f"._{DOG}.tar", "link.tar")}


def test_class_tars_in_a_folder_of_the_dump_are_named_by_their_file_name(tmp_path):
    _, _, classes, _ = filtered(tmp_path, {f"fall11/{DOG}": tiny(DOG, 3)})
    assert [row["wnid"] for row in classes] == [DOG]


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_class_tar_keeps_the_images_before_the_damage(tmp_path, damage):
    data = bytearray(tar_bytes(tiny(DOG, 5)))
    if damage == "cut":
        del data[4 * 1024 + 100 :]
    else:
        data[4 * 1024 + 3] ^= 0xFF
    _, images, classes, rejects = filtered(tmp_path, {DOG: bytes(data), CAT: tiny(CAT, 3)})
    assert [row["name"] for row in images if row["wnid"] == DOG] == [name for name, _ in tiny(DOG, 4)]
    assert {row["wnid"]: row["images"] for row in classes} == {DOG: 4, CAT: 3}
    assert refusals(rejects) == {(DOG, "", "corrupt-tar")}
    assert "4096" in rejects[0]["detail"]


def test_a_class_tar_that_is_not_a_tar_is_a_row_and_the_class_is_empty(tmp_path):
    _, _, classes, rejects = filtered(tmp_path, {DOG: tiny(DOG, 3), CAT: b"<html>" * 200, COW: b""})
    assert {row["wnid"]: row["images"] for row in classes} == {DOG: 3, CAT: 0, COW: 0}
    assert refusals(rejects) == {(CAT, "", "corrupt-tar"), (COW, "", "corrupt-tar")}


def test_a_class_in_two_tars_is_one_class(tmp_path):
    first, second = tiny(DOG, 5)[:2], tiny(DOG, 5)[2:]
    _, images, classes, _ = filtered(tmp_path, [(DOG, first), (CAT, tiny(CAT, 3)), (DOG, second)], min_images=5)
    assert [(row["wnid"], row["images"], row["kept"]) for row in classes] == [(DOG, 5, True), (CAT, 3, False)]
    assert sum(row["wnid"] == DOG for row in images) == 5


def test_undecodable_and_unicode_names_remain_distinct(tmp_path):
    files = [("caf\udce9.JPEG", b"1"), ("café.JPEG", b"2"), ("cafè.JPEG", b"3")]
    _, images, _, _ = filtered(tmp_path, {DOG: tar_bytes(files, tarfile.GNU_FORMAT)})
    assert [row["name"] for row in images] == ["caf\\xe9.JPEG", "café.JPEG", "cafè.JPEG"]


def test_a_class_tar_with_an_undecodable_name_is_an_unknown_class(tmp_path):
    _, _, classes, _ = filtered(tmp_path, {DOG: tiny(DOG, 3), "caf\udce9": tiny(CAT, 3)})
    assert [(row["wnid"], row["reason"]) for row in classes] == [("caf\\xe9", "unknown-wnid"), (DOG, "kept")]


def test_the_dump_is_only_read(tmp_path):
    raw = make_dump(tmp_path / "raw.tar", {DOG: tiny(DOG, 3)})
    raw.chmod(0o444)
    before = (raw.read_bytes(), raw.stat().st_mtime_ns)
    call("filter", raw, tmp_path / "work", "--min-images", 1)
    assert (raw.read_bytes(), raw.stat().st_mtime_ns) == before


def test_no_kept_class_is_one_line_that_says_how_large_the_largest_is(tmp_path):
    raw = make_dump(tmp_path / "raw.tar", {DOG: tiny(DOG, 3), CAT: tiny(CAT, 2)})
    with pytest.raises(
        RefusedError, match=r"raw\.tar: none of its 2 classes has 4 images.*largest has 3\); lower --min-images"
    ):
        call("filter", raw, tmp_path / "work", "--min-images", 4)


def test_a_lower_limit_is_not_proposed_where_no_class_has_a_wnid(tmp_path):
    raw = make_dump(tmp_path / "raw.tar", {"n99999999": tiny(DOG, 3)})
    with pytest.raises(RefusedError, match=r"none of its 1 classes has 4 images.*none has both") as refused:
        call("filter", raw, tmp_path / "work", "--min-images", 4)
    assert "lower --min-images" not in str(refused.value)


def test_fewer_than_one_image_per_class_is_refused(tmp_path):
    raw = make_dump(tmp_path / "raw.tar", {DOG: tiny(DOG, 3)})
    with pytest.raises(RefusedError, match="give 1 or more"):
        call("filter", raw, tmp_path / "work", "--min-images", 0)


def cut_in_a_header(raw):
    raw.write_bytes(raw.read_bytes()[:700])


def cut_in_a_class(raw):
    raw.write_bytes(raw.read_bytes()[:-20_000])


def text_named_tar(raw):
    raw.write_text("This is no tar.\n" * 100)


def an_empty_file(raw):
    raw.write_bytes(b"")


def no_classes(raw):
    raw.write_bytes(tar_bytes([("readme.txt", b"hello")]))


def an_image(raw):
    raw.write_bytes(jpeg())


def nothing(raw):
    raw.unlink()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (cut_in_a_header, "raw.tar is truncated or damaged after 700 bytes"),
        (cut_in_a_class, "raw.tar is truncated or damaged after"),
        (text_named_tar, "raw.tar is not a tar"),
        (an_empty_file, "raw.tar is not a tar"),
        (an_image, "raw.tar is not a tar"),
        (no_classes, "raw.tar holds n"),
        (nothing, "raw.tar: there is no such file"),
    ],
)
def test_what_is_not_a_whole_dump_is_one_line_that_names_it(tmp_path, damage, complaint):
    raw = make_dump(tmp_path / "raw.tar", {DOG: tiny(DOG, 9), CAT: tiny(CAT, 9), COW: tiny(COW, 9)})
    damage(raw)
    with pytest.raises(RefusedError) as refused:
        call("filter", raw, tmp_path / "work", "--min-images", 1)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "work" / "filter.json").exists()
