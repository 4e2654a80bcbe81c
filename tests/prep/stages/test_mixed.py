import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from in21k.prep import bucket_sort
from in21k.prep.bucket_sort import BUCKETS, BucketSort, codes
from in21k.prep.records import PROVISIONAL
from in21k.prep.stages.merge import Settlement, val_limits
from in21k.shards_manifest.storage.location import locate

SCHEMA = pa.schema([("text", pa.string()), ("number", pa.int64())])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=3).filter(lambda text: "\0" not in text), max_size=60), st.integers(1, 20))
def test_rows_come_back_from_the_buckets_sorted_and_none_is_lost(texts, held):
    rows = list(zip(texts, range(len(texts)), strict=True))
    bucket_of = lambda table: np.array([len(text) * 7 % BUCKETS for text in table["text"].to_pylist()])  # noqa: E731
    before, bucket_sort._ROWS_HELD = bucket_sort._ROWS_HELD, held
    try:
        with BucketSort(locate("/tmp"), SCHEMA, bucket_of) as sort:
            for text, number in rows:
                sort.extend([text], [number])
            tables = [
                list(zip(*table.to_pydict().values(), strict=True))
                for table in sort.tables(lambda table: np.argsort(codes(table["text"]), kind="stable"))
            ]
    finally:
        bucket_sort._ROWS_HELD = before
    assert sorted(row for table in tables for row in table) == sorted(rows)
    for table in tables:
        assert table == sorted(table, key=lambda row: (row[0].encode(), row[1]))
        assert len({len(text) for text, _ in table}) == 1


@st.composite
def dumps(draw):
    """The images of some classes as (class index, rank, decodes, given split), in a mixed order."""
    classes = draw(st.integers(1, 4))
    rows = [
        (index, rank, draw(st.booleans()), draw(st.sampled_from(["", "", "train", "val"])))
        for index in range(classes)
        for rank in range(draw(st.integers(0, 9)))
    ]
    return classes, draw(st.permutations(rows))


def slow_splits(rows, val_per_class):
    """Settle class by class, as where a class lies in one part."""
    splits = {}
    for index in {row[0] for row in rows}:
        decoded = sorted(row for row in rows if row[0] == index and row[2])
        for position, (_, rank, _, given_split) in enumerate(decoded):
            splits[index, rank] = given_split or ("val" if position < val_per_class else "train")
    return splits


def part_table(rows, val_per_class):
    decoded = [row for row in rows if row[2]]
    return pa.table(
        {
            "split": pa.array(
                [split or PROVISIONAL["val" if rank < val_per_class else "train"] for _, rank, _, split in decoded],
                pa.dictionary(pa.int8(), pa.string()),
            ),
            "class_index": pa.array([row[0] for row in decoded], pa.int32()),
            "rank": pa.array([row[1] for row in decoded], pa.int32()),
        }
    )


@given(dumps(), st.integers(0, 5), st.integers(1, 8))
def test_parts_of_a_mixed_dump_settle_the_splits_as_whole_classes_do(dump, val_per_class, rows_per_part):
    classes, rows = dump
    pieces = [rows[start : start + rows_per_part] for start in range(0, len(rows), rows_per_part)]
    tables = [part_table(piece, val_per_class) for piece in pieces]
    ranks = [(table["class_index"].to_numpy(), table["rank"].to_numpy()) for table in tables]
    limits = val_limits(ranks, classes, val_per_class)
    settlement = Settlement(classes=classes, limits=limits, is_mixed=True, dropped=np.empty(0, np.int64))
    found = {}
    for table in tables:
        train, val = settlement.train_and_val(table)
        images = list(zip(table["class_index"].to_pylist(), table["rank"].to_pylist(), strict=True))
        for split, chosen in (("train", train), ("val", val)):
            found |= {image: split for image, is_in in zip(images, chosen, strict=True) if is_in}
    assert found == slow_splits(rows, val_per_class)
