import json
import shutil

import pytest
from click.testing import CliRunner
from commands import call
from damage import change_samples, change_shard, change_table, reseal
from dumps import PIPELINE

from in21k.prep.cli.main import main
from in21k.prep.dataset.compare import compare_datasets
from in21k.prep.executor import Workers
from in21k.shards_manifest.manifest import HIERARCHY
from in21k.shards_manifest.storage.location import locate

TRAIN = "train/in21k-train-000000.tar"


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset.out, tmp_path / "copy")


def compare(one, other):
    return compare_datasets(locate(one), locate(other), Workers(2))


def test_a_copy_is_the_same(dataset, copy):
    images = sum(shard.samples for shards in dataset.manifest.splits.values() for shard in shards)
    summary = call("compare", dataset.out, copy)
    assert summary == {"same": True, "images": [images, images], "common": images, "differences": [], "notes": []}


def test_other_shards_of_the_same_images_are_the_same(dataset, tmp_path):
    call("shard", dataset.work, tmp_path / "out", "--samples-per-shard", 11)
    found = compare(dataset.out, tmp_path / "out")
    assert found.differences == ()
    assert "shard, samples_per_shard: 7 and 11" in found.notes
    assert found.notes[-1].startswith("shards: ")


def test_other_bytes_are_counted_and_named(dataset, copy):
    def brighten(old):
        return [(name, data[:-3] + b"\0" + data[-2:] if name.endswith(".jpg") else data) for name, data in old]

    change_shard(TRAIN, lambda old: [*brighten(old[:4]), *old[4:]])(copy)
    (found,) = compare(dataset.out, copy).differences
    assert (found.what, found.count) == ("images with other bytes", 2)
    assert len(found.examples) == 2


def test_images_on_one_side_only(dataset, copy):
    names = {}

    def rename(columns):
        names["old"], columns["key"][0] = columns["key"][0], "n00015388_new"

    change_samples(rename)(copy)
    (copy / TRAIN).write_bytes((copy / TRAIN).read_bytes()[:-512] + b"x" * 512)  # so that the shard is read
    reseal(copy)
    one, other = compare(dataset.out, copy).differences
    assert (one.what, one.count, one.examples) == ("images only in the first", 1, (names["old"],))
    assert (other.what, other.count, other.examples) == ("images only in the second", 1, ("n00015388_new",))


def test_another_split_is_named(dataset, tmp_path):
    call("run", dataset.raw, tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1, "--order", "hash")
    found = compare(dataset.out, tmp_path / "out")
    assert [difference.what for difference in found.differences] == ["images in another split"]
    assert "split, order: name and hash" in found.notes


def test_classes_are_compared_by_wnid(dataset, copy):
    def swap(columns):
        columns["wnid"][0], columns["wnid"][1] = columns["wnid"][1], columns["wnid"][0]

    change_table(copy, HIERARCHY, swap)
    (found,) = compare(dataset.out, copy).differences
    assert (found.what, found.count) == ("images of another class", 22)
    assert len(found.examples) == 5


def test_the_exit_code_says_whether_they_differ(dataset, copy):
    assert CliRunner().invoke(main, ["compare", str(dataset.out), str(copy)]).exit_code == 0
    change_shard(TRAIN, lambda old: [(old[0][0], old[0][1][:-3] + b"\0" + old[0][1][-2:]), *old[1:]])(copy)
    result = CliRunner().invoke(main, ["compare", str(dataset.out), str(copy), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["same"] is False
    assert "other bytes" in CliRunner().invoke(main, ["compare", str(dataset.out), str(copy)]).stdout
