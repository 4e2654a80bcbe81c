from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from in21k.tree.parents import ParentRule, primary_parents, published_parents
from in21k.tree.table import hierarchy_table, wordnet_hierarchy
from in21k.tree.wordnet import load_wordnet

FALL11 = "imagenet21k_miil_synsets.txt"
WINTER21 = "imagenet21k_miil_w21_synsets.txt"


def published_list(name: str) -> list[str]:
    """Return a class list out of timm's package, without importing timm."""
    spec = find_spec("timm")
    if spec is None:
        pytest.skip("timm, which holds the published class lists, is not installed")
    return (Path(spec.origin).parent / "data" / "_info" / name).read_text().split()


@pytest.fixture(scope="module")
def fall11():
    return wordnet_hierarchy(published_list(FALL11))


@pytest.fixture(scope="module")
def paths(fall11):
    """The names on the path of each class of the fall11 list, by wnid."""
    table = hierarchy_table(fall11, ParentRule.PUBLISHED)
    return dict(zip(table["wnid"].to_pylist(), table["path_names"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("name", "rule", "sizes"),
    [
        (FALL11, "published", "302 1378 2100 2605 2204 1371 716 290 146 82 26 1"),
        (WINTER21, "published", "302 1067 1823 2486 2165 1353 710 289 146 82 26 1"),
        (FALL11, "wordnet-first", "293 1320 2056 2549 2163 1349 716 342 212 155 60 6"),
        (FALL11, "shortest", "321 1384 2102 2559 2189 1411 715 286 146 83 24 1"),
    ],
)
def test_classes_at_each_level_of_the_published_lists(name, rule, sizes):
    hierarchy = wordnet_hierarchy(published_list(name), ParentRule(rule))
    assert " ".join(map(str, hierarchy.level_sizes.tolist())) == sizes


def test_level_weights_of_the_fall11_list(fall11):
    assert fall11.level_weights[:7].tolist() == pytest.approx(
        [1, 1.0277, 1.1761, 1.5080, 2.3203, 4.2633, 8.8985], abs=5e-5
    )
    assert set(fall11.level_weights[7:].tolist()) == {20.0}


def test_only_the_deepest_level_is_inactive(fall11):
    assert np.flatnonzero(~fall11.active).tolist() == [11]


@pytest.mark.parametrize(
    ("wnid", "path"),
    [
        ("n01858441", "animal > vertebrate > bird > aquatic bird > swan"),
        ("n01887787", "animal > vertebrate > mammal > placental > cow"),
        ("n02084071", "animal > domestic animal > dog"),
        ("n02111889", "animal > domestic animal > dog > spitz > Samoyed"),
        ("n09450163", "sun"),
    ],
)
def test_paths_of_the_paper(paths, wnid, path):
    assert load_wordnet()[wnid].name == path.rpartition(" > ")[2]
    assert paths[wnid] == path


@pytest.mark.parametrize(
    ("name", "level"),
    [("ortolan", 6), ("grey kingbird", 6), ("clothing", 1), ("basketball court", 1), ("domestic animal", 1)],
)
def test_levels_that_the_paper_names(fall11, name, level):
    wordnet = load_wordnet()
    found = [at for at, wnid in enumerate(fall11.wnids) if name in wordnet[wnid].lemmas]
    assert [int(fall11.levels[at]) for at in found] == [level]


def test_every_path_climbs_by_parents_and_ends_in_its_own_class(fall11):
    for index in range(len(fall11)):
        path = fall11.path(index)
        assert path[-1] == index
        assert [-1, *path[:-1]] == fall11.parents[list(path)].tolist()


def test_every_parent_lies_on_some_hypernym_chain_of_its_class(fall11):
    wordnet = load_wordnet()

    def all_above(wnid):
        above = set(wordnet[wnid].hypernyms)
        return above.union(*map(all_above, above))

    for wnid, parent in zip(fall11.wnids, fall11.parents.tolist(), strict=True):
        assert parent == -1 or fall11.wnids[parent] in all_above(wnid)


def test_published_parents_are_hypernyms_of_synsets_that_have_several():
    wordnet = load_wordnet()
    assert len(published_parents()) == 498
    for wnid, parent in published_parents().items():
        assert parent in wordnet[wnid].hypernyms
        assert len(wordnet[wnid].hypernyms) > 1


def test_shortest_rule_takes_a_hypernym_at_the_least_depth():
    wordnet = load_wordnet()
    parent = primary_parents(ParentRule.SHORTEST)

    def depth(wnid):  # breadth first, a level a round
        rounds, level = 0, {wnid}
        while all(wordnet[node].hypernyms for node in level):
            rounds, level = rounds + 1, {up for node in level for up in wordnet[node].hypernyms}
        return rounds

    for wnid in published_parents():
        hypernyms = wordnet[wnid].hypernyms
        assert parent(wnid) == min(hypernyms, key=lambda up: (depth(up), hypernyms.index(up)))


def test_wordnet_first_rule_takes_the_first_hypernym():
    wordnet = load_wordnet()
    parent = primary_parents(ParentRule.WORDNET_FIRST)
    assert all(parent(wnid) == wordnet[wnid].hypernyms[0] for wnid in published_parents())
