"""The explorer's plots in headless Chromium."""

import pytest
from browser import CHROMIUM

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]

TITLES = "[...document.querySelectorAll('#view figure h3')].map(each => each.textContent)"
SHOWN = "document.getElementById('shown').textContent"
BARS = "[...document.querySelectorAll('#view svg a')]"


def bar(text):
    return f"{BARS}.find(each => each.getAttribute('aria-label').startsWith({text!r}))"


@pytest.fixture
def plots(show):
    page = show(address="#/plots")
    page.wait_for("document.querySelectorAll('#view svg').length === document.querySelectorAll('#view figure').length")
    return page


def test_plots_that_say_something_are_drawn(plots):
    assert plots.evaluate(TITLES) == [
        "Classes per level",
        "Images per level",
        "Files per class in the dump",
        "Dropped classes with the most files",
        "Images per class",
        "Rejected files, by reason",
        "Classes with the largest rejected share",
    ]  # and no plot of val images, of which each class has 50


def test_a_page_without_levels_counts_and_rejects_has_no_plot_but_that_of_levels(show):
    page = show("few", "#/plots")
    assert page.evaluate(TITLES) == ["Classes per level"]


def test_bars_lead_to_their_classes(plots):
    label = plots.evaluate(f"{bar('Level 10')}.getAttribute('aria-label')")
    assert label.startswith("Level 10: 26 classes")
    plots.evaluate(f"{bar('Level 10')}.dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))")
    plots.wait_for(f"{SHOWN} === '26 of 11,221 classes shown'")
    plots.evaluate("history.back()")
    plots.wait_for("!document.getElementById('view').hidden")


def test_a_reject_reason_leads_to_its_classes(plots):
    plots.evaluate(f"{bar('truncated')}.dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))")
    plots.wait_for(f"{SHOWN} === '2 of 11,221 classes shown'")


def test_the_bars_of_images_hold_every_class(plots):
    figure = (
        "[...document.querySelectorAll('#view figure')].find(each => each.textContent.startsWith('Images per class'))"
    )
    labels = plots.evaluate(f"[...{figure}.querySelectorAll('.bar')].map(each => each.getAttribute('aria-label'))")
    assert sum(int(label.split()[0].replace(",", "")) for label in labels) == 11_221


def test_a_plot_is_saved_as_svg_with_its_colors(plots):
    plots.evaluate("URL.createObjectURL = blob => { window.saved = blob; return 'data:,'; }")
    plots.evaluate("document.querySelector('.save').click()")
    text = plots.evaluate("window.saved.text()")
    assert text.startswith("<svg ")
    assert 'xmlns="http://www.w3.org/2000/svg"' in text
    assert "rgb(47, 111, 171)" in text
    assert "href" not in text


def test_bars_of_the_dumps_files_lead_to_the_classes_that_were_kept(plots):
    kept = f"{BARS}.find(each => each.getAttribute('aria-label').includes('11,221 kept'))"
    plots.evaluate(f"{kept}.dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))")
    plots.wait_for(f"{SHOWN} === '11,221 of 11,221 classes shown'")
    assert plots.evaluate("document.querySelector('.chip').textContent").startswith("files in the dump")
