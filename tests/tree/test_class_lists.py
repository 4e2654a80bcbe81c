import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.compare import moved_classes
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, read_hierarchy, wordnet_hierarchy, write_table

DOCS = Path(__file__).parents[2] / "docs" / "hierarchy.md"
TIMM = {
    PublishedList.FALL11: "imagenet21k_miil_synsets.txt",
    PublishedList.WINTER21: "imagenet21k_miil_w21_synsets.txt",
}


@pytest.mark.parametrize("release", PublishedList)
def test_packaged_list_is_timms(release):
    spec = find_spec("timm")
    if spec is None:
        pytest.skip("timm is not installed")
    file = Path(spec.origin).parent / "data" / "_info" / TIMM[release]
    assert list(published_class_list(release)) == file.read_text().split()


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
def test_classes_at_each_level(release, rule, sizes):
    hierarchy = wordnet_hierarchy(published_class_list(PublishedList(release)), ParentRule(rule))
    assert " ".join(map(str, hierarchy.level_sizes.tolist())) == sizes


@pytest.fixture(scope="module")
def fall11():
    return hierarchy_table(wordnet_hierarchy(published_class_list(PublishedList.FALL11)), ParentRule.PUBLISHED)


@pytest.mark.parametrize(
    ("wnid", "path"),
    [
        ("n01493146", "animal > vertebrate > fish > elasmobranch > shark > dogfish > whitetip shark"),
        ("n02111889", "animal > domestic animal > dog > spitz > Samoyed"),
        ("n02084071", "animal > domestic animal > dog"),
        ("n01858441", "animal > vertebrate > bird > aquatic bird > swan"),
        ("n01887787", "animal > vertebrate > mammal > placental > cow"),
    ],
)
def test_paths_of_the_paper(fall11, wnid, path):
    row = fall11["wnid"].to_pylist().index(wnid)
    assert fall11["path_names"][row].as_py() == path


def test_the_new_columns_follow_from_the_old(fall11):
    rows = fall11.select(["path", "ancestors", "children", "leaves", "descendants"]).to_pydict()
    assert rows["ancestors"] == [path[:-1] for path in rows["path"]]
    leaves = [0] * len(fall11)
    for path, children in zip(rows["path"], rows["children"], strict=True):
        if not children:
            for index in path:
                leaves[index] += 1
    assert rows["leaves"] == leaves


def test_a_hierarchy_is_read_with_all_it_knows_in_under_a_second(fall11, tmp_path):
    write_table(fall11, tmp_path / "h.parquet")
    begins = time.perf_counter()
    hierarchy = read_hierarchy(tmp_path / "h.parquet", "it")
    _ = hierarchy.level_weights, hierarchy.targets, hierarchy.children
    _ = hierarchy.tree_distance(np.arange(11_221), np.arange(11_221)[::-1])
    assert time.perf_counter() - begins < 1


@pytest.mark.parametrize("rule", [ParentRule.WORDNET_FIRST, ParentRule.SHORTEST])
def test_the_docs_say_how_many_classes_each_rule_moves(rule):
    wnids = published_class_list(PublishedList.FALL11)
    moved = moved_classes(wordnet_hierarchy(wnids), wordnet_hierarchy(wnids, rule))
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{rule.value}` | to another")]
    assert [[int(cell) for cell in row.split("|")[3:-1]] for row in rows] == [
        [int(counts.sum()), *counts.tolist()] for counts in moved
    ]


def test_the_docs_say_how_many_classes_lie_at_each_level():
    for release in PublishedList:
        sizes = wordnet_hierarchy(published_class_list(release)).level_sizes
        assert f"| `{release}` | {sizes.sum():,} | {' '.join(map(str, sizes.tolist()))} |" in DOCS.read_text()
