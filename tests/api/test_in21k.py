"""`import in21k`: cheap, typed, and all that README and docs say it gives."""

import json
import pickle
import re
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
from commands import digests
from small_dataset import WNIDS, jpeg, write_dataset
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

import in21k
from in21k.shards_manifest.errors import DatasetError
from in21k.train.data.partition import TrainPlan
from in21k.train.errors import TrainError
from in21k.train.images.decode_wild import read_pixels
from in21k.tree.errors import TreeError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def data(folder):
    return in21k.open(folder)


def python(*lines: str) -> str:
    run = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_the_import_brings_nothing_heavy():
    out = python(
        "import sys",
        "import in21k",
        "import json",
        "print(json.dumps(sorted(sys.modules)))",
    )
    modules = json.loads(out)
    heavy = {"torch", "pandas", "pyarrow", "numpy", "PIL", "timm", "nltk", "click", "importlib.metadata"}
    assert not heavy & set(modules)
    assert {name for name in modules if name.startswith("in21k")} == {"in21k"}


def test_a_dataset_opens_without_torch(folder):
    out = python(
        "import in21k, sys",
        f"data = in21k.open({str(folder)!r})",
        "print(len(data), data.hierarchy.index('dog'), data.samples('val').num_rows)",
        "key = data.samples('val')['key'][0].as_py()",
        "print(data.image(key).size)",
        "print(sorted({'torch', 'timm', 'cv2'} & set(sys.modules)))",
    )
    assert out.splitlines() == [f"110 {WNIDS.index('n02084071')} 17", "(32, 32)", "[]"]


def test_the_package_says_its_version_its_names_and_what_it_lacks():
    assert in21k.__version__ == version("in21k")
    assert set(in21k.__all__) <= set(dir(in21k))
    assert {name for name in in21k.__all__ if getattr(in21k, name) is None} == set()
    with pytest.raises(AttributeError, match="has no attribute 'opne'"):
        _ = in21k.opne


def test_every_image_is_read_by_its_key(data):
    for row in data.samples().to_pylist()[::7]:
        content = data.image_bytes(row["key"])
        assert len(content) == row["image_bytes"]
        assert np.array_equal(np.asarray(data.image(row["key"])), read_pixels(content))


def test_an_image_is_that_of_its_sample(data):
    first = data.samples("train").slice(0, 1).to_pylist()[0]
    assert data.image_bytes(first["key"]) == jpeg(first["class_index"], 0)


@pytest.mark.parametrize("key", ["n02084071_train9999", "", "../x"])
def test_an_unknown_key_is_one_line(data, key):
    with pytest.raises(KeyError) as refused:
        data.image(key)
    assert isinstance(refused.value, DatasetError)
    assert re.fullmatch(r"\S+: no sample has the key '\S*'; see samples\(\)\['key'\]", str(refused.value))


def test_a_split_has_its_own_rows_alone(data):
    whole = data.samples()
    assert data.samples("val") == whole.slice(93)
    assert data.samples("train") == whole.slice(0, 93)
    with pytest.raises(ValueError, match="no split 'test'; it has train and val"):
        data.samples("test")


def test_a_dataset_is_opened_anew_where_it_is_sent_to(data):
    key = data.samples("val")["key"][3].as_py()
    expected = data.image_bytes(key)
    sent = pickle.dumps(data)
    assert len(sent) < 1000
    assert pickle.loads(sent).image_bytes(key) == expected


def test_workers_of_a_data_loader_read_images(data):
    loader = DataLoader(Images(data), batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert [image.shape for image in loader] == [(3, 32, 32)] * 3


class Images(Dataset):
    """Someone's own data set over ours."""

    def __init__(self, data):
        self.data, self.keys = data, data.samples("val")["key"].to_pylist()[:3]

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, at):
        return v2.functional.pil_to_tensor(self.data.image(self.keys[at]))


def test_whatever_is_printed_is_one_line(data):
    stream = data.stream(batch_size=16, epochs=2)
    batch = next(iter(stream))
    assert repr(data.manifest) == "Manifest(10 classes, 93 train samples in 5 shards, 17 val samples in 2 shards)"
    assert repr(stream) == "Stream(10 steps of 2 epochs, at step 1, rank 0 of 1)"
    assert repr(data.stream("val", batch_size=16)) == "Stream(2 steps, at step 0, rank 0 of 1)"
    assert repr(batch) == "Batch(images uint8 [16, 3, 32, 32], 16 of them valid, epoch 0 from position 0)"


@pytest.mark.parametrize(
    ("given", "error", "line"),
    [
        ("dgo", KeyError, "no class has the wnid or name 'dgo'; the nearest are 'dog'"),
        ("n02084072", KeyError, "the nearest are 'n02084071'"),
        (10, IndexError, "class indices must be in the range 0 to 9"),
        (-1, IndexError, "-1 in place of a parent says that a root has none"),
    ],
)
def test_a_mistaken_class_is_one_line_with_the_nearest(data, given, error, line):
    for ask in (data.hierarchy.path, lambda each: data.hierarchy.tree_distance(each, "cat")):
        with pytest.raises(error) as refused:
            ask(given)
        assert isinstance(refused.value, TreeError)
        assert line in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_changed_shard_gives_an_error_and_no_other_image(tmp_path):
    out = write_dataset(tmp_path / "out")
    data = in21k.open(out)
    keys = data.samples("val")["key"].to_pylist()
    shard = out / "val" / "in21k-val-000000.tar"
    shard.write_bytes(shard.read_bytes().replace(keys[0].encode(), keys[0].encode().replace(b"val", b"lav")))
    with pytest.raises(DatasetError, match=r"in21k-val-000000\.tar"):
        data.image(keys[0])


def test_a_stream_is_the_loaders_and_goes_on_from_its_position(data):
    whole = [batch.images.clone() for batch in data.stream(batch_size=16, epochs=2, seed=3)]
    stream = data.stream(batch_size=16, epochs=2, seed=3)
    assert isinstance(stream.plan, TrainPlan)
    assert (stream.steps_per_epoch, len(stream), stream.position) == (5, 10, 0)
    for _, batch in zip(range(4), stream, strict=False):
        first = batch.images.clone()
    assert stream.position == 4
    assert torch.equal(first, whole[3])
    rest = data.stream(batch_size=8, epochs=2, seed=3, rank=1, world_size=2, start_step=stream.position, workers=2)
    assert len(rest) == 6
    assert all(torch.equal(mine.images, both[8:]) for mine, both in zip(rest, whole[4:], strict=True))


def test_the_val_split_is_seen_once(data):
    valid = [int(batch.labels.valid.sum()) for batch in data.stream("val", batch_size=8)]
    assert valid == [8, 8, 1]


def test_our_augmentation_changes_images_and_follows_from_the_seed(data):
    plain, one, same, other = (
        next(iter(data.stream(batch_size=16, **options))).images
        for options in ({}, {"augment": True}, {"augment": True}, {"augment": True, "seed": 1})
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, plain)
    assert not torch.equal(one, other)


RANDOM_CROPS = v2.Compose([v2.RandomResizedCrop(24), v2.RandomHorizontalFlip(), v2.ToImage()])


def noisy(image):
    """All three kinds of random numbers, in a function of a module."""
    import random

    return torch.rand(2) + random.random() + float(np.random.rand())


@pytest.mark.parametrize("transform", [RANDOM_CROPS, noisy])
def test_a_transform_of_ones_own_gives_the_same_in_any_process_and_leaves_random_numbers_alone(data, transform):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    runs = [
        [batch.images for batch in data.stream(batch_size=16, transform=transform, workers=workers)]
        for workers in (0, 2)
    ]
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))
    labels = [next(iter(data.stream(batch_size=16, **options))).labels for options in ({}, {"transform": transform})]
    assert torch.equal(labels[0].class_indices, labels[1].class_indices)
    assert not torch.equal(runs[0][0][0], runs[0][0][1])
    other_seed = next(iter(data.stream(batch_size=16, transform=transform, seed=9))).images
    assert not torch.equal(runs[0][0], other_seed)


def test_an_image_that_does_not_decode_is_named_under_a_transform_too(tmp_path):
    out = write_dataset(tmp_path / "out", replace=lambda split, number, sample: sample if number else broken(sample))
    batch = next(iter(in21k.open(out).stream("val", batch_size=4, transform=v2.ToImage())))
    assert batch.labels.valid.tolist() == [False, True, True, True]
    assert len(batch.labels.skipped) == len(batch.labels.faults) == 1
    assert not batch.images[0].any()


def broken(sample):
    import dataclasses

    return dataclasses.replace(sample, image=b"no image at all")


def as_list(image):
    return [1, 2]


def of_any_shape(image):
    return torch.zeros(int(np.random.randint(1, 100)))


@pytest.mark.parametrize(
    ("split", "options", "line"),
    [
        ("test", {}, "no split 'test'; it has train and val"),
        ("train", {"batch_size": 0}, "a batch size of 0 is not possible"),
        ("train", {"batch_size": 94}, "more than the 93 training samples"),
        ("train", {"worker": 2}, "a stream has no option 'worker'; did you mean workers"),
        ("train", {"rank": 2, "world_size": 2}, "rank 2 is not one of 2"),
        ("train", {"augment": True, "transform": noisy}, "not both"),
        ("val", {"augment": True}, "not augmented"),
        ("val", {"epochs": 2}, "passed over once"),
        ("train", {"cache": "here", "cache_size": "big"}, "invalid size 'big'"),
        ("train", {"transform": as_list}, "the transform gave list"),
        ("train", {"transform": of_any_shape}, "the transform gave shapes"),
    ],
)
def test_what_a_stream_cannot_do_is_one_line(data, split, options, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DatasetError, TrainError), match=line) as refused:
        next(iter(data.stream(split, **({"batch_size": 16} | options))))
    assert "\n" not in str(refused.value)


def test_what_is_wrong_with_a_stream_is_a_type_error_or_a_value_error(data):
    with pytest.raises(TypeError, match="did you mean workers"):
        data.stream(batch_size=16, worker=2)
    for options in ({"batch_size": 0}, {"batch_size": 16, "rank": 1}):
        with pytest.raises(ValueError, match="is not"):
            data.stream(**options)


def test_help_and_dir_list_what_is_installed():
    out = python("import sys; sys.modules['torch'] = None", "import in21k", "help(in21k)", "print(dir(in21k))")
    assert "open = open_dataset(path" in out
    assert "Model" not in out.splitlines()[-1]
    assert "open" in out.splitlines()[-1]


def test_nothing_is_written_into_a_dataset(tmp_path):
    out = write_dataset(tmp_path / "out")
    before = digests(out)
    data = in21k.open(out)
    _ = data.classes, data.hierarchy, data.image(data.samples()["key"][0].as_py()), list(data.stream(batch_size=32))
    assert digests(out) == before
