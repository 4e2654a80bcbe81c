"""The table of a benchmark as Markdown: what a renderer makes of it."""

import html
import re

import markdown as renderer
import pytest

from in21k.train.benchmark.checkpoints import Group
from in21k.train.benchmark.table import markdown
from in21k.train.benchmark.tasks_file import Task


@pytest.mark.parametrize(
    "title",
    [
        "a|b",
        "*cars*",
        "_my_ cars_",
        "`code`",
        "[a](http://b.c)",
        "![a](b)",
        "<b>x</b>",
        "R&amp;D",
        "C:\\|d",
        "a\\",
        "~~x~~",
    ],
)
def test_a_title_is_shown_as_it_is(title):
    text = markdown([Task("a", "probe", "data", title)], [Group("ours", ())], [])
    page = renderer.markdown(text, extensions=["tables"])
    cells = re.findall("<t[hd]>(.*?)</t[hd]>", page)
    assert [html.unescape(cell) for cell in cells] == ["checkpoint", f"{title}, top-1", "ours", "–"]
