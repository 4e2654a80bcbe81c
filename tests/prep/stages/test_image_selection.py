"""The selection of images: nested, with one val split for all sizes, in the manifest, the same bytes each time."""

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests
from dumps import TRUNCATED, images_of, jpeg, make_dump, read_dump
from forms import hub_shards
from hypothesis import given, settings
from hypothesis import strategies as st

from in21k.prep.stages.select import ImageSelection

DOG, CAT, COW = "n02084071", "n02121620", "n01887787"
COUNTS = {DOG: 40, CAT: 31, COW: 20}
SMALL = {"--min-images": 5, "--val-per-class": 4, "--size": 16, "--samples-per-shard": 20}


@pytest.fixture
def raw(tmp_path):
    """A dump in which images that would be val do not decode."""
    files = {wnid: images_of(wnid, count) for wnid, count in COUNTS.items()}
    files[DOG] = [
        (name, TRUNCATED if name in (f"{DOG}_0.JPEG", f"{DOG}_11.JPEG") else data) for name, data in files[DOG]
    ]
    return make_dump(tmp_path / "raw.tar", files)


def prepare(raw, name, *options, drop=()):
    out = raw.parent / name
    defaults = [word for option, value in SMALL.items() if option not in drop for word in (option, value)]
    counts = call("run", raw, raw.parent / f"{name}-work", out, *defaults, "--workers", 1, *options)
    assert call("verify", out, "--deep")["findings"] == []
    return out, counts


def keys(out):
    rows = pq.read_table(out / "samples.parquet").to_pylist()
    return {split: {row["key"] for row in rows if row["split"] == split} for split in ("train", "val")}


def by_class(out):
    return {row["wnid"]: row for row in pq.read_table(out / "classes.parquet").to_pylist()}


@given(images=st.integers(0, 5000), small=st.fractions(0, 1), large=st.fractions(0, 1), bound=st.integers(0, 99))
def test_a_larger_fraction_never_wants_fewer_images(images, small, large, bound):
    small, large = sorted((max(small, Fraction(1, 10**6)), max(large, Fraction(1, 10**6))))
    few, many = (
        ImageSelection(fraction=float(each), max_images_per_class=bound).wanted(images) for each in (small, large)
    )
    assert min(images, 1) <= few <= many <= images
    assert not bound or many <= bound


def splits_of(raw, work, seed, order, *options):
    """Filter and split, and return the names of each split."""
    call("filter", raw, work, "--min-images", 1, *options)
    call("split", work, "--val-per-class", 2, "--seed", seed, "--order", order)
    rows = pq.read_table(work / "split.parquet").to_pylist()
    return {split: {row["name"] for row in rows if row["split"] == split} for split in ("train", "val")}


@settings(max_examples=15, deadline=None)
@given(
    counts=st.lists(st.integers(3, 40), min_size=1, max_size=3),
    fractions=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)),
    seed=st.integers(0, 3),
    order=st.sampled_from(["name", "hash"]),
)
def test_of_two_fractions_the_smaller_is_part_of_the_larger_and_val_is_the_same(counts, fractions, seed, order):
    with TemporaryDirectory() as folder:
        wnids = sorted(COUNTS)[: len(counts)]
        files = {
            wnid: [(f"{wnid}_{at}.JPEG", b"x") for at in range(count)]
            for wnid, count in zip(wnids, counts, strict=True)
        }
        raw = make_dump(Path(folder) / "raw.tar", files)
        small, large = (
            splits_of(raw, Path(folder) / str(at), seed, order, "--fraction", fraction)
            for at, fraction in enumerate(sorted(fractions))
        )
    assert small["train"] <= large["train"]
    assert small["val"] == large["val"]
    assert len(large["val"]) == 2 * len(counts)


@pytest.mark.usefixtures("inline")
def test_fractions_are_nested_share_their_val_split_and_add_up(raw):
    whole, counts = prepare(raw, "whole")
    assert "images_unselected" not in counts
    assert "images_unselected" not in pq.read_schema(whole / "classes.parquet").names
    found = [keys(whole)]
    for fraction in (0.6, 0.3, 0.1):
        out, counts = prepare(raw, f"f{fraction}", "--fraction", fraction)
        found.append(keys(out))
        assert counts["images_kept"] == sum(
            counts[name] for name in ("train", "val", "rejected_split", "rejected_resize", "images_unselected")
        )
        for wnid, row in by_class(out).items():
            assert COUNTS[wnid] == sum(
                row[name] for name in ("images_train", "images_val", "images_rejected", "images_unselected")
            )
            assert row["images_train"] in range(
                round(fraction * (COUNTS[wnid] - 4)) - 2, round(fraction * COUNTS[wnid]) + 1
            )
        assert json.loads((out / "manifest.json").read_text())["parameters"]["filter"]["fraction"] == fraction
    for larger, smaller in pairwise(found):
        assert smaller["train"] < larger["train"]
        assert smaller["val"] == larger["val"]
    assert {key for key in found[0]["val"] if key.startswith(DOG)} == {f"{DOG}_{at}" for at in (1, 10, 12, 13)}


@pytest.mark.usefixtures("inline")
def test_a_bound_per_class_is_nested_too_and_no_image_left_out_is_a_reject(raw):
    few, _ = prepare(raw, "few", "--max-images-per-class", 7)
    more, _ = prepare(raw, "more", "--max-images-per-class", 18)
    assert keys(few)["train"] < keys(more)["train"]
    assert keys(few)["val"] == keys(more)["val"]
    assert {wnid: row["images_train"] for wnid, row in by_class(few).items() if wnid != DOG} == {CAT: 7, COW: 7}
    assert by_class(more)[COW]["images_unselected"] == 0
    assert {row["reason"] for row in pq.read_table(few / "rejects.parquet").to_pylist()} <= {"truncated"}


@pytest.mark.usefixtures("inline")
def test_the_same_selection_gives_the_same_bytes_and_another_is_refused(raw):
    options = ("--fraction", 0.5, "--exclude", CAT)
    first, _ = prepare(raw, "first", *options)
    second, _ = prepare(raw, "second", *options)
    assert digests(first) == digests(second)
    call("run", raw, raw.parent / "first-work", first, *map(str, [w for o in SMALL.items() for w in o]), *options)
    with pytest.raises(RefusedError, match=r"filter was done with fraction 0\.5, not None; give the same"):
        prepare(raw, "first", "--exclude", CAT)


@pytest.mark.usefixtures("inline")
def test_a_side_too_short_is_a_row_and_the_next_image_takes_its_place_in_val(tmp_path):
    files = images_of(DOG, 12, (40, 30))
    files[1] = (files[1][0], jpeg(99, (40, 29)))
    files[7] = (files[7][0], jpeg(98, (29, 40)))
    raw = make_dump(tmp_path / "raw.tar", {DOG: files})
    out, counts = prepare(raw, "sides", "--min-side", 30)
    rejects = pq.read_table(out / "rejects.parquet").to_pylist()
    assert [(row["name"], row["stage"], row["reason"], row["detail"]) for row in rejects] == [
        (f"{DOG}_1.JPEG", "resize", "too-small", "40 × 29 pixels"),
        (f"{DOG}_7.JPEG", "resize", "too-small", "29 × 40 pixels"),
    ]
    assert (counts["train"], counts["val"]) == (6, 4)
    assert keys(out)["val"] == {f"{DOG}_{at}" for at in (0, 10, 11, 2)}


@pytest.mark.usefixtures("inline")
def test_records_without_a_selection_are_as_they_always_were(raw):
    prepare(raw, "plain")
    records = {
        stage: json.loads((raw.parent / "plain-work" / f"{stage}.json").read_text()) for stage in ("split", "resize")
    }
    assert list(records["split"]["inputs"]) == ["images.parquet", "classes.parquet"]
    assert list(records["split"]["counts"]) == ["classes", "train", "val", "rejected"]
    assert records["split"]["notes"] == {}
    assert "min_side" not in records["resize"]["parameters"]


@pytest.mark.usefixtures("inline")
def test_of_mixed_shards_the_same_images_are_selected_as_of_a_dump_stored_by_class(raw, tmp_path):
    files = {
        wnid: [(name.replace(".JPEG", ".jpg"), data) for name, data in images.items()]
        for wnid, images in read_dump(raw).items()
    }
    by_class, _ = prepare(make_dump(tmp_path / "by-class.tar", files), "by-class", "--fraction", 0.2)
    mixed, counts = prepare(hub_shards(tmp_path / "hub", files), "mixed", "--fraction", 0.2)
    assert digests(mixed, "*/*.tar") | digests(mixed, "*.parquet") == (
        digests(by_class, "*/*.tar") | digests(by_class, "*.parquet")
    )
    assert counts["val"] == 12
    assert counts["images_unselected"] > 40


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("lost", [("classes.parquet",), ("manifest.json", "rejects.parquet")], ids=" ".join)
def test_a_dataset_of_a_selection_is_repaired_to_the_same_bytes(raw, lost):
    out, _ = prepare(raw, "whole", "--fraction", 0.2, "--min-side", 8)
    before = digests(out)
    for name in lost:
        (out / name).write_bytes(b"")
    repaired = call("repair", raw.parent / "whole-work", out, "--workers", 1)
    assert set(lost) <= set(repaired["written"])
    assert digests(out) == before


@pytest.mark.usefixtures("inline")
def test_a_split_that_the_dump_gives_is_thinned_in_train_alone(tmp_path):
    train, val = ({DOG: images_of(DOG, 30)[part], CAT: images_of(CAT, 30)[part]} for part in (slice(6, 30), slice(6)))
    hub_shards(tmp_path / "hub", val, count=1, name="imagenet22k-validation")
    hub_shards(tmp_path / "hub", train)
    out, counts = prepare(tmp_path / "hub", "given", "--fraction", 0.25)
    assert keys(out)["val"] == {name.partition(".")[0] for images in val.values() for name, _ in images}
    assert {wnid: row["images_train"] for wnid, row in by_class(out).items()} == {DOG: 6, CAT: 6}
    assert (counts["images_unselected"], counts["rejected"]) == (36, 0)


@pytest.mark.usefixtures("inline")
def test_labels_of_another_tree_are_selected_by_it(tmp_path):
    for label in ("oak", "pine", "trout"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        for at in range(8):
            (tmp_path / "raw" / label / f"{at}.jpg").write_bytes(jpeg(at))
    edges = tmp_path / "edges.csv"
    edges.write_text("child,parent\noak,tree\npine,tree\ntrout,fish\n")
    options = ("--edges", edges, "--only-subtree", "tree", "--fraction", 0.5)
    out, _ = prepare(tmp_path / "raw", "trees", *options)
    found = by_class(out).items()
    assert {label: (row["reason"], row["images_train"], row["images_unselected"]) for label, row in found} == {
        "oak": ("kept", 2, 2),
        "pine": ("kept", 2, 2),
        "tree": ("ancestor", 0, 0),
        "trout": ("outside-subtree", 0, 0),
    }
