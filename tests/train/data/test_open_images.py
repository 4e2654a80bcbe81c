"""Open Images' verified labels as they are downloaded: what nobody verified counts neither in the loss nor in mAP."""

from pathlib import Path

import pytest
from downstream import average_precision, class_scores, logits_of, one_epoch, write_images
from train_runs import answer

from in21k.train.data.interfaces import ABSENT
from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets.open_images import open_open_images
from in21k.train.errors import TrainError

NAMES = {"/m/0a": "Ant", "/m/0b": "Bee", "/m/0c": "Cow", "/m/0d": "Ant", "/m/0e": "Eel"}
LABELS = list(NAMES)
Rows = dict[str, dict[str, int]]


def verified(split: str, count: int) -> Rows:
    """Of image i, one label in turn is known to be present, the next two to be absent, the others unknown."""
    return {
        f"{at:016x}": {LABELS[at % 4]: 1, LABELS[(at + 1) % 4]: 0, LABELS[(at + 2) % 4]: 0}
        for at in range(1000 * (split == "validation"), 1000 * (split == "validation") + count)
    }


def write_labels(path: Path, rows: Rows) -> None:
    lines = [f"{image},verification,{label},{sure}" for image, found in rows.items() for label, sure in found.items()]
    path.write_text("\n".join(["ImageID,Source,LabelName,Confidence", *lines]) + "\n")


def write_open_images(root: Path, *, parted: bool = False) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{label},{name}\n" for label, name in NAMES.items())
    (root / "oidv7-class-descriptions.csv").write_text(f"LabelName,DisplayName\n{lines}")
    for split, count in (("train", 40), ("validation", 24)):
        rows = verified(split, count)
        write_labels(root / f"oidv7-{split}-annotations-human-imagelabels.csv", rows)
        (root / f"oidv7-{split}-annotations-bbox.csv").write_text("ImageID\n")
        below = {image: f"{split}_{image[0]}" if parted else split for image in rows}
        write_images(root, {f"{below[image]}/{image}.jpg": int(image, 16) % 4 for image in rows})
    return root


def sets_of(data, split: str) -> dict[str, dict[str, int]]:
    """Of each image, the names of the classes that are known, with 1 for those present."""
    listed = data.splits[split]
    return {
        Path(key).stem: {
            data.classes[at if at >= 0 else ABSENT - at]: int(at >= 0)
            for at in data.label_sets[row].tolist()
            if at != -1
        }
        for key, row in zip(listed.keys, listed.label_ids.tolist(), strict=True)
    }


@pytest.mark.parametrize("parted", [False, True])
def test_each_image_has_the_labels_that_people_verified(tmp_path, parted):
    data = open_data(DataRequest(str(write_open_images(tmp_path, parted=parted))))
    assert data.classes == ["Ant (/m/0a)", "Bee", "Cow", "Ant (/m/0d)"]
    called = dict(zip(LABELS, data.classes, strict=False))
    for split, theirs in (("train", "train"), ("val", "validation")):
        assert sets_of(data, split) == {
            image: {called[label]: sure for label, sure in found.items()}
            for image, found in verified(theirs, data.samples(split)).items()
        }
    assert data.images_train.tolist() == [10] * 4
    reader = data.reader("val")()
    assert all(len(sample.image) for sample in reader.collect(range(24)))


def test_an_epoch_scores_map_over_what_is_known(capsys, tmp_path):
    root = write_open_images(tmp_path / "open")
    summary = one_epoch(capsys, root, tmp_path / "run")
    data = open_open_images(root)
    known = [list(found.items()) for found in sets_of(data, "val").values()]
    logits = logits_of(tmp_path / "run", [(root / key).read_bytes() for key in data.splits["val"].keys])
    pairs = [
        (row[data.classes.index(name)], name, bool(sure))
        for row, found in zip(logits, known, strict=True)
        for name, sure in found
    ]
    by_class = {
        name: average_precision(*zip(*[(score, hit) for score, of, hit in pairs if of == name], strict=True))
        for name in data.classes
    }
    assert class_scores(tmp_path / "run") == pytest.approx(by_class, rel=1e-6)
    assert summary["val_map"] == pytest.approx(sum(by_class.values()) / 4, rel=1e-6)
    micro = average_precision([score for score, _, _ in pairs], [hit for _, _, hit in pairs])
    assert summary["val_map_micro"] == pytest.approx(micro, rel=1e-6)


def test_a_list_of_trainable_classes_decides_which_labels_count(tmp_path):
    root = write_open_images(tmp_path)
    (root / "oidv6-classes-trainable.txt").write_text("/m/0c\n/m/0b\n/m/0e\n")
    data = open_open_images(root)
    assert data.classes == ["Bee", "Cow", "Eel"]
    assert data.images_train.tolist() == [10, 10, 0]


def test_rows_that_contradict_each_other_mean_present(tmp_path):
    root = write_open_images(tmp_path)
    with (root / "oidv7-train-annotations-human-imagelabels.csv").open("a") as file:
        file.write(f"{0:016x},crowdsource-verification,/m/0b,1\n{0:016x},crowdsource-verification,/m/0a,0\n")
    assert sets_of(open_open_images(root), "train")[f"{0:016x}"] == {"Ant (/m/0a)": 1, "Bee": 1, "Cow": 0}


def test_other_files_and_folders_by_option_and_no_validation(tmp_path):
    root = write_open_images(tmp_path / "images")
    write_labels(tmp_path / "some.csv", verified("train", 12))
    write_labels(tmp_path / "none.csv", {})
    request = DataRequest(
        str(root), annotations=str(tmp_path / "some.csv"), val=str(tmp_path / "none.csv"), images=str(root)
    )
    data = open_data(request)
    assert (data.samples("train"), data.samples("val")) == (12, 0)


ID = f"{0:016x}"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({ID: {"/m/0a": 0.7}}, "has the confidence 0.7; give labels that people verified"),
        ({ID: {"/m/0a": ""}}, "has the confidence nan"),
        ({ID: {"/m/0a": "x"}}, "is not a CSV of ImageID, LabelName and Confidence"),
        ({ID: {"/m/0a": 1}}, r"has no label that is verified to be absent"),
        ({ID: {"/m/0a": 0}}, "no training image has a verified label"),
        ({ID: {"/m/0z": 1, "/m/0a": 0}}, "does not name the class '/m/0z'"),
        ({"f" * 16: {"/m/0a": 1, "/m/0b": 0}}, r"lists 1 images that are not in .*, such as train/f{16}\.jpg"),
        ({"../x": {"/m/0a": 1}}, r"names the image 'train/\.\./x\.jpg', which is outside"),
    ],
)
def test_labels_that_are_not_sound_are_one_line(tmp_path, rows, message):
    root = write_open_images(tmp_path)
    write_labels(root / "oidv7-train-annotations-human-imagelabels.csv", rows)
    with pytest.raises(TrainError, match=message):
        open_open_images(root)


def test_no_or_several_files_of_labels_are_one_line(tmp_path):
    root = write_open_images(tmp_path)
    (root / "train-annotations-human-imagelabels-boxable.csv").write_text("")
    with pytest.raises(TrainError, match=r"has 2 files .*; name the one with --annotations"):
        open_open_images(root)
    with pytest.raises(TrainError, match="is not a CSV of ImageID"):
        open_open_images(root, annotations=str(root / "train-annotations-human-imagelabels-boxable.csv"))


def test_a_linear_probe_refuses_what_is_known_in_part(capsys, tmp_path):
    root = write_open_images(tmp_path / "open")
    (tmp_path / "weights.pth").write_bytes(b"")
    given = [
        "--checkpoint",
        tmp_path / "weights.pth",
        "--model",
        "test_resnet",
        "--output",
        tmp_path / "run",
        "--probe",
    ]
    status, out, err = answer(capsys, "transfer", root, *given)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "which a linear probe does not take; fine-tune" in err
