"""Completion of commands, options and values in bash, where click's own stops at `=` and `:`.

zsh and fish complete as click has it. Shells learn of it by a line that docs/command-line.md gives.
"""

import os
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

BREAKS = "=:"
"""Where bash ends one word and begins another, so that it replaces only what stands after it."""

_WORDS = 'COMP_WORDS="${COMP_WORDS[*]}"'
_ADDED = "COMPREPLY+=($value)"
_OPEN = "[[ $value == *[=:] ]] && compopt -o nospace"
"""A value that ends with one of these is not whole, and no blank follows it."""


class BashCompletion(BashComplete):
    """bash's completion, by the line as it was typed."""

    source_template = BashComplete.source_template.replace(
        _WORDS, f'COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" {_WORDS}'
    ).replace(_ADDED, f"{_ADDED}\n            {_OPEN}")

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one to complete, without the program, and that one."""
        line = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
        words = split_arg_string(line)
        begun = words.pop() if line and not line[-1].isspace() else ""
        return words[1:], begun

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return the completions, each without what stands before the last break of the word."""
        before = incomplete[: max(map(incomplete.rfind, BREAKS)) + 1]
        found = super().get_completions(args, incomplete)
        return [CompletionItem(str(item.value).removeprefix(before), type=item.type, help=item.help) for item in found]


def complete_in_shells() -> None:
    """Let bash complete by this module."""
    add_completion_class(BashCompletion)
