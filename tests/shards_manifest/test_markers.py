import json

import pytest

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.markers import FolderKind, markers, require_place_for
from in21k.shards_manifest.storage.location import locate


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"config": {}, "dataset": {}}, FolderKind.RUN),
        ({"architecture": "resnet50", "pretrained_cfg": {}}, FolderKind.MODEL),
        ({"config": {}}, None),
        ({"dataset": {}}, None),
        (["config", "dataset"], None),
        ("pretrained_cfg", None),
    ],
)
def test_whose_a_config_is_its_content_says(tmp_path, fields, kind):
    (tmp_path / "config.json").write_text(json.dumps(fields))
    assert markers(locate(tmp_path)) == ({} if kind is None else {"config.json": kind})


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_config_that_is_no_json_is_nobodys(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    assert markers(locate(tmp_path)) == {}


def test_a_config_of_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.write(b'{"config": 1, "dataset": 1}')
        file.truncate(1 << 40)
    assert markers(locate(tmp_path)) == {}


def test_a_folder_of_another_kind_is_refused_and_one_of_the_own_kind_is_not(tmp_path):
    (tmp_path / "manifest.json").touch()
    require_place_for(locate(tmp_path), FolderKind.DATASET, option="OUT")
    with pytest.raises(DatasetError, match=r"holds manifest.json of a prepared dataset; give another --output"):
        require_place_for(locate(tmp_path), FolderKind.RUN, FolderKind.MODEL, option="--output")
