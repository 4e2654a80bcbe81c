"""A manifest of each schema version and age, all of which must stay readable."""

from pathlib import Path

import pytest

from in21k.shards_manifest.manifest import MANIFEST, SCHEMA_VERSION, ImageSpec, is_intact, read_manifest
from in21k.shards_manifest.sidecars import sidecars, wids_index
from in21k.shards_manifest.storage.location import locate

KEPT = sorted((Path(__file__).parent / "manifests").iterdir())


def test_there_is_one_of_each_version():
    versions = {read_manifest(locate(folder)).schema_version for folder in KEPT}
    assert versions == set(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("folder", KEPT, ids=lambda folder: folder.name)
def test_each_is_readable_and_whole(folder):
    manifest = read_manifest(locate(folder))
    assert is_intact((folder / MANIFEST).read_bytes())
    assert manifest.samples("train") == 26_383
    assert manifest.images == ImageSpec(size=64, quality=95)
    assert sidecars(manifest, [("n00015388", "animal")])["README.md"]


def test_shards_without_md5_have_none_in_the_wids_index():
    (folder,) = (folder for folder in KEPT if folder.name == "version-1-before-md5")
    assert b"md5sum" not in wids_index(read_manifest(locate(folder)), "train")
    (folder,) = (folder for folder in KEPT if folder.name == "version-1")
    assert b"md5sum" in wids_index(read_manifest(locate(folder)), "train")
