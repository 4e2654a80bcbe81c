import base64
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from explorer_pages import data_of, full_table, picture, pictures_of

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.class_names import edge_class_names
from in21k.tree.edges import edge_hierarchy, edges_of
from in21k.tree.errors import TreeError
from in21k.tree.explorer import SCRIPTS, explorer_page
from in21k.tree.explorer_data import (
    Census,
    ConfusedPair,
    DroppedClass,
    Measure,
    MeasureKind,
    Overlay,
    RankedClasses,
)
from in21k.tree.model_overlay import MEASURES, ModelAnswers, model_overlay
from in21k.tree.table import named_table, wordnet_hierarchy

HOSTILE = "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"&'\u2028{{data}}<!--"
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|\bfetch\b")


def table_of(rows):
    edges = edges_of(rows, "labels.csv")
    hierarchy, _ = edge_hierarchy(edges)
    return named_table(hierarchy, edge_class_names(hierarchy.wnids, edges.parents, edges.name))


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def table():
    return table_of([(name, "root") for name in HOSTILE])


@pytest.fixture(scope="module")
def page(table):
    return explorer_page(table, HOSTILE[0], {0: [picture("key")]})


def test_markup_in_names_stays_text(page):
    elements = Elements(page).found
    assert [tag for tag, _ in elements].count("script") == 3
    assert [tag for tag, _ in elements].count("img") == 0
    assert not any("onerror" in attributes for _, attributes in elements)
    data = data_of(page)
    assert sorted(data["names"]) == sorted([*HOSTILE, "root"])
    assert data["source"] == "labels.csv"


def test_the_page_loads_nothing(page):
    for tag, attributes in Elements(page).found:
        assert tag not in ("link", "iframe", "object")
        assert attributes.get("src", "data:").startswith("data:")
    assert "https://" not in page
    assert page.count("http://") == page.count("http://www.w3.org/2000/svg")  # a namespace, which is not loaded


def test_the_policy_allows_only_the_pages_own_script_and_style(page):
    policy = next(a["content"] for tag, a in Elements(page).found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2


def test_each_script_is_short_is_joined_and_never_makes_markup_of_text():
    folder = resources.files("in21k.tree.data")
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(".js")]
    assert sorted(names) == sorted(f"explorer-{name}.js" for name in SCRIPTS)
    for name in names:
        text = folder.joinpath(name).read_text("utf-8")
        assert text.count("\n") <= 300
        assert not MARKUP.search(text)


def test_samples_are_embedded_with_key_and_shard(page):
    block = pictures_of(page)
    assert block["shards"] == [["val", "val/in21k-val-000000.tar"]]
    key, shard, image = block["classes"]["0"][0]
    assert (key, shard, base64.b64decode(image)) == ("key", 0, picture("key").image)


def test_the_page_of_all_classes_is_under_a_megabyte_with_its_glosses():
    table = full_table()
    page = explorer_page(table, "fall11-p")
    assert len(page.encode()) < 700_000
    assert all(data_of(page)["glosses"])


def test_the_page_of_all_classes_with_a_model_and_all_that_the_dump_had_is_under_a_megabyte():
    """Of a model that is wrong about every second image, at random, which is hardest to pack."""
    table, random = full_table(), np.random.default_rng(0)
    hierarchy = wordnet_hierarchy(published_class_list(PublishedList.FALL11))
    classes = np.repeat(np.arange(len(table)), 50)
    guesses = np.where(random.random(len(classes)) < 0.5, classes, random.integers(0, len(table), len(classes)))
    scores = {column: random.random(len(table)) for column in MEASURES}
    for column in ("top1", "top5", "answer_accuracy", "confused_share"):
        scores[column] = random.integers(0, 51, len(table)) / 50
    images = np.full(len(table), 50.0)
    answers = ModelAnswers("run", "tresnet_m", images, scores, classes, guesses, np.full(len(classes), 0.5))
    overlay = model_overlay(answers, hierarchy, {})
    names, wnids = (table[column].to_pylist() for column in ("name", "wnid"))
    census = Census(
        min_images=500,
        kept=np.full(len(table), 600),
        dropped=[
            DroppedClass(wnid=f"n{int(wnid[1:]) + 1:08d}", name=name, files=at % 500, reason="too-few-images")
            for at, (wnid, name) in enumerate(zip(wnids[:10_620], names[::-1], strict=False))
        ],
        rejects=[("resize", "truncated", 9000, {at: 1 + at % 7 for at in range(0, len(table), 2)})],
    )
    page = explorer_page(table, "fall11-p", overlay=overlay, census=census)
    assert len(overlay.measures) == 7
    assert len(overlay.pairs) > 2 * len(table)
    assert len(page.encode()) < 1_000_000


def test_a_table_without_glosses_has_a_page(table):
    assert data_of(explorer_page(table, "labels"))["glosses"] is None


def test_a_measure_has_a_value_per_class_and_none_where_there_is_none(table):
    measure = Measure(name="score", kind=MeasureKind.SHARE, values=np.array([0.123056789, np.nan, 1, 0]))
    (found,) = data_of(explorer_page(table, "labels", measures=[measure]))["measures"]
    assert found["values"] == [0.123, None, 1, 0]
    with pytest.raises(TreeError, match=r"measure 'score' has \(3,\) values for 4 classes"):
        explorer_page(table, "labels", measures=[Measure(name="score", kind=MeasureKind.SHARE, values=np.zeros(3))])


def test_an_overlay_brings_measures_lists_pairs_and_judged_pictures(table):
    measure = Measure(name="accuracy", kind=MeasureKind.SHARE, values=np.ones(4))
    overlay = Overlay(
        title="run",
        measures=[measure],
        facts={"top-1": "50 %"},
        lists=[RankedClasses(title="Worst", help="", measure="accuracy", classes=[2, 1])],
        pairs=[ConfusedPair(truth=1, guess=2, images=3)],
        pictures={1: [picture("key", guess=2, probability=0.5)]},
    )
    page = explorer_page(table, "labels", overlay=overlay)
    data = data_of(page)
    assert data["overlay"] == {
        "title": "run",
        "facts": [["top-1", "50 %"]],
        "measures": ["accuracy"],
        "lists": [{"title": "Worst", "help": "", "measure": "accuracy", "classes": [2, 1]}],
        "pairs": [[1, 2, 3]],
    }
    assert [measure["name"] for measure in data["measures"]] == ["accuracy"]
    assert pictures_of(page)["judged"]["1"][0][3:] == [2, 0.5]


def test_the_same_data_give_the_same_page(table):
    assert explorer_page(table, "labels") == explorer_page(table, "labels")
