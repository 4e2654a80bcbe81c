"""What a model does, on the explorer, in headless Chromium."""

import numpy as np
import pytest
from browser import CHROMIUM
from explorer_pages import NAMES, READY, TITLE, picture

from in21k.tree.class_names import edge_class_names
from in21k.tree.edges import edge_hierarchy, edges_of
from in21k.tree.explorer import explorer_page
from in21k.tree.model_overlay import ModelAnswers, model_overlay
from in21k.tree.table import named_table

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]
HOSTILE = "<img src=x onerror=alert(1)>"
TABLES = (
    "Object.fromEntries([...document.querySelectorAll('#view figure:has(table)')].map(each => ["
    "each.querySelector('h3').textContent, [...each.querySelectorAll('tbody tr')].map("
    "row => [...row.cells].map(cell => cell.textContent).join(' | '))]))"
)
FACTS = "[...document.querySelectorAll('#view .facts div')].map(each => each.innerText.replace('\\n', ' '))"
LINKS = "[...document.querySelectorAll('#view a.bar')]"
STRIPS = (
    "[...document.querySelectorAll('.judged')].map(each => [each.querySelector('h4').textContent,"
    " ...[...each.querySelectorAll('figcaption')].map(said => said.textContent)])"
)


def said_page():
    """Return a page of two trees, animal with cat and dog, thing with car and a hostile name; cats pass for dogs."""
    edges = edges_of([("cat", "animal"), ("dog", "animal"), ("car", "thing"), (HOSTILE, "thing")], "pets.csv")
    hierarchy, _ = edge_hierarchy(edges)
    at = {name: index for index, name in enumerate(hierarchy.wnids)}
    pairs = {("cat", "dog"): 3, ("cat", "cat"): 1, ("dog", "dog"): 4, (HOSTILE, "cat"): 2, ("car", HOSTILE): 1}
    rows = [(at[truth], at[guess]) for (truth, guess), count in pairs.items() for _ in range(count)]
    classes, guesses = np.array(rows).T
    images = np.bincount(classes, minlength=len(hierarchy)).astype(np.float64)
    top1 = np.array([np.mean(guesses[classes == each] == each) if images[each] else np.nan for each in at.values()])
    scores = {"top1": top1, "answer_accuracy": top1, "specificity": np.where(images > 0, 0.5, np.nan)}
    pictures = {
        at["cat"]: [
            picture("cat_0", guess=at["dog"], probability=0.9),
            picture("cat_1", guess=at["cat"], probability=0.6),
        ]
    }
    answers = ModelAnswers(HOSTILE, "resnet", images, scores, classes, guesses, np.full(len(rows), 0.5))
    names = edge_class_names(hierarchy.wnids, edges.parents, edges.name)
    table = named_table(hierarchy, names, np.zeros(len(images), np.int64), images.astype(np.int64))
    return explorer_page(table, "pets", overlay=model_overlay(answers, hierarchy, pictures))


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("said") / "report.html"
    path.write_text(said_page(), "utf-8")
    return f"file://{path}"


@pytest.fixture
def opened(browser, url):
    """Opens the page at an address; what goes wrong there fails the test."""

    def at(address=""):
        browser.open(url + address)
        browser.wait_for(READY)
        return browser

    browser.problems.clear()
    yield at
    browser.look(1280, 800, "light")
    assert browser.problems == []


def test_the_page_opens_with_the_classes_that_fail_and_the_wrong_images_sorted_and_colored_by_accuracy(opened):
    page = opened()
    rows = "[...document.querySelectorAll('.first tbody tr')].map(row => row.innerText.replaceAll('\\t', ' | '))"
    assert page.evaluate(rows)[:3] == [
        f"{HOSTILE} | 0.0 % of 2 | cat 2×",
        f"car | 0.0 % of 1 | {HOSTILE} 1×",
        "cat | 25.0 % of 4 | dog 3×",
    ]
    wrong = "[...document.querySelectorAll('.first .thumb')].map(each => each.getAttribute('aria-label'))"
    assert page.evaluate(wrong) == ["cat, taken for dog, 90.0 %"]
    assert page.evaluate("document.querySelector('.first p').textContent").endswith(
        "45.5 % top-1 accuracy on 11 val images."
    )
    shown = "['sort', 'column'].map(id => document.getElementById(id)).map(each => each.value ?? each.textContent)"
    assert page.evaluate(shown) == ["top-1-accuracy", "top-1 accuracy, with those below"]
    assert page.evaluate(NAMES) == ["thing", "animal"]
    assert page.evaluate("document.querySelector('[aria-label=\"Color of the map\"]').value") == "top-1-accuracy"
    page.evaluate("document.querySelector('.first .thumb').click()")
    page.wait_for("document.getElementById('sample').open")


def test_the_view_says_how_good_the_model_is_and_what_it_confuses(opened):
    page = opened("#/model")
    assert page.evaluate(FACTS)[:3] == ["network resnet", "val images 11", "top-1 accuracy 45.5 %"]
    page.evaluate("document.querySelector('#view summary').click()")
    said = "document.querySelector('#view .meanings').innerText"
    assert "accuracy of answers\nimages whose answer is the class or one above it" in page.evaluate(said)
    tables = page.evaluate(TABLES)
    assert tables["Worst classes"][:2] == [f"{HOSTILE} | 2 | 0.0 % | cat 2 of 2", f"car | 1 | 0.0 % | {HOSTILE} 1 of 1"]
    assert tables["Most confused pairs below one root"] == [
        "cat | dog | 3 | 75.0 % | animal",
        f"car | {HOSTILE} | 1 | 100.0 % | thing",
    ]
    assert tables["Most confused pairs across roots"] == [f"{HOSTILE} | cat | 2 | 100.0 %"]


def test_a_dot_leads_to_its_class(opened):
    page = opened("#/model")
    page.wait_for("document.querySelectorAll('#view .dot').length === 4")
    dot = f"{LINKS}.find(each => each.matches(':has(.dot)') && each.getAttribute('aria-label').startsWith('cat'))"
    assert page.evaluate(f"{dot}.getAttribute('aria-label')") == "cat: specificity 50.0 %, accuracy 25.0 %"
    page.evaluate(f"{dot}.dispatchEvent(new MouseEvent('click', {{bubbles: true, cancelable: true}}))")
    page.wait_for(f"document.getElementById('view').hidden && {TITLE} === 'cat'")


def test_a_bar_leads_to_the_classes_of_its_accuracy(opened):
    page = opened("#/model")
    bar = f"{LINKS}.find(each => each.getAttribute('aria-label').includes('from 20 to 30'))"
    page.wait_for(f"!!{bar}")
    page.evaluate(f"location.hash = {bar}.getAttribute('href')")
    page.wait_for("document.getElementById('shown').textContent === '1 of 6 classes shown'")


def test_wrong_images_stand_beside_right_ones_and_open(opened):
    page = opened("#cat")
    assert page.evaluate(STRIPS) == [["Wrong", "dog, 90.0 %"], ["Right", "cat, 60.0 %"]]
    page.evaluate("document.querySelector('.judged .thumb').click()")
    page.wait_for("document.getElementById('sample').open")
    assert "The model says" in page.evaluate("document.getElementById('sample').innerText")
    assert page.evaluate("location.hash") == "#cat/sample/cat_0"


def test_a_link_to_an_image_that_the_model_was_asked_about_opens_it(opened):
    for address in ("#cat/sample/cat_0", "#animal/sample/cat_0"):
        page = opened(address)
        page.wait_for("document.getElementById('sample').open")
        assert "cat_0" in page.evaluate("document.getElementById('sample').innerText")


def test_a_class_without_images_has_the_accuracy_of_those_below(opened):
    page = opened("#animal")
    assert page.evaluate("document.querySelector('.model h3').textContent").endswith(", top-1 62.5 % with those below")


def test_a_page_without_a_model_has_no_such_view(show):
    page = show("few", "#/model")
    assert page.evaluate("[...document.querySelectorAll('#views button')].map(each => each.textContent)") == [
        "Tree",
        "Explore",
        "Plots",
    ]
