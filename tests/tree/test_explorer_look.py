"""How the explorer looks in headless Chromium: light and dark, on a desk and on a phone."""

import re

import pytest
from browser import CHROMIUM
from explorer_pages import SAMOYED

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]


@pytest.mark.parametrize(("scheme", "darker"), [("light", False), ("dark", True)])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("address", [f"#{SAMOYED}", "", "#/plots"])
def test_text_has_contrast_in_light_and_dark_mode_and_nothing_overflows(browser, show, scheme, darker, width, address):
    def brightness(of, what):
        color = browser.evaluate(f"getComputedStyle(document.querySelector({of!r})).{what}")
        return sum(map(float, re.findall(r"[\d.]+", color)[:3])) / 3

    browser.look(width, 844, scheme)
    show(address=address)
    for text, ground in (("h1", "header"), ("#head h2", "#detail"), (".count", "body"), ("#summary", "header")):
        contrast = brightness(text, "color") - brightness(ground, "backgroundColor")
        assert contrast > 90 if darker else contrast < -90
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    wide = "[...document.querySelectorAll('#detail, #view, .left')].filter(each => each.scrollWidth > each.clientWidth)"
    assert browser.evaluate(f"{wide}.map(each => each.id)") == []


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
