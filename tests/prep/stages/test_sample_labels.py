"""Keys of samples for labels of any text, and levels of any forest of them."""

import re

import numpy as np
import pytest
from forests import forests
from hypothesis import given
from hypothesis import strategies as st

from in21k.prep.stages.split import sample_key
from in21k.shards_manifest.sample_table import key_prefix
from in21k.tree.edges import edge_hierarchy, edges_of
from in21k.tree.hierarchy import ROOT, build_hierarchy
from in21k.tree.taxonomy import EdgeTaxonomy, FolderTaxonomy, labels_above

LABELS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300),
    st.from_regex(r"[a-zA-Z0-9_-]{1,40}", fullmatch=True),
    st.sampled_from(["n02084071", "n02084071_1", "a", "a_b", "con", "Con", "COM1", "é", "e\u0301", ".", "..", "-"]),
)
NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=80),
    st.from_regex(r"[a-b_]{1,6}\.jpg", fullmatch=True),
)


@given(st.lists(LABELS, min_size=1, max_size=12, unique=True), st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_keys_are_safe_and_unique_for_any_labels(labels, names):
    keys = [sample_key(label, name) for label in labels for name in names]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,96}", key) for key in keys)
    assert len(set(keys)) == len(keys)
    prefixes = [key_prefix(label) for label in labels]
    assert len({prefix.lower() for prefix in prefixes}) == len(labels)
    assert all(key.partition("_")[0] + "_" in prefixes for key in keys)


@pytest.mark.parametrize(
    ("label", "name", "key"),
    [
        ("n02084071", "n02084071_12.JPEG", "n02084071_12"),
        ("n02084071", "a b.JPEG", "n02084071_a-b-[0-9a-f]{12}"),
        ("golden-retriever", "golden-retriever_7.jpg", "golden-retriever_7"),
        ("golden_retriever", "golden_retriever_7.jpg", "golden-retriever-[0-9a-f]{10}_7-[0-9a-f]{12}"),
        ("Animalia/Größe", "7.jpg", "Animalia-Gr-e-[0-9a-f]{10}_7-[0-9a-f]{12}"),
        ("Wavy/Wavy striped triangle (halo, dark)", "7.jpg", "triangle-halo-dark-[0-9a-f]{10}_7-[0-9a-f]{12}"),
        ("日本", "日本_7.jpg", "class-[0-9a-f]{10}_7-[0-9a-f]{12}"),
    ],
)
def test_a_plain_label_begins_its_keys_as_a_wnid_does_and_others_have_a_digest(label, name, key):
    assert re.fullmatch(key, sample_key(label, name))


@given(forests(), st.data())
def test_levels_are_the_number_of_labels_above_in_any_forest(parents, data):
    plain = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text == text.strip())
    labels = data.draw(st.lists(plain, min_size=len(parents), max_size=len(parents), unique=True))
    above = {label: None if at == ROOT else labels[at] for label, at in zip(labels, parents, strict=True)}
    leaves = sorted(set(labels) - set(above.values()))
    kept = data.draw(st.lists(st.sampled_from(leaves), min_size=1, unique=True))
    taxonomy = EdgeTaxonomy(edges_of([(label, parent or "") for label, parent in above.items()], "e.csv"))

    def climb(label):
        while (label := above[label]) is not None:
            yield label

    classes = sorted({*kept, *labels_above(taxonomy, kept)}, key=str.encode)
    assert set(classes) == set(kept).union(*map(climb, kept))
    hierarchy = build_hierarchy(classes, taxonomy.parent)
    assert hierarchy.levels.tolist() == [len(list(climb(label))) for label in classes]
    whole, _ = edge_hierarchy(taxonomy.edges)
    levels = dict(zip(whole.wnids, whole.levels.tolist(), strict=True))
    assert [levels[label] for label in classes] == hierarchy.levels.tolist()


@given(forests())
def test_folders_give_the_same_levels_as_edges(parents):
    def path(at):
        return f"{at}" if parents[at] == ROOT else f"{path(parents[at])}/{at}"

    labels = [path(at) for at in range(len(parents))]
    by_folder = build_hierarchy(labels, FolderTaxonomy().parent)
    assert np.array_equal(by_folder.parents, parents)
