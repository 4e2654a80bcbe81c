"""`images.parquet` and `split.parquet` of a work folder: damaged or impossible, they are one line."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call
from dumps import PIPELINE, SIZE

from in21k.prep.stages.record import IMAGES, SPLIT

pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture
def work(dataset, tmp_path):
    """A work folder in which `resize` has not begun."""
    return shutil.copytree(dataset.work, tmp_path / "work", ignore=shutil.ignore_patterns("resize.json", "parts"))


def undo_split(work):
    for name in ("split.json", SPLIT, "split-rejects.parquet"):
        (work / name).unlink()


def rewrite(path, change):
    table = pq.read_table(path)
    schema = pa.schema([pa.field(f.name, getattr(f.type, "value_type", f.type), f.nullable) for f in table.schema])
    rows = table.cast(schema).to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=10**6)


DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: content[:100] + bytes(len(content) - 200) + content[-100:],
    "garbage": lambda content: b"PAR1garbagePAR1",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_one_line(dataset, work, tmp_path, damage):
    for name, command in (
        (SPLIT, ("resize", work, "--size", SIZE, "--workers", 1)),
        (IMAGES, ("split", work, "--val-per-class", 3)),
    ):
        if name == IMAGES:
            undo_split(work)
        (work / name).write_bytes(damage((work / name).read_bytes()))
        with pytest.raises(RefusedError, match=rf"{name} is not a table of the expected kind"):
            call(*command)


def test_a_dry_run_of_a_damaged_table_is_one_line(dataset, work, tmp_path):
    (work / SPLIT).write_bytes(b"garbage")
    with pytest.raises(RefusedError, match=rf"{SPLIT} is not a table of the expected kind"):
        call("run", dataset.raw, work, tmp_path / "out", *PIPELINE, "--dry-run")


def test_a_table_of_more_rows_than_its_length_allows_is_refused(work):
    table = pq.read_table(work / SPLIT).slice(0, 1)
    pq.write_table(table.take(pa.array([0] * (1 << 21))), work / SPLIT, compression="zstd")
    with pytest.raises(RefusedError, match=r"2,097,152 rows in"):
        call("resize", work, "--size", SIZE, "--workers", 1)


@pytest.mark.parametrize(
    ("column", "value", "line"),
    [
        ("offset", -1, "has the offset -1"),
        ("size", -(10**12), "has the size -1000000000000"),
        ("given_split", "test", "has the given_split 'test'"),
        ("key", "../../x", "has the key '../../x'"),
        ("class_index", 10**6, "does not have each of the 5 classes"),
    ],
)
def test_values_that_no_image_has_are_one_line(work, column, value, line):
    def change(rows):
        rows[0][column] = value

    rewrite(work / SPLIT, change)
    with pytest.raises(RefusedError, match=line):
        call("resize", work, "--size", SIZE, "--workers", 1)


@pytest.mark.parametrize("change", [lambda rows: rows.pop(), lambda rows: rows.append(rows[-1])], ids=["less", "more"])
def test_a_class_that_lacks_images_is_not_dropped_in_silence(work, change):
    undo_split(work)
    rewrite(work / IMAGES, change)
    with pytest.raises(RefusedError, match=rf"{IMAGES} and classes.parquet differ in the images of n"):
        call("split", work, "--val-per-class", 3)


@pytest.mark.parametrize("classes", [[], [0, 1, 2, 3, 4, 10**9], [0, 1, 2, 3]])
def test_a_plan_of_other_classes_is_one_line(work, classes):
    call("resize", work, "--size", SIZE, "--workers", 1)
    (work / "resize.json").unlink()
    plan = work / "parts" / "plan.json"
    text = plan.read_text()
    head, _, _ = text.partition('"parts"')
    plan.write_text(f'{head}"parts": [{{"classes": {classes}, "row_groups": [0], "images": 1}}]}}')
    with pytest.raises(RefusedError, match="it does not have each class once"):
        call("resize", work, "--size", SIZE, "--workers", 1)


@pytest.mark.parametrize(
    ("column", "values", "line"),
    [
        ("reason", ["odd"], "'odd' is no reason"),
        ("reason", ["too-few-images"] * 7, "no class is kept"),
        ("reason", ["too-few-images"], "the column kept contradicts the reasons"),
        ("class_index", [1 << 20], "its class indices do not number the kept classes"),
        ("class_index", [1, 0], "its class indices do not number the kept classes"),
        ("wnid", ["n01317541"], "a class has two rows"),
        ("images", [-5], "a class has less than no images"),
    ],
)
def test_a_class_table_that_contradicts_itself_is_one_line(dataset, tmp_path, column, values, line):
    work = shutil.copytree(dataset.work, tmp_path / "done")

    def change(rows):
        for row, value in zip(rows, values, strict=False):
            row[column] = value

    rewrite(work / "classes.parquet", change)
    for command in (("shard", work, tmp_path / "out"), ("repair", work, shutil.copytree(dataset.out, tmp_path / "o"))):
        if command[0] == "repair":
            (tmp_path / "o" / "classes.parquet").unlink()
        with pytest.raises(RefusedError, match=line):
            call(*command)
