"""Tars of class folders: noticed when they change, and their loose files are rows."""

import os

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call
from dumps import images_of, jpeg, tar_bytes

FOLDER = [(f"n02084071/{name}", data) for name, data in images_of("n02084071", 5)]


@pytest.mark.parametrize("at", [-600_000, 700])
def test_a_dump_that_changed_near_an_end_is_another_dump(tmp_path, at):
    raw = tmp_path / "raw.tar"
    long = [("n02084071/first.JPEG", os.urandom(1_500_000)), *FOLDER, ("n02084071/z.JPEG", os.urandom(1_500_000))]
    content = bytearray(tar_bytes(long))
    raw.write_bytes(content)
    call("filter", raw, tmp_path / "work", "--min-images", 1)
    content[at] ^= 1
    raw.write_bytes(content)
    with pytest.raises(RefusedError, match="filter was done with edges_sha256"):
        call("filter", raw, tmp_path / "work", "--min-images", 1)


def test_a_file_beside_the_class_folders_is_a_reject(tmp_path):
    raw = tmp_path / "raw.tar"
    raw.write_bytes(tar_bytes([*FOLDER, ("loose.JPEG", jpeg())]))
    counts = call("filter", raw, tmp_path / "work", "--min-images", 1)
    assert (counts["images"], counts["rejected"]) == (5, 1)
    [row] = pq.read_table(tmp_path / "work" / "filter-rejects.parquet").to_pylist()
    assert (row["wnid"], row["name"], row["reason"]) == ("", "loose.JPEG", "not-in-a-class")
