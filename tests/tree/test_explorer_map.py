"""The explorer's map in headless Chromium."""

import pytest
from browser import CHROMIUM
from explorer_pages import PATH, TITLE

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]

TILES = "[...document.querySelectorAll('.tiles a')]"


def tile(name):
    return f"{TILES}.find(each => each.textContent === {name!r})"


def test_tiles_lead_down_to_a_class(page):
    for name in ("animal", "vertebrate", "bird", "aquatic bird", "swan"):
        page.evaluate(f"{tile(name)}.click()")
        page.wait_for(f"{TITLE} === {name!r}")
    assert page.evaluate(PATH) == "animal > vertebrate > bird > aquatic bird > swan"


def test_the_tiles_fill_the_map_by_images(page):
    share = (
        f"{TILES}.reduce((sum, each) => sum + parseFloat(each.style.width) * parseFloat(each.style.height), 0) / "
        "(document.querySelector('.stage').clientWidth * document.querySelector('.stage').clientHeight)"
    )
    assert page.evaluate(share) == pytest.approx(1, abs=0.01)
    area = "(each => parseFloat(each.style.width) * parseFloat(each.style.height))"
    images = "(each => Number(each.getAttribute('aria-label').match(/, ([\\d,]+) images/)[1].replaceAll(',', '')))"
    artifact, animal = (
        page.evaluate(f"{area}({tile(name)}) / {images}({tile(name)})") for name in ("artifact", "animal")
    )
    assert artifact == pytest.approx(animal, rel=0.01)


def test_the_map_follows_the_height_of_the_window(browser, page):
    filled = (
        "(([stage, canvas]) => [Math.max(..."
        + TILES
        + ".map(each => each.offsetTop + each.offsetHeight)), canvas.height]"
        ".map(each => Math.abs(each - stage.clientHeight) < 2))"
        "([document.querySelector('.stage'), document.querySelector('.stage canvas')])"
    )
    for height in (500, 1000):
        browser.look(1280, height, "light")
        page.wait_for(f"{filled}.every(Boolean)")


def test_roots_without_children_are_one_tile_that_lists_them(page):
    lonely = (
        f"{TILES}.find(each => each.getAttribute('aria-label').startsWith('249 classes without parent or children'))"
    )
    assert page.evaluate(f"{TILES}.length") == 302 - 249 + 1
    page.evaluate(f"{lonely}.click()")
    page.wait_for("document.getElementById('shown').textContent === '249 of 11,221 classes shown'")


def test_the_map_is_used_by_keyboard(page):
    page.evaluate(f"{TILES}[0].focus()")
    page.press("ArrowRight")
    name = page.evaluate("document.activeElement.getAttribute('aria-label')").partition(",")[0]
    assert name != page.evaluate(f"{TILES}[0].getAttribute('aria-label')").partition(",")[0]
    page.press("Enter")
    page.wait_for(f"{TITLE} === {name!r}")
    assert page.evaluate("document.activeElement.closest('.tiles') !== null")
    page.press("Backspace")
    page.wait_for(f"{TITLE} === 'All classes'")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(name)


def test_a_tile_says_what_it_is_at_the_focus_the_pointer_and_the_first_tap(browser, show):
    page = show()
    tip = "[...document.querySelectorAll('.tip:not([hidden])')].map(each => each.textContent).join()"
    page.press("Tab")  # from now on, the focus is the keyboard's
    page.evaluate(f"{tile('animal')}.focus()")
    assert page.evaluate(tip).startswith("animal, ")
    page.press("ArrowRight")
    name = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert page.evaluate(tip) == name != ""
    page.evaluate("document.activeElement.blur()")
    assert page.evaluate(tip) == ""
    small = f"{TILES}.find(each => !each.textContent && each.clientWidth > 3)"
    box = page.evaluate(f"({small}).getBoundingClientRect().toJSON()")
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    name = page.evaluate(f"({small}).getAttribute('aria-label')")
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", **at)
    assert page.evaluate(tip) != ""  # of what lies deepest below the pointer
    for said in (name, ""):
        browser.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[at])
        browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        page.wait_for(f"{tip} === {said!r}")
    assert page.evaluate(TITLE) == name.partition(",")[0]


def test_the_legend_says_what_the_colors_mean(show):
    page = show(address="#?color=rejected")
    legend = "document.querySelector('.legend')"
    assert page.evaluate(f"{legend}.textContent").endswith(" rejected per class")
    assert page.evaluate(f"{legend}.getAttribute('aria-label')").startswith("The colors say rejected, from 0 to")


def test_area_and_color_stand_in_the_address(page):
    for name, value in (("Area", "classes"), ("Color", "rejected")):
        page.evaluate(
            f"(select => {{ select.value = '{value}'; select.dispatchEvent(new Event('change')); }})"
            f"(document.querySelector('[aria-label=\"{name} of the map\"]'))"
        )
    assert page.evaluate("location.hash") == "#?color=rejected&area=classes"
    assert "4,623 classes" in page.evaluate(f"{tile('artifact')}.getAttribute('aria-label')")


def test_a_class_opens_at_its_top_and_a_tile_leaves_the_map_in_its_place(browser, show):
    browser.look(1280, 500, "light")
    page = show(address="#n02084071")
    top = "document.querySelector('.map').getBoundingClientRect().top"
    page.evaluate("document.getElementById('detail').scrollTop = 300")
    before = page.evaluate(top)
    page.evaluate(f"{tile('hunting dog')}.click()")
    page.wait_for(f"{TITLE} === 'hunting dog'")
    assert page.evaluate(top) == pytest.approx(before, abs=1)
    page.evaluate("document.querySelector('#rest .children a').click()")
    page.wait_for(f"{TITLE} !== 'hunting dog'")
    assert page.evaluate("document.getElementById('detail').scrollTop") == 0
