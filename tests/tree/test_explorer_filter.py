"""The explorer's filters, list and CSV in headless Chromium."""

import csv
import io

import pytest
from browser import CHROMIUM
from explorer_pages import NAMES, SAMOYED, TRUNCATED

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.xdist_group("chromium"),
]

SHOWN = "document.getElementById('shown').textContent"
CATCH = "URL.createObjectURL = blob => { window.saved = blob; return 'data:,'; }"


def change(page, name, value):
    page.evaluate(
        f"(field => {{ field.value = '{value}'; field.dispatchEvent(new Event('change', {{ bubbles: true }})); }})"
        f"(document.querySelector('#filter-form [name=\"{name}\"]'))"
    )


def saved(page):
    page.evaluate(CATCH)
    page.evaluate("document.getElementById('csv').click()")
    text = page.evaluate("window.saved.text()")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_levels_kinds_and_counts_narrow_the_classes(page):
    change(page, "level-from", 10)
    assert page.evaluate(SHOWN) == "27 of 11,221 classes shown"
    change(page, "level-to", 10)
    change(page, "kind", "leaf")
    assert page.evaluate(SHOWN) == "25 of 11,221 classes shown"
    assert page.evaluate("location.hash") == "#?levels=10&kind=leaf"
    page.evaluate("document.querySelector('#chips .link').click()")
    assert page.evaluate(SHOWN) == "11,221 classes"


def test_images_are_a_range(page, pages):
    change(page, "by", "images")
    change(page, "from", 1400)
    table = pages["table"]
    images = [
        train + val
        for train, val in zip(*(table[f"images_{split}"].to_pylist() for split in ("train", "val")), strict=True)
    ]
    assert page.evaluate(SHOWN) == f"{sum(count >= 1400 for count in images):,} of 11,221 classes shown"


def test_classes_with_rejects_and_duplicates_are_found(page):
    check = "document.querySelector('[name=has][value=%s]').click()"
    page.evaluate(check % "rejected")
    assert page.evaluate(SHOWN) == "3 of 11,221 classes shown"
    assert "Samoyed" in page.evaluate(NAMES)
    page.evaluate(check % "duplicates")
    assert page.evaluate(SHOWN) == "1 of 11,221 classes shown"


def test_a_class_with_nothing_shown_below_it_does_not_open(show):
    page = show(address="#?has=rejected")
    opens = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#tree [role=treeitem]')]"
        ".map(row => [row.querySelector('.name').textContent, row.getAttribute('aria-expanded')]))"
    )
    assert (opens["dog"], opens["swan"], opens["Samoyed"]) == ("true", None, None)


def test_under_a_filter_a_count_says_how_many_of_all_are_shown(show, pages):
    page = show(address="#?levels=4&sort=classes")
    counts = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#tree [role=treeitem]')]"
        ".map(row => [row.querySelector('.name').textContent, row.querySelector('.count').textContent]))"
    )
    rows = pages["table"].select(["name", "level", "path_names", "descendants"]).to_pylist()
    for name in ("animal", "plant"):
        below = [row for row in rows if row["path_names"].split(" > ")[0] == name]
        matching = sum(row["level"] == 4 for row in below)
        assert counts[name] == f"{matching:,} of {len(below):,}"
    assert page.evaluate("document.getElementById('column').textContent") == "classes, shown of all"
    assert page.evaluate("document.querySelector('.card .hint').textContent").startswith(counts["artifact"].split()[0])


def test_what_is_shown_is_saved_as_csv(show, pages):
    page = show(address="#?has=rejected&flat=1&sort=rejected")
    rows = saved(page)
    assert [row["name"] for row in rows] == page.evaluate(NAMES) == ["Samoyed", "dog", "swan"]
    (row,) = [row for row in rows if row["wnid"] == SAMOYED]
    table = pages["table"]
    truth = table.slice(table["wnid"].to_pylist().index(SAMOYED), 1).to_pylist()[0]
    for column in (
        "class_index",
        "parent_wnid",
        "path_names",
        "level",
        "descendants",
        "images_train",
        "images_subtree",
    ):
        assert row[column] == str(truth[column])
    assert row["rejected"] == str(TRUNCATED)


def test_the_whole_tree_is_saved_whether_it_is_open_or_not(page):
    assert len(saved(page)) == 11_221


def test_a_name_that_a_spreadsheet_would_run_is_saved_as_text(show):
    assert {row["name"] for row in saved(show("few"))} == {
        "'=1+1",
        "50 % # é",
        "<b>child</b>",
        "<script>document.title = 'broken'</script>",
    }


def test_a_shared_link_has_the_filter_and_the_order(show):
    page = show(address="#n02084071?levels=3-4&kind=leaf&sort=name")
    assert page.evaluate("[...document.querySelectorAll('.chip')].map(each => each.textContent)") == [
        "levels 3 to 4 ×",
        "without children ×",
    ]
    assert page.evaluate("document.getElementById('sort').value") == "name"
