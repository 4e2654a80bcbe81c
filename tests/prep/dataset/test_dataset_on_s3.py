import json
import shutil

import pytest
from click.testing import CliRunner
from commands import call, digests
from object_store import served

from in21k.prep.cli.main import main
from in21k.shards_manifest.storage.location import locate

TRAIN = "train/in21k-train-000000.tar"


@pytest.fixture
def bucket(dataset, tmp_path, monkeypatch):
    """A bucket that is a copy of the dataset: its folder on the server, and its URI.

    The bucket itself, since rclone mixes up the mark that pyarrow leaves for the folder of a deleted object.
    """
    folder = shutil.copytree(dataset.out, tmp_path / "store" / "bucket")
    with served(tmp_path / "store", monkeypatch) as uri:
        yield folder, uri.format("bucket")


def test_a_dataset_in_a_bucket_is_verified_repaired_and_inspected(dataset, bucket):
    folder, uri = bucket
    for level in ("--quick", "--deep"):
        assert call("verify", uri, level, "--workers", 1)["sound"]
    there = locate(uri)
    content = bytearray((there / TRAIN).read_bytes())
    content[700] ^= 1
    (there / TRAIN).write_bytes(content)
    (there / "README.md").delete_file()
    result = CliRunner().invoke(main, ["verify", uri, "--json"])
    assert result.stdout, result.stderr
    assert result.exit_code == 1, result.stderr
    found = {(finding["code"], finding["path"]) for finding in json.loads(result.stdout)["findings"]}
    assert found == {("E101", TRAIN), ("E601", "README.md")}
    assert call("repair", dataset.work, uri)["written"] == [TRAIN, "README.md"]
    assert digests(folder) == digests(dataset.out)
    assert call("inspect", uri, "--class", "dog")["wnid"] == "n02084071"
    assert call("compare", dataset.out, uri)["same"]
    (there / "_info.json").delete_file()
    assert call("sidecars", uri)["files"] == ["_info.json"]
