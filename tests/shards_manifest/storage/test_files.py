import hashlib
import os

import pytest

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.storage.local_files import (
    atomic_path,
    make_folder,
    regular_files,
    remove_temporaries,
    write_atomic,
)
from in21k.shards_manifest.storage.location import locate


def test_a_file_appears_whole_under_its_name(tmp_path):
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"new")
        assert not (tmp_path / "a").exists()
        assert temporary.name.startswith(".tmp-")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_folder_lists_the_files_in_its_own_folders_alone(tmp_path):
    for name in ("a", "below/b", "below/deep/c", "other/d"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"xyz"[: len(name)])
    (tmp_path / "in" / "linked").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "in" / "pipe")
    assert regular_files(tmp_path / "in") == {"a": 1, "below/b": 3, "below/deep/c": 3, "other/d": 3}
    assert regular_files(tmp_path / "nowhere") == {}


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    write_atomic(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half" * (1 // 0 if temporary.write_bytes(b"half") else 1))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_writer_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="no such file"), atomic_path(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this machine")  # noqa: PTH110
def test_a_full_device_is_one_line_that_names_the_file(tmp_path):
    with pytest.raises(DatasetError) as refused, atomic_path(tmp_path / "a") as temporary:  # noqa: PT012
        temporary.symlink_to("/dev/full")
        temporary.write_bytes(b"x")
    assert str(refused.value) == f"{tmp_path / 'a'}: no space left on the device; free some or name another folder"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_one_line_that_names_the_file(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere/a: there is no such file or folder$"):
        write_atomic(tmp_path / "nowhere" / "a", b"x")


def test_temporaries_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    for name in (".tmp-0123abcd-part", "part", ".lock", "tmp-x", ".tmp-mine", ".tmp-3d-"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / ".tmp-1").write_bytes(b"")
    (tmp_path / ".tmp-0123abcd-folder").mkdir()
    (tmp_path / ".tmp-0123abcd-link").symlink_to(tmp_path / "below")
    remove_temporaries(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        ".lock",
        ".tmp-0123abcd-folder",
        ".tmp-3d-",
        ".tmp-mine",
        "below",
        "below/.tmp-1",
        "part",
        "tmp-x",
    ]


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"a/b: Not a directory$|a/b: .*exists"):
        make_folder(tmp_path / "a" / "b")


def test_digests_are_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert locate(tmp_path / "a").sha256() == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(DatasetError, match=r"gone: there is no such file"):
        locate(tmp_path / "gone").sha256()


@pytest.mark.parametrize("as_uri", [False, True], ids=["path", "file-uri"])
def test_a_location_reads_ranges_and_wholes(tmp_path, as_uri):
    content = bytes(range(256)) * 10
    (tmp_path / "a").write_bytes(content)
    folder = locate(f"file://{tmp_path}" if as_uri else tmp_path)
    location = folder.child("a")
    assert location.exists()
    assert not folder.exists()  # a folder is not a file
    assert location.read_bytes() == content
    assert location.open_input().read_at(7, 300) == content[300:307]
    ranges = location.open_ranges()
    assert ranges.size == len(content)
    assert ranges.read(2000, 100) == content[2000:2100]
    assert ranges.read(2550, 100) == content[2550:]
    assert ranges.read(5000, 100) == b""
    ranges.close()


def test_a_relative_path_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    location = locate("some/folder/")
    assert location.path == str(tmp_path / "some" / "folder")
    assert location.child("manifest.json").text == "some/folder/manifest.json"


def test_the_query_of_a_uri_stays_at_the_end_of_its_children():
    location = locate("s3://bucket/dataset/?endpoint_override=localhost:1&scheme=http&region=x")
    assert location.path == "bucket/dataset"
    assert location.child("a").path == "bucket/dataset/a"
    assert location.child("a").text == "s3://bucket/dataset/a?endpoint_override=localhost:1&scheme=http&region=x"


@pytest.mark.parametrize("text", ["nonsense://bucket/key", "://"])
def test_a_uri_of_an_unknown_scheme_is_one_line(text):
    with pytest.raises(DatasetError) as refused:
        locate(text)
    assert str(refused.value).startswith(f"{text}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("read", ["read_bytes", "open_input", "open_ranges"])
def test_a_missing_file_is_one_line(tmp_path, read):
    with pytest.raises(DatasetError, match=r"gone: there is no such file or folder$"):
        getattr(locate(tmp_path / "gone"), read)()
