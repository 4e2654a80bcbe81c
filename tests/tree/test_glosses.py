"""Glosses: what a class is, in a table of its own column, in older tables, and without its examples."""

import pyarrow as pa
import pytest

from in21k.tree.class_names import ClassNames
from in21k.tree.glosses import definition, glosses_of
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.parents import ParentRule
from in21k.tree.table import as_format_2, hierarchy_table, named_table, wordnet_hierarchy

CRANES = ["n02012849", "n03126707"]
BIRD = "large long-necked wading bird of marshes and plains in many parts of the world"
MACHINE = (
    "lifts and moves heavy objects; lifting tackle is suspended from a pivoted boom that rotates around a vertical axis"
)


@pytest.fixture
def table() -> pa.Table:
    return hierarchy_table(wordnet_hierarchy(CRANES), ParentRule.PUBLISHED)


def test_the_glosses_tell_classes_of_one_name_apart(table):
    assert table["name"].to_pylist() == ["crane", "crane"]
    assert table["gloss"].to_pylist() == [BIRD, MACHINE]


def test_an_older_table_of_wordnet_gets_wordnets_glosses(table):
    older = as_format_2(table)
    assert "gloss" not in older.column_names
    assert glosses_of(older) == glosses_of(table) == [BIRD, MACHINE]


def test_a_taxonomy_of_ones_own_has_no_glosses_even_for_wnids(table):
    names = ClassNames("mine.csv", "first", ["crane", "crane"], [["crane"]] * 2, [[], []])
    own = named_table(Hierarchy(tuple(CRANES), table["parent_index"].to_numpy()), names)
    assert own["gloss"].to_pylist() == glosses_of(own) == [None, None]


@pytest.mark.parametrize(
    ("gloss", "expected"),
    [
        ("a small cat", "a small cat"),
        ('an object; that casts a shadow; "full of rackets, balls"; "and more"', "an object; that casts a shadow"),
        ('a range: "a gamut of emotions"', "a range"),
        ('progress (as in "make strides"); "they made strides"', 'progress (as in "make strides")'),
        ('reward as in "carrot and stick"; "the carrot of housing";', 'reward as in "carrot and stick"'),
    ],
)
def test_the_definition_is_the_gloss_without_its_examples(gloss, expected):
    assert definition(gloss) == expected
