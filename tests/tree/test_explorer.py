import base64
import json
import re
from html.parser import HTMLParser

import pytest

from in21k.tree.class_names import edge_class_names
from in21k.tree.edges import edge_hierarchy, edges_of
from in21k.tree.explorer import explorer_page
from in21k.tree.table import named_table

HOSTILE = "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"&'\u2028{{data}}<!--"


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
def page():
    table = table_of([(name, "root") for name in HOSTILE])
    return explorer_page(table, HOSTILE[0], {0: [b"\xff\xd8"]}, {HOSTILE[1]: b"\x89PNG"})


def test_markup_in_names_stays_text(page):
    elements = Elements(page).found
    assert [tag for tag, _ in elements].count("script") == 3
    assert not any("onerror" in attributes for _, attributes in elements)
    assert [tag for tag, _ in elements].count("img") == 1
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert sorted(data["names"]) == sorted([*HOSTILE, "root"])
    assert data["source"] == "labels.csv"


def test_the_page_loads_nothing(page):
    for tag, attributes in Elements(page).found:
        assert tag not in ("link", "iframe", "object")
        assert attributes.get("src", "data:").startswith("data:")
    assert "http://" not in page
    assert "https://" not in page


def test_the_policy_allows_only_the_pages_own_script_and_style(page):
    policy = next(a["content"] for tag, a in Elements(page).found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2


def test_pictures_are_embedded(page):
    thumbnails = json.loads(re.search(r'id="thumbnails">(.*?)</script>', page, re.DOTALL)[1])
    assert {index: list(map(base64.b64decode, images)) for index, images in thumbnails.items()} == {"0": [b"\xff\xd8"]}
    assert [a["src"] for tag, a in Elements(page).found if tag == "img"] == ["data:image/png;base64,iVBORw=="]
