import gzip
import re

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests, prep
from dumps import KEPT, PIPELINE, images_of, jpeg, make_dump, tar_bytes
from forms import tar_gz_parts
from small_imagenet import IN1K, TRUTHS, devkit_order, ground_truth

pytestmark = pytest.mark.usefixtures("inline")

FILES = {wnid: images_of(wnid, count) for wnid, count in KEPT.items()}
TWO = (IN1K[3], IN1K[900])
TRAIN = {wnid: images_of(wnid, 5) for wnid in TWO}
VAL = [(f"ILSVRC2012_val_{number:08d}.JPEG", TWO[number % 2], jpeg(number)) for number in range(1, 7)]


def prepare(raw, folder, *options):
    call("run", raw, folder / "work", folder / "out", *PIPELINE, "--workers", 1, *options)
    return folder / "out"


def content(out):
    return digests(out, "*/*.tar") | digests(out, "*.parquet")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-class")
    return content(prepare(make_dump(folder / "raw.tar", FILES), folder))


def test_the_pieces_of_a_gzipped_tar_in_a_folder_are_one_dump(wanted, tmp_path):
    raw = tar_gz_parts(tmp_path / "raw", FILES)
    assert content(prepare(raw, tmp_path)) == wanted


def test_what_lies_beside_the_pieces_is_no_piece_and_has_a_row(wanted, tmp_path):
    raw = tar_gz_parts(tmp_path / "raw", FILES, stem="whole.tar.gz")
    (raw / "whole.tar.gz.sha256").write_text("abc")
    out = prepare(raw, tmp_path)
    assert digests(out, "*/*.tar") == {path: digest for path, digest in wanted.items() if path.endswith(".tar")}
    assert pq.read_table(out / "rejects.parquet")["name"].to_pylist() == ["whole.tar.gz.sha256"]


def test_a_missing_piece_is_an_error(tmp_path):
    raw = tar_gz_parts(tmp_path / "raw", FILES)
    (raw / "imagenet21k.tar.gz.01.tar.gz.part").unlink()
    with pytest.raises(RefusedError, match=r"imagenet21k\.tar\.gz\.\* is .*(damaged|truncated)"):
        prepare(raw, tmp_path)


def folders_tar(files):
    return tar_bytes([(f"{wnid}/{name}", data) for wnid, images in files.items() for name, data in images])


def test_the_processed_release_in_pieces_by_split_keeps_its_split(tmp_path):
    splits = {
        "train": {w: images[3:] for w, images in FILES.items()},
        "val": {w: images[:3] for w, images in FILES.items()},
    }
    raw = tmp_path / "raw"
    raw.mkdir()
    for split, files in splits.items():
        data = gzip.compress(folders_tar(files), mtime=0)
        half = len(data) // 2
        for number, piece in enumerate((data[:half], data[half:])):
            (raw / f"imagenet21k_{split}.tar.gz.{number:02d}.tar.gz.part").write_bytes(piece)
    out = prepare(raw, tmp_path)
    rows = pq.read_table(out / "samples.parquet", columns=["split", "key"]).to_pylist()
    assert {(row["split"], row["key"]) for row in rows} == {
        (split, name.removesuffix(".JPEG"))
        for split, files in splits.items()
        for images in files.values()
        for name, _ in images
    }
    assert prep("verify", out).returncode == 0


# ImageNet-1K's official tars


def imagenet1k(folder):
    folder.mkdir()
    make_dump(folder / "ILSVRC2012_img_train.tar", TRAIN)
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_bytes([(name, data) for name, _, data in VAL]))
    return folder


@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)
def test_imagenet_1k_keeps_its_own_val(truth, tmp_path):
    raw = imagenet1k(tmp_path / "raw")
    truth(raw, VAL)
    options = ("--min-images", 1, "--val-per-class", 2, "--size", 16, "--workers", 1)
    summary = call("run", raw, tmp_path / "work", tmp_path / "out", *options)
    assert (summary["train"], summary["val"]) == (10, 6)
    rows = pq.read_table(tmp_path / "out/samples.parquet", columns=["split", "key", "class_index"]).to_pylist()
    keys = [re.fullmatch(r"(n\d{8})_ILSVRC2012.val.(\d{8})-.*", row["key"]) for row in rows if row["split"] == "val"]
    of_val = {key[1] + key[2] for key in keys}
    assert of_val == {f"{wnid}{name[15:23]}" for name, wnid, _ in VAL}
    assert prep("verify", tmp_path / "out").returncode == 0


def test_numbers_of_the_devkit_need_its_order(tmp_path):
    raw = imagenet1k(tmp_path / "raw")
    (raw / "ILSVRC2012_validation_ground_truth.txt").write_text(ground_truth(VAL))
    with pytest.raises(RefusedError, match=r"ground_truth\.txt has the devkit's numbers, .*--class-list"):
        call("filter", raw, tmp_path / "work", "--min-images", 1)
    (tmp_path / "order.txt").write_text("\n".join(devkit_order()))
    options = ("--min-images", 1, "--class-list", tmp_path / "order.txt")
    assert call("filter", raw, tmp_path / "work", *options)["images_given_split"] == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds validation images without classes"),
        ("n01440764\n" * 5, "has 5 lines for 6 images"),
        ("ILSVRC2012_val_00000001.JPEG 1000\n", "has the class 1000, which is none of 1000"),
        ("some words that are no list\n", "holds validation images without classes"),
    ],
)
def test_a_list_that_does_not_fit_is_one_line(text, message, tmp_path):
    raw = imagenet1k(tmp_path / "raw")
    if text:
        (raw / "val.txt").write_text(text)
    with pytest.raises(RefusedError, match=message):
        call("filter", raw, tmp_path / "work", "--min-images", 1)


def test_validation_images_that_the_list_leaves_out_have_a_row(tmp_path):
    raw = imagenet1k(tmp_path / "raw")
    (raw / "val.txt").write_text(f"{VAL[0][0]} {VAL[0][1]}\n")
    assert call("filter", raw, tmp_path / "work", "--min-images", 1)["rejected"] == 5
