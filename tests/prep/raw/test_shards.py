import json

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests, prep
from dumps import KEPT, PIPELINE, TRUNCATED, encode, images_of, jpeg, make_dump, photo, tar_bytes
from forms import hub_shards, sample_members
from image_files import webp_file

pytestmark = pytest.mark.usefixtures("inline")

FILES = {wnid: images_of(wnid, count) for wnid, count in KEPT.items()}


def prepare(raw, folder, *options):
    call("run", raw, folder / "work", folder / "out", *PIPELINE, "--workers", 1, *options)
    return folder / "out"


def content(out):
    """The digests of all shards and tables."""
    return digests(out, "*/*.tar") | digests(out, "*.parquet")


def splits_of(out):
    rows = pq.read_table(out / "samples.parquet", columns=["split", "key"]).to_pylist()
    return {row["key"]: row["split"] for row in rows}


def rejects_of(out):
    rows = pq.read_table(out / "rejects.parquet").to_pylist()
    return {(row["wnid"], row["name"], row["reason"]) for row in rows}


def one_shard(folder, samples):
    """Write a shard with samples, each a mapping from suffix to content under a key."""
    folder.mkdir()
    members = [(f"{key}.{suffix}", data) for key, sample in samples for suffix, data in sample.items()]
    (folder / "some-0000.tar").write_bytes(tar_bytes(members))
    return folder


def with_bad_images(files):
    """Spoil images of the lowest ranks, which would be val, and others."""
    bad = {"n02084071_0", "n02084071_1", "n01887787_2", "n01887787_7", "n09450163_10"}
    return {
        wnid: [(name, TRUNCATED if name.partition(".")[0] in bad else data) for name, data in images]
        for wnid, images in files.items()
    }


def named_jpg(files):
    return {wnid: [(name.replace(".JPEG", ".jpg"), data) for name, data in images] for wnid, images in files.items()}


@pytest.mark.parametrize("spoil", [dict, with_bad_images], ids=["sound", "bad images"])
def test_mixed_shards_give_the_bytes_of_a_dump_stored_by_class(spoil, tmp_path):
    files = named_jpg(spoil(FILES))
    by_class = prepare(make_dump(tmp_path / "raw.tar", files), tmp_path / "by-class")
    mixed = prepare(hub_shards(tmp_path / "hub", files), tmp_path / "mixed")
    assert content(mixed) == content(by_class)
    assert len(list((tmp_path / "mixed" / "work" / "parts").glob("*.tar"))) > 2


@pytest.mark.parametrize(("suffix", "encoded"), [("webp", webp_file), ("png", lambda image: encode(image, "PNG"))])
def test_shards_of_other_formats_give_the_same_bytes_as_a_tar(suffix, encoded, tmp_path):
    files = {
        wnid: [(f"{wnid}_{number}.{suffix}", encoded(photo(number + count))) for number in range(count)]
        for wnid, count in KEPT.items()
    }
    by_class = prepare(make_dump(tmp_path / "raw.tar", files), tmp_path / "by-class")
    mixed = prepare(hub_shards(tmp_path / "hub", files, suffix=suffix), tmp_path / "mixed")
    assert content(mixed) == content(by_class)


def test_a_pattern_and_a_single_shard_are_dumps_too(tmp_path):
    hub_shards(tmp_path / "hub", FILES)
    wanted = content(prepare(tmp_path / "hub", tmp_path / "folder"))
    assert content(prepare(tmp_path / "hub/imagenet22k-*.tar", tmp_path / "pattern")) == wanted
    names = [path.stem.rpartition("-")[2] for path in (tmp_path / "hub").glob("imagenet22k-train-*.tar")]
    braces = f"hub/imagenet22k-train-{{{min(names)}..{max(names)}}}.tar"
    assert content(prepare(tmp_path / braces, tmp_path / "braces")) == wanted
    hub_shards(tmp_path / "one", FILES, count=1)
    assert content(prepare(tmp_path / "one/imagenet22k-train-0000.tar", tmp_path / "single")) == wanted


def test_validation_shards_stay_val(tmp_path):
    train = {wnid: images[4:] for wnid, images in FILES.items()}
    val = {wnid: images[:4] for wnid, images in FILES.items()}
    hub_shards(tmp_path / "hub", val, count=1, name="imagenet22k-validation")
    hub_shards(tmp_path / "hub", train)
    out = prepare(tmp_path / "hub", tmp_path)
    given = {
        name.partition(".")[0]: split
        for split, files in (("train", train), ("val", val))
        for images in files.values()
        for name, _ in images
    }
    assert splits_of(out) == given
    assert prep("verify", out).returncode == 0


@pytest.mark.parametrize("cut", [700, 5000, 512 * 9])
def test_a_shard_cut_short_is_named(cut, tmp_path):
    hub_shards(tmp_path / "hub", FILES)
    path = tmp_path / "hub/imagenet22k-train-0002.tar"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(RefusedError, match=r"imagenet22k-train-0002\.tar is cut short or damaged after \d+ bytes"):
        prepare(tmp_path / "hub", tmp_path)


def test_a_shard_that_is_listed_and_not_there_is_named_unless_a_pattern_leaves_it_out(tmp_path):
    hub_shards(tmp_path / "hub", FILES)
    (tmp_path / "hub/imagenet22k-train-0003.tar").unlink()
    with pytest.raises(RefusedError, match=r"lists 4 shards, and 1 are not there, such as imagenet22k-train-0003\.tar"):
        prepare(tmp_path / "hub", tmp_path)
    assert call("filter", tmp_path / "hub/*.tar", tmp_path / "work", "--min-images", 1)["images"] == 43


def test_the_class_is_what_the_key_says_or_the_json_or_the_cls(tmp_path):
    json_of = lambda name: json.dumps({"class_name": name, "label": 7}).encode()  # noqa: E731
    samples = [
        ("n02084071_1", {"jpg": jpeg(1), "json": json_of("n09450163"), "cls": b"0"}),
        ("a/n02084071/2", {"jpg": jpeg(2)}),
        ("3", {"cls": b"0", "json": json_of("n09450163"), "webp": jpeg(3)}),
        ("4", {"png": jpeg(4), "cls": b"n01887787"}),
    ]
    call("filter", one_shard(tmp_path / "hub", samples), tmp_path / "work", "--min-images", 1)
    rows = pq.read_table(tmp_path / "work/images.parquet", columns=["wnid", "name"]).to_pylist()
    assert {(row["wnid"], row["name"]) for row in rows} == {
        ("n02084071", "n02084071_1.jpg"),
        ("n02084071", "2.jpg"),
        ("n09450163", "3.webp"),
        ("n01887787", "4.png"),
    }


def test_every_entry_of_a_shard_is_an_image_or_belongs_to_one_or_has_a_row(tmp_path):
    samples = [
        ("n02084071_1", {"jpg": jpeg(1), "cls": b"0", "txt": b"a dog"}),
        ("n02084071_2", {"cls": b"0", "json": b"{}"}),
        ("3", {"jpg": jpeg(3), "json": b"[" * 10_000}),
        ("4", {"jpg": jpeg(3), "json": b"{" + b" " * 70_000, "cls": b"  "}),
        ("../n02084071_5", {"jpg": jpeg(5)}),
        ("._n02084071_6", {"jpg": b"mac"}),
    ]
    call("filter", one_shard(tmp_path / "hub", samples), tmp_path / "work", "--min-images", 1)
    rows = pq.read_table(tmp_path / "work/filter-rejects.parquet").to_pylist()
    assert {(row["name"], row["reason"]) for row in rows} == {
        ("n02084071_2.cls", "not-an-image-name"),
        ("n02084071_2.json", "not-an-image-name"),
        ("3.jpg", "not-in-a-class"),
        ("4.jpg", "not-in-a-class"),
        ("../n02084071_5.jpg", "unsafe-name"),
        ("._n02084071_6.jpg", "macos-metadata"),
    }
    assert pq.read_table(tmp_path / "work/images.parquet").num_rows == 1


def test_numbers_stand_for_the_classes_of_a_list(tmp_path):
    samples = [(str(number), {"jpg": jpeg(number), "cls": str(number).encode()}) for number in range(4)]
    raw = one_shard(tmp_path / "hub", samples)
    (tmp_path / "list.txt").write_text("n09450163\nn02084071\n\nn01887787\n")
    options = ("--min-images", 1, "--class-list", tmp_path / "list.txt")
    assert call("filter", raw, tmp_path / "work", *options)["images"] == 3
    rows = pq.read_table(tmp_path / "work/images.parquet", columns=["wnid", "name"]).to_pylist()
    assert {row["name"]: row["wnid"] for row in rows} == {
        "0.jpg": "n09450163",
        "1.jpg": "n02084071",
        "2.jpg": "n01887787",
    }
    assert pq.read_table(tmp_path / "work/filter-rejects.parquet")["name"].to_pylist() == ["3.jpg"]
    (tmp_path / "list.txt").write_text("n02084071\nn09450163\nn01887787\n")
    call("filter", raw, tmp_path / "work", *options)  # anew, since the list has changed
    rows = pq.read_table(tmp_path / "work/images.parquet", columns=["wnid", "name"]).to_pylist()
    assert {row["name"]: row["wnid"] for row in rows}["0.jpg"] == "n02084071"
    call("filter", raw, tmp_path / "other", "--min-images", 1, "--class-list", "fall11-p")


def test_a_class_list_that_is_not_there_is_one_line(tmp_path):
    raw = one_shard(tmp_path / "hub", [("1", {"jpg": jpeg(1), "cls": b"0"})])
    with pytest.raises(RefusedError, match=r"none\.txt"):
        call("filter", raw, tmp_path / "work", "--class-list", tmp_path / "none.txt")


def test_resplit_pools_train_and_val_and_holds_out_anew(tmp_path):
    val = {wnid: images[4:6] for wnid, images in FILES.items()}
    train = {wnid: images[:4] + images[6:] for wnid, images in FILES.items()}
    hub_shards(tmp_path / "all", FILES)
    wanted = content(prepare(tmp_path / "all", tmp_path / "all-in-one"))
    hub_shards(tmp_path / "hub", val, count=1, name="imagenet22k-validation")
    hub_shards(tmp_path / "hub", train)
    out = prepare(tmp_path / "hub", tmp_path, "--resplit")
    assert content(out) == wanted
    assert prep("verify", out).returncode == 0


def test_numbers_without_a_class_list_are_refused(tmp_path):
    raw = one_shard(tmp_path / "hub", [("1", {"jpg": jpeg(1), "cls": b"0"})])
    with pytest.raises(RefusedError, match=r"1 is of class 0, and nothing says which that is; .* --class-list"):
        call("filter", raw, tmp_path / "work", "--min-images", 1)


def test_the_label_of_a_sample_may_come_before_its_image(tmp_path):
    members = sample_members("n02084071", "1.jpg", jpeg(1), 3)[::-1]
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/a.tar").write_bytes(tar_bytes(members))
    assert call("filter", tmp_path / "hub", tmp_path / "work", "--min-images", 1)["images"] == 1
