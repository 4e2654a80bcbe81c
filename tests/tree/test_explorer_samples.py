"""The explorer's samples, addresses and Back in headless Chromium."""

import pytest
from browser import CHROMIUM
from explorer_pages import DOG, SAMOYED, SPITZ, TITLE

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]

OPEN = "document.getElementById('sample').open"
SHOWN = (
    "Object.fromEntries([...document.querySelectorAll('#sample dl div')]"
    ".map(row => [row.firstChild.textContent, row.lastChild.textContent]))"
)
KEY = f"({SHOWN}).Key"


def test_a_sample_opens_larger_with_key_split_and_shard(show):
    page = show(address=f"#{SAMOYED}")
    page.evaluate("document.querySelector('.thumb').click()")
    assert page.evaluate(SHOWN) == {
        "Class": "Samoyed",
        "Key": f"{SAMOYED}_0",
        "Split": "val",
        "Shard": "val/in21k-val-000000.tar",
    }
    assert page.evaluate("document.querySelector('#sample img').clientWidth") > 200
    page.wait_for("document.querySelector('#sample .hint').textContent.includes('32 × 32 pixels')")


def test_keys_turn_the_samples_and_escape_closes(show):
    page = show(address=f"#{SAMOYED}")
    page.evaluate("document.querySelector('.thumb').click()")
    page.press("ArrowRight")
    assert page.evaluate(KEY) == f"{SAMOYED}_1"
    page.press("End", "ArrowRight")
    assert page.evaluate(KEY) == f"{SAMOYED}_2"
    page.press("Home")
    assert page.evaluate(KEY) == f"{SAMOYED}_0"
    page.press("Escape")
    page.wait_for(f"location.hash === '#{SAMOYED}'")
    assert not page.evaluate(OPEN)


def test_the_key_is_copied(show):
    page = show(address=f"#{SAMOYED}")
    page.evaluate("navigator.clipboard.writeText = async text => { window.copied = text; }")
    page.evaluate("document.querySelector('.thumb').click()")
    page.press("c")
    page.wait_for(f"window.copied === '{SAMOYED}_0'")


def test_back_closes_a_sample_and_goes_to_the_class_before(show):
    page = show(address=f"#{DOG}")
    page.evaluate("document.querySelector('#rest .children a').click()")
    page.wait_for(f"{TITLE} !== 'dog'")
    page.evaluate("history.back()")
    page.wait_for(f"{TITLE} === 'dog'")
    page.evaluate("document.querySelector('.thumb').click()")
    page.press("ArrowRight")
    page.evaluate("history.back()")
    page.wait_for(f"!{OPEN}")
    assert page.evaluate("location.hash") == f"#{DOG}"
    page.evaluate("history.forward()")
    page.wait_for(OPEN)


def test_a_shared_link_opens_the_sample(show):
    page = show(address=f"#{SAMOYED}/sample/{SAMOYED}_1")
    assert page.evaluate(KEY) == f"{SAMOYED}_1"
    page.press("Escape")
    page.wait_for(f"location.hash === '#{SAMOYED}'")


def test_a_class_without_samples_shows_those_below_it(show):
    page = show(address=f"#{SPITZ}")
    assert page.evaluate(TITLE) == "spitz"
    assert page.evaluate("document.querySelectorAll('.thumb').length") == 1


def test_a_models_answer_stands_beside_the_sample(show):
    page = show("overlaid", "#cat/sample/cat_1")
    assert page.evaluate(f"({SHOWN})['The model says']") is not None
    assert page.evaluate("document.getElementById('sample').textContent").count("dog (80.0 %) – wrong") == 1


def test_samples_that_are_still_being_read_come_later(show):
    page = show("heavy", "#cat/sample/cat_9")
    assert page.evaluate(KEY) == "cat_9"
    assert page.evaluate("document.querySelectorAll('.thumb').length") == 10
