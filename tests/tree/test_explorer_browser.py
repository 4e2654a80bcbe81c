"""The explorer in headless Chromium, as its user sees it."""

import re

import numpy as np
import pytest
from browser import CHROMIUM, chromium

from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.class_names import edge_class_names
from in21k.tree.edges import edge_hierarchy, edges_of
from in21k.tree.explorer import explorer_page
from in21k.tree.parents import ParentRule
from in21k.tree.table import hierarchy_table, named_table, wordnet_hierarchy

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]

ROWS = "[...document.querySelectorAll('#tree [role=treeitem]')].filter(item => item.offsetParent)"
NAMES = f"{ROWS}.map(item => item.querySelector('.name').textContent)"
FOCUS = "document.activeElement.querySelector('.name')?.textContent ?? document.activeElement.id"
SELECTED = "document.querySelector('#tree [aria-selected=true] .name')?.textContent"
PATH = "[...document.querySelectorAll('.path li')].map(step => step.textContent).join(' > ')"
FACTS = (
    "Object.fromEntries([...document.querySelectorAll('#detail dl div')]"
    ".map(fact => [fact.firstChild.textContent, fact.lastChild.textContent]))"
)
JPEG = bytes.fromhex("ffd8ffd9")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """URLs of two pages: all 11,221 classes with images, and a few classes with hostile names."""
    folder = tmp_path_factory.mktemp("pages")
    hierarchy = wordnet_hierarchy(published_class_list(PublishedList.FALL11))
    train = np.arange(len(hierarchy), dtype=np.int64) % 1000 + 450
    table = hierarchy_table(hierarchy, ParentRule.PUBLISHED, train, np.full(len(hierarchy), 50, np.int64))
    samoyed = hierarchy.wnids.index("n02111889")
    (folder / "full.html").write_text(explorer_page(table, "fall11-p", {samoyed: [JPEG]}), "utf-8")
    edges = edges_of([("<b>child</b>", "<script>document.title = 'broken'</script>"), ("50 % # é", "")], "e.csv")
    few, _ = edge_hierarchy(edges)
    class_names = edge_class_names(few.wnids, edges.parents, edges.name)
    (folder / "few.html").write_text(explorer_page(named_table(few, class_names), "few"), "utf-8")
    return {"full": f"file://{folder}/full.html", "few": f"file://{folder}/few.html", "table": table}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        page.look(1280, 800, "light")
        yield page


@pytest.fixture
def page(browser, pages):
    browser.open(pages["full"])
    browser.problems.clear()
    browser.requests.clear()
    yield browser
    assert browser.problems == []
    assert browser.requests == []


def counts_of(pages, wnid):
    rows = pages["table"]
    row = rows.slice(rows["wnid"].to_pylist().index(wnid), 1).to_pylist()[0]
    return {
        name: f"{row[name]:,}" for name in ("images_train", "images_val", "images_subtree", "descendants", "leaves")
    }


def test_searching_for_a_class_opens_its_path_and_shows_its_counts(page, pages):
    page.press("/")
    page.type("samoyed")
    assert page.evaluate("document.querySelector('[role=option][aria-selected=true]').textContent").startswith(
        "Samoyed"
    )
    page.press("Enter")
    assert page.evaluate(PATH) == "animal > domestic animal > dog > spitz > Samoyed"
    assert (page.evaluate(SELECTED), page.evaluate(FOCUS)) == ("Samoyed", "Samoyed")
    assert {"vertebrate", "hunting dog", "spitz", "Samoyed", "keeshond"} <= set(page.evaluate(NAMES))
    facts, counts = page.evaluate(FACTS), counts_of(pages, "n02111889")
    assert (facts["Train images"], facts["Val images"]) == (counts["images_train"], counts["images_val"])
    assert (facts["Level"], facts["Level weight"]) == ("4", "2.3203")
    assert page.evaluate("document.querySelectorAll('.thumbs img').length") == 1
    assert page.evaluate("location.hash") == "#n02111889"


def test_subtree_counts_equal_the_tables(page, pages):
    for wnid in ("n00015388", "n02084071", "n00021939"):
        page.evaluate(f"location.hash = '{wnid}'")
        page.wait_for(f"document.querySelector('#detail .wnid')?.textContent === '{wnid}'")
        facts, counts = page.evaluate(FACTS), counts_of(pages, wnid)
        assert facts["Images in subtree"] == counts["images_subtree"]
        assert (facts["Classes below"], facts["Leaves"]) == (counts["descendants"], counts["leaves"])


def test_arrow_keys_move_through_open_and_close_the_tree(page):
    page.evaluate("document.querySelector('#tree [role=treeitem]').focus()")
    roots = page.evaluate(f"{ROWS}.length")
    first = page.evaluate(FOCUS)
    page.press("ArrowDown", "ArrowUp")
    assert page.evaluate(FOCUS) == first == "artifact"
    page.press("ArrowRight")
    opened = page.evaluate(f"{ROWS}.length")
    assert opened > roots
    page.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-level')") == "2"
    page.press("ArrowLeft", "ArrowLeft")
    assert page.evaluate(FOCUS) == first
    assert page.evaluate(f"{ROWS}.length") == roots
    page.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert page.evaluate(f"{ROWS}.length") == opened


def test_search_finds_wnids_and_lemmas_and_escape_leaves_it(page):
    page.press("/")
    page.type("n01887787")
    assert page.evaluate("document.querySelector('[role=option] .where').textContent").endswith("placental > cow")
    page.evaluate("document.getElementById('search').value = ''")
    page.type("canis familiaris")
    assert page.evaluate("document.querySelector('[role=option] .name').textContent") == "dog"
    page.evaluate("document.getElementById('search').value = ''")
    page.type("zzzz")
    assert page.evaluate("document.getElementById('found').textContent") == "0 classes found"
    page.press("Escape")
    assert page.evaluate("document.getElementById('tree').hidden") is False


def test_arrow_keys_select_a_search_result(page):
    page.press("/")
    page.type("dog")
    page.press("ArrowDown", "ArrowDown", "ArrowUp")
    chosen = page.evaluate("document.querySelectorAll('[role=option]')[1].querySelector('.name').textContent")
    page.press("Enter")
    assert page.evaluate(SELECTED) == chosen


def test_a_link_to_a_class_opens_it(browser, pages):
    browser.open(pages["full"] + "#n01858441")
    assert browser.evaluate(PATH) == "animal > vertebrate > bird > aquatic bird > swan"


def test_the_page_opens_in_under_a_second(browser, pages):
    times = []
    for _ in range(3):
        browser.open(pages["full"])
        times.append(browser.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert min(times) < 1000


def test_markup_in_names_is_shown_as_text(browser, pages):
    browser.open(pages["few"])
    browser.press("/")
    browser.type("child")
    browser.press("Enter")
    assert browser.evaluate("document.title") == "few"
    assert browser.evaluate(SELECTED) == "<b>child</b>"
    assert browser.evaluate("document.querySelectorAll('main b').length") == 0
    browser.open(pages["few"] + "#50%20%25%20%23%20%C3%A9")
    assert browser.evaluate(SELECTED) == "50 % # é"


@pytest.mark.parametrize(("scheme", "darker"), [("light", False), ("dark", True)])
@pytest.mark.parametrize("width", [1280, 380])
def test_text_has_contrast_in_light_and_dark_mode_and_nothing_overflows(browser, pages, scheme, darker, width):
    def brightness(of, what):
        color = browser.evaluate(f"getComputedStyle(document.querySelector({of!r})).{what}")
        return sum(map(float, re.findall(r"[\d.]+", color)[:3])) / 3

    browser.look(width, 800, scheme)
    browser.open(pages["full"] + "#n02111889")
    for text, ground in (("h1", "header"), ("#tree .name", "body"), ("#detail dd", "#detail"), (".count", "body")):
        contrast = brightness(text, "color") - brightness(ground, "backgroundColor")
        assert contrast > 90 if darker else contrast < -90
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.look(1280, 800, "light")


def test_screen_readers_get_roles_and_states(page):
    assert page.evaluate("document.querySelectorAll('[role=tree]').length") == 1
    page.evaluate("location.hash = 'n02084071'")
    page.wait_for(f"{SELECTED} === 'dog'")
    item = "document.querySelector('#tree [aria-selected=true]')"
    assert page.evaluate(f"{item}.getAttribute('aria-level')") == "3"
    assert page.evaluate(f"{item}.parentElement.getAttribute('role')") == "group"
    assert re.fullmatch(r"dog, [\d,]+ images", page.evaluate(f"{item}.getAttribute('aria-label')"))
    assert page.evaluate("document.querySelectorAll('#tree [tabindex=\"0\"]').length") == 1


def test_a_page_of_another_taxonomy_searches_labels_and_names_its_source(browser, pages):
    shown = "[document.querySelector('#search').placeholder, document.querySelector('#summary').textContent]"
    browser.open(pages["few"])
    assert browser.evaluate(shown) == [
        "Search by name or label",
        "3 classes \u00b7 2 levels \u00b7 e.csv \u00b7 parents: first",
    ]
    browser.open(pages["full"])
    assert browser.evaluate(shown)[0] == "Search by name or wnid"
