"""The README, the docs and the help texts name commands and options that exist."""

import re
import shlex
from pathlib import Path
from textwrap import indent

import click
import pytest

from in21k.prep.cli.main import main as prep

ROOT = Path(__file__).parent.parent
PROGRAMS = {"in21k-prep": prep}
try:
    from in21k.train.cli.main import main as train
except ImportError:  # without the train extra
    pass
else:
    PROGRAMS["in21k-train"] = train

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown_commands(text: str) -> list[str]:
    """Return the commands of a page's blocks, indented or fenced, continued lines joined, comments cut off."""
    text = re.sub(r"^```sh\n(.*?)^```", lambda block: indent(block[1], "    "), text, flags=re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    blocks = (line.strip() for line in lines if line.startswith("    "))
    commands = (re.sub(r"^torchrun .*-m in21k\.train ", "in21k-train ", line) for line in blocks)
    return [re.sub(r"\s+#.*", "", line) for line in commands if line.startswith(tuple(PROGRAMS)) and "…" not in line]


def help_texts(group: click.Group) -> str:
    return "\n".join(f"    {line}" for command in group.commands.values() for line in (command.help or "").splitlines())


def shown() -> list[str]:
    texts = [page.read_text() for page in PAGES] + [help_texts(group) for group in PROGRAMS.values()]
    return sorted({command for text in texts for command in shown_commands(text)})


def parse(command: str) -> click.Context:
    program, *words = shlex.split(command)
    group = PROGRAMS[program]
    while words and words[0].startswith("-"):
        words.pop(0)
    subcommand = group.commands[words[0]]
    return subcommand.make_context(words[0], words[1:])


@pytest.mark.parametrize("command", shown())
def test_commands_that_the_docs_show_are_understood(command):
    if command.split()[1:2] in ([], ["--help"]):
        return
    parse(command)


def test_the_docs_show_commands():
    assert len(shown()) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def anchors(page: Path) -> set[str]:
    """Return the anchors that a code host gives to a page's headings."""
    headings = re.findall(
        r"^#+ +(.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE), re.M
    )
    plain = (re.sub(r"\[([^]]+)\]\([^)]*\)|`", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_headings_lead_to_one(page):
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        there = page.parent / target if target else page
        if there.suffix == ".md":
            assert anchor in anchors(there), f"{target}#{anchor}"
