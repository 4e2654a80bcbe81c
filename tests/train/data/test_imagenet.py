"""ImageNet-1K in the layouts it is downloaded in, as a dataset to transfer to."""

from collections.abc import Callable
from pathlib import Path

import pytest
from downstream import logits_of, one_epoch, top_k
from dumps import make_dump, tar_bytes
from small_dataset import jpeg
from small_imagenet import IN1K, TRUTHS, Val, ground_truth

from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets.imagenet import open_imagenet
from in21k.train.errors import TrainError
from in21k.tree.errors import TreeError

CLASSES = [IN1K[at] for at in (3, 50, 200, 400, 600, 900)]
TRAIN = {
    wnid: [(f"{wnid}_{number}.JPEG", jpeg(label, number)) for number in range(8)] for label, wnid in enumerate(CLASSES)
}
VAL: Val = [
    (f"ILSVRC2012_val_{number:08d}.JPEG", CLASSES[number % 6], jpeg(number % 6, 100 + number))
    for number in range(1, 25)
]


def as_tars(root: Path) -> Path:
    root.mkdir(parents=True)
    make_dump(root / "ILSVRC2012_img_train.tar", TRAIN)
    (root / "ILSVRC2012_img_val.tar").write_bytes(tar_bytes([(name, data) for name, _, data in VAL]))
    return root


def as_folders(root: Path) -> Path:
    for wnid, images in TRAIN.items():
        (root / "train" / wnid).mkdir(parents=True)
        for name, data in images:
            (root / "train" / wnid / name).write_bytes(data)
    (root / "val").mkdir()
    for name, _, data in VAL:
        (root / "val" / name).write_bytes(data)
    return root


def as_class_tars(root: Path) -> Path:
    as_tars(root)
    (root / "ILSVRC2012_img_train.tar").unlink()
    (root / "ILSVRC2012_img_train").mkdir()
    for wnid, images in TRAIN.items():
        (root / "ILSVRC2012_img_train" / f"{wnid}.tar").write_bytes(tar_bytes(images))
    return root


def for_localization(root: Path) -> Path:
    as_folders(root / "ILSVRC" / "Data" / "CLS-LOC")
    return root


LAYOUTS: list[Callable[[Path], Path]] = [as_tars, as_folders, as_class_tars, for_localization]


def images_by_key(data, split: str) -> dict[str, tuple[str, bytes]]:
    reader = data.reader(split)()
    samples = reader.collect(range(data.samples(split)))
    reader.close()
    return {sample.key: (data.classes[sample.class_index], bytes(sample.image)) for sample in samples}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_has_every_image_under_its_class(tmp_path, layout):
    root = layout(tmp_path / "imagenet")
    TRUTHS["csv"](root, VAL)
    data = open_data(DataRequest(str(root)))
    assert data.classes == sorted(CLASSES)
    assert images_by_key(data, "train") == {
        f"{wnid}/{name}": (wnid, content) for wnid, images in TRAIN.items() for name, content in images
    }
    assert images_by_key(data, "val") == {name: (wnid, content) for name, wnid, content in VAL}


@pytest.mark.parametrize("truth", TRUTHS.values(), ids=TRUTHS)
def test_the_devkit_or_any_list_says_the_classes_of_the_validation_images(tmp_path, truth):
    root = as_tars(tmp_path / "imagenet")
    truth(root, VAL)
    assert {key: found for key, (found, _) in images_by_key(open_imagenet(root), "val").items()} == {
        name: wnid for name, wnid, _ in VAL
    }


def test_an_epoch_scores_top1_and_top5(capsys, tmp_path):
    root = as_tars(tmp_path / "imagenet")
    TRUTHS["devkit"](root, VAL)
    summary = one_epoch(capsys, root, tmp_path / "run")
    assert (summary["classes"], summary["val_images"]) == (6, 24)
    logits = logits_of(tmp_path / "run", [content for _, _, content in VAL])
    labels = [sorted(CLASSES).index(wnid) for _, wnid, _ in VAL]
    assert summary["val_top1"] == top_k(logits, labels, 1)
    assert summary["val_top5"] == top_k(logits, labels, 5)


def test_what_macos_leaves_in_tars_is_no_class_and_no_image_and_joined_tars_are_read_to_the_end(tmp_path):
    root = as_tars(tmp_path / "imagenet")
    TRUTHS["csv"](root, VAL)
    first, rest = CLASSES[0], dict(list(TRAIN.items())[1:])
    of_first = tar_bytes([*TRAIN[first][:5], ("._x.JPEG", b"x")]) + tar_bytes(TRAIN[first][5:])
    outer = tar_bytes([("__MACOSX/._a.tar", b"x"), ("._n00000001.tar", b"x"), (f"{first}.tar", of_first)])
    rest_of_outer = make_dump(tmp_path / "rest.tar", rest).read_bytes()
    (root / "ILSVRC2012_img_train.tar").write_bytes(outer + rest_of_outer)
    data = open_imagenet(root)
    assert data.images_train.tolist() == [8] * 6


@pytest.mark.parametrize("empty", [True, False])
def test_no_validation_images_need_a_place_to_be_missing_from(tmp_path, empty):
    root = as_tars(tmp_path / "imagenet")
    (root / "ILSVRC2012_img_val.tar").unlink()
    if empty:
        (root / "val").mkdir()
        assert open_imagenet(root).samples("val") == 0
    else:
        with pytest.raises(TrainError, match=r"has none of ILSVRC2012_img_val\.tar, .*; put it there"):
            open_imagenet(root)


def cut(root: Path) -> None:
    path = root / "ILSVRC2012_img_train.tar"
    path.write_bytes(path.read_bytes()[:-20_000])


def numbers_alone(root: Path) -> None:
    (root / "ILSVRC2012_validation_ground_truth.txt").write_text(ground_truth(VAL))


def bomb(root: Path) -> None:
    import gzip

    (root / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(gzip.compress(bytes(80 << 20), 1))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: None, "does not say the classes of its validation images; put the devkit"),
        (numbers_alone, r"put the devkit's meta\.mat by it, or put a list of the images' names and wnids there"),
        (lambda root: (root / "val.txt").write_text(f"{VAL[0][0]} {VAL[0][1]}\n"), "does not say the class of ILSVRC"),
        (lambda root: (root / "val.txt").write_text(f"{IN1K[7]}\n" * 24), f"has images of {IN1K[7]}, a class without"),
        (lambda root: (root / "val.txt").write_text("n01440764\n" * 5), "has 5 lines for 24 images"),
        (cut, r"img_train\.tar: .*; copy it again"),
        (bomb, "does not say the classes of its validation images"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, spoil, message):
    root = as_tars(tmp_path / "imagenet")
    spoil(root)
    with pytest.raises((TrainError, TreeError), match=message):
        open_imagenet(root)
