"""The command classes: of a dump, a work folder, a dataset and a list; what it exports is what selections read."""

import csv

import pytest
from commands import RefusedError, call, prep
from dumps import KEPT, PIPELINE, images_of, make_dump

from in21k.tree.class_lists import PublishedList, published_class_list

ANIMAL, DOMESTIC, COW, DOG, SUN = sorted(KEPT)
CAT, UNKNOWN = "n02121620", "n99999999"


@pytest.fixture
def raw(tmp_path):
    counts = KEPT | {CAT: 2, UNKNOWN: 11}
    return make_dump(tmp_path / "raw.tar", {wnid: images_of(wnid, count) for wnid, count in counts.items()})


def rows(*arguments):
    return {row["wnid"]: row for row in call("classes", *arguments)["list"]}


def test_a_dump_lists_its_classes_of_which_nothing_is_decided(raw):
    found = rows(raw)
    assert list(found) == sorted(found)
    assert {wnid: (row["images"], row["level"], row["reason"]) for wnid, row in found.items()} == {
        ANIMAL: (12, 0, ""),
        DOMESTIC: (10, 1, ""),
        COW: (14, 1, ""),
        DOG: (11, 2, ""),
        CAT: (2, 1, ""),
        SUN: (10, 0, ""),
        UNKNOWN: (11, None, "unknown-wnid"),
    }
    assert (found[DOG]["name"], found[UNKNOWN]["name"]) == ("dog", "")
    assert [path.name for path in raw.parent.iterdir()] == ["raw.tar"]


@pytest.mark.usefixtures("inline")
def test_a_work_folder_and_a_dataset_say_why_classes_are_dropped(raw, tmp_path):
    call("run", raw, tmp_path / "work", tmp_path / "out", *PIPELINE, "--exclude", SUN, "--workers", 1)
    in_work, in_dataset = rows(tmp_path / "work"), rows(tmp_path / "out")
    assert in_work == in_dataset
    assert {wnid: row["reason"] for wnid, row in in_work.items() if row["reason"] != "kept"} == {
        SUN: "excluded",
        CAT: "too-few-images",
        UNKNOWN: "unknown-wnid",
    }
    assert {wnid for wnid in in_work if in_work[wnid]["level"] is None} == {SUN, CAT, UNKNOWN}
    assert list(rows(tmp_path / "out", "--kept", "--subtree", DOMESTIC)) == [DOMESTIC, DOG]
    assert list(rows(tmp_path / "out", "--dropped", "--subtree", ANIMAL)) == [CAT]


def test_an_exported_subtree_is_what_exclude_subtree_drops(raw, tmp_path):
    people = tmp_path / "animals.txt"
    summary = call("classes", raw, "--subtree", ANIMAL, "--export", people)
    assert (summary["classes"], summary["images"]) == (5, 49)
    by_file, by_subtree = (
        call("filter", raw, tmp_path / option[2:], "--min-images", 1, option, value)
        for option, value in (("--exclude", people), ("--exclude-subtree", ANIMAL))
    )
    assert by_file["classes_kept"] == by_subtree["classes_kept"] == 1
    first = people.read_bytes()
    call("classes", raw, "--subtree", ANIMAL, "--export", people)
    assert people.read_bytes() == first


def test_a_published_list_has_levels_and_exports_all_columns(tmp_path):
    output = tmp_path / "people.csv"
    call("classes", "fall11-p", "--subtree", "n00007846", "--export", output)
    with output.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 876
    assert list(found[0]) == ["wnid", "name", "images", "level", "reason", "gloss"]
    assert {row["wnid"] for row in found} < set(published_class_list(PublishedList.FALL11))
    gloss = found[0].pop("gloss")
    assert gloss == 'a human being; "there was too much for one person to do"'
    assert found[0] == {"wnid": "n00007846", "name": "person", "images": "", "level": "0", "reason": ""}


def test_lines_are_printed_for_people(raw):
    run = prep("classes", raw, "--subtree", DOMESTIC)
    assert run.returncode == 0, run.stderr
    domestic, dog = run.stdout.splitlines()[:2]
    assert domestic.startswith(f"{DOMESTIC}\tdomestic animal\t10\t1\t\tany of various animals that have been tamed")
    assert dog.startswith(f"{DOG}\tdog\t11\t2\t\ta member of the genus Canis")
    assert '"' not in dog  # the definition without its examples


def test_labels_of_edges_are_listed_by_their_own_tree(tmp_path):
    for label in ("oak", "tree"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        (tmp_path / "raw" / label / "1.jpg").write_bytes(b"x")
    (tmp_path / "edges.csv").write_text("child,parent\noak,tree\npine,tree\n")
    found = rows(tmp_path / "raw", "--edges", tmp_path / "edges.csv", "--subtree", "tree")
    assert {label: row["level"] for label, row in found.items()} == {"oak": 1, "tree": 0}


def test_what_cannot_be_listed_is_one_line(raw, tmp_path):
    with pytest.raises(RefusedError, match=r"raw\.tar: it has no class at or below n00007846"):
        call("classes", raw, "--subtree", "n00007846")
    with pytest.raises(RefusedError, match=r"gone: there is no such file or folder"):
        call("classes", tmp_path / "gone")
    (tmp_path / "mine.txt").write_text("mine\n")
    with pytest.raises(RefusedError, match=r"mine\.txt exists and holds something else; give another --export"):
        call("classes", raw, "--export", tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "mine\n"
