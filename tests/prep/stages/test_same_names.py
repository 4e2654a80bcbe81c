"""Files of one name in several folders of a class: each is an image, under a key of its path, in any form of a dump."""

import re

import pyarrow.parquet as pq
import pytest
from commands import call, digests, prep
from dumps import jpeg, make_dump, tar_bytes
from forms import parquet_files, sample_members, tar_gz_parts, zipped
from own_trees import OPTIONS, draw_folders

DOG, CAT = "n02084071", "n02121620"
NAMES = [f"{folder}{number}.jpg" for folder in ("", "a/", "b/", "b/a/") for number in range(3)]
"""Within a class: `0.jpg` is in four folders."""


def files(names=NAMES):
    return {
        wnid: [(name, jpeg(100 * at + number, (24, 18))) for number, name in enumerate(names)]
        for at, wnid in enumerate((DOG, CAT))
    }


def as_folders(path, found):
    for wnid, images in found.items():
        for name, data in images:
            (path / wnid / name).parent.mkdir(parents=True, exist_ok=True)
            (path / wnid / name).write_bytes(data)
    return path


def as_tar(path, found):
    members = [(f"all/{wnid}/{name}", data) for wnid, images in found.items() for name, data in images]
    path.write_bytes(tar_bytes(members))
    return path


def as_shards(path, found):
    path.mkdir()
    members = [
        (f"{wnid}/{name.rpartition('/')[0]}/{member}".replace("//", "/"), content)
        for wnid, images in found.items()
        for name, data in images
        for member, content in sample_members(wnid, name, data, (DOG, CAT).index(wnid))
    ]
    (path / "imagenet22k-train-0000.tar").write_bytes(tar_bytes(members))
    return path


def prepared(raw, tmp_path, *options):
    work, out = tmp_path / f"work-{raw.name}", tmp_path / f"out-{raw.name}"
    summary = call("run", raw, work, out, *OPTIONS, *options)
    return summary, digests(out, "*/*.tar") | digests(out, "*.parquet"), work


@pytest.mark.usefixtures("inline")
def test_every_form_keeps_them_all_under_the_same_keys(tmp_path):
    raws = (
        as_folders(tmp_path / "folders", files()),
        as_tar(tmp_path / "folders.tar", files()),
        make_dump(tmp_path / "tars.tar", files()),
        tar_gz_parts(tmp_path / "parts", files()),
        zipped(tmp_path / "raw.zip", files()),
        as_shards(tmp_path / "shards", files()),
        parquet_files(tmp_path / "parquet", files()),
    )
    found = [prepared(raw, tmp_path) for raw in raws]
    assert [(summary["train"] + summary["val"], summary["rejected"]) for summary, _, _ in found] == [(24, 0)] * 7
    assert [each == found[0][1] for _, each, _ in found] == [True] * 7
    rows = pq.read_table(found[0][2] / "split.parquet").to_pylist()
    assert sorted(row["name"] for row in rows) == sorted(NAMES * 2)
    assert len({row["key"].lower() for row in rows}) == 24
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,96}", row["key"]) for row in rows)


@pytest.mark.usefixtures("inline")
def test_names_that_do_not_collide_are_what_they_are_without_folders(tmp_path):
    flat = files([f"{at}.jpg" for at in range(8)])
    deep = {wnid: [(f"f{at % 3}/{name}", data) for at, (name, data) in enumerate(own)] for wnid, own in flat.items()}
    raws = [make(tmp_path / f"{at}.tar", each) for at, each in enumerate((flat, deep)) for make in (as_tar,)]
    raws.append(as_folders(tmp_path / "deep", deep))
    tables = [prepared(raw, tmp_path)[1:] for raw in raws]
    assert [each == tables[0][0] for each, _ in tables] == [True] * 3
    rows = [pq.read_table(work / "split.parquet").sort_by("key")["name"].to_pylist() for _, work in tables]
    assert [names == rows[0] for names in rows] == [True] * 3


def test_a_folder_within_a_flat_class_keeps_images_of_the_same_names(tmp_path):
    raw = draw_folders(tmp_path / "raw", ["wavy/disk/red", "wavy/disk/blue", "wavy/cone", "plain/disk"])
    run = prep("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS, "--flat")
    assert run.returncode == 0, run.stderr
    assert call("verify", tmp_path / "out", "--deep")["findings"] == []
    facts = call("inspect", tmp_path / "out", "--class", "wavy")
    assert (facts["images_train"], facts["images_val"]) == (11, 1)


@pytest.mark.usefixtures("inline")
def test_a_file_that_is_there_twice_stays_one_image(tmp_path):
    twice = {wnid: [*own, *own[3:5]] for wnid, own in files().items()}
    summary, tables, work = prepared(as_tar(tmp_path / "twice.tar", twice), tmp_path)
    rejects = pq.read_table(work / "split-rejects.parquet").to_pylist()
    assert {(row["name"], row["reason"]) for row in rejects} == {(NAMES[at], "duplicate-name") for at in (3, 4)}
    once = prepared(as_tar(tmp_path / "once.tar", files()), tmp_path)[1]
    assert {name: tables[name] for name in tables if name.endswith("tar")} == {
        name: once[name] for name in once if name.endswith("tar")
    }
    assert summary["rejected"] == 4


@pytest.mark.usefixtures("inline")
def test_exported_lists_give_the_same_split_again(tmp_path):
    raw = as_tar(tmp_path / "raw.tar", files())
    _, tables, work = prepared(raw, tmp_path, "--order", "hash")
    call("split", work, "--val-per-class", 1, "--order", "hash", "--export-lists", tmp_path / "lists")
    lists = [tmp_path / "lists" / f"{split}.txt" for split in ("train", "val")]
    assert f"{DOG}/b/a/1.jpg 0" in "".join(path.read_text() for path in lists).splitlines()
    again = tmp_path / "again"
    again.mkdir()
    summary, listed, _ = prepared(raw, again, "--split-file", *lists)
    assert (summary["train"], summary["val"], summary["rejected"]) == (22, 2, 0)
    assert {name: digest for name, digest in listed.items() if name.endswith("tar")} == {
        name: digest for name, digest in tables.items() if name.endswith("tar")
    }


@pytest.mark.usefixtures("inline")
def test_lists_tell_folders_apart_and_need_none_where_names_do(tmp_path):
    raw = as_tar(tmp_path / "raw.tar", {DOG: [*files()[DOG], ("deep/er/only.jpg", jpeg(7, (24, 18)))]})
    (tmp_path / "train.txt").write_text(
        "".join(f"{DOG}/{name}\n" for name in ("a/0.jpg", "b/1.jpg", "only.jpg", "x/2.jpg"))
    )
    (tmp_path / "val.txt").write_text(f"{DOG}/b/0.jpg\n")
    call(
        "filter",
        raw,
        tmp_path / "work",
        "--min-images",
        1,
        "--split-file",
        tmp_path / "train.txt",
        tmp_path / "val.txt",
    )
    counts = call("split", tmp_path / "work")
    rows = {row["name"]: row["split"] for row in pq.read_table(tmp_path / "work" / "split.parquet").to_pylist()}
    assert rows == {"a/0.jpg": "train", "b/1.jpg": "train", "only.jpg": "train", "b/0.jpg": "val"}
    assert counts["lines_without_image"] == 1
