"""The prepared dataset read by other libraries: every sample once, with its label.

They are imported where they are used: each takes a second or more.
"""

import io
import json
import socket
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from in21k.shards_manifest.sample_table import SampleTable
from in21k.shards_manifest.storage.location import locate

pytestmark = pytest.mark.filterwarnings("ignore")  # the readers' own


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Refuse every connection but to processes of this machine: a prepared dataset needs nothing from elsewhere."""
    asked, connect = [], socket.socket.connect

    def refuse(*address, **_):
        asked.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(
        socket.socket, "connect", lambda self, to: connect(self, to) if self.family == socket.AF_UNIX else refuse(to)
    )
    yield
    assert not asked


@pytest.fixture
def hugging_face(monkeypatch):
    """Their `datasets`, offline: otherwise each load is counted by a server of theirs."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return datasets


def samples(dataset, split):
    """Return (label, image bytes) by key of a split, through tarfile."""
    found = {}
    for shard in dataset.manifest.splits[split]:
        with tarfile.open(dataset.out / shard.path) as tar:
            contents = {member.name: tar.extractfile(member).read() for member in tar}
        for name, content in contents.items():
            if name.endswith(".jpg"):
                key = name.removesuffix(".jpg")
                assert key not in found
                found[key] = int(contents[f"{key}.cls"]), content
    assert len(found) == sum(shard.samples for shard in dataset.manifest.splits[split])
    return found


def labels(dataset, split):
    return Counter(label for label, _ in samples(dataset, split).values())


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("workers", [0, 1])
def test_timm(dataset, split, workers):
    from timm import data

    read = data.create_dataset("wds/in21k", root=str(dataset.out), split=split, batch_size=4, is_training=False)
    assert len(read) == len(samples(dataset, split))
    loader = data.create_loader(
        read, input_size=(3, 16, 16), batch_size=4, is_training=False, use_prefetcher=False, num_workers=workers
    )
    batches = list(loader)
    assert all(images.shape[1:] == (3, 16, 16) for images, _ in batches)
    assert Counter(int(label) for _, batch in batches for label in batch) == labels(dataset, split)


@pytest.mark.parametrize("split", ["train", "val"])
def test_webdataset(dataset, split):
    import webdataset

    urls = [str(dataset.out / shard.path) for shard in dataset.manifest.splits[split]]
    read = webdataset.WebDataset(urls, shardshuffle=False)
    assert {sample["__key__"]: (int(sample["cls"]), sample["jpg"]) for sample in read} == samples(dataset, split)
    decoded = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("jpg", "cls"))
    assert Counter(label for _, label in decoded) == labels(dataset, split)
    assert {image.shape for image, _ in decoded} == {(16, 16, 3)}


@pytest.mark.parametrize("split", ["train", "val"])
def test_wids(dataset, split, tmp_path):
    import wids

    read = wids.ShardListDataset(str(dataset.out / f"{split}-wids.json"), cache_dir=str(tmp_path / "cache"), keep=True)
    expected = samples(dataset, split)
    assert len(read) == len(expected)
    found = {
        sample["__key__"]: (sample[".cls"], pixels_of(sample[".jpg"]))
        for sample in map(read.__getitem__, range(len(read)))
    }
    assert found.keys() == expected.keys()
    for key, (label, image) in expected.items():
        assert int(found[key][0]) == label
        assert np.array_equal(found[key][1], pixels(image))


def pixels_of(image):
    return np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else pixels(bytes(image.read()))


def test_wids_compares_md5(dataset, tmp_path):
    from wids.wids import IndexedTarSamples

    for shard in json.loads((dataset.out / "train-wids.json").read_bytes())["shardlist"]:
        path = dataset.out / shard["url"]
        assert path.stat().st_size == shard["filesize"]
        assert len(IndexedTarSamples(path=path, md5sum=shard["md5sum"], expected_size=shard["nsamples"])) > 0


@pytest.mark.parametrize(("split", "theirs"), [("train", "train"), ("val", "validation")])
def test_hugging_face_through_the_card(hugging_face, dataset, split, theirs, tmp_path):
    read = hugging_face.load_dataset(str(dataset.out), split=theirs, streaming=True, cache_dir=str(tmp_path))
    expected = samples(dataset, split)
    found = {sample["__key__"].rpartition("/")[2]: sample for sample in read}
    assert found.keys() == expected.keys()
    for key, (label, image) in expected.items():
        assert int(found[key]["cls"]) == label
        assert np.array_equal(np.asarray(found[key]["jpg"].convert("RGB")), pixels(image))


def test_hugging_face_webdataset(hugging_face, dataset, tmp_path):
    files = {"train": [str(dataset.out / shard.path) for shard in dataset.manifest.splits["train"]]}
    read = hugging_face.load_dataset(
        "webdataset", data_files=files, split="train", streaming=True, cache_dir=str(tmp_path)
    )
    assert Counter(int(sample["cls"]) for sample in read) == labels(dataset, "train")


def indexes(dataset, split):
    return [(dataset.out / shard.path).with_suffix(".idx") for shard in dataset.manifest.splits[split]]


@pytest.mark.parametrize("split", ["train", "val"])
def test_dali_indexes_follow_the_documented_format(dataset, split):
    found = {}
    for shard, index in zip(dataset.manifest.splits[split], indexes(dataset, split), strict=True):
        content = (dataset.out / shard.path).read_bytes()
        head, *lines = index.read_text(encoding="ascii").splitlines()
        assert head == f"v1.2 {shard.samples}"
        for line in lines:
            fields = line.split(" ")
            groups = [fields[at : at + 4] for at in range(0, len(fields), 4)]
            assert [extension for extension, *_ in groups] == ["jpg", "cls"]
            image, label = (content[int(offset) : int(offset) + int(size)] for _, offset, size, _ in groups)
            found[groups[0][3].removesuffix(".jpg")] = int(label), image
    assert found == samples(dataset, split)


@pytest.mark.parametrize("split", ["train", "val"])
def test_dali(dataset, split):
    dali = pytest.importorskip("nvidia.dali")
    expected = samples(dataset, split)

    @dali.pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def pipeline():
        return tuple(
            dali.fn.readers.webdataset(
                paths=[str(dataset.out / shard.path) for shard in dataset.manifest.splits[split]],
                index_paths=list(map(str, indexes(dataset, split))),
                ext=["jpg", "cls"],
                missing_component_behavior="error",
                name="reader",
            )
        )

    run = pipeline()
    run.build()
    assert run.epoch_size("reader") == len(expected)
    found = [[bytes(np.asarray(output.at(0))) for output in run.run()] for _ in expected]
    assert sorted((int(label), image) for image, label in found) == sorted(expected.values())


def test_torchdata_stateful_loader_resumes_where_it_stopped(dataset, tmp_path):
    import wids
    from torchdata import stateful_dataloader as stateful

    read = wids.ShardListDataset(str(dataset.out / "train-wids.json"), cache_dir=str(tmp_path), keep=True)
    loader = stateful.StatefulDataLoader(read, batch_size=3, num_workers=0, collate_fn=list)
    steps = iter(loader)
    first = [sample["__key__"] for _ in range(4) for sample in next(steps)]
    state = loader.state_dict()
    again = stateful.StatefulDataLoader(read, batch_size=3, num_workers=0, collate_fn=list)
    again.load_state_dict(state)
    rest = [sample["__key__"] for batch in again for sample in batch]
    assert sorted(first + rest) == sorted(samples(dataset, "train"))


def test_open_clip_sizes(dataset):
    for split, shards in dataset.manifest.splits.items():
        sizes = json.loads((dataset.out / split / "sizes.json").read_bytes())
        assert sizes == {shard.path.rpartition("/")[2]: shard.samples for shard in shards}


def test_class_lists_are_in_order_of_class_index(dataset):
    wnids = (dataset.out / "synsets.txt").read_text(encoding="ascii").split()
    names = (dataset.out / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert (len(wnids), len(names)) == (dataset.manifest.classes, dataset.manifest.classes)
    assert dict(zip(wnids, names, strict=True))["n02084071"] == "dog"
    table = SampleTable(locate(dataset.out), dataset.manifest)
    for split, shards in dataset.manifest.splits.items():
        for number in range(len(shards)):
            rows = table.rows(split, number).to_pylist()
            assert all(row["key"].startswith(f"{wnids[row['class_index']]}_") for row in rows)
