import dataclasses
import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, digests
from damage import change_shard, reseal, write_manifest
from dumps import SIZE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from in21k.prep.dataset.repair import repair_dataset
from in21k.prep.errors import PrepError
from in21k.prep.executor import Workers
from in21k.prep.tables import write_table
from in21k.shards_manifest.manifest import CLASSES, HIERARCHY, MANIFEST, SAMPLES, read_manifest
from in21k.shards_manifest.parquet_table import read_columns
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.verify.checks import verify
from in21k.tree.table import SCHEMA, as_format_2

TRAIN, VAL = "train/in21k-train-000000.tar", "val/in21k-val-000000.tar"

KINDS = ("flip", "cut", "lengthen", "swap-inside", "swap-files", "rename", "delete")


@dataclasses.dataclass(frozen=True)
class Damage:
    """One kind of damage to one file, or to two that are swapped."""

    kind: str
    file: int
    other: int
    at: float
    to: float

    def do(self, folder: Path) -> set[str]:
        """Damage the dataset and return the files that are no longer what they were."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        path, other = paths[self.file % len(paths)], paths[self.other % len(paths)]
        content = bytearray(path.read_bytes())
        at, to = int(self.at * (len(content) - 1)), int(self.to * (len(content) - 1))
        if self.kind == "flip":
            content[at] ^= 1 + int(self.to * 254)
        elif self.kind == "cut":
            del content[at:]
        elif self.kind == "lengthen":
            content += bytes(1 + int(self.at * 2000))
        elif self.kind == "swap-inside":
            size = min(512, abs(at - to), len(content) - max(at, to))
            content[at : at + size], content[to : to + size] = content[to : to + size], content[at : at + size]
        before = {name: name.read_bytes() for name in (path, other)}
        if self.kind == "swap-files":
            path.write_bytes(before[other])
            other.write_bytes(before[path])
        elif self.kind == "rename":
            path.rename(path.with_name(f"x-{path.name}"))
        elif self.kind == "delete":
            path.unlink()
        else:
            path.write_bytes(content)
        return {
            str(name.relative_to(folder))
            for name, old in before.items()
            if not name.exists() or name.read_bytes() != old
        }


fractions = st.floats(0, 1)
damages = st.builds(Damage, st.sampled_from(KINDS), st.integers(0, 99), st.integers(0, 99), fractions, fractions)


def hidden(changed: set[str]) -> set[str]:
    """Return the changed sidecars that cannot be checked, since the table they come from is changed as well."""
    indexes = {name for name in changed if name.endswith(".idx") and SAMPLES in changed}
    return indexes | (changed & {"synsets.txt", "classes.txt"} if HIERARCHY in changed else set())


def check_damage(dataset, damage: Damage) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(shutil.copytree(dataset.out, Path(temporary) / "out"))
        changed = damage.do(out)
        if MANIFEST in changed and not (out / MANIFEST).exists():
            named = {MANIFEST}
        else:
            named = {finding.path for finding in verify(locate(out)).findings}
        if MANIFEST in changed:
            assert named == {MANIFEST}  # without a sound manifest nothing else can be blamed
        else:
            strays = {str(path.relative_to(out)) for path in out.rglob("x-*.tar")}
            assert named | hidden(changed) == changed | strays
        repaired = repair_dataset(locate(dataset.work), locate(out), Workers(1))
        assert repaired.left == ()
        for path in out.rglob("x-*"):
            path.unlink()  # renamed files that are not shards are left alone
        assert digests(out) == digests(dataset.out)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(damages)
def test_damage_is_named_and_repaired(dataset, damage):
    check_damage(dataset, damage)


@pytest.mark.slow
@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(damages)
def test_damage_is_named_and_repaired_often(dataset, damage):
    check_damage(dataset, damage)


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset.out, tmp_path / "copy")


def test_only_what_is_damaged_is_written(dataset, copy):
    (copy / VAL).unlink()
    times = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
    assert call("repair", dataset.work, copy) == {"written": [VAL], "deleted": [], "left": []}
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert digests(copy) == digests(dataset.out)


def test_a_sound_dataset_is_left_alone(dataset, copy):
    assert call("repair", dataset.work, copy) == {"written": [], "deleted": [], "left": []}


def test_everything_damaged_at_once_is_repaired(dataset, copy):
    for path in sorted(copy.rglob("*")):
        if path.is_file() and path.name not in (MANIFEST, CLASSES):
            path.write_bytes(b"damaged")
    repair_dataset(locate(dataset.work), locate(copy), Workers(2))
    assert digests(copy) == digests(dataset.out)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff"])
def test_without_a_manifest_everything_is_rewritten(dataset, copy, content):
    (copy / MANIFEST).unlink()
    if content is not None:
        (copy / MANIFEST).write_bytes(content)
    (copy / TRAIN).write_bytes(b"damaged")
    assert MANIFEST in call("repair", dataset.work, copy, "--workers", 1)["written"]
    assert digests(copy) == digests(dataset.out)


def test_without_manifest_and_class_table_the_error_says_what_to_do(dataset, copy):
    (copy / MANIFEST).unlink()
    (copy / CLASSES).unlink()
    with pytest.raises(PrepError, match=r"neither manifest\.json nor classes\.parquet says .* empty folder"):
        repair_dataset(locate(dataset.work), locate(copy), Workers(1))


def test_a_foreign_tar_stays_and_is_reported(dataset, copy):
    (copy / "train/mine.tar").write_bytes(b"something of the user's")
    (copy / VAL).unlink()
    repaired = repair_dataset(locate(dataset.work), locate(copy), Workers(1))
    assert repaired.written == (VAL,)
    assert [(finding.code, finding.path) for finding in repaired.left] == [("E104", "train/mine.tar")]
    assert (copy / "train/mine.tar").exists()


def test_a_work_folder_without_parts_is_refused_until_it_has_them_again(dataset, copy, tmp_path):
    work = shutil.copytree(dataset.work, tmp_path / "work", ignore=shutil.ignore_patterns("part-*"))
    (copy / VAL).unlink()
    with pytest.raises(RefusedError, match=r"its parts are gone, .* delete resize\.json there and run"):
        call("repair", work, copy)
    (work / "resize.json").unlink()
    call("resize", work, "--size", SIZE, "--workers", 1)
    assert call("repair", work, copy)["written"] == [VAL]


def test_a_dataset_of_another_run_is_refused(dataset, copy):
    manifest = read_manifest(locate(copy))
    split = {**manifest.parameters["split"], "seed": 9}
    write_manifest(copy, dataclasses.replace(manifest, parameters={**manifest.parameters, "split": split}))
    with pytest.raises(RefusedError, match=r"a dataset was made there by split with seed 9, not 0"):
        call("repair", dataset.work, copy)


def test_parts_that_make_other_bytes_are_reported(dataset, copy):
    (copy / TRAIN).write_bytes((copy / TRAIN).read_bytes().replace(b"JFIF", b"JFXX"))
    reseal(copy)  # as if the dataset had been written like this
    (copy / TRAIN).unlink()
    with pytest.raises(RefusedError, match=r"the parts make other bytes than the manifest says"):
        call("repair", dataset.work, copy)


def test_the_sample_table_comes_back_from_the_shards(dataset, copy):
    (copy / SAMPLES).unlink()
    (copy / TRAIN).unlink()
    assert call("repair", dataset.work, copy)["written"] == [TRAIN, SAMPLES]
    assert digests(copy) == digests(dataset.out)


def test_a_hierarchy_from_before_there_were_glosses_comes_back_as_it_was(dataset, copy):
    write_table(locate(copy / HIERARCHY), as_format_2(read_columns(locate(copy / HIERARCHY), SCHEMA)))
    reseal(copy)
    call("sidecars", copy)
    before = digests(copy)
    assert "gloss" not in pq.read_schema(copy / HIERARCHY).names
    assert call("verify", copy)["findings"] == []
    (copy / HIERARCHY).unlink()
    assert call("repair", dataset.work, copy)["written"] == [HIERARCHY]
    assert digests(copy) == before


def with_another_key(members):
    (image, picture), (label, number), *others = members
    return [(f"..{image[2:]}".replace("_", "/", 1), picture), (label, number), *others]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (with_another_key, r"does not hold the samples of its parts"),
        (lambda members: members[2:], r"does not hold the samples of its parts"),
        (lambda members: [*members[2:], *members[:2]], r"does not hold the samples of its parts"),
    ],
    ids=["another key", "one less", "another order"],
)
def test_a_shard_that_is_not_its_parts_gives_no_rows(dataset, copy, change, line):
    change_shard("train/in21k-train-000000.tar", change)(copy)
    (copy / SAMPLES).unlink()
    with pytest.raises(RefusedError, match=rf"in21k-train-000000.tar {line}"):
        call("repair", dataset.work, copy)
