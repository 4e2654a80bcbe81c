"""The explorer's search in headless Chromium."""

import pytest
from browser import CHROMIUM
from explorer_pages import PATH, SAMOYED, SELECTED, TITLE

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]

FOUND = "document.getElementById('found-count').textContent"
OPTIONS = "[...document.querySelectorAll('[role=option]')]"


def look_for(page, words):
    page.evaluate("document.activeElement.blur()")
    page.press("/")
    page.type(words)


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("dog", "animal > domestic animal > dog"),
        ("cat", "animal > vertebrate > mammal > placental > carnivore > feline > cat"),
        ("seal", "animal > vertebrate > mammal > placental > aquatic mammal > pinniped mammal > seal"),
        ("n01887787", "animal > vertebrate > mammal > placental > cow"),
        ("canis familiaris", "animal > domestic animal > dog"),
    ],
)
def test_the_word_opens_the_class_that_is_meant(page, word, path):
    look_for(page, word)
    page.press("Enter")
    assert page.evaluate(PATH) == path
    assert page.evaluate(SELECTED) == page.evaluate(TITLE)
    assert page.evaluate("document.activeElement.id") == "tree"


def test_searching_changes_the_address(page):
    look_for(page, "samoyed")
    page.press("Enter")
    assert page.evaluate("location.hash") == f"#{SAMOYED}"


def test_the_word_that_matched_is_shown_and_marked(page):
    look_for(page, "hombre")
    option = f"{OPTIONS}[0]"
    assert page.evaluate(f"{option}.querySelector('.name').textContent") == "guy"
    assert page.evaluate(f"{option}.querySelector('.matched').textContent") == "hombre"
    assert page.evaluate(f"{option}.querySelector('mark').textContent") == "hombre"


def test_classes_of_one_name_are_told_apart(page):
    look_for(page, "crane")
    told = page.evaluate(
        f"{OPTIONS}.filter(each => each.querySelector('.name').textContent === 'crane')"
        ".map(each => each.querySelector('.gloss').textContent)"
    )
    assert len(told) == 2
    assert told[0] != told[1]


def test_arrow_keys_choose_another_result(page):
    look_for(page, "dog")
    page.press("ArrowDown", "ArrowDown", "ArrowUp")
    chosen = page.evaluate(f"{OPTIONS}[1].querySelector('.name').textContent")
    page.press("Enter")
    assert page.evaluate(TITLE) == chosen


def test_words_in_any_order_are_found(page):
    look_for(page, "retriever golden")
    assert page.evaluate(f"{OPTIONS}[0].querySelector('.name').textContent") == "golden retriever"


def test_a_mistyped_word_is_corrected_and_escape_leaves(page):
    look_for(page, "retreiver")
    assert page.evaluate(FOUND) == "0 classes found. Did you mean retriever?"
    page.evaluate("document.querySelector('#found-count button').click()")
    assert page.evaluate(f"{OPTIONS}[0].querySelector('.name').textContent") == "retriever"
    page.press("Escape")
    assert page.evaluate("document.getElementById('found').hidden")


def test_all_results_become_a_list(page):
    look_for(page, "terrier")
    count = page.evaluate(FOUND).split()[0]
    page.evaluate("document.querySelector('#found-count button').click()")
    assert page.evaluate("document.getElementById('shown').textContent") == f"{count} of 11,221 classes shown"
    assert page.evaluate("location.hash") == "#?q=terrier&flat=1"


def test_a_class_that_was_dropped_is_said_so_and_why(page):
    look_for(page, "quokka")
    said = "quokka (n00000000) was dropped: too-few-images, 499 files."
    assert page.evaluate("document.getElementById('found-dropped').textContent") == said
    page.evaluate("location.hash = '#n00000000'")
    page.wait_for(f"document.getElementById('head').textContent.includes({said!r})")
    page.press("Escape")
    look_for(page, "<i>bilby</i>")
    assert "<i>bilby</i> (n00000002) was dropped" in page.evaluate("document.getElementById('found').textContent")
