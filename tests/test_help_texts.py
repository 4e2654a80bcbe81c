"""The help of every command of both programs: in the order of the work, a line each; options with their defaults."""

import re
from collections.abc import Iterator

import click
import pytest

from in21k.prep.cli.main import OPTION_CAPTIONS as PREP_CAPTIONS
from in21k.prep.cli.main import main as prep
from in21k.shards_manifest.command.help import GROUPED, first_sentence
from in21k.train.cli.main import OPTION_CAPTIONS as TRAIN_CAPTIONS
from in21k.train.cli.main import main as train

COLUMNS = 80
PROGRAMS = {"in21k-prep": (prep, PREP_CAPTIONS), "in21k-train": (train, TRAIN_CAPTIONS)}


def walk(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield the context of each command, and of those below it."""
    name = command.name if parent else command.program.name
    context = click.Context(command, info_name=name, parent=parent, terminal_width=COLUMNS, **command.context_settings)
    yield context
    for each in getattr(command, "commands", {}).values():
        yield from walk(each, context)


CONTEXTS = [context for program, _ in PROGRAMS.values() for context in walk(program)]
commands = pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.command_path)


@commands
def test_every_command_has_one_sentence_that_fits_beside_its_name(context):
    group = context.parent or context
    sentence = first_sentence(context.command)
    assert sentence.endswith(".")
    assert context.parent is None or f"{context.info_name} {sentence}" in re.sub(" +", " ", group.get_help())
    widths = [len(line) for line in group.get_help().splitlines() if line.startswith("  ") and "in21k-" not in line]
    assert max(widths) <= COLUMNS


@commands
def test_every_command_has_examples(context):
    assert re.search(rf"^ *{context.find_root().info_name} ", context.command.help, re.MULTILINE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_commands_stand_in_the_order_of_the_work(name):
    program, _ = PROGRAMS[name]
    shown = re.findall(r"^  ([a-z]+) +[A-Z]", program.get_help(next(walk(program))), re.MULTILINE)
    ordered = ["run", "filter", "split", "resize", "shard", "verify"] if program is prep else ["pretrain", "evaluate"]
    assert [each for each in shown if each in ordered] == ordered
    assert sorted(shown) == sorted(program.commands)
    assert shown == program.list_commands(None)


def options(context: click.Context) -> list[click.Option]:
    return [each for each in context.command.params if isinstance(each, click.Option)]


@commands
def test_every_option_and_argument_has_a_sentence(context):
    for each in context.command.params:
        assert each.help, each.name
        assert each.help[0].isupper(), each.help
        assert each.help.endswith("."), each.help


@commands
def test_a_default_is_said_once_in_brackets(context):
    for each in options(context):
        _, text = each.get_help_record(context)
        said = re.findall(r"  \[default: ([^]]+)\]$", text)
        assert bool(said) is not (each.required or (each.is_flag and not each.secondary_opts)), text
        assert not re.search(r"by default|the default\b", text.partition("  [")[0]), text


@commands
def test_options_of_commands_with_many_have_a_caption(context):
    captions = dict(PROGRAMS.values())[context.find_root().command]
    if len(options(context)) >= GROUPED:
        for each in options(context):
            assert sum(names.count(each.name) for names in captions.values()) == 1, each.name


def test_no_caption_is_for_an_option_that_no_command_has():
    for name, (program, captions) in PROGRAMS.items():
        known = {each.name for context in walk(program) for each in context.command.params} | {"help"}
        assert {each for names in captions.values() for each in names} - known == set(), name


REQUIRED = [context for context in CONTEXTS if any(each.required for each in context.command.params)]


@pytest.mark.parametrize("context", REQUIRED, ids=lambda context: context.command_path)
def test_what_is_required_is_asked_for(context):
    for each in context.command.params:
        if each.required:
            with pytest.raises(click.MissingParameter):
                each.process_value(context, each.get_default(context))
