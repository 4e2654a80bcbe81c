from collections import Counter

import pyarrow.parquet as pq
import pytest
from commands import call
from dumps import images_of, make_dump
from explorer_pages import data_of

from in21k.prep.hierarchy.repeats import repeated_files
from in21k.shards_manifest.manifest import read_manifest
from in21k.shards_manifest.storage.location import locate

DOG, COW = "n02084071", "n01887787"
OPTIONS = ("--min-images", 1, "--val-per-class", 2, "--size", 24, "--workers", 1)


@pytest.fixture(scope="module")
def repeating(tmp_path_factory):
    """A dataset in which a cow is a dog's file, and two dogs are one file."""
    folder = tmp_path_factory.mktemp("repeating")
    dogs, cows = images_of(DOG, 6), images_of(COW, 6)
    dogs.append((f"{DOG}_90.JPEG", dogs[0][1]))
    cows.append((f"{COW}_90.JPEG", dogs[1][1]))
    raw = make_dump(folder / "raw.tar", {DOG: dogs, COW: cows})
    call("run", raw, folder / "work", folder / "out", *OPTIONS)
    return folder / "out"


def test_files_that_a_dataset_holds_again_are_counted_by_class(repeating):
    rows = pq.read_table(repeating / "samples.parquet", columns=["class_index", "file_digest"]).to_pylist()
    files = Counter(row["file_digest"] for row in rows)
    slow = Counter(row["class_index"] for row in rows if files[row["file_digest"]] > 1)
    found = repeated_files(locate(repeating), read_manifest(locate(repeating)))
    assert found.values.tolist() == [slow[0], slow[1]] == [1, 3]


def test_the_page_has_them(repeating, tmp_path):
    call("report", repeating, "--output", tmp_path)
    (measure,) = data_of((tmp_path / "report.html").read_text("utf-8"))["measures"]
    assert (measure["name"], measure["values"]) == ("repeated files", [1, 3])


def test_a_dataset_without_repeated_files_has_no_such_measure(dataset):
    rows = pq.read_table(dataset.out / "samples.parquet", columns=["file_digest"])["file_digest"].to_pylist()
    assert len(set(rows)) == len(rows)
    assert repeated_files(locate(dataset.out), dataset.manifest) is None
