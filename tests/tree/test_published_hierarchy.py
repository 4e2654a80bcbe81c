"""The hierarchies of the published class lists, against the paper, WordNet and docs/hierarchy.md."""

import cProfile
from pathlib import Path

import numpy as np
import pytest

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.compare import moved_classes
from in21k.tree.parents import ParentRule, primary_parents, published_parents
from in21k.tree.table import hierarchy_table, read_hierarchy, wordnet_hierarchy, write_table
from in21k.tree.wordnet import load_wordnet

DOCS = Path(__file__).parents[2] / "docs" / "hierarchy.md"


@pytest.fixture(scope="module")
def fall11():
    return wordnet_hierarchy(published_class_list(PublishedList.FALL11))


@pytest.fixture(scope="module")
def table(fall11):
    return hierarchy_table(fall11, ParentRule.PUBLISHED)


@pytest.fixture(scope="module")
def paths(table):
    """The names on the path of each class, by wnid."""
    return dict(zip(table["wnid"].to_pylist(), table["path_names"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("release", "rule", "sizes"),
    [
        ("fall11-p", "published", "302 1378 2100 2605 2204 1371 716 290 146 82 26 1"),
        ("fall11-p", "wordnet-first", "293 1320 2056 2549 2163 1349 716 342 212 155 60 6"),
        ("fall11-p", "shortest", "321 1384 2102 2559 2189 1411 715 286 146 83 24 1"),
        ("winter21-p", "published", "302 1067 1823 2486 2165 1353 710 289 146 82 26 1"),
        ("winter21-p", "wordnet-first", "293 1040 1767 2419 2116 1331 710 341 212 155 60 6"),
        ("winter21-p", "shortest", "318 1096 1816 2431 2147 1394 709 285 146 83 24 1"),
    ],
)
def test_level_sizes(release, rule, sizes):
    hierarchy = wordnet_hierarchy(published_class_list(PublishedList(release)), ParentRule(rule))
    assert " ".join(map(str, hierarchy.level_sizes.tolist())) == sizes


def test_level_weights(fall11):
    assert fall11.level_weights[:7].tolist() == pytest.approx(
        [1, 1.0277, 1.1761, 1.5080, 2.3203, 4.2633, 8.8985], abs=5e-5
    )
    assert set(fall11.level_weights[7:].tolist()) == {20.0}


def test_only_the_deepest_level_is_inactive(fall11):
    assert np.flatnonzero(~fall11.active).tolist() == [11]


@pytest.mark.parametrize(
    ("wnid", "path"),
    [
        ("n01493146", "animal > vertebrate > fish > elasmobranch > shark > dogfish > whitetip shark"),
        ("n01858441", "animal > vertebrate > bird > aquatic bird > swan"),
        ("n01887787", "animal > vertebrate > mammal > placental > cow"),
        ("n02084071", "animal > domestic animal > dog"),
        ("n02111889", "animal > domestic animal > dog > spitz > Samoyed"),
        ("n09450163", "sun"),
    ],
)
def test_paths(paths, wnid, path):
    assert load_wordnet()[wnid].name == path.rpartition(" > ")[2]
    assert paths[wnid] == path


@pytest.mark.parametrize(
    ("name", "level"),
    [("ortolan", 6), ("grey kingbird", 6), ("clothing", 1), ("basketball court", 1), ("domestic animal", 1)],
)
def test_levels_that_the_paper_mentions(fall11, name, level):
    wordnet = load_wordnet()
    indices = [index for index, wnid in enumerate(fall11.wnids) if name in wordnet[wnid].lemmas]
    assert [int(fall11.levels[index]) for index in indices] == [level]


def test_every_path_follows_parents_and_ends_in_its_own_class(fall11):
    for index in range(len(fall11)):
        path = fall11.path(index)
        assert path[-1] == index
        assert [-1, *path[:-1]] == fall11.parents[list(path)].tolist()


def test_every_parent_is_a_hypernym_ancestor_of_its_class(fall11):
    wordnet = load_wordnet()

    def all_above(wnid):
        above = set(wordnet[wnid].hypernyms)
        return above.union(*map(all_above, above))

    for wnid, parent in zip(fall11.wnids, fall11.parents.tolist(), strict=True):
        assert parent == -1 or fall11.wnids[parent] in all_above(wnid)


def test_ancestors_and_leaves_follow_from_paths_and_children(table):
    rows = table.select(["path", "ancestors", "children", "leaves"]).to_pydict()
    assert rows["ancestors"] == [path[:-1] for path in rows["path"]]
    leaves = [0] * len(table)
    for path, children in zip(rows["path"], rows["children"], strict=True):
        if not children:
            for index in path:
                leaves[index] += 1
    assert rows["leaves"] == leaves


def test_reading_a_hierarchy_and_deriving_everything_takes_a_few_calls_a_class(table, tmp_path):
    write_table(table, tmp_path / "h.parquet")
    profile = cProfile.Profile()
    with profile:
        hierarchy = read_hierarchy(tmp_path / "h.parquet", "it")
        _ = hierarchy.level_weights, hierarchy.targets, hierarchy.children
        _ = hierarchy.tree_distance(np.arange(11_221), np.arange(11_221)[::-1])
    assert sum(entry.callcount for entry in profile.getstats()) < 5 * len(table)


def test_published_parents_are_hypernyms_of_synsets_that_have_several():
    wordnet = load_wordnet()
    assert len(published_parents()) == 498
    for wnid, parent in published_parents().items():
        assert parent in wordnet[wnid].hypernyms
        assert len(wordnet[wnid].hypernyms) > 1


def test_the_shortest_rule_takes_a_hypernym_of_minimal_depth():
    wordnet = load_wordnet()
    parent = primary_parents(ParentRule.SHORTEST)

    def depth(wnid):  # breadth first, one level per round
        rounds, level = 0, {wnid}
        while all(wordnet[node].hypernyms for node in level):
            rounds, level = rounds + 1, {up for node in level for up in wordnet[node].hypernyms}
        return rounds

    for wnid in published_parents():
        hypernyms = wordnet[wnid].hypernyms
        assert parent(wnid) == min(hypernyms, key=lambda up: (depth(up), hypernyms.index(up)))


def test_the_wordnet_first_rule_takes_the_first_hypernym():
    wordnet = load_wordnet()
    parent = primary_parents(ParentRule.WORDNET_FIRST)
    assert all(parent(wnid) == wordnet[wnid].hypernyms[0] for wnid in published_parents())


@pytest.mark.parametrize("rule", [ParentRule.WORDNET_FIRST, ParentRule.SHORTEST])
def test_the_docs_say_how_many_classes_each_rule_moves(rule):
    wnids = published_class_list(PublishedList.FALL11)
    moved = moved_classes(wordnet_hierarchy(wnids), wordnet_hierarchy(wnids, rule))
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{rule.value}` | to another")]
    assert [[int(cell) for cell in row.split("|")[3:-1]] for row in rows] == [
        [int(counts.sum()), *counts.tolist()] for counts in moved
    ]


def test_the_docs_say_how_many_classes_each_level_has():
    for release in PublishedList:
        sizes = wordnet_hierarchy(published_class_list(release)).level_sizes
        assert f"| `{release}` | {sizes.sum():,} | {' '.join(map(str, sizes.tolist()))} |" in DOCS.read_text()
