import hashlib
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from in21k.tree.class_lists import class_list_digest
from in21k.tree.errors import TreeError
from in21k.tree.parents import ParentRule
from in21k.tree.table import (
    hierarchy_table,
    read_hierarchy,
    wordnet_hierarchy,
    write_table,
)
from in21k.tree.wordnet import load_wordnet

WNIDS = ["n00015388", "n01317541", "n02084071", "n02111626", "n02111889", "n09450163"]
TRAIN = np.array([5, 0, 7, 11, 13, 17], np.int64)
VAL = np.full(6, 2, np.int64)


@pytest.fixture
def path(tmp_path):
    table = hierarchy_table(wordnet_hierarchy(WNIDS), ParentRule.PUBLISHED, TRAIN, VAL)
    write_table(table, tmp_path / "hierarchy.parquet")
    return tmp_path / "hierarchy.parquet"


def rewritten(path, **columns):
    """Replace columns of a table and return its path."""
    table = pq.read_table(path)
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pa.array(values))
    write_table(table, path)
    return path


def test_columns_describe_the_hierarchy(path):
    rows = pd.read_parquet(path)
    dog = rows.iloc[2]
    assert rows["wnid"].tolist() == WNIDS
    assert rows["class_index"].tolist() == list(range(6))
    assert rows["level"].tolist() == [0, 1, 2, 3, 4, 0]
    assert rows["parent_index"].tolist() == [-1, 0, 1, 2, 3, -1]
    assert rows["parent_wnid"].isna().tolist() == [True, False, False, False, False, True]
    assert (dog["name"], dog["parent_wnid"], dog["path_names"]) == ("dog", WNIDS[1], "animal > domestic animal > dog")
    assert [list(dog[name]) for name in ("path", "children")] == [[0, 1, 2], [3]]
    assert list(dog["lemmas"]) == ["dog", "domestic dog", "Canis familiaris"]
    assert set(dog["wordnet_parents"]) == {"n02083346", "n01317541"}
    assert (dog["descendants"], dog["images_subtree"]) == (2, 7 + 11 + 13 + 3 * 2)
    assert rows["active"].tolist() == [True, False, False, False, False, True]
    assert rows["level_weight"].tolist() == pytest.approx([1, 6 / 4, 6 / 3, 6 / 2, 6, 1])


def test_only_the_gloss_and_the_parents_wnid_may_be_null(path):
    assert [field.name for field in pq.read_schema(path) if field.nullable] == ["gloss", "parent_wnid"]


def test_pandas_reads_integers_as_integers(path):
    kinds = pd.read_parquet(path).dtypes
    integers = ("class_index", "parent_index", "level", "descendants", "images_train", "images_val", "images_subtree")
    assert {kinds[name].kind for name in integers} == {"i"}
    assert (kinds["active"].kind, kinds["level_weight"].kind) == ("b", "f")


def test_metadata_names_source_rule_levels_and_class_list(path):
    metadata = {k.decode(): v.decode() for k, v in pq.read_schema(path).metadata.items() if k.startswith(b"in21k.")}
    expected = {
        "in21k.source": "WordNet 3.0",
        "in21k.parents": "published",
        "in21k.class_list_sha256": hashlib.sha256("".join(f"{wnid}\n" for wnid in WNIDS).encode()).hexdigest(),
        "in21k.level_sizes": "2 1 1 1 1",
        "in21k.inactive_levels": "1 2 3 4",
    }
    assert {name: metadata[name] for name in expected} == expected
    assert metadata["in21k.format"].isdecimal()


def test_a_table_reads_back_as_the_same_hierarchy(path):
    read = read_hierarchy(path, "it")
    assert read.wnids == tuple(WNIDS)
    assert read.parents.tolist() == [-1, 0, 1, 2, 3, -1]
    assert class_list_digest(read.wnids) == class_list_digest(WNIDS)


def test_an_open_file_works_like_a_path(path):
    stream = io.BytesIO()
    write_table(pq.read_table(path), stream)
    stream.seek(0)
    assert read_hierarchy(stream, "it").wnids == tuple(WNIDS)


def no_parquet(path):
    path.write_text("class_index,wnid\n0,n00015388\n")


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-40])


def flipped_footer(path):
    data = bytearray(path.read_bytes())
    data[-200:-100] = bytes(100)
    path.write_bytes(data)


def another_table(path):
    pq.write_table(pa.table({"wnid": WNIDS}), path)


@pytest.mark.parametrize("damage", [no_parquet, cut_short, flipped_footer, another_table])
def test_a_file_that_is_not_a_hierarchy_table_is_rejected_by_name(path, damage):
    damage(path)
    with pytest.raises(TreeError, match=r"^that file is not a hierarchy table"):
        read_hierarchy(path, "that file")


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"level": [0, 1, 2, 3, 3, 0]}, "level contradicts"),
        ({"class_index": [0, 1, 2, 4, 3, 5]}, "order of class_index"),
        ({"parent_index": [-1, 0, 1, 2, 6, -1]}, "parent indices"),
        ({"parent_index": [-1, 0, 1, 2, None, -1]}, "parent_index"),
        ({"parent_index": ["-1", "0", "1", "2", "3", "-"]}, "Failed to parse string: '-'"),
        ({"parent_index": [5, 0, 1, 2, 3, 0]}, "cycle"),
        ({"wnid": [*WNIDS[:5], WNIDS[0]]}, "listed twice"),
        ({"wnid": [*WNIDS[:5], None]}, "wnid"),
    ],
)
def test_contradictory_rows_are_rejected_by_name(path, columns, complaint):
    with pytest.raises(TreeError, match=f"^that file.*{complaint}"):
        read_hierarchy(rewritten(path, **columns), "that file")


def test_packaged_synsets_fit_into_a_table():
    some = list(load_wordnet())[::400]
    table = hierarchy_table(wordnet_hierarchy(some), ParentRule.PUBLISHED)
    assert [path[-1] for path in table["path"].to_pylist()] == list(range(len(some)))
    assert set(table["images_subtree"].to_pylist()) == {0}
