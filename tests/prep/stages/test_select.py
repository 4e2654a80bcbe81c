"""The selection of classes: what it drops and why, what it refuses, and that no choice changes no record."""

import json

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call
from dumps import make_dump, tar_bytes
from walks import walked_down

from in21k.tree.class_lists import PublishedList, published_class_list

ANIMAL, DOMESTIC, DOG, COW, PERSON, SCUBA = (
    *("n00015388", "n01317541", "n02084071", "n01887787"),
    *("n00007846", "n10565667"),
)
UNKNOWN = "n99999999"
SIZES = {ANIMAL: 4, DOMESTIC: 4, DOG: 4, COW: 2, PERSON: 4, SCUBA: 4, UNKNOWN: 9}


@pytest.fixture
def raw(tmp_path):
    """A dump of files that only look like images: filter opens none of them."""
    files = {wnid: [(f"{wnid}_{at}.JPEG", b"%d" % at) for at in range(count)] for wnid, count in SIZES.items()}
    return make_dump(tmp_path / "raw.tar", files)


def chosen(raw, *options, min_images=3, work="work"):
    """Filter with options and return the summary and the reason of each class."""
    counts = call("filter", raw, raw.parent / work, "--min-images", min_images, *options)
    rows = pq.read_table(raw.parent / work / "classes.parquet").to_pylist()
    assert all(row["kept"] == (row["reason"] == "kept") == (row["class_index"] >= 0) for row in rows)
    return counts, {row["wnid"]: row["reason"] for row in rows}


def parameters(folder):
    return json.loads((folder / "filter.json").read_text())["parameters"]


ALL = dict.fromkeys(SIZES, "kept") | {COW: "too-few-images", UNKNOWN: "unknown-wnid"}


def test_without_a_choice_the_record_is_as_it_always_was(raw):
    counts, reasons = chosen(raw)
    assert reasons == ALL
    assert parameters(raw.parent / "work") == {"min_images": 3}
    assert counts.keys() == {"classes", "images", "classes_kept", "images_kept", "classes_unknown", "rejected"}


def test_a_subtree_is_dropped_with_its_root_and_the_record_says_so(raw):
    counts, reasons = chosen(raw, "--exclude-subtree", PERSON)
    assert reasons == ALL | dict.fromkeys((PERSON, SCUBA), "excluded-subtree")
    assert counts["classes_excluded_subtree"] == 2
    assert parameters(raw.parent / "work") == {"min_images": 3, "exclude_subtree": PERSON}


def test_only_a_subtree_is_kept_by_any_of_its_classes_paths(raw):
    _, reasons = chosen(raw, "--only-subtree", DOMESTIC, "--only-subtree", SCUBA)
    kept = {DOMESTIC, DOG, SCUBA}
    outside = dict.fromkeys((ANIMAL, COW, PERSON), "outside-subtree")
    assert reasons == dict.fromkeys(kept, "kept") | outside | {UNKNOWN: "unknown-wnid"}


def test_classes_of_a_file_are_kept_alone_and_those_that_the_dump_lacks_are_counted(raw, tmp_path):
    listed = tmp_path / "mine.csv"
    listed.write_text(f"wnid,name\n{DOG},dog\n{ANIMAL}\n{COW} cow\nn02085620,Chihuahua\n")
    counts, reasons = chosen(raw, "--classes", listed)
    assert {wnid for wnid, reason in reasons.items() if reason == "kept"} == {DOG, ANIMAL}
    assert (reasons[COW], reasons[PERSON]) == ("too-few-images", "not-listed")
    assert (counts["classes_not_listed"], counts["classes_not_in_dump"]) == (3, 1)
    assert parameters(tmp_path / "work")["classes"] == ", ".join(sorted([DOG, ANIMAL, COW, "n02085620"]))


def test_a_published_list_is_known_by_name(raw, tmp_path):
    _, reasons = chosen(raw, "--classes", "in1k")
    thousand = set(published_class_list(PublishedList.IN1K))
    assert {wnid for wnid, reason in reasons.items() if reason == "kept"} == set(SIZES) & thousand == {SCUBA}
    assert parameters(tmp_path / "work")["classes"] == "in1k"


def test_classes_are_excluded_by_name_and_by_file(raw, tmp_path):
    (tmp_path / "out.txt").write_text(f"{COW}\n{PERSON}\n")
    _, reasons = chosen(raw, "--exclude", DOG, "--exclude", tmp_path / "out.txt")
    assert reasons == ALL | dict.fromkeys((DOG, COW, PERSON), "excluded")


def test_the_same_choice_in_other_words_is_the_same(raw, tmp_path):
    (tmp_path / "out.txt").write_text(f"{PERSON}\n{DOG}\n")
    first, _ = chosen(raw, "--exclude", DOG, "--exclude", PERSON)
    again, _ = chosen(raw, "--exclude", tmp_path / "out.txt")
    assert first == again
    _, reasons = chosen(raw, "--exclude", DOG)  # another choice: nothing is resized yet, so filter is done anew
    assert reasons == ALL | {DOG: "excluded"}


def test_a_long_list_is_recorded_by_its_digest_which_its_order_does_not_change(raw, tmp_path):
    wnids = published_class_list(PublishedList.IN1K)
    for name, listed in (("a", wnids), ("b", wnids[::-1])):
        (tmp_path / name).write_text("\n".join(listed))
        chosen(raw, "--classes", tmp_path / name, work=f"work-{name}")
    assert parameters(tmp_path / "work-a") == parameters(tmp_path / "work-b")
    assert parameters(tmp_path / "work-a")["classes"].startswith("1000 classes, sha256 70002b0f")


def wrong(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    return {
        "no-subtree": (
            ["--exclude-subtree", "n0000784"],
            "--exclude-subtree n0000784: no class of WordNet 3.0; did you mean n00007846 (person)",
        ),
        "no-only-subtree": (
            ["--only-subtree", "dog"],
            "--only-subtree dog: no class of WordNet 3.0; did you mean n02084071 (dog) or n",
        ),
        "no-class": (["--exclude", "n0208407"], "--exclude n0208407: no class of WordNet 3.0 and no file"),
        "no-list": (["--classes", "in2k"], "--classes in2k: no such file, and no list; did you mean in12k or in1k?"),
        "empty": (["--classes", tmp_path / "empty.txt"], "empty.txt lists no classes"),
        "nothing-left": (["--only-subtree", "n03001627"], "none of its 7 classes is selected"),
        "too-small": (["--only-subtree", COW], "none of its 1 selected classes has 3 images"),
        "fraction": (["--fraction", "0"], "--fraction 0.0: give more than 0, and at most 1"),
        "no-number": (["--fraction", "nan"], "--fraction nan: give more than 0"),
        "bound": (["--max-images-per-class", "-1"], "--max-images-per-class -1: give 1 or more"),
        "side": (["--min-side", "-3"], "--min-side -3: give 0 to 65536 pixels"),
    }


CASES = ["no-subtree", "no-only-subtree", "no-class", "no-list", "empty", "nothing-left", "too-small"]


@pytest.mark.parametrize("case", [*CASES, "fraction", "no-number", "bound", "side"])
def test_a_wrong_choice_is_one_line_that_names_it(raw, tmp_path, case):
    options, complaint = wrong(tmp_path)[case]
    with pytest.raises(RefusedError) as refused:
        chosen(raw, *options)
    assert complaint in str(refused.value)
    assert not (tmp_path / "work" / "filter.json").exists()


def test_of_fall11_the_person_subtree_drops_what_wordnet_has_below_person_and_nothing_else(tmp_path):
    wnids = published_class_list(PublishedList.FALL11)
    raw = tmp_path / "raw.tar"
    raw.write_bytes(tar_bytes([(f"{wnid}/{wnid}_0.JPEG", b"x") for wnid in wnids]))
    counts, reasons = chosen(raw, "--exclude-subtree", PERSON, min_images=1)
    below = walked_down(PERSON)
    assert reasons == {wnid: "excluded-subtree" if wnid in below else "kept" for wnid in wnids}
    assert (counts["classes_excluded_subtree"], counts["classes_kept"]) == (876, 10_345)
