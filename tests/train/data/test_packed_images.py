"""Image folders that are still in their archives: tars are read in place, gzipped ones told how to unpack."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from downstream import logits_of, one_epoch, top_k, write_images
from small_coco import write_coco
from small_open_images import verified, write_labels, write_open_images
from small_years import write_year
from train_runs import answer

from in21k.train.data.open_datasets.coco import open_coco
from in21k.train.data.open_datasets.inaturalist import open_inaturalist
from in21k.train.data.open_datasets.labeled import LabeledImages, check_listed
from in21k.train.data.open_datasets.open_images import open_open_images
from in21k.train.errors import TrainError


def pack(root: Path, *folders: str, gzipped: bool = False) -> Path:
    """Put folders into archives of their names, as GNU tar does, and delete them."""
    for folder in folders:
        name = f"{folder}.tar.gz" if gzipped else f"{folder}.tar"
        subprocess.run(["tar", "-czf" if gzipped else "-cf", name, folder], cwd=root, check=True)
        shutil.rmtree(root / folder)
    return root


def contents(data) -> dict[str, tuple[bytes, int]]:
    found = {}
    for split in ("train", "val"):
        reader = data.reader(split)()
        samples = reader.collect(range(data.samples(split)))
        found |= {sample.key: (bytes(sample.image), sample.class_index) for sample in samples}
        reader.close()
    return found


@pytest.mark.parametrize(
    ("year", "folders"), [("2021", ["train", "val"]), ("2021", ["val"]), ("2019", ["train_val2019"])]
)
def test_a_tar_gives_the_images_of_its_folder(tmp_path, year, folders):
    unpacked = open_inaturalist(write_year(tmp_path / "a", year))
    packed = open_inaturalist(pack(write_year(tmp_path / "b", year), *folders))
    assert contents(packed) == contents(unpacked)
    assert packed.digest == unpacked.digest


def test_an_epoch_from_tars_scores_top1(capsys, tmp_path):
    root = write_year(tmp_path / "inat", "2019")
    data = open_inaturalist(root)
    images = [(root / key).read_bytes() for key in data.splits["val"].keys]
    summary = one_epoch(capsys, pack(root, "train_val2019"), tmp_path / "run", "--workers", 2)
    logits = logits_of(tmp_path / "run", images)
    assert summary["val_top1"] == top_k(logits, data.splits["val"].label_ids.tolist(), 1)


def test_a_share_is_held_out_of_a_tar(tmp_path):
    root = pack(write_year(tmp_path, "2021"), "train")
    (root / "val.json").unlink()
    shutil.rmtree(root / "val")
    data = open_inaturalist(root, val_share=0.25)
    assert data.images_val.tolist() == [2] * 6
    assert len(contents(data)) == 48


def test_open_images_come_from_tars_whole_or_in_parts(tmp_path):
    for parted in (False, True):
        root = write_open_images(tmp_path / f"{parted}", parted=parted)
        before = contents(open_open_images(root))
        pack(root, *[path.name for path in root.iterdir() if path.is_dir()])
        assert contents(open_open_images(root)) == before


def test_a_gzipped_tar_is_answered_with_the_command_to_run(capsys, tmp_path):
    root = write_year(tmp_path / "my data", "2021")
    before = contents(open_inaturalist(root))
    pack(root, "train", gzipped=True)
    how = ["--checkpoint", "timm:test_resnet", "--output", tmp_path / "run"]
    status, out, err = answer(capsys, "transfer", root, *how)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert f"{root}/train.tar.gz is gzipped, and its images cannot be read in any order; run gunzip" in err
    command = err.partition("run ")[2].partition(" (they are")[0]
    subprocess.run(command, shell=True, check=True)
    assert contents(open_inaturalist(root)) == before


def test_open_images_of_which_only_some_parts_are_unpacked_are_one_line(tmp_path):
    root = write_open_images(tmp_path, parted=True)
    write_labels(root / "some.csv", verified("train", 4) | {"f" * 16: {"/m/0a": 1}})
    write_images(root, {f"train_f/{'f' * 16}.jpg": 0})
    pack(root, "train_f")
    with pytest.raises(
        TrainError, match=r"train_f\.tar holds one of the folders of .*some\.csv, and others are not in"
    ):
        open_open_images(root, annotations=str(root / "some.csv"))


@pytest.mark.parametrize("below", ["", "images"])
def test_cocos_zip_is_answered_with_the_command_to_run(tmp_path, below):
    root = write_coco(tmp_path)
    (root / below).mkdir(exist_ok=True)
    shutil.make_archive(str(root / below / "val2017"), "zip", root, "val2017")
    shutil.rmtree(root / "val2017")
    with pytest.raises(TrainError, match=r"val2017\.zip is still packed; run unzip -q ") as refused:
        open_coco(root)
    command = str(refused.value).partition("run ")[2]
    assert command == f"unzip -q {root / below / 'val2017.zip'} -d {root / below}"


def test_a_folder_of_cars_that_is_still_packed_is_named(tmp_path):
    images = LabeledImages(["00001.jpg"], [(0,)], str(tmp_path / "cars_train"))
    (tmp_path / "cars_train.tgz").write_bytes(b"")
    with pytest.raises(TrainError, match=rf"still packed; run tar -xf {tmp_path}/cars_train\.tgz -C {tmp_path}$"):
        check_listed({"cars_train_annos.mat": images})


def test_content_decides_whether_a_tar_is_gzipped_not_its_name(tmp_path):
    root = write_year(tmp_path, "2021")
    before = contents(open_inaturalist(root))
    pack(root, "train")
    pack(root, "val", gzipped=True)
    (root / "train.tar").rename(root / "train.tar.gz")
    (root / "val.tar.gz").rename(root / "val.tar")
    with pytest.raises(TrainError, match=rf"val\.tar is gzipped, .* order; run tar -xf {root}/val\.tar -C {root}$"):
        open_inaturalist(root)
    with tarfile.open(root / "val.tar") as archive:
        archive.extractall(root, filter="data")
    assert contents(open_inaturalist(root)) == before


def test_joined_tars_are_read_to_the_end_and_what_macos_leaves_is_not(tmp_path):
    root = write_year(tmp_path, "2021")
    before = contents(open_inaturalist(root))
    images = sorted(path.relative_to(root) for path in (root / "train").rglob("*.jpg"))
    for name, half in (("a.tar", images[:20]), ("b.tar", images[20:])):
        junk = [path.with_name(f"._{path.name}") for path in half]
        for path in junk:
            (root / path).write_bytes(b"junk")
        subprocess.run(["tar", "-cf", name, *junk, *half], cwd=root, check=True)
    shutil.rmtree(root / "train")
    (root / "train.tar").write_bytes((root / "a.tar").read_bytes() + (root / "b.tar").read_bytes())
    assert contents(open_inaturalist(root)) == before


def test_an_image_that_a_tar_lacks_or_that_is_cut_is_one_line(tmp_path):
    root = pack(write_year(tmp_path, "2021"), "train")
    loaded = json.loads((root / "train.json").read_text())
    loaded["images"][3]["file_name"] = "train/none.jpg"
    (root / "train.json").write_text(json.dumps(loaded))
    with pytest.raises(
        TrainError, match=r"lists 1 image not to be found in .*train\.tar, such as train/none\.jpg; copy"
    ):
        open_inaturalist(root)
    cut = (root / "train.tar").read_bytes()[: -(20 << 10)]
    (root / "train.tar").write_bytes(cut[: int(np.floor(len(cut) / 2))])
    with pytest.raises(TrainError, match=r"train\.tar: .*copy it again"):
        open_inaturalist(root)
