"""Taxonomies: what they have, what they call it, what lies above it."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from in21k.tree.edge_table import edge_table, edges_digest, edges_in
from in21k.tree.edges import edge_hierarchy, edges_of, read_edges
from in21k.tree.errors import TreeError
from in21k.tree.findings import count_codes
from in21k.tree.parents import ParentRule
from in21k.tree.taxonomy import EdgeTaxonomy, FlatTaxonomy, FolderTaxonomy, WordNet, class_names, labels_above

SWAN, BIRD = "n01858441", "n01503061"
DIAMOND = [("pet", "animal"), ("dog", "canine"), ("canine", "mammal"), ("mammal", "animal"), ("dog", "pet")]


def test_wordnet_has_its_synsets_and_names_them():
    wordnet = WordNet()
    assert SWAN in wordnet
    assert "swan" not in wordnet
    assert class_names(wordnet, [SWAN]).names == ["swan"]
    assert BIRD in labels_above(wordnet, [SWAN])
    with pytest.raises(TreeError, match="not a noun synset"):
        wordnet.words("swan")


def test_a_name_of_the_edges_is_not_looked_up_in_wordnet():
    taxonomy = EdgeTaxonomy(edges_of([(SWAN, "birds", "Höckerschwan"), (BIRD, "birds", "")], "mine.csv", 3))
    found = class_names(taxonomy, [SWAN, BIRD, "birds"])
    assert (found.source, found.rule) == ("mine.csv", "first")
    assert found.names == ["Höckerschwan", BIRD, "birds"]
    assert found.all_parents == [("birds",), ("birds",), ()]


@pytest.mark.parametrize(("rule", "above"), [("published", "canine"), ("wordnet-first", "canine"), ("shortest", "pet")])
def test_the_rule_chooses_among_several_parents(rule, above):
    edges = edges_of(DIAMOND, "e.csv")
    taxonomy = EdgeTaxonomy(edges, ParentRule(rule))
    assert taxonomy.parent("dog") == above
    assert taxonomy.parents("dog") == ("canine", "pet")
    hierarchy, findings = edge_hierarchy(edges, rule=ParentRule(rule))
    dog = hierarchy.wnids.index("dog")
    assert hierarchy.wnids[hierarchy.parents[dog]] == above
    assert ["nearest" in found.message for found in findings] == [rule == "shortest"]


def test_the_shortest_way_up_avoids_a_cycle_and_reports_one_that_it_cannot_avoid():
    rows = [("a", "b"), ("b", "a"), ("a", "root")]
    assert edge_hierarchy(edges_of(rows, "e"), rule=ParentRule.SHORTEST)[0].levels.tolist() == [1, 2, 0]
    with pytest.raises(TreeError, match="E701"):
        edge_hierarchy(edges_of(rows[:2], "e"), rule=ParentRule.SHORTEST)


def test_a_second_name_for_a_child_is_reported_and_the_first_kept():
    edges = edges_of([("a", "x", "Ape"), ("a", "y", "Aye"), ("a", "z", "")], "e", 3)
    assert edges.names == {"a": "Ape"}
    assert count_codes(edges.findings) == {"W702": 1, "W708": 1}


def test_the_file_may_say_what_a_child_is(tmp_path):
    (tmp_path / "e.csv").write_text("child,parent,name,gloss\na,x,Ape,a primate\na,y,,an animal\nb,x,,\n")
    edges = read_edges(tmp_path / "e.csv")
    assert edges.glosses == {"a": "a primate"}
    assert count_codes(edges.findings) == {"W702": 1, "W708": 1}
    assert list(class_names(EdgeTaxonomy(edges), ["a", "b", "x"]).glosses) == ["a primate", None, None]
    stored = edges_in(edge_table(edges), "table")
    assert (stored.glosses, edges_digest(stored)) == (edges.glosses, edges_digest(edges))


def test_a_file_without_glosses_is_stored_and_known_as_before_there_were_any():
    edges = edges_of([("a", "x", "Ape", ""), ("b", "x", "", "")], "e", 4)
    assert edge_table(edges).column_names == ["label", "name", "parents"]
    before = [["a", "Ape", ["x"]], ["b", None, ["x"]], ["x", None, []]]
    lines = "".join(f"{json.dumps(row)}\n" for row in before)
    assert edges_digest(edges) == hashlib.sha256(lines.encode()).hexdigest()
    given = edges_of([("a", "x", "Ape", "a primate"), ("b", "x", "", "")], "e", 4)
    assert edges_digest(given) != edges_digest(edges)


def test_a_folder_lies_below_the_folder_around_it():
    taxonomy = FolderTaxonomy()
    assert labels_above(taxonomy, ["shapes/round/ball", "shapes/flat"]) == {"shapes", "shapes/round"}
    assert class_names(taxonomy, ["shapes/round/ball", "colors"]).names == ["ball", "colors"]


@given(st.text(min_size=1))
def test_without_a_tree_any_text_is_a_root(label):
    taxonomy = FlatTaxonomy()
    assert label in taxonomy
    assert labels_above(taxonomy, [label]) == set()
    assert class_names(taxonomy, [label]).names == [label]
