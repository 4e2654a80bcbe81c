"""Subtrees and maps over all paths, against slow walks down from the top."""

from importlib.util import find_spec
from pathlib import Path

from walks import walked_down

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.class_map import Relation, map_classes
from in21k.tree.subtree import ancestors, in_subtrees
from in21k.tree.wordnet import load_wordnet

PERSON, DOG, CHIHUAHUA, ANIMAL = "n00007846", "n02084071", "n02085620", "n00015388"
DIAMOND = {"d": ("b", "c"), "b": ("a",), "c": ("top",), "top": ("a",), "a": (), "other": ("x",), "x": ("other",)}


def hypernyms(wnid):
    return load_wordnet()[wnid].hypernyms


def test_ancestors_come_nearest_first_over_all_paths_with_the_fewest_steps():
    assert ancestors("d", DIAMOND.__getitem__) == {"b": 1, "c": 1, "a": 2, "top": 2}
    assert list(ancestors("d", DIAMOND.__getitem__)) == ["b", "c", "a", "top"]


def test_a_cycle_ends():
    assert ancestors("x", DIAMOND.__getitem__) == {"other": 1}
    assert list(in_subtrees(["x", "d"], ["other"], DIAMOND.__getitem__)) == ["x"]


def test_one_path_of_several_is_enough_and_the_root_is_inside():
    assert list(in_subtrees(["d", "b", "c", "a"], ["c"], DIAMOND.__getitem__)) == ["d", "c"]


def test_what_lies_below_person_in_fall11_is_what_a_walk_down_all_of_wordnet_finds():
    wnids = published_class_list(PublishedList.FALL11)
    below = walked_down(PERSON)
    assert len(below) == 6979
    assert list(in_subtrees(wnids, [PERSON], hypernyms)) == [wnid for wnid in wnids if wnid in below]


def test_fall11_drops_to_winter21_by_persons_alone():
    fall, winter = (set(published_class_list(each)) for each in (PublishedList.FALL11, PublishedList.WINTER21))
    persons = set(in_subtrees(sorted(fall), [PERSON], hypernyms))
    assert winter < fall
    assert fall - winter < persons
    assert (len(persons), len(fall - winter), len(persons & winter)) == (876, 771, 105)


def test_a_class_is_mapped_to_itself_or_the_nearest_above_or_below():
    rows = map_classes(["d", "c", "a", "x"], ["b", "top"], DIAMOND.__getitem__)
    assert [(row.wnid, row.relation, row.target, row.steps, row.ties) for row in rows] == [
        ("d", Relation.ANCESTOR, "b", 1, ()),
        ("c", Relation.ANCESTOR, "top", 1, ()),
        ("a", Relation.DESCENDANT, "b", 1, ("top",)),
        ("x", Relation.NONE, "", 0, ()),
    ]
    assert map_classes(["b"], ["b", "a"], DIAMOND.__getitem__)[0].relation is Relation.SAME


def test_the_map_from_21k_to_1k_holds_against_a_slow_search():
    wnids = published_class_list(PublishedList.FALL11)
    targets = set(published_class_list(PublishedList.IN1K))
    rows = map_classes(wnids, targets, hypernyms)
    assert [row.wnid for row in rows] == list(wnids)
    assert sum(row.relation is Relation.SAME for row in rows) == 991
    by_wnid = {row.wnid: row for row in rows}
    assert (by_wnid[CHIHUAHUA].relation, by_wnid[DOG].relation) == (Relation.SAME, Relation.DESCENDANT)
    assert by_wnid[ANIMAL].relation is Relation.DESCENDANT
    for row in rows[::389]:
        above = targets & set(ancestors(row.wnid, hypernyms))
        below = targets & (walked_down(row.wnid) - {row.wnid})
        expected = (
            Relation.SAME
            if row.wnid in targets
            else Relation.ANCESTOR
            if above
            else Relation.DESCENDANT
            if below
            else Relation.NONE
        )
        assert row.relation is expected, row
        assert {row.target, *row.ties} <= (above | below | targets | {""})


def test_the_person_subtree_of_the_lists_is_as_the_docs_say():
    counts = {
        each.value: len(list(in_subtrees(published_class_list(each), [PERSON], hypernyms))) for each in PublishedList
    }
    assert counts == {"fall11-p": 876, "winter21-p": 105, "in12k": 964, "in1k": 3}
    spec = find_spec("timm")  # found but not imported, which would take seconds
    if spec is not None:
        whole = (Path(spec.origin).parent / "data" / "_info" / "imagenet22k_synsets.txt").read_text().split()
        assert (len(whole), len(list(in_subtrees(whole, [PERSON], hypernyms)))) == (21_841, 2_833)
