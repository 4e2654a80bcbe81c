"""Open Images' verified labels as they are downloaded: what nobody verified counts neither in the loss nor in mAP."""

import pytest
from downstream import class_scores, one_epoch
from small_open_images import LABELS, known_precisions, sets_of, verified, write_labels, write_open_images
from train_runs import answer

from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets.open_images import open_open_images
from in21k.train.errors import TrainError


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
    micro, by_class = known_precisions(root, tmp_path / "run")
    assert class_scores(tmp_path / "run") == pytest.approx(by_class, rel=1e-6)
    assert summary["val_map"] == pytest.approx(sum(by_class.values()) / 4, rel=1e-6)
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
        ({"f" * 16: {"/m/0a": 1, "/m/0b": 0}}, r"lists 1 image not to be found in .*, such as train/f{16}\.jpg"),
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
