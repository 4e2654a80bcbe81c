"""The reader of a prepared dataset's shards: what it opens and closes, and how it parses a sample."""

import os
from pathlib import Path

import numpy as np
import pytest
from small_dataset import write_dataset
from streams import remote_source, source_of

from in21k.shards_manifest.tar import TarError, member_bytes
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.data.prepared.parse import ForeignSampleError, parse_sample
from in21k.train.data.prepared.reader import ShardReader
from in21k.train.errors import TrainError


def open_shards() -> int:
    """Return how many shards this process has open."""
    links = (path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return sum(link.suffix == ".tar" for link in links)


@pytest.mark.parametrize("source", [source_of, remote_source])
def test_a_reader_closes_what_it_opened(dataset_folder, source):
    readers = source(dataset_folder).open_reader
    before = open_shards()
    reader = readers()
    reader.read(np.arange(93))
    assert open_shards() == before + 5
    reader.close()
    assert open_shards() == before


def test_no_more_shards_are_open_than_allowed(dataset_folder):
    readers = source_of(dataset_folder).open_reader
    before = open_shards()
    reader = ShardReader(readers.location, readers.manifest, "train", open_shards=2)
    for number in range(93):
        reader.read(np.array([number]))
        assert open_shards() <= before + 2
    reader.close()


def test_consecutive_samples_of_a_shard_are_one_request_and_others_are_their_own(dataset_folder):
    lengths = open_dataset(dataset_folder).shard_lengths("train")
    reader = source_of(dataset_folder).open_reader()
    assert [request.count for request in reader.request(np.arange(93))] == list(lengths)
    assert [request.count for request in reader.request(np.array([0, 2, 4, 5, 3]))] == [1, 1, 2, 1]
    keys = [sample.key for sample in reader.read(np.arange(93))]
    for numbers in ([0, 2, 4, 6], [5, 4, 3], [7, 7], [92, 0]):
        assert [sample.key for sample in reader.read(np.array(numbers))] == [keys[number] for number in numbers]
    reader.close()


def test_a_shard_that_is_cut_while_it_is_open_is_named(tmp_path):
    folder = write_dataset(tmp_path)
    reader = source_of(folder).open_reader()
    reader.read(np.array([0]))
    shard = folder / "train/in21k-train-000000.tar"
    os.truncate(shard, shard.stat().st_size - 1024 - 7)
    last = open_dataset(folder).shard_lengths("train")[0] - 1
    with pytest.raises(TrainError, match=r"in21k-train-000000\.tar ends 7 bytes before the end of a sample; copy it"):
        reader.read(np.array([last]))
    reader.close()


def sample(image=("a.jpg", b"image"), label=("a.cls", b"12")) -> bytearray:
    return bytearray(member_bytes(*image) + member_bytes(*label))


def test_a_sample_is_its_image_its_label_and_their_key():
    parsed = parse_sample(memoryview(sample()), ".jpg")
    assert (parsed.key, bytes(parsed.image), parsed.class_index) == ("a", b"image", 12)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        (("a.jpg", b"1"), ("b.cls", b"1")),
        (("b.jpg", b"1"), ("a.cls", b"1")),
        (("a.jpg", b"1"), ("a.clt", b"1")),
        (("a.jpg", b"1"), ("a.cl", b"1")),
        (("a.png", b"1"), ("a.cls", b"1")),
        (("a.cls", b"1"), ("a.jpg", b"1")),
    ],
)
def test_other_members_than_an_image_and_its_label_are_named(image, label):
    with pytest.raises(ForeignSampleError, match=f"its members are {image[0]}, {label[0]}, not an image and its label"):
        parse_sample(memoryview(sample(image, label)), ".jpg")


@pytest.mark.parametrize("at", [0, 124, 148, 156, 257, 1024, 1148, 1172, 1180])
def test_any_damage_of_a_header_is_damage_of_the_tar(at):
    data = sample()
    data[at] ^= 0x15
    with pytest.raises(TarError):
        parse_sample(memoryview(data), ".jpg")


@pytest.mark.parametrize("content", [b"dog", b"", b"1 2", b"\xff", b"1.5", b"-"])
def test_a_label_that_is_no_number_is_an_error(content):
    with pytest.raises(ValueError, match=r"its label is b.*, not a number"):
        parse_sample(memoryview(sample(label=("a.cls", content))), ".jpg")
