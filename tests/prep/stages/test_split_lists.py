"""Splits by published lists, and lists of a split."""

import re

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests, prep
from dumps import TRUNCATED, images_of, make_dump
from hypothesis import given
from hypothesis import strategies as st

from in21k.prep.records import Reason, Reject, rejects_table
from in21k.prep.stages import reject_rows, split_lists
from in21k.prep.stages.split_lists import image_of, path_of

DOG, CAT, COW = "n02084071", "n02121620", "n01887787"
SMALL = ("--size", 16, "--samples-per-shard", 20, "--workers", 1)


@pytest.fixture
def raw(tmp_path):
    files = {wnid: images_of(wnid, 9) for wnid in (DOG, CAT)} | {COW: [(f"{COW}_1.JPEG", b"x")]}
    files[DOG][3] = (files[DOG][3][0], TRUNCATED)  # would be val by hash
    return make_dump(tmp_path / "raw.tar", files)


def lists(folder, train, val):
    folder.mkdir(exist_ok=True)
    for name, lines in (("train.txt", train), ("val.txt", val)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return "--split-file", folder / "train.txt", folder / "val.txt"


def split(raw, *options, work="work"):
    call("filter", raw, raw.parent / work, "--min-images", 5, *options)
    counts = call("split", raw.parent / work)
    rows = pq.read_table(raw.parent / work / "split.parquet").to_pylist()
    return counts, {row["name"].removesuffix(".JPEG"): row["split"] for row in rows}


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("n02084071/n02084071_1.JPEG 207", "n02084071/n02084071_1.JPEG"),
        ("n02084071/n02084071_1.JPEG\t207", "n02084071/n02084071_1.JPEG"),
        ("n02084071/n02084071_1.JPEG", "n02084071/n02084071_1.JPEG"),
        ("n02084071/n02084071_1.JPEG   -1", "n02084071/n02084071_1.JPEG"),
        ("a folder/an image 7.jpg 12", "a folder/an image 7.jpg"),
        ("7", "7"),
        ("a folder/an image 7.jpg", "a folder/an image 7.jpg"),
        ("an image.jpg\tdog house", "an image.jpg"),
    ],
)
def test_a_line_is_a_path_and_maybe_a_label(line, path):
    assert path_of(line) == path


@pytest.mark.parametrize(
    ("path", "image"),
    [
        ("fall11_whole/n02084071/n02084071_1.JPEG", (DOG, "n02084071_1.JPEG")),
        ("n02121620/n02084071/x.png", (DOG, "x.png")),
        ("./train\\n02084071\\nested\\x.png", (DOG, "nested/x.png")),
        ("n02084071_1.JPEG", (DOG, "n02084071_1.JPEG")),
        ("birds/great tit/x.png", ("birds/great tit", "x.png")),
        ("n00000000/n00000000_1.JPEG", None),
        ("x.png", None),
    ],
)
def test_an_image_is_found_by_the_class_in_its_path(path, image):
    assert image_of(path, dict.fromkeys((DOG, CAT, "birds/great tit", "great tit"), True)) == image


def test_lists_say_what_is_train_and_val_and_the_rest_is_a_row(raw, tmp_path):
    options = lists(
        tmp_path / "lists",
        [f"{DOG}/{DOG}_{at}.JPEG 1" for at in (1, 2, 3)] + [f"{CAT}_5.jpg"],
        [f"whole/{CAT}/{CAT}_4.JPEG\t0", f"{DOG}/{DOG}_8"],
    )
    counts, found = split(raw, *options)
    assert found == dict.fromkeys((f"{DOG}_1", f"{DOG}_2", f"{DOG}_3", f"{CAT}_5"), "train") | dict.fromkeys(
        (f"{CAT}_4", f"{DOG}_8"), "val"
    )
    assert (counts["train"], counts["val"], counts["rejected"], counts["lines_without_image"]) == (4, 2, 12, 0)
    rejects = pq.read_table(tmp_path / "work" / "split-rejects.parquet").to_pylist()
    assert {row["name"].removesuffix(".JPEG") for row in rejects} == {
        f"{wnid}_{at}" for wnid in (DOG, CAT) for at in range(9)
    } - set(found)
    assert {row["reason"] for row in rejects} == {"in-no-list"}


def test_a_class_without_a_listed_image_is_dropped(raw, tmp_path):
    counts, found = split(raw, *lists(tmp_path / "lists", [f"{DOG}_1.JPEG"], [f"{DOG}_2.JPEG"]))
    assert (set(found), counts["classes"]) == ({f"{DOG}_1", f"{DOG}_2"}, 1)
    rows = pq.read_table(tmp_path / "work" / "classes.parquet").to_pylist()
    assert {row["wnid"]: row["reason"] for row in rows} == {DOG: "kept", CAT: "not-listed", COW: "not-listed"}


def test_lines_that_match_nothing_are_counted_and_named(raw, tmp_path):
    train = [f"{DOG}/{DOG}_1.JPEG", f"{DOG}/{DOG}_99.JPEG 1", "n00000000/n00000000_1.JPEG 7", f"{COW}/{COW}_1.JPEG 0"]
    options = lists(tmp_path / "lists", train, [f"{CAT}/{CAT}_77.JPEG", f"{CAT}_1.JPEG"])
    call("filter", raw, tmp_path / "work", "--min-images", 5, *options)
    run = prep("split", tmp_path / "work")
    assert run.returncode == 0, run.stderr
    assert run.stderr == (
        "note: 3 lines of --split-file name nothing in the dump: "
        "train list, line 3: 'n00000000/n00000000_1.JPEG 7'; "
        f"train list, line 2: '{DOG}/{DOG}_99.JPEG 1'; val list, line 1: '{CAT}/{CAT}_77.JPEG'\n"
    )
    assert re.search(r"^  lines of dropped classes +1$", run.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("train", "val", "complaint"),
    [
        (
            [f"{DOG}_1.JPEG", f"{DOG}_2.JPEG"],
            [f"{DOG}/{DOG}_2.jpg 5"],
            "line 2 of the first list and line 1 of the second",
        ),
        (["x.jpg"], ["y.jpg"], "none of its 3 classes is selected"),
        ([f"{DOG}_1.JPEG"], [f"{CAT}_99.JPEG"], f"no line names an image of {CAT} that the dump has; --exclude it"),
        ([f"{DOG}_1.JPEG", "x" * 20_000], [], "train-list.txt, line 2 is no path and label"),
    ],
)
def test_lists_that_cannot_be_meant_are_one_line(raw, tmp_path, train, val, complaint):
    with pytest.raises(RefusedError) as refused:
        split(raw, *lists(tmp_path / "lists", train, val))
    assert complaint in str(refused.value)
    assert not (tmp_path / "work" / "split.json").exists()


@given(st.lists(st.tuples(st.sampled_from([DOG, CAT]), st.text(max_size=3)), max_size=20), st.integers(1, 5))
def test_rejects_are_sorted_alike_however_many_are_held(rows, held):
    rejects = [Reject(wnid=wnid, name=name, stage="split", reason=Reason.IN_NO_LIST, detail="") for wnid, name in rows]
    before, reject_rows._HELD = reject_rows._HELD, held
    try:
        collected = reject_rows.RejectRows()
        for reject in rejects:
            collected.append(reject)
    finally:
        reject_rows._HELD = before
    assert len(collected) == len(rejects)
    assert collected.table().equals(rejects_table(rejects))


def test_lists_are_read_in_blocks_whatever_their_line_ends(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(split_lists, "_BLOCK", 7)
    options = lists(tmp_path / "lists", [], [f"{DOG}/{DOG}_2.JPEG"])
    options[1].write_bytes(f"\r\n{DOG}/{DOG}_1.JPEG 1\r\n\r\n{CAT}/{CAT}_5.JPEG 0".encode("utf-8-sig"))
    _, found = split(raw, *options)
    assert found == {f"{DOG}_1": "train", f"{CAT}_5": "train", f"{DOG}_2": "val"}


def test_a_list_that_is_no_text_or_missing_is_one_line(raw, tmp_path):
    options = lists(tmp_path / "lists", ["x.jpg"], ["y.jpg"])
    options[2].write_bytes(b"\xff\xd8\xff\xe0\0")
    with pytest.raises(RefusedError, match=r"val-list\.txt, line 1 is no path and label"):
        split(raw, *options)
    with pytest.raises(RefusedError, match=r"--split-file .*gone\.txt: there is no such file"):
        split(raw, "--split-file", tmp_path / "gone.txt", options[2], work="other")


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("thin", [(), ("--fraction", 0.5)], ids=["all", "half"])
def test_a_split_survives_the_way_through_its_lists_with_the_places_of_images_that_do_not_decode(raw, tmp_path, thin):
    first, again = tmp_path / "first", tmp_path / "again"
    common, shared = ("--min-images", 5, *SMALL), tmp_path / "shared"
    call("run", raw, tmp_path / "work-first", first, *common, "--val-per-class", 3, "--order", "hash", *thin)
    counts = call("split", tmp_path / "work-first", "--val-per-class", 3, "--order", "hash", "--export-lists", shared)
    assert counts["val_lines"] == 6
    assert (shared / "train.txt").read_text().splitlines()[0].split()[1] == "0"
    options = ("--split-file", shared / "train.txt", shared / "val.txt", "--order", "hash")
    call("run", raw, tmp_path / "work-again", again, *common, *options)
    assert digests(first, "*/*.tar") == digests(again, "*/*.tar")
    assert call("verify", again, "--deep")["findings"] == []
    call("split", tmp_path / "work-again", "--order", "hash", "--export-lists", tmp_path / "copy")
    assert digests(shared) == digests(tmp_path / "copy")


def test_before_resize_the_lists_are_what_split_chose(raw, tmp_path):
    call("filter", raw, tmp_path / "work", "--min-images", 5)
    counts = call("split", tmp_path / "work", "--val-per-class", 3, "--export-lists", tmp_path / "lists")
    assert (counts["train_lines"], counts["val_lines"]) == (12, 6)
    assert (tmp_path / "lists" / "val.txt").read_text().splitlines()[:4] == [
        *(f"{DOG}/{DOG}_{at}.JPEG 0" for at in (0, 1, 2)),
        f"{CAT}/{CAT}_0.JPEG 1",
    ]


def test_lists_replace_no_other_file(raw, tmp_path):
    call("filter", raw, tmp_path / "work", "--min-images", 5)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "val.txt").write_text("mine\n")
    with pytest.raises(RefusedError, match=r"val\.txt exists and is another list; give another --export-lists"):
        call("split", tmp_path / "work", "--val-per-class", 3, "--export-lists", tmp_path / "shared")
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["val.txt"]
