import dataclasses
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from damage import change_samples, change_shard, change_table, reseal, write_manifest
from image_files import webp_file
from PIL import Image

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, MANIFEST, REJECTS, SAMPLES, ImageSpec, read_manifest
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.verify.checks import CHECKS, in_threads, verify
from in21k.shards_manifest.verify.findings import CODES, Depth
from in21k.shards_manifest.verify.images import IMAGE_CHECKS, ImageSubject, other_size
from in21k.shards_manifest.verify.shard import SAMPLE_CHECKS

TRAIN, VAL = "train/in21k-train-000000.tar", "val/in21k-val-000000.tar"
OTHER_TRAIN = "train/in21k-train-000001.tar"


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset.out, tmp_path / "copy")


def found(folder, level=Depth.DEEP):
    return {(finding.code, finding.path) for finding in verify(locate(folder), level).findings}


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def with_manifest(**changes):
    def damage(folder):
        write_manifest(folder, dataclasses.replace(read_manifest(locate(folder)), **changes))

    return damage


def sealed(name, change):
    def damage(folder):
        change_table(folder, name, change)
        reseal(folder)

    return damage


def set_in(column, row, value):
    def change(columns):
        columns[column][row] = value(columns) if callable(value) else value

    return change


def with_image(data):
    """Return a function that replaces the image of the first sample of a shard."""
    return change_shard(TRAIN, lambda old: [(old[0][0], data), *old[1:]])


def picture(mode="RGB", size=(16, 16), kind="JPEG"):
    encoded = io.BytesIO()
    Image.fromarray(np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)).convert(mode).save(
        encoded, kind
    )
    return encoded.getvalue()


def short_of_val(folder):
    manifest = read_manifest(locate(folder))
    write_manifest(folder, dataclasses.replace(manifest, counts={**manifest.counts, "classes_short_of_val": 2}))


def listed_twice(folder):
    manifest = read_manifest(locate(folder))
    train = (dataclasses.replace(manifest.splits["train"][0], path=TRAIN.replace("train/", "val/")),)
    (folder / train[0].path).write_bytes((folder / TRAIN).read_bytes())
    write_manifest(
        folder, dataclasses.replace(manifest, splits={**manifest.splits, "val": manifest.splits["val"] + train})
    )


def move_val_to_train(columns):
    columns["class_index"][0] = (columns["class_index"][0] + 1) % 5


BROKEN = [
    ("E100", MANIFEST, lambda out: flip(out / MANIFEST, 40)),
    ("E101", TRAIN, lambda out: flip(out / TRAIN, 700)),
    ("E101", CLASSES, lambda out: flip(out / CLASSES, 100)),
    ("E102", VAL, lambda out: (out / VAL).unlink()),
    ("E102", REJECTS, lambda out: (out / REJECTS).unlink()),
    ("E103", TRAIN, lambda out: (out / TRAIN).write_bytes((out / TRAIN).read_bytes()[:-1])),
    ("E103", SAMPLES, lambda out: (out / SAMPLES).write_bytes((out / SAMPLES).read_bytes() + b"x")),
    ("E104", "train/new.tar", lambda out: shutil.copy(out / TRAIN, out / "train/new.tar")),
    ("E105", MANIFEST, with_manifest(counts={"train": 1})),
    ("E105", MANIFEST, listed_twice),
    ("E105", MANIFEST, lambda out: with_manifest(tables={})(out)),
    ("E106", REJECTS, lambda out: ((out / REJECTS).write_bytes(b"no table"), reseal(out))),
    ("E106", SAMPLES, change_samples(set_in("offset", 0, -512))),
    ("E201", TRAIN, lambda out: (flip(out / TRAIN, 20), reseal(out))),
    ("E201", TRAIN, lambda out: ((out / TRAIN).open("ab").write(bytes(512)), reseal(out))),
    ("E202", TRAIN, change_shard(TRAIN, lambda old: [("a.txt", b"1"), *old[1:]])),
    ("E202", TRAIN, change_shard(TRAIN, lambda old: old[:-1])),
    ("E203", TRAIN, change_shard(TRAIN, lambda old: [*old[2:4], *old[:2], *old[4:]])),
    ("E203", TRAIN, change_shard(TRAIN, lambda old: old[:-2])),
    ("E203", TRAIN, change_shard(TRAIN, lambda old: [*old, ("new.jpg", picture()), ("new.cls", b"1")])),
    ("E301", TRAIN, change_shard(TRAIN, lambda old: [old[0], (old[1][0], b"x"), *old[2:]])),
    ("E302", TRAIN, change_samples(set_in("key", 1, lambda columns: columns["key"][0]))),
    ("E303", TRAIN, change_samples(set_in("class_index", 0, 5))),
    ("E304", SAMPLES, change_samples(move_val_to_train, group=-1)),
    ("E304", SAMPLES, short_of_val),
    ("E305", CLASSES, sealed(CLASSES, set_in("images_val", 0, 4))),
    ("E306", VAL, lambda out: same_key_in_val(out)),
    ("E307", TRAIN, change_samples(set_in("key", 0, "n01317541x_1"))),
    ("E401", TRAIN, with_image(picture()[:-200])),
    ("E401", TRAIN, with_image(b"no image")),
    ("E402", TRAIN, with_image(picture(size=(17, 16)))),
    ("E403", TRAIN, with_image(picture("L"))),
    ("E404", TRAIN, with_image(picture(kind="PNG"))),
    ("E501", HIERARCHY, with_manifest(class_list_sha256="0" * 64)),
    ("E501", HIERARCHY, sealed(HIERARCHY, set_in("class_index", 0, 1))),
    ("E502", HIERARCHY, sealed(HIERARCHY, set_in("parent_index", 0, 0))),
    ("E502", HIERARCHY, sealed(HIERARCHY, set_in("parent_index", 0, 99))),
    ("E502", HIERARCHY, sealed(HIERARCHY, set_in("parent_wnid", 1, "n09450163"))),
    ("E503", HIERARCHY, sealed(HIERARCHY, set_in("level", 1, 7))),
    ("E503", HIERARCHY, sealed(HIERARCHY, set_in("path", 1, [1]))),
    ("E503", HIERARCHY, sealed(HIERARCHY, set_in("children", 0, [3]))),
    ("E504", HIERARCHY, sealed(HIERARCHY, set_in("images_train", 0, 0))),
    ("E505", CLASSES, sealed(CLASSES, set_in("kept", 0, lambda columns: not columns["kept"][0]))),
    ("E601", "_info.json", lambda out: (out / "_info.json").unlink()),
    ("E601", "val/sizes.json", lambda out: (out / "val/sizes.json").unlink()),
    ("E601", "train/in21k-train-000001.idx", lambda out: (out / OTHER_TRAIN).with_suffix(".idx").unlink()),
    ("E602", "README.md", lambda out: flip(out / "README.md", 100)),
    ("E602", "train-wids.json", lambda out: flip(out / "train-wids.json", 100)),
    ("E602", "train/in21k-train-000001.idx", lambda out: flip((out / OTHER_TRAIN).with_suffix(".idx"), 30)),
]
"""Code, file to blame, and what breaks a sound dataset so."""


def same_key_in_val(folder):
    import pyarrow.parquet as pq

    key = pq.ParquetFile(folder / SAMPLES).read_row_group(0)["key"][0].as_py()
    change_samples(set_in("key", 0, key), group=-3)(folder)


@pytest.mark.parametrize("level", list(Depth))
def test_a_sound_dataset_has_no_findings(dataset, level):
    verdict = verify(locate(dataset.out), level, in_threads(2))
    assert verdict.findings == ()
    assert verdict.is_sound
    shards = [shard for shards in dataset.manifest.splits.values() for shard in shards]
    assert (verdict.shards, verdict.bytes) == (
        (len(shards), sum(shard.bytes for shard in shards)) if level > Depth.QUICK else (0, 0)
    )


@pytest.mark.parametrize(("code", "path", "damage"), BROKEN, ids=[f"{c}-{n}" for n, (c, _, _) in enumerate(BROKEN)])
def test_what_is_broken_is_found_and_the_right_file_named(copy, code, path, damage):
    damage(copy)
    assert (code, path) in found(copy)


def test_every_code_has_a_broken_sample_and_every_check_a_code():
    tried = {code for code, _, _ in BROKEN}
    assert CODES.keys() - tried == {"E107"}  # tested below, since it takes a file that cannot be read
    by_shard = {"E100", "E101", "E107", "E201", "E202", *(code for code, _ in (*SAMPLE_CHECKS, *IMAGE_CHECKS))}
    assert {check.code for check in CHECKS} | by_shard == CODES.keys()


def test_a_file_that_cannot_be_read_is_named(copy, monkeypatch):
    pread = os.pread

    def refuse_shards(descriptor, *rest):
        if Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".tar":
            raise OSError(5, "Input/output error")
        return pread(descriptor, *rest)

    monkeypatch.setattr(os, "pread", refuse_shards)
    blamed = {path for code, path in found(copy, Depth.DIGEST) if code == "E107"}
    assert {TRAIN, OTHER_TRAIN, VAL} <= blamed


@pytest.mark.parametrize(("level", "codes"), [(Depth.QUICK, set()), (Depth.DIGEST, {"E101"})])
def test_quick_reads_no_shard(copy, level, codes):
    flip(copy / TRAIN, 700)
    assert {code for code, _ in found(copy, level)} == codes


def test_many_findings_of_one_kind_become_one_with_a_count(copy):
    change_shard(TRAIN, lambda old: [(name, b"9" if name.endswith(".cls") else data) for name, data in old])(copy)
    (finding,) = [finding for finding in verify(locate(copy), Depth.DEEP).findings if finding.code == "E301"]
    assert finding.count == 7
    assert "b'9', samples.parquet has" in finding.message


def test_only_the_damaged_table_is_blamed(copy):
    flip(copy / SAMPLES, 100)
    assert found(copy) == {("E101", SAMPLES)}


def test_a_folder_without_a_manifest_is_one_line(tmp_path):
    with pytest.raises(DatasetError, match="no manifest"):
        verify(locate(tmp_path))


def test_another_json_file_of_ours_under_the_manifests_name_is_blamed(copy):
    shutil.copy(copy / "_info.json", copy / "manifest.json")
    assert found(copy) == {("E100", "manifest.json")}


def test_findings_are_plain_json(copy):
    flip(copy / TRAIN, 700)
    (finding,) = verify(locate(copy)).findings
    assert json.loads(json.dumps(dataclasses.asdict(finding)))["path"] == TRAIN


@pytest.mark.parametrize(
    ("resize", "size", "fits"),
    [
        ({}, (16, 16), True),
        ({}, (16, 20), False),
        ({"mode": "center-crop"}, (16, 16), True),
        ({"mode": "short-edge"}, (16, 20), True),
        ({"mode": "short-edge"}, (20, 16), True),
        ({"mode": "short-edge"}, (15, 20), False),
        ({"compat": "reference"}, (15, 12), True),
        ({"compat": "reference"}, (17, 12), False),
        ({"compat": ""}, (15, 12), False),
    ],
)
def test_the_size_rule_is_that_of_the_parameters(resize, size, fits):
    spec = ImageSpec.of({"size": 16, **resize})
    assert (other_size(ImageSubject(picture(size=size), spec)) is None) is fits


def test_webp_is_checked_too():
    spec = ImageSpec.of({"size": 16, "format": "webp"})
    sound = ImageSubject(webp_file(Image.open(io.BytesIO(picture()))), spec)
    assert [check(sound) for _, check in IMAGE_CHECKS] == [None] * 4
    jpeg = ImageSubject(picture(), spec)
    assert [code for code, check in IMAGE_CHECKS if check(jpeg)] == ["E404"]


def test_a_given_split_need_not_have_n_images_per_class(copy):
    change_samples(move_val_to_train, group=-1)(copy)
    assert ("E304", SAMPLES) in found(copy, Depth.QUICK)
    manifest = read_manifest(locate(copy))
    write_manifest(copy, dataclasses.replace(manifest, source={**manifest.source, "layout": "processed-release"}))
    assert ("E304", SAMPLES) not in found(copy, Depth.QUICK)
