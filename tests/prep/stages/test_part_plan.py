import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from in21k.prep.records import SPLIT_SCHEMA
from in21k.prep.stages.part_plan import memory_for_one_image, plan_parts
from in21k.prep.stages.record import PARTS, SPLIT
from in21k.shards_manifest.storage.location import locate

MEMORY = 100 << 20


def plain(kind):
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def plan(folder, sizes, size):
    """Plan the parts of classes with so many images each, in row groups of 5,000."""
    (folder / PARTS).mkdir()
    columns = {field.name: pa.repeat(pa.scalar(0).cast(plain(field.type)), sum(sizes)) for field in SPLIT_SCHEMA}
    columns["class_index"] = pa.array(np.repeat(np.arange(len(sizes)), sizes))
    pq.write_table(pa.table(columns).cast(SPLIT_SCHEMA), folder / SPLIT, row_group_size=5000)
    return plan_parts(locate(folder), range(len(sizes)), {"size": size}, {}, MEMORY)


def test_a_part_takes_under_half_of_the_memory_and_holds_as_many_classes_as_fit(tmp_path):
    parts = plan(tmp_path, [100] * 1000, 224)
    expected = int(0.4 * MEMORY / (0.55 * 224 * 224 + 2048))
    assert [part.images for part in parts][:-1] == [expected // 100 * 100] * (len(parts) - 1)
    assert [index for part in parts for index in part.classes] == list(range(1000))
    assert sum(part.images for part in parts) == 100_000


def test_a_small_dump_still_keeps_many_workers_busy(tmp_path):
    parts = plan(tmp_path, [10] * 128, 32)
    assert [part.images for part in parts] == [20] * 64
    assert {part.row_groups for part in parts} == {(0,)}


def test_one_image_may_take_most_of_a_workers_memory_and_never_less_than_ordinary_ones_need():
    assert memory_for_one_image(600 << 20) == int(0.85 * (600 << 20))
    assert memory_for_one_image(1) == 64 << 20
