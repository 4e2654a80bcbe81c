"""Stanford Cars' MATLAB files in both layouts, as a dataset to transfer to; they are read by SciPy."""

import sys
from pathlib import Path

import numpy as np
import pytest
from downstream import logits_of, one_epoch, top_k, write_images

from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets.stanford_cars import open_stanford_cars
from in21k.train.errors import TrainError

CARS = [
    "AM General Hummer SUV 2000",
    "Acura RL Sedan 2012",
    "Acura TL Type-S 2008",
    "BMW M3 Coupe 2012",
    "Ford GT",
    "Z",
]
COUNTS = {"train": 48, "test": 24}


def savemat(path: Path, variables: dict) -> None:
    pytest.importorskip("scipy").io.savemat(path, variables, do_compression=True)


def struct(rows: list[dict]) -> np.ndarray:
    """A struct array of one row, as MATLAB has lists."""
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in rows[0]])
    for at, row in enumerate(rows):
        for field, value in row.items():
            array[field][0, at] = value
    return array


def names() -> np.ndarray:
    cells = np.empty((1, len(CARS)), object)
    cells[0, :] = CARS
    return cells


def as_devkit(root: Path) -> Path:
    (root / "devkit").mkdir(parents=True)
    pytest.importorskip("scipy.io")
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": names()})
    for split, count in COUNTS.items():
        images = {f"{number + 1:05d}.jpg": number % 6 for number in range(count)}
        write_images(root / f"cars_{split}", images)
        box = {field: np.uint8(3) for field in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")}
        rows = [{**box, "class": np.uint8(label + 1), "fname": name} for name, label in images.items()]
        annotations = "cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat"
        savemat((root / "devkit" if split == "train" else root) / annotations, {"annotations": struct(rows)})
    return root


def as_one_file(root: Path) -> Path:
    root.mkdir(parents=True)
    pytest.importorskip("scipy.io")
    splits = [split for split, count in COUNTS.items() for _ in range(count)]
    images = {f"car_ims/{number + 1:06d}.jpg": number % 6 for number in range(len(splits))}
    write_images(root, images)
    rows = [
        {"relative_im_path": name, "bbox_x1": 3.0, "class": float(label + 1), "test": np.uint8(split == "test")}
        for (name, label), split in zip(images.items(), splits, strict=True)
    ]
    savemat(root / "cars_annos.mat", {"annotations": struct(rows), "class_names": names()})
    return root


@pytest.mark.parametrize("write", [as_devkit, as_one_file])
def test_both_layouts_have_every_image_under_its_class(tmp_path, write):
    data = open_data(DataRequest(str(write(tmp_path / "cars"))))
    assert data.classes == CARS
    assert (data.images_train.tolist(), data.images_val.tolist()) == ([8] * 6, [4] * 6)
    for split in ("train", "val"):
        reader = data.reader(split)()
        for sample in reader.collect(range(data.samples(split))):
            assert sample.class_index == (int(Path(sample.key).stem) - 1) % 6
            assert len(sample.image)


def test_an_epoch_scores_top1_and_top5(capsys, tmp_path):
    root = as_devkit(tmp_path / "cars")
    summary = one_epoch(capsys, root, tmp_path / "run")
    listed = open_stanford_cars(root).splits["val"]
    logits = logits_of(tmp_path / "run", [(root / "cars_test" / key).read_bytes() for key in listed.keys])
    assert summary["val_top1"] == top_k(logits, listed.label_ids.tolist(), 1)
    assert summary["val_top5"] == top_k(logits, listed.label_ids.tolist(), 5)


def rewrite(rows: list[dict]):
    return lambda path: savemat(path, {"annotations": struct(rows)})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"MATLAB 5.0 no more"), "cannot be read as a MATLAB file"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "cannot be read as a MATLAB file"),
        (lambda path: path.write_bytes(bytes(9 << 20)), "has 9,437,184 bytes, over the limit of 8,388,608"),
        (rewrite([{"fname": "00001.jpg", "class": 7}]), "has the class 7, which is none of 1 to 6"),
        (rewrite([{"fname": "00001.jpg", "class": 1.5}]), "has the class '1.5', which is no whole number"),
        (rewrite([{"fname": "../00001.jpg", "class": 1}]), "names the image '../00001.jpg', which is outside"),
        (rewrite([{"fname": "9.jpg", "class": 1}]), "lists 1 image not to be found in"),
        (rewrite([{"fname": "00001.jpg"}]), "has no annotations with the field class"),
    ],
)
def test_annotations_that_are_not_sound_are_one_line(tmp_path, spoil, message):
    root = as_devkit(tmp_path)
    spoil(root / "devkit" / "cars_train_annos.mat")
    with pytest.raises(TrainError, match=message):
        open_stanford_cars(root)


def test_without_scipy_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "cars_annos.mat").write_bytes(b"MATLAB 5.0")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(TrainError, match=r"needs SciPy: pip install 'in21k\[mat\]'"):
        open_data(DataRequest(str(tmp_path)))


def test_without_test_images_there_is_no_validation(tmp_path, monkeypatch):
    monkeypatch.setitem(COUNTS, "test", 0)
    data = open_stanford_cars(as_one_file(tmp_path / "cars"))
    assert (data.samples("train"), data.samples("val")) == (48, 0)
