import string

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call
from dumps import make_dump
from hypothesis import given
from hypothesis import strategies as st

from in21k.prep.stages.keys import sample_key
from in21k.shards_manifest.key_hashes import keyed_hash

DOG, CAT = "n02084071", "n02121620"
NUMBERS = [2, 10, 1, 100, 33, 7, 8, 9, 21, 5]
"""Not in order, and ordered differently as names than as numbers."""


def split(tmp_path, val_per_class, order="name", seed=0, names=None):
    """Split a dump of the given names by class and return the summary and the rows."""
    names = names or {wnid: [f"{wnid}_{number}.JPEG" for number in NUMBERS] for wnid in (DOG, CAT)}
    files = {wnid: [(name, b"x%d" % at) for at, name in enumerate(of_class)] for wnid, of_class in names.items()}
    raw = make_dump(tmp_path / "raw.tar", files)
    call("filter", raw, tmp_path / "work", "--min-images", 1)
    counts = call("split", tmp_path / "work", "--val-per-class", val_per_class, "--order", order, "--seed", seed)
    return counts, pq.read_table(tmp_path / "work" / "split.parquet").to_pylist()


def val_names(rows, class_index=1):
    return {row["name"] for row in rows if row["class_index"] == class_index and row["split"] == "val"}


def test_val_is_the_first_n_of_each_class_in_byte_order_of_names(tmp_path):
    counts, rows = split(tmp_path, 4)
    for index, wnid in enumerate((DOG, CAT)):
        names = sorted((f"{wnid}_{number}.JPEG" for number in NUMBERS), key=str.encode)
        assert val_names(rows, index) == set(names[:4])
        assert {row["name"]: row["rank"] for row in rows if row["class_index"] == index} == {
            name: rank for rank, name in enumerate(names)
        }
    assert counts == {"classes": 2, "train": 12, "val": 8, "rejected": 0}


def test_names_are_compared_as_bytes_whatever_the_language(tmp_path):
    names = {DOG: ["b.JPEG", "a.JPEG", "B.JPEG", "ä.JPEG", "a-1.JPEG", "é.JPEG", "z.JPEG"]}
    _, rows = split(tmp_path, 3, names=names)
    assert val_names(rows, 0) == {"B.JPEG", "a-1.JPEG", "a.JPEG"}
    assert sorted(rows, key=lambda row: row["rank"])[-1]["name"] == "é.JPEG"


def test_hash_order_depends_on_the_seed_alone(tmp_path):
    chosen = {}
    for run, (order, seed) in {
        "name": ("name", 0),
        "zero": ("hash", 0),
        "one": ("hash", 1),
        "again": ("hash", 1),
    }.items():
        (tmp_path / run).mkdir()
        _, rows = split(tmp_path / run, 4, order, seed)
        chosen[run] = val_names(rows)
        assert len(chosen[run]) == 4
    assert chosen["one"] == chosen["again"]
    assert len({frozenset(names) for names in chosen.values()}) == 3


def test_name_order_does_not_depend_on_the_seed_but_the_shuffle_does(tmp_path):
    rows = {}
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        _, rows[seed] = split(tmp_path / str(seed), 4, "name", seed)
    assert val_names(rows[0]) == val_names(rows[1])
    keys = [{row["key"]: row["shuffle_key"] for row in rows[seed]} for seed in (0, 1)]
    assert keys[0].keys() == keys[1].keys()
    assert not set(keys[0].values()) & set(keys[1].values())


def test_a_duplicate_name_is_rejected_once(tmp_path):
    names = {DOG: [f"{DOG}_1.JPEG", f"{DOG}_2.JPEG", f"{DOG}_1.JPEG", f"{DOG}_2.jpg", f"{DOG}_3.JPEG"]}
    counts, rows = split(tmp_path, 1, names=names)
    rejects = pq.read_table(tmp_path / "work" / "split-rejects.parquet").to_pylist()
    assert [row["name"] for row in rows] == [f"{DOG}_{number}.JPEG" for number in (1, 2, 3)]
    assert {(row["wnid"], row["name"], row["reason"]) for row in rejects} == {
        (DOG, f"{DOG}_1.JPEG", "duplicate-name"),
        (DOG, f"{DOG}_2.jpg", "duplicate-name"),
    }
    assert f"{DOG}_2.JPEG comes first" in {row["detail"] for row in rejects}
    assert counts == {"classes": 1, "train": 2, "val": 1, "rejected": 2}


def test_the_first_of_two_duplicates_is_kept(tmp_path):
    _, rows = split(tmp_path, 0, names={DOG: [f"{DOG}_1.JPEG"] * 2 + [f"{DOG}_2.JPEG"]})
    raw = (tmp_path / "raw.tar").read_bytes()
    kept = next(row for row in rows if row["name"] == f"{DOG}_1.JPEG")
    assert raw[kept["offset"] : kept["offset"] + kept["size"]] == b"x0"


def test_no_val_at_all_is_a_choice(tmp_path):
    counts, rows = split(tmp_path, 0)
    assert {row["split"] for row in rows} == {"train"}
    assert counts["val"] == 0


@pytest.mark.parametrize("val_per_class", [10, 11, 1 << 40])
def test_more_val_images_than_a_class_has_are_refused_and_the_class_named(tmp_path, val_per_class):
    with pytest.raises(
        RefusedError, match=rf"--val-per-class {val_per_class} leaves no training images of n02\d+.* 10 images"
    ):
        split(tmp_path, val_per_class)


def test_all_but_one_may_be_val(tmp_path):
    counts, _ = split(tmp_path, 9)
    assert (counts["train"], counts["val"]) == (2, 18)


def test_negative_val_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="give 0 or more"):
        split(tmp_path, -1)


def test_classes_in_two_tars_and_many_row_groups_stay_whole(tmp_path):
    files = {wnid: [(f"{wnid}_{at}.JPEG", b"x") for at in range(9000)] for wnid in (DOG, CAT)}
    halves = [
        (wnid, part)
        for cut in (slice(0, 4500), slice(4500, None))
        for wnid, all_ in files.items()
        for part in [all_[cut]]
    ]
    raw = make_dump(tmp_path / "raw.tar", halves)
    call("filter", raw, tmp_path / "work", "--min-images", 9000)
    counts = call("split", tmp_path / "work", "--val-per-class", 50)
    assert counts == {"classes": 2, "train": 17_900, "val": 100, "rejected": 0}
    file = pq.ParquetFile(tmp_path / "work" / "split.parquet")
    groups = [set(file.read_row_group(at)["class_index"].to_pylist()) for at in range(file.num_row_groups)]
    assert sum(map(len, groups)) == 2  # no class is in two row groups
    assert file.metadata.num_rows == 18_000


CHARACTERS = set(string.ascii_letters + string.digits + "_-")
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120)


@given(names)
def test_keys_have_safe_characters_and_fit_a_tar_header(name):
    key = sample_key(DOG, name)
    assert set(key) <= CHARACTERS
    assert key.startswith(f"{DOG}_")
    assert len(key) <= 96


@given(st.sets(st.one_of(names, names.map(lambda name: f"{DOG}_{name}"), st.just(f"{DOG}_1.JPEG")), min_size=2))
def test_different_stems_have_different_keys(found):
    stems = {name.rpartition(".")[0] or name for name in found}
    assert len({sample_key(DOG, name) for name in found}) >= len(stems)


@given(st.integers(0, 10**9), st.sampled_from(["JPEG", "jpg", "png"]))
def test_names_of_imagenet_are_keys_unchanged(number, suffix):
    assert sample_key(DOG, f"{DOG}_{number}.{suffix}") == f"{DOG}_{number}"


@pytest.mark.parametrize(
    "name", ["1.JPEG", f"{CAT}_1.JPEG", f"{DOG}_1.2.JPEG", f"{DOG}_ä.JPEG", f"{DOG}_" + "9" * 90, ".JPEG"]
)
def test_other_names_get_a_digest_after_their_readable_part(name):
    assert sample_key(DOG, name) != sample_key(DOG, name + "x")
    assert len(sample_key(DOG, name).rpartition("-")[2]) == 12


def test_hashes_differ_by_seed_and_by_purpose():
    hashes = {keyed_hash(seed, purpose, key) for seed in (0, 1, 10) for purpose in (b"a", b"b") for key in ("k", "l")}
    assert len(hashes) == 12
    assert all(0 <= value < 1 << 64 for value in hashes)
