"""How the explorer looks in headless Chromium: light and dark, on a desk and on a phone."""

import json
from urllib.parse import quote

import pytest
from browser import CHROMIUM
from explorer_audit import AUDIT, SMALL_TARGETS
from explorer_pages import HOSTILE_NAMES, NAMES, SAMOYED

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]


LONG = f"#{quote(HOSTILE_NAMES[4])}"
PLACES = (
    *(("full", address) for address in (f"#{SAMOYED}", "", "#/plots", "#?levels=0&kind=leaf")),
    *(("overlaid", address) for address in ("", "#/model", "#cat", "#cat/sample/cat_1")),
    *(("hostile", address) for address in ("", "#/model", "#/plots", "#__proto__", "#?flat=1&sort=name", LONG)),
)
OPEN_ALL = "(document.getElementById('filter').open = true, document.querySelector('#views [data-pane=tree]').click())"


@pytest.mark.parametrize(
    ("width", "height", "scheme"),
    [(1280, 800, "light"), (390, 844, "dark"), (640, 400, "light"), (800, 600, "dark")],  # 640: 1280 at twice its size
)
def test_text_has_contrast_controls_have_names_and_size_and_nothing_overflows(browser, show, width, height, scheme):
    def look(place):
        found = {what: some for what, some in browser.evaluate(AUDIT).items() if some}
        small = browser.evaluate(SMALL_TARGETS) if width < 760 else []
        if found or small:
            wrong[place] = (found, small)

    wrong = {}
    browser.look(width, height, scheme)
    for name, address in PLACES:
        show(name, address)
        look((name, address))
        if "?" in address:
            browser.evaluate(OPEN_ALL)
            look((name, address, "tree and filter"))
        if not address:
            browser.press("/")
            browser.type("o")
            look((name, "search"))
            browser.press("Escape")
            browser.press("?")
            look((name, "help"))
    assert wrong == {}


def test_names_keys_and_titles_cannot_break_the_page(show):
    for address in ("", "#/model", "#/plots", "#?flat=1"):
        page = show("hostile", address)
        assert page.evaluate("[window.broken, document.scripts.length, document.images.length > 0]")[:2] == [None, 3]
        assert page.evaluate("document.querySelectorAll('[onerror]').length") == 0
    names = page.evaluate(NAMES)
    assert sorted(names) == sorted(HOSTILE_NAMES)
    assert page.evaluate("getComputedStyle(document.querySelector('.row .name')).unicodeBidi") == "isolate"
    page.evaluate(f"[...document.querySelectorAll('.row')][{names.index(HOSTILE_NAMES[1])}].click()")
    page.wait_for(f"document.getElementById('class-name').textContent === {json.dumps(HOSTILE_NAMES[1])}")
    page.evaluate("document.querySelector('.thumb').click()")
    page.wait_for("document.getElementById('sample').open")
    assert page.evaluate("document.querySelector('#sample code').textContent") == HOSTILE_NAMES[1]


def test_the_keyboard_opens_help_and_leaves_it(show):
    page = show("few")
    page.press("?")
    page.wait_for("document.getElementById('help').open")
    assert "search" in page.evaluate("document.querySelector('#help .keys').innerText")
    page.press("/")
    assert page.evaluate("document.activeElement.closest('dialog').id") == "help"
    page.press("Escape")
    page.wait_for("!document.getElementById('help').open")


def test_the_tab_key_reaches_everything_and_shows_where_it_is(show):
    page = show("overlaid", "#animal")
    at = (
        "(each => [each.id || each.dataset.view || each.dataset.pane || each.className, getComputedStyle(each)])"
        "(document.activeElement)"
    )
    reached = {}
    for _ in range(30):
        page.press("Tab")
        name, ring = page.evaluate(f"(([name, s]) => [name, s.outlineStyle + s.boxShadow])({at})")
        reached[name] = ring
    assert {"search", "help-button", "model", "as-list", "sort", "csv", "tree", "thumb", "tile"} <= set(reached)
    assert [name for name, ring in reached.items() if ring == "nonenone"] == []


def test_a_filter_that_nothing_passes_says_so(show):
    page = show("few", "#?q=zzzz")
    assert "No class passes the filter." in page.evaluate("document.getElementById('rest').textContent")
    assert not page.evaluate("document.querySelector('.map').checkVisibility()")


def test_a_print_has_the_class_and_no_controls(browser, show):
    page = show(address=f"#{SAMOYED}")
    browser.send("Emulation.setEmulatedMedia", media="print")
    parts = ["#class-name", ".thumb", "#tree", "#search", "#views"]
    shown = f"{parts}.map(each => document.querySelector(each).checkVisibility())"
    assert page.evaluate(shown) == [True, True, False, False, False]
    assert page.evaluate("getComputedStyle(document.getElementById('detail')).overflow") == "visible"
    browser.send("Emulation.setEmulatedMedia", media="")


def test_a_phone_shows_pictures_before_anything_else_of_a_class(browser, show):
    browser.look(390, 844, "light")
    page = show(address=f"#{SAMOYED}")
    top = "document.querySelector('%s').getBoundingClientRect()"
    assert page.evaluate(f"{top % '.thumb'}.bottom") < 500
    assert page.evaluate(f"{top % '.thumb'}.top") < page.evaluate(f"{top % '.facts'}.top")


def test_a_phone_goes_from_the_tree_to_the_class(browser, show):
    browser.look(390, 844, "light")
    page = show()
    visible = "document.querySelector('%s').checkVisibility()"
    page.evaluate("document.querySelector('#views [data-pane=tree]').click()")
    assert page.evaluate(visible % "#tree")
    assert not page.evaluate(visible % "#detail")
    page.evaluate("document.querySelector('.row .name').click()")
    assert page.evaluate(visible % "#detail")
    assert page.evaluate("document.getElementById('class-name').textContent") == "artifact"


def test_nothing_moves_for_those_who_want_it_still(browser, show):
    page = show()
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.send("Emulation.setEmulatedMedia", features=still)
    page.evaluate("document.querySelector('.tiles a').click()")
    page.wait_for("document.getElementById('class-name').textContent === 'artifact'")
    assert page.evaluate("document.getAnimations().length") == 0
