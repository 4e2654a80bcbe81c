"""The explorer's tree in headless Chromium, as its user sees it."""

import re

import pytest
from browser import CHROMIUM
from explorer_pages import ACTIVE, FACTS, NAMES, PATH, ROWS, SAMOYED, SELECTED, TITLE

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]

NAME = f"{ACTIVE}.querySelector('.name').textContent"
HIGH = "document.getElementById('rows').offsetHeight"
EXPANDED = f"{ACTIVE}.getAttribute('aria-expanded')"


def counts_of(pages, wnid):
    rows = pages["table"]
    row = rows.slice(rows["wnid"].to_pylist().index(wnid), 1).to_pylist()[0]
    return {
        name: f"{row[name]:,}" for name in ("images_train", "images_val", "images_subtree", "descendants", "leaves")
    }


def test_subtree_counts_equal_the_tables(page, pages):
    for wnid in ("n00015388", "n02084071", "n00021939"):
        page.evaluate(f"location.hash = '{wnid}'")
        page.wait_for(f"document.querySelector('#head .wnid')?.textContent === '{wnid}'")
        facts, counts = page.evaluate(FACTS), counts_of(pages, wnid)
        assert facts["Images in subtree"] == counts["images_subtree"]
        assert (facts["Classes below"], facts["Leaves"]) == (counts["descendants"], counts["leaves"])
        assert (facts["Train images"], facts["Val images"]) == (counts["images_train"], counts["images_val"])


def test_a_class_shows_its_level_and_weight(show):
    facts = show(address=f"#{SAMOYED}").evaluate(FACTS)
    assert (facts["Level"], facts["Level weight"]) == ("4", "2.3203")


def test_arrow_keys_move_through_open_and_close_the_tree(page):
    page.evaluate("document.getElementById('tree').focus()")
    page.press("ArrowDown")
    first = page.evaluate(NAME)
    page.press("ArrowDown", "ArrowUp")
    assert page.evaluate(NAME) == first == "artifact"
    page.press("ArrowRight")
    assert page.evaluate(EXPANDED) == "true"
    page.press("ArrowRight")
    assert page.evaluate(f"{ACTIVE}.getAttribute('aria-level')") == "2"
    page.press("ArrowLeft", "ArrowLeft")
    assert (page.evaluate(NAME), page.evaluate(EXPANDED)) == (first, "false")
    page.press("Enter")
    assert page.evaluate(EXPANDED) == "true"
    page.press("Home", "End")
    assert page.evaluate(f"{ACTIVE}.getBoundingClientRect().bottom <= innerHeight + 1")


def test_a_letter_goes_to_the_next_class_that_begins_with_it(page):
    page.evaluate("document.getElementById('tree').focus()")
    page.press("Home")
    page.type("p")
    assert page.evaluate(NAME).startswith("p")


def test_a_link_to_a_class_opens_it_in_the_tree(show):
    page = show(address="#n01858441")
    assert page.evaluate(PATH) == "animal > vertebrate > bird > aquatic bird > swan"
    assert page.evaluate(SELECTED) == "swan"
    assert {"vertebrate", "aquatic bird"} <= set(page.evaluate(NAMES))


def test_a_class_that_is_not_here_is_said_so(show):
    assert "There is no class n99999999 here" in show(address="#n99999999").evaluate("document.body.textContent")


def expand(page, level):
    page.evaluate(
        f"(select => {{ select.value = '{level}'; select.dispatchEvent(new Event('change')); }})"
        "(document.getElementById('expand'))"
    )
    return round(page.evaluate(f"{HIGH} / document.querySelector('.row').offsetHeight"))


def test_only_the_rows_in_sight_are_in_the_page(page):
    assert expand(page, 11) == 11_221
    assert page.evaluate(f"{ROWS}.length") < 100
    page.evaluate("document.getElementById('tree').focus()")
    page.press("End")
    assert page.evaluate(f"{ACTIVE} !== null")


def test_the_tree_expands_to_a_level_and_collapses(page):
    assert expand(page, 1) == 302 + 1378
    assert expand(page, 0) == 302


def test_markup_in_names_is_shown_as_text(show):
    page = show("few")
    page.press("/")
    page.type("child")
    page.press("Enter")
    assert page.evaluate("document.title") == "few"
    assert page.evaluate(SELECTED) == page.evaluate(TITLE) == "<b>child</b>"
    assert page.evaluate("document.querySelectorAll('main b').length") == 0
    page = show("few", "#50%20%25%20%23%20%C3%A9")
    assert page.evaluate(SELECTED) == "50 % # é"


def test_screen_readers_get_roles_and_states(show):
    page = show(address="#n02084071")
    item = "document.querySelector('#tree [aria-selected=true]')"
    assert page.evaluate(f"{item}.id === document.getElementById('tree').getAttribute('aria-activedescendant')")
    assert page.evaluate(f"{item}.getAttribute('aria-level')") == "3"
    place = page.evaluate(f"['posinset', 'setsize'].map(name => Number({item}.getAttribute('aria-' + name)))")
    assert place == [1, 5]  # domestic animals: dog, domestic cat, feeder, head, stray
    assert re.fullmatch(r"dog, [\d,]+ images", page.evaluate(f"{item}.getAttribute('aria-label')"))
    unnamed = (
        "[...document.querySelectorAll('button, a, select, input')].filter(each => each.checkVisibility() && "
        "!(each.getAttribute('aria-label') || each.textContent.trim() || each.labels?.length)).length"
    )
    assert page.evaluate(unnamed) == 0


def test_a_page_of_another_taxonomy_searches_labels_and_names_its_source(show):
    shown = "[document.querySelector('#search').placeholder, document.querySelector('#summary').textContent]"
    assert show("few").evaluate(shown) == [
        "Search by name or label",
        "4 classes \u00b7 2 levels \u00b7 e.csv",
    ]
    assert show().evaluate(shown)[0] == "Search by name or wnid"


def test_a_models_measure_colors_the_map_and_sorts_the_list_worst_first(show):
    page = show("overlaid", "#?sort=top-1-accuracy&flat=1")
    assert page.evaluate(NAMES) == ["cat", "dog", "animal"]
    assert page.evaluate("document.querySelector('[aria-label=\"Color of the map\"]').value") == "top-1-accuracy"
    page = show("overlaid", "#animal")
    assert page.evaluate(FACTS)["Top-1 accuracy, subtree"] == "62.5 %"
