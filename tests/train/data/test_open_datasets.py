"""Every layout of open datasets, in real files: what is listed, and what is an error."""

import io
import os
import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_coco import write_coco
from small_dataset import jpeg, picture

from in21k.shards_manifest.tar import END, member_bytes
from in21k.train.cli import data_options
from in21k.train.data.interfaces import TrainingData
from in21k.train.data.open_data import AUTO, LAYOUTS, DataRequest, open_data
from in21k.train.data.open_datasets.cifar import open_cifar
from in21k.train.data.open_datasets.coco import open_coco
from in21k.train.data.open_datasets.voc import objects_of, open_voc
from in21k.train.data.open_datasets.webdataset import expand, open_webdataset
from in21k.train.data.partition import EvalPlan
from in21k.train.errors import TrainError
from in21k.train.stream.loader import open_stream
from in21k.train.stream.source import StreamSource
from in21k.tree.errors import TreeError


def images_of(data: TrainingData, split: str = "train", size: int = 32, workers: int = 0):
    """Pixels, label set rows and keys of skipped images, in the order of the split."""
    source = StreamSource(data.reader(split), data.decoding(size))
    batches = list(open_stream(source, EvalPlan(data.samples(split), 64), workers=workers))
    total = data.samples(split)
    return (
        torch.cat([batch.images for batch in batches])[:total],
        torch.cat([batch.labels.class_indices for batch in batches])[:total],
        [key for batch in batches for key in batch.labels.skipped],
    )


def labels_by_key(data: TrainingData, split: str) -> dict[str, set[str]]:
    reader = data.reader(split)()
    samples = reader.collect(range(data.samples(split)))
    reader.close()
    names = data.hierarchy.wnids
    return {sample.key: {names[at] for at in data.label_sets[sample.class_index] if at >= 0} for sample in samples}


# CIFAR ---------------------------------------------------------------------------------------------------------------


class Python2:
    """What Python 2 pickled: its text and arrays, by the opcodes that it wrote in protocol 2."""

    @staticmethod
    def dumps(value: object) -> bytes:
        return b"\x80\x02" + Python2._item(value) + b"."

    @staticmethod
    def _item(value: object) -> bytes:
        if isinstance(value, bytes):
            return b"T" + len(value).to_bytes(4, "little") + value  # BINSTRING
        if isinstance(value, str):
            return Python2._item(value.encode("latin-1"))
        if isinstance(value, int):
            return b"J" + value.to_bytes(4, "little", signed=True)
        if isinstance(value, list):
            return b"](" + b"".join(map(Python2._item, value)) + b"e"
        if isinstance(value, dict):
            return b"}(" + b"".join(Python2._item(k) + Python2._item(v) for k, v in value.items()) + b"u"
        assert isinstance(value, np.ndarray)
        dtype = b"cnumpy\ndtype\n" + b"(" + Python2._item("u1") + b"K\x00K\x01tR"
        dtype += b"(K\x03" + Python2._item("|") + b"NNN" + 2 * Python2._item(-1) + b"K\x00tb"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(K\x00t" + Python2._item("b") + b"tR"
        # _reconstruct(ndarray, (0,), 'b'): the mark of the arguments comes first
        empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + Python2._item("b") + b"tR"
        shape = b"(" + b"".join(map(Python2._item, map(int, value.shape))) + b"t"
        return empty + b"(K\x01" + shape + dtype + b"\x89" + Python2._item(value.tobytes()) + b"tb"


def write_cifar(path: Path, batches: dict[str, bytes], folder: str = "cifar-100-python") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in batches.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def cifar_100(images: int = 30, pickled: Callable[[object], bytes] = Python2.dumps, **changes: object):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (images, 3, 32, 32)).astype(np.uint8)
    labels = [number % 4 for number in range(images)]
    names = {"fine_label_names": ["ant", "bee", "cow", "dog"], "coarse_label_names": ["animal"]}
    batch = {"data": pixels.reshape(images, -1), "fine_labels": labels, "coarse_labels": [0] * images, **changes}
    return pixels, labels, {"meta": pickled(names), "test": pickled(batch), "train": pickled(batch)}


@pytest.mark.parametrize("pickled", [Python2.dumps, lambda value: pickle.dumps(value, 2)], ids=["python2", "python3"])
def test_cifar_100_has_every_pixel_and_fine_label(tmp_path, pickled):
    pixels, labels, batches = cifar_100(pickled=pickled)
    data = open_data(DataRequest(str(write_cifar(tmp_path / "cifar-100-python.tar.gz", batches))))
    assert data.hierarchy.wnids == ("ant", "bee", "cow", "dog")
    found, ids, skipped = images_of(data)
    order = data.splits["train"].order
    np.testing.assert_array_equal(found.numpy(), pixels[order])
    assert ids.tolist() == np.array(labels)[order].tolist()
    assert skipped == []
    larger, _, _ = images_of(data, size=48, workers=2)
    assert larger.shape == (30, 3, 48, 48)


def test_cifar_10_joins_its_batches_and_may_be_unpacked(tmp_path):
    random = np.random.default_rng(1)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    for name in names:
        pixels = random.integers(0, 256, (4, 3072)).astype(np.uint8)
        (folder / name).write_bytes(Python2.dumps({"data": pixels, "labels": [0, 1, 1, 0]}))
    (folder / "batches.meta").write_bytes(Python2.dumps({"label_names": ["airplane", "bird"], "num_vis": 3072}))
    data = open_data(DataRequest(str(tmp_path)))
    assert (data.samples("train"), data.samples("val")) == (20, 4)
    assert data.images_train.tolist() == [10, 10]


class Bomb:
    def __reduce__(self):
        return os.system, ("touch /tmp/in21k-was-here",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b | {"train": pickle.dumps(Bomb(), 2)}, r"train contains (posix|nt)\.system; only containers"),
        (lambda b: b | {"train": b"\x80\x02garbage"}, "train is not a pickle, or is damaged"),
        (lambda b: {name: content for name, content in b.items() if name != "test"}, "has no test; copy it again"),
        (lambda b: {"readme": b""}, "has neither meta nor batches.meta"),
        (
            lambda b: b | {"train": cifar_100(fine_labels=[9] * 30)[2]["train"]},
            "train is not a batch of 32 × 32 images",
        ),
        (
            lambda b: b | {"train": cifar_100(data=np.zeros((30, 10), np.uint8))[2]["train"]},
            "train is not a batch of 32",
        ),
        (lambda b: b | {"train": Python2.dumps([1, 2])}, "train has no data"),
    ],
)
def test_archives_that_are_not_cifar_are_errors_and_run_nothing(tmp_path, change, message):
    path = write_cifar(tmp_path / "cifar-100-python.tar.gz", change(cifar_100()[2]))
    with pytest.raises((TrainError, TreeError), match=message):
        open_cifar(path)
    assert not Path("/tmp/in21k-was-here").exists()


def test_a_cut_archive_is_one_error(tmp_path):
    path = write_cifar(tmp_path / "cifar-100-python.tar.gz", cifar_100()[2])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(TrainError, match="cannot be read"):
        open_cifar(path)


# COCO ----------------------------------------------------------------------------------------------------------------


def test_coco_gives_each_image_the_set_of_its_categories(tmp_path):
    data = open_data(DataRequest(str(write_coco(tmp_path))))
    assert not data.is_single_label
    assert data.hierarchy.wnids == ("person", "cow", "toothbrush")
    expected = [set(), {"person"}, {"cow"}, {"person", "cow"}]
    for split, count in (("train", 12), ("val", 8)):
        found = labels_by_key(data, split)
        assert found == {f"{split}2017/{number:03d}.jpg": expected[number % 4] for number in range(count)}
    assert data.images_train.tolist() == [6, 6, 0]
    assert images_of(data)[2] == []


def test_coco_without_validation_holds_out_a_share(tmp_path):
    root = write_coco(tmp_path)
    (root / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(TrainError, match=r"has no instances_val\*\.json; give the file .* or a --val-share"):
        open_coco(root)
    data = open_coco(root, val_share=0.25)
    assert (data.samples("train"), data.samples("val")) == (9, 3)
    assert not labels_by_key(data, "train").keys() & labels_by_key(data, "val").keys()


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "a/../../b.jpg", "", 5, "a\\..\\b.jpg", "a\0b"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    root = write_coco(tmp_path, images=[{"id": 1, "file_name": name}], annotations=[])
    with pytest.raises(TrainError, match=r"instances_train2017\.json names the image"):
        open_coco(root)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"image_id": 5, "category_id": 1}]}, "5 is missing, or an annotation refers to it"),
        ({"annotations": [{"image_id": 100, "category_id": 5}]}, "has the category 5, which nothing lists"),
        (
            {"images": [{"id": 1, "file_name": "none.jpg"}], "annotations": []},
            "lists 1 image not to be found in .*train2017, such as none.jpg",
        ),
        ({"images": []}, "is missing, or an annotation refers to it"),
        ({"categories": 3}, "is not a COCO annotation file"),
        ({"annotations": [[]]}, "is not a COCO annotation file"),
    ],
)
def test_inconsistent_annotations_are_errors(tmp_path, changes, message):
    with pytest.raises(TrainError, match=message):
        open_coco(write_coco(tmp_path, **changes))


# VOC -----------------------------------------------------------------------------------------------------------------


def voc_xml(*names: str, extra: str = "") -> str:
    objects = "".join(
        f"<object><name>{name}</name><difficult>{at % 2}</difficult><part><name>head</name></part></object>"
        for at, name in enumerate(names)
    )
    return (
        f"<annotation><filename>../../etc/passwd</filename><owner><name>me</name></owner>{objects}{extra}</annotation>"
    )


def write_voc(root: Path, lists: dict[str, list[str]], objects: dict[str, tuple[str, ...]]) -> Path:
    for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (root / folder).mkdir(parents=True)
    for name, members in lists.items():
        (root / "ImageSets/Main" / f"{name}.txt").write_text("".join(f"{member}\n" for member in members))
    for number, (name, found) in enumerate(objects.items()):
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(*found))
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(jpeg(number, number))
    return root


OBJECTS = {"000001": ("dog", "person"), "000002": ("cat",), "000003": (), "000004": ("dog", "dog", "cat")}


def test_voc_2007_trains_on_trainval_and_validates_on_test(tmp_path):
    lists = {"trainval": ["000001", "000002", "000003"], "train": ["000001"], "val": ["000002"], "test": ["000004"]}
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", lists, OBJECTS)
    data = open_data(DataRequest(str(tmp_path)))
    assert data.hierarchy.wnids == ("cat", "dog", "person")
    expected = {name: set(found) for name, found in OBJECTS.items()}
    assert labels_by_key(data, "train") == {name: expected[name] for name in lists["trainval"]}
    assert labels_by_key(data, "val") == {"000004": {"dog", "cat"}}
    assert images_of(data)[2] == []


def test_voc_2012_whose_test_annotations_are_secret_validates_on_val(tmp_path):
    lists = {"trainval": ["000001"], "train": ["000001 1"], "val": ["000002"], "test": ["999999"]}
    data = open_voc(write_voc(tmp_path, lists, OBJECTS))
    assert labels_by_key(data, "val") == {"000002": {"cat"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "declares a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "declares a document type"),
        ("<annotation><object>", "cannot be read: no element found"),
    ],
)
def test_xml_expands_nothing(tmp_path, content, message):
    path = tmp_path / "a.xml"
    path.write_text(content)
    with pytest.raises(TrainError, match=message):
        objects_of(path)


def test_lists_that_leave_the_folder_are_refused(tmp_path):
    root = write_voc(tmp_path, {"train": ["../../000001"], "val": ["000002"]}, OBJECTS)
    with pytest.raises(TrainError, match=r"train\.txt names the image"):
        open_voc(root)


# WebDataset ----------------------------------------------------------------------------------------------------------


def write_tar(path: Path, members: list[tuple[str, bytes]], end: bytes = END) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(member_bytes(*member) for member in members) + end)
    return path


def samples(start: int, count: int, extension: str = "jpg") -> list[tuple[str, bytes]]:
    return [
        member
        for number in range(start, start + count)
        for member in (
            (f"{number:04d}.{extension}", jpeg(number % 3, number)),
            (f"{number:04d}.cls", f"{number % 3}\n".encode()),
            (f"{number:04d}.json", b"{}"),
        )
    ]


def test_other_peoples_tars_are_read_in_place(tmp_path):
    for shard in range(3):
        write_tar(tmp_path / f"a-train-{shard:02d}.tar", samples(shard * 5, 5, "JPG" if shard else "jpeg"))
    write_tar(tmp_path / "a-val-00.tar", samples(100, 4))
    folder = open_data(DataRequest(str(tmp_path)))
    pattern = open_webdataset(f"{tmp_path}/a-train-{{00..02}}.tar", f"{tmp_path}/a-val-*.tar")
    for data in (folder, pattern):
        assert (data.samples("train"), data.samples("val")) == (15, 4)
        pixels, ids, skipped = images_of(data, workers=2)
        assert skipped == []
        for row, image, label in zip(data.splits["train"].order.tolist(), pixels, ids.tolist(), strict=True):
            assert label == row % 3
            expected = np.asarray(picture(row % 3, row)).transpose(2, 0, 1).astype(int)
            assert np.abs(image.numpy() - expected).mean() < 12  # a JPEG of it
    assert folder.digest == pattern.digest


@pytest.mark.parametrize(
    ("members", "end", "message"),
    [
        ([("1.jpg", b"x")], END, "the sample 1 has jpg, not one image"),
        ([("1.cls", b"0")], END, "the sample 1 has cls, not one image"),
        ([("1.jpg", b"x"), ("1.png", b"x"), ("1.cls", b"0")], END, "the sample 1 has cls, jpg, png"),
        ([("1.jpg", b"x"), ("1.cls", b"dog")], END, "the label of 1 is b'dog', not a number"),
        ([("1.jpg", b"x"), ("1.cls", b"-1")], END, "not a number from 0"),
        ([("1.jpg", b"x"), ("1.jpg", b"x")], END, "two members named 1.jpg"),
        ([("1.jpg", b"x"), ("1.cls", b"0")], b"", "end-of-archive mark is missing"),
        ([], END, "contain no samples"),
    ],
)
def test_tars_without_an_image_and_a_label_per_sample_are_errors(tmp_path, members, end, message):
    write_tar(tmp_path / "train.tar", members, end)
    write_tar(tmp_path / "val.tar", samples(0, 3))
    with pytest.raises(TrainError, match=message):
        open_webdataset(str(tmp_path))


def test_validation_tars_must_exist_and_differ_from_the_training_tars(tmp_path):
    path = str(write_tar(tmp_path / "x.tar", samples(0, 3)))
    with pytest.raises(TrainError, match="pass --val PATTERN"):
        open_webdataset(path)
    with pytest.raises(TrainError, match="would be both trained on and validated on"):
        open_webdataset(path, path)
    with pytest.raises(TrainError, match="braces are not balanced"):
        expand("a-{0..3.tar")


def test_a_tar_that_shrinks_ends_the_run(tmp_path):
    write_tar(tmp_path / "train.tar", samples(0, 3))
    write_tar(tmp_path / "val.tar", samples(0, 3))
    data = open_webdataset(str(tmp_path))
    os.truncate(tmp_path / "train.tar", 600)
    with pytest.raises(TrainError, match=r"train\.tar has become shorter"):
        images_of(data)


def test_a_path_of_unknown_layout_is_one_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no images")
    with pytest.raises(TrainError, match=re.escape(f"has none of the known layouts ({', '.join(LAYOUTS)})")):
        open_data(DataRequest(str(tmp_path)))


def test_a_missing_path_is_reported_as_missing(tmp_path):
    with pytest.raises(TrainError, match="nowhere: there is no such file or folder"):
        open_data(DataRequest(str(tmp_path / "nowhere")))


def test_the_command_offers_every_layout():
    assert set(data_options.LAYOUTS) == {AUTO, *LAYOUTS}
