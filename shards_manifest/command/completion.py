"""Completion of commands, options and values, where click's own stops short: at `=` and `:`, and for names.

Shells learn of it by a line that docs/command-line.md gives.
"""

import os
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

_SHOWN = 70
"""Letters of what is said of a value."""

BREAKS = "=:"
"""Where bash ends one word and begins another, so that it replaces only what stands after it."""

_WORDS = 'COMP_WORDS="${COMP_WORDS[*]}"'
_ADDED = "COMPREPLY+=($value)"
_OPEN = "[[ $value == *[=:] ]] && compopt -o nospace"
"""A value that ends with one of these is not whole, and no blank follows it."""


def _with(template: str, *changes: tuple[str, str]) -> str:
    """Return a template with changes, each of a text that it must have."""
    for old, new in changes:
        assert old in template, "click's template has changed"
        template = template.replace(old, new)
    return template


class BashCompletion(BashComplete):
    """bash's completion, by the line as it was typed."""

    source_template = _with(
        BashComplete.source_template,
        (_WORDS, f'COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" {_WORDS}'),
        (_ADDED, f"{_ADDED}\n            {_OPEN}"),
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, without the program, and that one."""
        line = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
        words = split_arg_string(line)
        begun = words.pop() if line and not line[-1].isspace() else ""
        return words[1:], begun

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return the completions, each without what stands before the last break of the word."""
        before = incomplete[: max(map(incomplete.rfind, BREAKS)) + 1]
        found = [
            CompletionItem(str(item.value).removeprefix(before), type=item.type, help=item.help)
            for item in super().get_completions(args, incomplete)
        ]
        begun = incomplete[len(before) :]
        is_by_name = any(item.type == "plain" and not item.value.startswith(begun) for item in found)
        return _by_name(found, begun) if is_by_name else found


_DESCRIBED = '    if [ -n "$completions_with_descriptions" ]'


class ZshCompletion(ZshComplete):
    """zsh's completion: what stands before `=` stays, and of values that are found by their names each is tried."""

    source_template = _with(
        ZshComplete.source_template,
        ("_path_files -f", "[[ $PREFIX == --*=* ]] && compset -P 1 '*='\n            _path_files -f"),
        (
            _DESCRIBED,
            "    [[ $completions_with_descriptions[1] == ${PREFIX}* ]] || compstate[insert]=menu\n\n" + _DESCRIBED,
        ),
    )

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return the completions, each with the option that stands before it in the word."""
        return _after_option(super().get_completions(args, incomplete), incomplete)


class FishCompletion(FishComplete):
    """fish's completion: what stands before `=` stays, and descriptions do not end at their first comma."""

    source_template = _with(FishComplete.source_template, ('string split ","', 'string split --max 1 ","'))

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return the completions, each with the option that stands before it in the word."""
        found = _after_option(super().get_completions(args, incomplete), incomplete)
        return [item for item in found if item.type == "plain" or not incomplete.startswith("--")]


def _after_option(found: list[CompletionItem[Any]], incomplete: str) -> list[CompletionItem[Any]]:
    """Return values with the option before them where both are one word, as in `--order=hash`."""
    option, equals, _ = incomplete.partition("=")
    if not (option.startswith("--") and equals):
        return found
    return [
        CompletionItem(f"{option}={item.value}", help=item.help) if item.type == "plain" else item for item in found
    ]


def _by_name(found: list[CompletionItem[Any]], begun: str) -> list[CompletionItem[Any]]:
    """Return values that are found by their names: the only one, or a list to look at.

    bash puts in what all its choices begin with, so that of a list the word as it was typed is one.
    """
    plain = [(str(item.value), str(item.help or "")[:_SHOWN]) for item in found if item.type == "plain"]
    if len(plain) == 1:
        return [CompletionItem(plain[0][0])]
    return [CompletionItem(f"{begun}…"), *(CompletionItem(f"{begun}… {value} {about}") for value, about in plain)]


def complete_in_shells() -> None:
    """Let shells complete by this module."""
    for each in (BashCompletion, ZshCompletion, FishCompletion):
        add_completion_class(each)
