import hashlib
import re
import tarfile

import pytest
from click.testing import CliRunner
from commands import RefusedError, call

from in21k.prep.cli.main import main


def image_of(dataset, key):
    for shards in dataset.manifest.splits.values():
        for shard in shards:
            with tarfile.open(dataset.out / shard.path) as tar:
                if f"{key}.jpg" in tar.getnames():
                    return shard.path, tar.extractfile(f"{key}.jpg").read()
    raise AssertionError(key)


def test_counts_are_the_manifests(dataset):
    summary = call("inspect", dataset.out)
    assert summary.items() >= dataset.manifest.counts.items()
    assert summary["train_shards"] == len(dataset.manifest.splits["train"])
    assert (summary["image_size"], summary["source"]) == (16, "small.tar")


@pytest.mark.parametrize("named", ["dog", "Dog", "n02084071", "3", "Canis familiaris"])
def test_a_class_by_name_wnid_or_index(dataset, named):
    summary = call("inspect", dataset.out, "--class", named)
    assert (summary["wnid"], summary["path"]) == ("n02084071", "animal > domestic animal > dog")
    assert (summary["images_train"], summary["images_val"], summary["level"]) == (8, 3, 2)
    assert [sample["split"] for sample in summary["samples"]] == ["val"] * 3 + ["train"] * 7


def test_images_of_a_class_are_saved(dataset, tmp_path):
    summary = call("inspect", dataset.out, "--class", "sun", "--samples", 4, "--save", tmp_path / "suns")
    saved = sorted((tmp_path / "suns").iterdir())
    assert sorted(summary["saved"]) == [str(path) for path in saved]
    assert len(saved) == 4
    for path in saved:
        assert path.read_bytes() == image_of(dataset, path.stem)[1]


def test_a_sample_by_key(dataset, tmp_path):
    summary = call("inspect", dataset.out, "--key", "n02084071_7", "--save", tmp_path)
    shard, image = image_of(dataset, "n02084071_7")
    assert (summary["shard"], summary["image_bytes"]) == (shard, len(image))
    assert summary["sha256"] == hashlib.sha256(image).hexdigest()
    assert (summary["label"], summary["wnid"]) == ("3", "n02084071")
    assert (tmp_path / "n02084071_7.jpg").read_bytes() == image


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--class", "unicorn"], "no class is named 'unicorn'; give a wnid"),
        (["--class", "n04146614"], r"n04146614 \(school bus\) was dropped: too-few-images, 9 images"),
        (["--class", "99"], "no class is named '99'"),
        (["--key", "n1_1"], "no sample has the key 'n1_1'"),
        (["--key", "a", "--class", "b"], "give --class or --key, not both"),
        (["--save", "folder"], "--save needs --class or --key"),
    ],
)
def test_what_does_not_exist_is_one_line(dataset, arguments, line):
    with pytest.raises(RefusedError, match=line):
        call("inspect", dataset.out, *arguments)


def test_without_json_it_prints_a_table(dataset):
    shown = CliRunner().invoke(main, ["inspect", str(dataset.out), "--class", "dog", "--samples", "2"]).stdout
    assert "animal > domestic animal > dog" in shown
    assert "a member of the genus Canis" in shown
    assert re.search(r"^  key +split  shard +size$", shown, re.MULTILINE)
    assert shown.count("val/in21k-val-") == 2
