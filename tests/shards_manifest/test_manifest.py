import dataclasses
import json

import pytest

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.manifest import ImageFormat, ImageSpec, Manifest, ResizeMode, Shard, TableFile, read_manifest
from in21k.shards_manifest.storage.location import locate

MANIFEST = Manifest(
    classes=2,
    class_list_sha256="c" * 64,
    source={"name": "dump.tar", "bytes": 1 << 40},
    parameters={"resize": {"size": 64}, "shard": {"samples_per_shard": 10}},
    counts={"train": 15, "val": 4},
    versions={"in21k": "0.1.0"},
    splits={
        "train": (Shard("train/a-0.tar", 10, 100_000, "0" * 64), Shard("train/a-1.tar", 5, 60_000, "1" * 64)),
        "val": (Shard("val/v-0.tar", 4, 50_000, "2" * 64),),
    },
    tables={"hierarchy.parquet": TableFile(2, 30, "3" * 64)},
)


def written(tmp_path, change=None):
    """Write the manifest, its JSON changed, and return where it lies."""
    fields = json.loads(MANIFEST.to_json())
    if change is not None:
        change(fields)
    (tmp_path / "manifest.json").write_text(json.dumps(fields))
    return locate(tmp_path)


def test_a_manifest_reads_back_equal(tmp_path):
    assert read_manifest(written(tmp_path)) == MANIFEST


def test_its_json_opens_with_its_version_and_ends_with_a_newline():
    text = MANIFEST.to_json().decode()
    assert next(iter(json.loads(text))) == "schema_version"
    assert text.endswith("}\n")


def test_sums_are_those_of_the_shards():
    assert (MANIFEST.samples("train"), MANIFEST.size("train"), MANIFEST.samples("val")) == (15, 160_000, 4)


def test_parameters_that_an_old_manifest_lacks_have_their_defaults():
    assert MANIFEST.images == ImageSpec(64, ResizeMode.SQUISH, ImageFormat.JPEG, quality=None, copies_small=False)
    assert dataclasses.replace(MANIFEST, parameters={}).images.size is None


def test_the_images_are_as_resize_was_told(tmp_path):
    resize = {"size": 64, "quality": 90, "mode": "short-edge", "format": "webp", "compat": "reference"}
    images = read_manifest(written(tmp_path, lambda fields: fields["parameters"].update(resize=resize))).images
    assert images == ImageSpec(64, ResizeMode.SHORT_EDGE, ImageFormat.WEBP, quality=90, copies_small=True)
    assert (images.suffix, images.is_square, images.dimensions) == (".webp", False, "a short side of 64")


@pytest.mark.parametrize("wrong", [{"size": "64"}, {"size": 0}, {"quality": []}, {"mode": "pad"}, {"format": "heic"}])
def test_images_that_this_version_does_not_know_are_refused(tmp_path, wrong):
    with pytest.raises(DatasetError, match=str(next(iter(wrong.values()))).replace("[", r"\[")):
        read_manifest(written(tmp_path, lambda fields: fields["parameters"]["resize"].update(wrong)))


def test_a_folder_without_a_manifest_says_what_to_name(tmp_path):
    with pytest.raises(DatasetError, match=r"no manifest\.json there; name a folder that `in21k-prep shard`"):
        read_manifest(locate(tmp_path))


def test_a_newer_version_asks_for_an_upgrade(tmp_path):
    with pytest.raises(DatasetError, match=r"manifest\.json has schema version 2, newer than this in21k; upgrade it"):
        read_manifest(written(tmp_path, lambda fields: fields.update(schema_version=2)))


@pytest.mark.parametrize("path", ["../secret.tar", "/etc/passwd", "train/../../a.tar", "s3://other/a.tar", 7])
def test_a_shard_path_out_of_the_dataset_is_refused(tmp_path, path):
    with pytest.raises(DatasetError, match=r"manifest\.json is not a manifest"):
        read_manifest(written(tmp_path, lambda fields: fields["splits"]["train"][0].update(path=path)))


def test_a_table_path_out_of_the_dataset_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="leads out of the dataset"):
        read_manifest(
            written(tmp_path, lambda f: f["tables"].update({"../x.parquet": f["tables"]["hierarchy.parquet"]}))
        )


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("splits"),
        lambda fields: fields.pop("schema_version"),
        lambda fields: fields.pop("class_list_sha256"),
        lambda fields: fields["splits"].pop("val"),
        lambda fields: fields["splits"].update(train=7),
        lambda fields: fields["splits"]["train"][0].pop("sha256"),
        lambda fields: fields["splits"]["train"][0].update(samples="10"),
        lambda fields: fields["splits"]["train"][0].update(samples=0),
        lambda fields: fields["splits"]["train"][0].update(bytes=-1),
        lambda fields: fields.update(tables=[]),
    ],
)
def test_a_damaged_manifest_is_one_line(tmp_path, change):
    with pytest.raises(DatasetError, match=r"manifest\.json is not a manifest of in21k") as refused:
        read_manifest(written(tmp_path, change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", MANIFEST.to_json()[:200]])
def test_what_is_not_a_json_object_is_one_line(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"manifest\.json is not a manifest of in21k"):
        read_manifest(locate(tmp_path))


def test_a_version_that_is_not_a_number_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        read_manifest(written(tmp_path, lambda fields: fields.update(schema_version="1")))
