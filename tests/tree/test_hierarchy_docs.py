"""Runs the code in docs/hierarchy.md, in order, and checks its results."""

import re
from pathlib import Path

import pytest

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.errors import TreeError
from in21k.tree.findings import Code
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, wordnet_hierarchy, write_table

DOCS = Path(__file__).parents[2] / "docs" / "hierarchy.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    hierarchy = wordnet_hierarchy(published_class_list(PublishedList.FALL11))
    write_table(hierarchy_table(hierarchy, ParentRule.PUBLISHED), folder / "hierarchy.parquet")
    return folder


@pytest.fixture
def answers(folder, monkeypatch):
    """The values of the seven one-liners."""
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(BLOCKS[0], names)  # the page's own code
    return [eval(block, names) for block in BLOCKS[1:8]]


def test_the_one_liners_give_the_right_answers(answers):
    dogs, levels, path, cranes, parents, siblings, deepest = answers
    assert len(dogs) == 155
    assert "Samoyed" in set(dogs["name"])
    assert levels["classes"].tolist() == [302, 1378, 2100, 2605, 2204, 1371, 716, 290, 146, 82, 26, 1]
    assert path == "animal > domestic animal > dog > spitz > Samoyed"
    assert cranes["wnid"].tolist() == ["n02012849", "n03126707"]
    assert cranes["gloss"].str.contains("bird").tolist() == [True, False]
    assert parents.isna().sum() == levels["classes"][0]
    assert {"Samoyed", "chow", "keeshond", "Pomeranian"} == set(siblings)
    assert [chain.count(" > ") for chain in deepest] == [11, 10, 10, 10, 10]


def test_the_python_interface_gives_what_its_comments_say(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(BLOCKS[8], names)
    assert capsys.readouterr().out.strip() == re.search(r"print\(hierarchy\)  # (.*)", BLOCKS[8])[1]
    hierarchy = names["hierarchy"]
    dog, animal = hierarchy.index("dog"), hierarchy.index("n00015388")
    assert hierarchy.tree_distance("Samoyed", ["dog", "n01887787"]).tolist() == [2, 8]
    assert hierarchy.lowest_common_ancestor("Samoyed", ["dog", "n01887787"]).tolist() == [dog, animal]
    for name in ("cow", "crane"):
        with pytest.raises(TreeError, match="names 2 classes"):
            hierarchy.index(name)


def test_every_code_is_explained():
    explained = re.findall(r"^\| ([EW]7\d\d) \|", DOCS.read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(code.value for code in Code)
