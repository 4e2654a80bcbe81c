"""No space left: the command runs in its own mount namespace, with a tiny file system mounted over one folder."""

import shutil
import subprocess

import pytest
from commands import call, digests, one_line, prep
from dumps import PIPELINE, tiny


@pytest.fixture(scope="module", autouse=True)
def _mounts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mount")
    if shutil.which("unshare") is None or subprocess.run([*tiny(folder, 64), "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")


@pytest.fixture
def work(dataset, tmp_path):
    call("filter", dataset.raw, tmp_path / "work", "--min-images", 10)
    call("split", tmp_path / "work", "--val-per-class", 3)
    (tmp_path / "work" / "parts").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path / "work"


def check(run, folder) -> None:
    line = one_line(run)
    assert str(folder) in line
    assert line.endswith("no space left on the device; free some or name another folder")


def test_no_space_in_filter_is_one_line(dataset, tmp_path):
    (tmp_path / "work").mkdir()
    run = prep("filter", dataset.raw, tmp_path / "work", "--min-images", 10, before=tiny(tmp_path / "work", 4))
    check(run, tmp_path / "work")


def test_no_space_in_resize_is_one_line(work):
    parts = work / "parts"
    check(prep("resize", work, "--size", 64, "--workers", 1, before=tiny(parts, 64)), parts)
    assert not (work / "resize.json").exists()


def test_no_space_in_shard_is_one_line_and_with_space_it_resumes(work, dataset):
    out = work.parent / "out"
    call("resize", work, "--size", 16, "--workers", 1)
    shard = ("shard", work, out, "--samples-per-shard", 7, "--workers", 1)
    check(prep(*shard, before=tiny(out, 48)), out)
    call(*shard)
    assert digests(out) == digests(dataset.out)


def test_no_space_for_the_tables_is_one_line(dataset, tmp_path):
    """Shards and their records fit, but what comes after them does not, whatever the limit."""
    out = tmp_path / "out"
    out.mkdir()
    needed = -(-sum(path.stat().st_size for path in dataset.out.rglob("*")) // 1024)
    run = prep("run", dataset.raw, tmp_path / "work", out, *PIPELINE, "--workers", 1, before=tiny(out, needed))
    check(run, out)
