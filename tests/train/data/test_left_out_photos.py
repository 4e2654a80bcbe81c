"""Photos that are not read are named, and a folder that is no dataset says what it lacks."""

import re

import pytest
from downstream import one_epoch, write_images
from train_runs import answer

from in21k.train.cli.main import main
from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets.image_folder import open_image_folder
from in21k.train.errors import TrainError
from in21k.train.use.image_files import found_images

TOLD = "left out: 2 .heic and 1 .nef files, such as {0}/a/1.HEIC; convert them to JPEG"


@pytest.fixture
def photos(tmp_path):
    """Two classes, and beside their images what a phone, a camera and a file manager leave."""
    root = write_images(tmp_path / "photos", {f"{'ab'[at % 2]}/{at}.jpg": at % 2 for at in range(30)})
    for name in ("a/1.HEIC", "b/2.heic", "b/deep/3.nef", "a/Thumbs.db", "a/notes.txt", "a/.4.heic", "labels.csv"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_files_in_other_forms_are_named_and_those_that_are_no_photos_are_not(photos):
    told = TOLD.format(photos).removeprefix("left out: ")
    assert open_image_folder(photos, 0.2).left_out == told
    assert found_images([photos]).left_out == told
    (photos / "loose.jpg").write_bytes(b"x")
    assert open_image_folder(photos, 0.2).left_out == (
        f"{told}; and 1 image in no class folder, such as {photos / 'loose.jpg'}; put photos into {photos / 'CLASS'}"
    )


def test_every_command_that_reads_the_folder_says_so(capsys, photos, tmp_path):
    run = tmp_path / "run"
    clean = write_images(tmp_path / "clean", {f"{'ab'[at % 2]}/{at}.jpg": at % 2 for at in range(30)})
    one_epoch(capsys, clean, run, "--val-share", 0.2)
    how = ["--checkpoint", run, "--device", "cpu", "--workers", 0]
    for command, *given in (
        ("transfer", photos, "--val-share", 0.2, "--epochs", 1, "--batch-size", 8, "--output", tmp_path / "again"),
        ("transfer", photos, "--val-share", 0.2, "--knn", 1, "--output", tmp_path / "knn"),
        ("evaluate", photos, "--val-share", 0.2, "--layout", "imagefolder"),
        ("embed", photos, "--output", tmp_path / "vectors"),
        ("predict", photos),
    ):
        with pytest.raises(SystemExit) as exited:
            main([*map(str, (command, *given, *how))])
        err = capsys.readouterr().err
        assert (exited.value.code, err.count(f"note: {TOLD.format(photos)}\n")) == (0, 1), (command, err)


def folder(tmp_path, *names):
    root = tmp_path / "bad"
    root.mkdir()
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.jpg", "2.png"], "bad holds photos but no class folders; put them into .*bad/CLASS/"),
        (["train/1.jpg"], "bad/train holds photos but no class folders"),
        ([], "bad is empty; put photos into .*bad/CLASS/"),
        ([".DS_Store"], "bad is empty"),
        (
            ["a/1.heic", "b/2.heic"],
            r"holds no images that can be read, but 2 \.heic files, such as .*bad/a/1.heic; conv",
        ),
        (["notes.txt"], "has none of the known layouts"),
    ],
)
def test_a_folder_without_a_layout_says_what_it_lacks(tmp_path, names, message):
    with pytest.raises(TrainError, match=message):
        open_data(DataRequest(str(folder(tmp_path, *names))))


def test_a_class_of_such_photos_alone_says_so(tmp_path):
    with pytest.raises(TrainError, match=r"bad/b contains no images that can be read, but 1 \.heic file, such as"):
        open_image_folder(folder(tmp_path, "a/1.jpg", "a/2.jpg", "b/1.heic"), 0.5)
    with pytest.raises(TrainError, match=r"bad/b contains no images that can be read, but 1 \.heic file, such as"):
        found_images([tmp_path / "bad/b"])


@pytest.mark.parametrize("how", [(), ("--probe",), ("--knn", 1)])
def test_one_class_teaches_nothing(capsys, tmp_path, how):
    data = write_images(tmp_path / "one", {f"cat/{at}.jpg": 0 for at in range(10)})
    given = ["--checkpoint", "timm:test_resnet", "--val-share", 0.2, "--output", tmp_path / "run", *how]
    status, _, err = answer(capsys, "transfer", data, *given)
    assert (status, bool(re.search("one has one class alone, cat, which teaches nothing", err))) == (1, True), err
