"""Videos as others lay them out: class folders, and Kinetics' lists with what is left of their videos."""

import numpy as np
import pytest

from in21k.train.data.open_data import LAYOUTS, DataRequest, open_data, recognized
from in21k.train.data.open_datasets import kinetics
from in21k.train.data.open_datasets.kinetics import open_kinetics
from in21k.train.data.open_datasets.videos import EXTENSIONS, open_video_folder
from in21k.train.errors import TrainError

HEADING = "label,youtube_id,time_start,time_end,split"


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"video")


def labels_of(data, split):
    reader = data.reader(split)()
    samples = reader.collect(reader.request(np.arange(data.samples(split))))
    return {sample.key: data.hierarchy.wnids[sample.class_index] for sample in samples}


def write_list(path, *rows, heading=HEADING):
    path.write_text("\n".join((heading, *rows)) + "\n")
    return path


def test_class_folders_hold_each_video_once(tmp_path):
    names = [f"train/{label}/{number}{extension}" for label in "ab" for number, extension in enumerate(EXTENSIONS)]
    touch(tmp_path, *names, "val/a/x.MP4", "val/b/deep/er/y.mp4", "train/a/.hidden.mp4", "train/a/notes.txt")
    assert recognized(DataRequest(str(tmp_path))) == "video"
    data = open_data(DataRequest(str(tmp_path)))
    assert labels_of(data, "train") == {name: name[6] for name in names}
    assert labels_of(data, "val") == {"val/a/x.MP4": "a", "val/b/deep/er/y.mp4": "b"}
    assert data.decoding(32).is_video
    (path,) = {str(sample.image) for sample in data.reader("val")().collect([0]) if sample}
    assert path.startswith(str(tmp_path / "val"))


def test_a_share_of_each_class_of_videos_is_held_out(tmp_path):
    touch(tmp_path, *(f"{label}/{number}.mp4" for label in "ab" for number in range(10)))
    data = open_video_folder(tmp_path, 0.2)
    assert (data.images_train.tolist(), data.images_val.tolist()) == ([8, 8], [2, 2])
    with pytest.raises(TrainError, match="no folder of validation videos"):
        open_video_folder(tmp_path)


def test_a_folder_of_images_stays_one_with_a_video_in_it(tmp_path):
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "train/b/1.mp4")
    assert recognized(DataRequest(str(tmp_path))) == "imagefolder"


def test_a_video_that_is_gone_when_it_is_read_is_named(tmp_path):
    touch(tmp_path, "train/a/1.mp4", "train/b/1.mp4", "val/a/1.mp4")
    data = open_video_folder(tmp_path)
    (tmp_path / "val/a/1.mp4").unlink()
    with pytest.raises(TrainError, match=r"val/a/1\.mp4 cannot be read"):
        labels_of(data, "val")


def test_kinetics_lists_find_their_videos_anywhere_below_the_folder(tmp_path):
    train = write_list(tmp_path / "train.csv", "pull ups,-abc_DEF123,5,15,train", "yoga,zzzzzzzzzzz,0,10,train")
    val = write_list(tmp_path / "val.csv", "yoga,yyyyyyyyyyy,100,110,val", '"pull ups",xxxxxxxxxxx,7,17,val')
    touch(tmp_path / "k", "train/-abc_DEF123_000005_000015.mp4", "zzzzzzzzzzz_000000_000010.mkv")
    touch(tmp_path / "k", "val/yoga/yyyyyyyyyyy_000100_000110.mp4")
    request = DataRequest(str(train), images=str(tmp_path / "k"), val=str(val))
    assert recognized(request) == "video"
    data = open_data(request)
    assert labels_of(data, "train") == {
        "train/-abc_DEF123_000005_000015.mp4": "pull ups",
        "zzzzzzzzzzz_000000_000010.mkv": "yoga",
    }
    assert labels_of(data, "val") == {"val/yoga/yyyyyyyyyyy_000100_000110.mp4": "yoga"}
    assert data.missing == ["xxxxxxxxxxx_000007_000017"]


@pytest.mark.parametrize("split", ["val", "validate"])
def test_one_list_with_both_splits_is_enough(tmp_path, split):
    path = write_list(tmp_path / "all.csv", "a,aaa,0,10,train", "b,bbb,0,10,train", f"a,ccc,0,10,{split}")
    touch(tmp_path, *(f"{name}_000000_000010.mp4" for name in ("aaa", "bbb", "ccc")))
    data = open_kinetics(path)
    assert (data.samples("train"), data.samples("val")) == (2, 1)


def test_a_share_of_the_listed_videos_is_held_out(tmp_path):
    path = write_list(tmp_path / "all.csv", *(f"{label},{label}{at},0,10,train" for label in "ab" for at in range(10)))
    touch(tmp_path, *(f"{label}{at}_000000_000010.mp4" for label in "ab" for at in range(10)))
    data = open_kinetics(path, val_share=0.2)
    assert (data.images_train.tolist(), data.images_val.tolist()) == ([8, 8], [2, 2])
    with pytest.raises(TrainError, match="lists no validation videos; list them with --val, or pass --val-share"):
        open_kinetics(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,aaa,0,10,train", "a,aaa,0,10,train"], "lists the video aaa_000000_000010, which is listed before"),
        (["a,../../x,0,10,train"], r"row 2: '../../x', '0' to '10', is no YouTube id"),
        (["a,aaa,0,never,train"], r"row 2: 'aaa', '0' to 'never', is no YouTube id"),
        (["a,aaa,,10,train"], "row 2: a column is empty"),
        (["a,nothere,0,10,train"], "lists 1 training videos, none of which is in .*; give --images"),
        (["a,aaa,0,10,train", "b,bbb,0,10,val"], "gives bbb_000000_000010.mp4 the label 'b', which no training video"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(tmp_path, rows, message):
    touch(tmp_path, "aaa_000000_000010.mp4", "bbb_000000_000010.mp4")
    with pytest.raises(TrainError, match=message):
        open_kinetics(write_list(tmp_path / "a.csv", *rows), val_share=0.5)


def test_too_many_labels_are_called_that(tmp_path, monkeypatch):
    monkeypatch.setattr(kinetics, "MOST_CLASSES", 1)
    touch(tmp_path, "aaa_000000_000010.mp4", "bbb_000000_000010.mp4")
    with pytest.raises(TrainError, match="has 2 labels, over the limit of 1"):
        open_kinetics(write_list(tmp_path / "a.csv", "a,aaa,0,10,train", "b,bbb,0,10,train"), val_share=0.5)


def test_another_csv_is_none_of_kinetics(tmp_path):
    touch(tmp_path, "1.jpg")
    assert recognized(DataRequest(str(write_list(tmp_path / "a.csv", "1.jpg,a", heading="path,label")))) == "csv"
    with pytest.raises(TrainError, match="has no column 'youtube_id'"):
        LAYOUTS["video"].open(DataRequest(str(tmp_path / "a.csv")))
