"""Classes by what they are called: wnids, names and other words, of one class or several."""

import numpy as np
import pytest

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import ROOT, Hierarchy
from in21k.tree.parents import ParentRule
from in21k.tree.table import as_format_2, hierarchy_of, hierarchy_table, read_hierarchy, wordnet_hierarchy, write_table

WNIDS = ["n00015388", "n01317541", "n02012849", "n02084071", "n02111889", "n03126707"]
ANIMAL, DOMESTIC, CRANE, DOG, SAMOYED, _ = range(6)


@pytest.fixture(scope="module")
def hierarchy() -> Hierarchy:
    return wordnet_hierarchy(WNIDS)


@pytest.mark.parametrize(
    ("named", "index"),
    [("n02084071", DOG), ("dog", DOG), ("Domestic_Dog", DOG), ("canis familiaris", DOG), ("Samoyede", SAMOYED)],
)
def test_a_class_is_found_by_wnid_name_or_another_word(hierarchy, named, index):
    assert hierarchy.index(named) == index


def test_every_method_takes_names_wnids_and_indices(hierarchy):
    assert hierarchy.path("Samoyed") == hierarchy.path(SAMOYED) == (ANIMAL, DOMESTIC, DOG, SAMOYED)
    assert hierarchy.tree_distance("Samoyed", ["dog", "n01317541", ANIMAL]).tolist() == [1, 2, 3]
    assert hierarchy.lowest_common_ancestor(["Samoyed", "dog"], "n02012849").tolist() == [ANIMAL, ANIMAL]
    by_name, by_index = (hierarchy.multi_hot(classes) for classes in (["dog", "Samoyed"], [DOG, SAMOYED]))
    assert np.array_equal(by_name, by_index)


def test_a_name_of_several_classes_lists_them_with_their_glosses(hierarchy):
    with pytest.raises(TreeError) as refused:
        hierarchy.path("crane")
    line = str(refused.value)
    assert line.startswith("'crane' names 2 classes: n02012849 (large long-necked wading bird of marshes")
    assert "n03126707 (lifts and moves heavy objects" in line
    assert line.endswith("; give the wnid")


def test_an_unknown_name_comes_with_the_nearest_ones(hierarchy):
    with pytest.raises(TreeError, match="no class has the wnid or name 'Samoyd'; the nearest are 'Samoyed'"):
        hierarchy.index("Samoyd")


def test_a_hierarchy_without_names_knows_its_wnids(hierarchy):
    bare = Hierarchy(hierarchy.wnids, hierarchy.parents)
    assert bare.path("n02111889") == hierarchy.path("n02111889")
    with pytest.raises(TreeError, match="knows no names"):
        bare.path("dog")


def test_the_missing_parent_of_a_root_is_no_class(hierarchy):
    assert hierarchy.parents[ANIMAL] == ROOT
    with pytest.raises(TreeError, match="-1 in place of a parent says that a root has none"):
        hierarchy.path(int(hierarchy.parents[ANIMAL]))


def test_a_hierarchy_prints_itself_in_a_line(hierarchy):
    assert repr(hierarchy) == "Hierarchy(6 classes, 4 levels, 2 roots, 2 share a name with another)"
    assert repr(Hierarchy(("a",), hierarchy.parents[:1])) == "Hierarchy(1 classes, 1 levels, 1 roots)"


def test_of_the_published_classes_1519_share_a_name():
    assert wordnet_hierarchy(published_class_list(PublishedList.FALL11)).sharing_names == 1519


def test_a_table_brings_its_names_and_an_older_one_wordnets_glosses(hierarchy, tmp_path):
    table = hierarchy_table(hierarchy, ParentRule.PUBLISHED)
    write_table(as_format_2(table), tmp_path / "older.parquet")
    for read in (hierarchy_of(table, "table"), read_hierarchy(tmp_path / "older.parquet", "older")):
        assert read.index("dog") == DOG
        assert read.words.gloss(CRANE) == hierarchy.words.gloss(CRANE)
