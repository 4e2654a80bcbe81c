"""Food-251's lists as they are downloaded, as a dataset to transfer to."""

from pathlib import Path

import pytest
from downstream import logits_of, one_epoch, top_k, write_images

from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets.food251 import open_food251
from in21k.train.errors import TrainError

FOODS = ["macaron_cake", "beignet", "cruller", "cockle food", "samosa", "tiramisu"]


def write_food(root: Path, *, kaggle: bool = False) -> Path:
    """Lists in annot/, as the challenge's tar has them; or with headings beside the images, as Kaggle has them."""
    place = root if kaggle else root / "annot"
    place.mkdir(parents=True, exist_ok=True)
    (place / "class_list.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(FOODS)))
    for split, count in (("train", 48), ("val", 24)):
        names = {f"{split}_{number:06d}.jpg": number % 6 for number in range(count)}
        write_images(root / f"{split}_set", names)
        lines = (["img_name,label"] if kaggle else []) + [f"{name},{label}" for name, label in names.items()]
        (place / f"{split}_{'labels' if kaggle else 'info'}.csv").write_text("\n".join(lines) + "\n")
    (place / "test_info.csv").write_text("test_000000.jpg\n")
    return root


@pytest.mark.parametrize("kaggle", [False, True])
def test_both_forms_have_every_image_under_its_class(tmp_path, kaggle):
    data = open_data(DataRequest(str(write_food(tmp_path, kaggle=kaggle))))
    assert data.classes == FOODS
    for split, count in (("train", 48), ("val", 24)):
        listed = data.splits[split]
        assert dict(zip(listed.keys, listed.label_ids.tolist(), strict=True)) == {
            f"{split}_{number:06d}.jpg": number % 6 for number in range(count)
        }
        reader = data.reader(split)()
        for sample in reader.collect(range(count)):
            assert bytes(sample.image) == (tmp_path / f"{split}_set" / sample.key).read_bytes()


def test_an_epoch_scores_top1_and_top5(capsys, tmp_path):
    root = write_food(tmp_path / "food")
    summary = one_epoch(capsys, root, tmp_path / "run")
    listed = open_food251(root).splits["val"]
    logits = logits_of(tmp_path / "run", [(root / "val_set" / key).read_bytes() for key in listed.keys])
    assert summary["val_top1"] == top_k(logits, listed.label_ids.tolist(), 1)
    assert summary["val_top5"] == top_k(logits, listed.label_ids.tolist(), 5)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_info.csv", "train_000000.jpg,6\n", "'train_000000.jpg,6' is not an image and a class from 0 to 5"),
        ("train_info.csv", "train_000000.jpg,0\ntrain_000001.jpg,\n", "is not an image and a class"),
        ("train_info.csv", "../x.jpg,0\n", "names the image '../x.jpg', which is outside"),
        ("train_info.csv", "none.jpg,0\n", r"lists 1 image not to be found in .*train_set, such as none\.jpg"),
        ("train_info.csv", "", "lists no images"),
        ("class_list.txt", "0 a\n2 b\n", "line 2 is '2 b', not '1 NAME'"),
        ("class_list.txt", "0 a" * 400_000, "over the limit of 1,048,576"),
    ],
)
def test_lists_that_are_not_sound_are_one_line(tmp_path, name, content, message):
    root = write_food(tmp_path)
    (root / "annot" / name).write_text(content)
    with pytest.raises(TrainError, match=message):
        open_food251(root)


def test_an_empty_list_of_validation_images_means_no_validation(tmp_path):
    root = write_food(tmp_path)
    (root / "annot" / "val_info.csv").write_text("")
    assert open_food251(root).samples("val") == 0
    (root / "annot" / "val_info.csv").unlink()
    with pytest.raises(TrainError, match=r"has no val_info\.csv or val_labels\.csv; put it there"):
        open_food251(root)
