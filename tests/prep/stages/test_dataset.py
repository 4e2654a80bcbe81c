import hashlib
import io
import json
import tarfile
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from commands import call, digests
from dumps import KEPT, MIN_IMAGES, PIPELINE, SAMPLES_PER_SHARD, SIZE, VAL_PER_CLASS
from PIL import Image, ImageOps, UnidentifiedImageError

COW, DOG = "n01887787", "n02084071"
REJECTED = {"n01887787_0.JPEG": "truncated", "n01887787_1.JPEG": "empty", "n01887787_10.JPEG": "not-an-image"}


@pytest.fixture(scope="module")
def samples(dataset):
    """All samples of the dataset as tarfile reads them: split, shard, key, label, image."""
    found = []
    for split in ("train", "val"):
        for shard in sorted((dataset.out / split).glob("*.tar")):
            with tarfile.open(shard) as tar:
                members = [(member.name, tar.extractfile(member).read()) for member in tar]
            for (image, data), (label, number) in zip(members[::2], members[1::2], strict=True):
                assert image.removesuffix(".jpg") == label.removesuffix(".cls")
                sample = SimpleNamespace(split=split, shard=shard.name, key=image.removesuffix(".jpg"), data=data)
                sample.label = int(number)
                found.append(sample)
    return found


def decoded(data: bytes):
    """Return what Pillow alone makes of an image of the dump, None if it cannot be read."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (UnidentifiedImageError, OSError):
        return None
    small = ImageOps.exif_transpose(image).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=95)
    return np.asarray(Image.open(encoded))


def shuffle_key(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, key=b"0", person=b"shuffle").digest(), "big")


def test_every_readable_image_of_a_kept_class_is_one_sample(dataset, samples):
    expected = {
        name.removesuffix(".JPEG")
        for wnid in KEPT
        for name, data in dataset.files[wnid].items()
        if decoded(data) is not None
    }
    assert len(samples) == len(expected) == sum(KEPT.values()) - len(REJECTED)
    assert {sample.key for sample in samples} == expected


def test_val_holds_exactly_n_of_each_class_and_the_next_stand_in_for_rejected_ones(dataset, samples):
    for wnid, files in dataset.files.items():
        readable = [name for name in sorted(files, key=str.encode) if decoded(files[name]) is not None]
        expected = {name.removesuffix(".JPEG") for name in readable[:VAL_PER_CLASS]} if wnid in KEPT else set()
        assert {s.key for s in samples if s.split == "val" and s.key.startswith(wnid)} == expected
    cows = {sample.key for sample in samples if sample.split == "val" and sample.key.startswith(COW)}
    assert cows == {f"{COW}_{number}" for number in (11, 12, 13)}


def test_labels_are_class_indices_of_the_class_table(dataset, samples):
    rows = pq.read_table(dataset.out / "classes.parquet").to_pylist()
    wnid_of = {row["class_index"]: row["wnid"] for row in rows if row["kept"]}
    assert wnid_of == dict(enumerate(sorted(KEPT)))
    assert all(wnid_of[sample.label] == sample.key.partition("_")[0] for sample in samples)


def test_pixels_are_pillows(dataset, samples):
    for sample in samples:
        wnid = sample.key.partition("_")[0]
        image = Image.open(io.BytesIO(sample.data))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (SIZE, SIZE))
        assert np.array_equal(np.asarray(image), decoded(dataset.files[wnid][f"{sample.key}.JPEG"]))


def test_samples_are_in_the_order_of_their_keyed_hashes(samples):
    for split in ("train", "val"):
        keys = [sample.key for sample in samples if sample.split == split]
        assert keys == sorted(keys, key=shuffle_key)
        assert keys != sorted(keys)


def test_all_shards_but_the_last_hold_the_same_number(samples):
    for split in ("train", "val"):
        sizes = list(Counter(sample.shard for sample in samples if sample.split == split).values())
        assert set(sizes[:-1]) == {SAMPLES_PER_SHARD}
        assert 0 < sizes[-1] <= SAMPLES_PER_SHARD


def test_the_sample_table_leads_to_every_member(dataset, samples):
    rows = pq.read_table(dataset.out / "samples.parquet").to_pylist()
    shards = {split: sorted((dataset.out / split).glob("*.tar")) for split in ("train", "val")}
    assert [(row["split"], row["key"], row["class_index"]) for row in rows] == [
        (sample.split, sample.key, sample.label) for sample in samples
    ]
    for row, sample in zip(rows, samples, strict=True):
        data = shards[row["split"]][row["shard"]].read_bytes()[row["offset"] : row["offset"] + row["size"]]
        with tarfile.open(fileobj=io.BytesIO(data + bytes(1024))) as tar:
            assert {member.name: tar.extractfile(member).read() for member in tar} == {
                f"{sample.key}.jpg": sample.data,
                f"{sample.key}.cls": str(sample.label).encode(),
            }


def test_tar_headers_are_fixed(dataset):
    for shard in dataset.out.glob("*/*.tar"):
        with tarfile.open(shard) as tar:
            assert {(m.mtime, m.mode, m.uid, m.gid, m.uname, m.type) for m in tar} == {
                (0, 0o644, 0, 0, "", tarfile.REGTYPE)
            }


def test_rejects_have_a_row_each_with_stage_and_reason(dataset):
    rows = pq.read_table(dataset.out / "rejects.parquet").to_pylist()
    assert {row["name"]: row["reason"] for row in rows} == REJECTED
    assert {(row["wnid"], row["stage"]) for row in rows} == {(COW, "resize")}
    assert all(row["detail"] for row in rows)


def test_the_class_table_says_what_became_of_every_class(dataset):
    rows = pd.read_parquet(dataset.out / "classes.parquet").set_index("wnid")
    assert list(rows.index) == sorted(dataset.files)
    assert rows.loc["n04146614", ["images", "kept", "reason", "class_index"]].tolist() == [
        MIN_IMAGES - 1,
        False,
        "too-few-images",
        -1,
    ]
    assert rows.loc["n99999999", "reason"] == "unknown-wnid"
    assert rows["name"].isna().tolist() == [wnid == "n99999999" for wnid in rows.index]
    for wnid, count in KEPT.items():
        rejected = len(REJECTED) if wnid == COW else 0
        numbers = rows.loc[wnid, ["images", "images_train", "images_val", "images_rejected"]].tolist()
        assert numbers == [count, count - VAL_PER_CLASS - rejected, VAL_PER_CLASS, rejected]


def test_the_hierarchy_counts_the_images_of_each_class_and_all_below(dataset):
    rows = pd.read_parquet(dataset.out / "hierarchy.parquet").set_index("wnid")
    assert list(rows.index) == sorted(KEPT)
    assert rows.loc[DOG, "path_names"] == "animal > domestic animal > dog"
    assert (rows["images_val"] == VAL_PER_CLASS).all()
    good = {wnid: count - (len(REJECTED) if wnid == COW else 0) for wnid, count in KEPT.items()}
    assert (rows["images_train"] + rows["images_val"]).to_dict() == good
    below = {wnid: [w for w in rows.index if rows.loc[wnid, "class_index"] in rows.loc[w, "path"]] for wnid in KEPT}
    assert set(below["n00015388"]) == set(KEPT) - {"n09450163"}
    assert rows["images_subtree"].to_dict() == {wnid: sum(good[w] for w in below[wnid]) for wnid in KEPT}


def test_the_manifest_holds_digests_lengths_and_counts_of_all_files(dataset):
    manifest = json.loads((dataset.out / "manifest.json").read_bytes())
    sums = digests(dataset.out)
    listed = [shard for shards in manifest["splits"].values() for shard in shards]
    assert {shard["path"]: shard["sha256"] for shard in listed} == {p: s for p, s in sums.items() if p.endswith(".tar")}
    assert all((dataset.out / shard["path"]).stat().st_size == shard["bytes"] for shard in listed)
    for name, table in manifest["tables"].items():
        assert (table["sha256"], table["bytes"]) == (sums[name], (dataset.out / name).stat().st_size)
        assert table["rows"] == len(pq.read_table(dataset.out / name))
    assert manifest["classes"] == len(KEPT)
    assert manifest["class_list_sha256"] == hashlib.sha256("".join(f"{w}\n" for w in sorted(KEPT)).encode()).hexdigest()
    train, val = sum(KEPT.values()) - len(REJECTED) - len(KEPT) * VAL_PER_CLASS, len(KEPT) * VAL_PER_CLASS
    for name, count in {
        "classes_raw": 7,
        "images_raw": sum(map(len, dataset.files.values())),
        "classes_kept": 5,
        "images_kept": sum(KEPT.values()),
        "train": train,
        "val": val,
        "rejected": 3,
        "classes_short_of_val": 0,
    }.items():
        assert manifest["counts"][name] == dataset.summary[name] == count
    assert manifest["source"]["name"] == "small.tar"


def test_nothing_in_the_dataset_tells_where_or_when_it_was_made(dataset):
    manifest = (dataset.out / "manifest.json").read_text()
    assert str(dataset.work.parent) not in manifest
    assert str(dataset.raw.parent) not in manifest


def test_the_dataset_holds_all_files_and_nothing_unfinished(dataset):
    names = {path.relative_to(dataset.out).as_posix() for path in dataset.out.rglob("*") if path.is_file()}
    shards = {shard.path for shards in dataset.manifest.splits.values() for shard in shards}
    tables = {"hierarchy.parquet", "classes.parquet", "samples.parquet", "rejects.parquet"}
    assert names >= {*shards, *tables, "manifest.json", "_info.json"}
    assert not [name for name in names if ".tmp-" in name or name.startswith(".")]
    assert not (dataset.out / ".unfinished").exists()


def test_no_file_of_the_dump_is_unpacked_into_the_work_folder(dataset):
    images = {data for files in dataset.files.values() for data in files.values() if len(data) > 100}
    for path in dataset.work.rglob("*"):
        if path.is_file():
            assert path.suffix in {".parquet", ".json", ".tar", ".lock", ""}
            content = path.read_bytes()
            assert not any(data in content for data in images)


@pytest.mark.parametrize(
    "options",
    [("--workers", 2, "--memory", "4GB"), ("--workers", 1, "--memory", "1KB")],
    ids=["two-workers-much-memory", "one-worker-little-memory"],
)
def test_every_file_is_the_same_whatever_the_workers_and_the_memory(dataset, tmp_path, options):
    call("run", dataset.raw, tmp_path / "work", tmp_path / "out", *PIPELINE, *options)
    assert digests(tmp_path / "out") == digests(dataset.out)


def test_the_stages_one_by_one_give_the_same_files(dataset, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    call("filter", dataset.raw, work, "--min-images", MIN_IMAGES)
    call("split", work, "--val-per-class", VAL_PER_CLASS)
    call("resize", work, "--size", SIZE, "--workers", 1)
    call("shard", work, out, "--samples-per-shard", SAMPLES_PER_SHARD, "--workers", 1)
    assert digests(out) == digests(dataset.out)


def test_another_seed_shuffles_the_same_samples_differently(dataset, tmp_path):
    call("run", dataset.raw, tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1, "--seed", 1)
    keys = [pq.read_table(out / "samples.parquet")["key"].to_pylist() for out in (dataset.out, tmp_path / "out")]
    assert keys[0] != keys[1]
    assert set(keys[0]) == set(keys[1])


def test_a_dataset_without_val_has_only_train(dataset, tmp_path):
    out = tmp_path / "out"
    options = ("--min-images", 10, "--val-per-class", 0, "--size", 16, "--workers", 1)
    summary = call("run", dataset.raw, tmp_path / "work", out, *options)
    assert (summary["val"], summary["shards"]) == (0, 1)
    assert list((out / "val").glob("*.tar")) == []
    assert set(pq.read_table(out / "samples.parquet")["split"].to_pylist()) == {"train"}
