"""What commands of `in21k-train` share among themselves: options that change settings, imports, summaries."""

import atexit
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from in21k.shards_manifest.command.command_end import INTERRUPTED, CommandEnd, Program
from in21k.shards_manifest.command.help import NOTHING, Command, option
from in21k.shards_manifest.command.options import PLACE, LocalPath, json_option, with_options
from in21k.shards_manifest.command.summary import print_summary
from in21k.train.cli.known import RECIPES, SETTINGS_BY_KEY
from in21k.train.config.overrides import check_value, flatten
from in21k.train.config.settings import SETTINGS, Config
from in21k.train.config.sizes import EXAMPLE
from in21k.train.errors import USER_ERRORS, ToldElsewhereError

_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"


def _tell_torchrun(line: str) -> None:
    """Let torchrun end its own report with the line of an error; it says where it looks for one."""
    path = os.environ.get(_ERROR_FILE, "")
    if path:
        extra = {"py_callstack": line, "timestamp": str(int(time.time()))}
        with suppress(OSError), Path(path).open("w", encoding="utf-8") as file:
            json.dump({"message": {"message": line, "extraInfo": extra}}, file)


PROGRAM = Program(
    name="in21k-train",
    errors=USER_ERRORS,
    extras={"pycocotools": "detection"},
    other_extra="train",
    silent=(ToldElsewhereError,),
    on_error=_tell_torchrun,
)

_SKIPPED: Mapping[str, str] = {"train": "skipped_images", "val": "val_skipped"}
"""Where a summary counts the skipped images of each split."""

KEYS: Mapping[str, str] = {
    "model": "model.name",
    "pretrained": "model.pretrained",
    "init": "model.init",
    "scratch": "model.start",
    "inputs": "model.inputs",
    "teacher": "distill.teacher",
    "teacher_weights": "distill.teacher_weights",
    "image_size": "data.image_size",
    "strict": "data.strict",
    "max_skipped": "data.max_skipped",
    "cache": "data.cache",
    "cache_size": "data.cache_size",
    "batch_size": "data.batch_size",
    "epochs": "optim.epochs",
    "lr": "optim.lr",
    "seed": "run.seed",
    "workers": "run.workers",
    "device": "run.device",
    "amp": "run.amp",
    "compile": "run.compile",
    "clips": "video.clips",
}
"""The setting that each option changes."""


_DEFAULTS = flatten(Config().to_dict())
"""The value of each setting that no recipe changes."""

OF_RECIPE = "the recipe's"
"""The default of an option whose setting every recipe has its own value for."""


def setting_option(name: str, *, key: str = "", more: str = "", **changes: Any) -> Callable[[Command], Command]:
    """Return the option that changes a setting, with the setting's type, choices and help.

    Args:
        name: the option's parameter name, such as `image_size` of `--image-size`.
        key: the setting's dotted key, where `KEYS` does not say it.
        more: a sentence to add to the setting's help.
        changes: of what click is given, such as `metavar`, `required` or another `help`.
    """
    setting = SETTINGS[key or KEYS[name]]
    given: dict[str, Any] = {"help": f"{setting.help} {more}".rstrip()}
    if not changes.get("required"):
        given["default"] = None  # as a value it would count as given
    if setting.kind is bool:
        given["is_flag"] = True
    else:
        given["type"] = click.Choice(setting.choices) if setting.choices else str if setting.by_epoch else setting.kind
        given["show_default"] = "default" in changes or str(_DEFAULTS[key or KEYS[name]]) or NOTHING
    flag = name.replace("_", "-")
    return option(changes.pop("flags", f"--{flag}"), **given | changes)


inputs_option = setting_option("inputs")


def settings_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, by dotted key, that the options given on the command line change.

    Raises:
        TrainError: a value is outside its setting's range; the error names the option.
    """
    return {
        KEYS[name]: check_value(KEYS[name], value, f"--{name.replace('_', '-')}")
        for name, value in options.items()
        if value is not None
    }


shared = with_options(
    (
        setting_option(
            "image_size",
            metavar="PIXELS",
            show_default="the dataset's or the checkpoint's",
            help=f"Side of the images in pixels. Training also takes sizes by their first epoch, such as {EXAMPLE!r}.",
        ),
        setting_option(
            "workers", metavar="N", show_default="as the CPUs available allow", help="Loader processes per rank."
        ),
        setting_option("device"),
        setting_option("amp", flags="--amp/--no-amp", show_default="on", help="Compute in mixed precision."),
        setting_option("strict"),
        setting_option("max_skipped", metavar="SHARE"),
        setting_option(
            "cache", metavar="FOLDER", type=PLACE, help="A local folder that keeps shards of an object store."
        ),
        setting_option("cache_size", metavar="SIZE"),
        json_option,
    )
)
"""The options of every command that runs a model."""

any_setting_option = option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    type=SETTINGS_BY_KEY,
    help="Change any setting of the recipe; `in21k-train settings` lists them. Repeatable.",
)
DEFAULT_RECIPE = "semantic-softmax"
RECIPE_HELP = "The training scheme with all its settings: a name of `in21k-train recipes`, or a TOML file of yours"
recipe_option = option(
    "--recipe", default="", metavar="NAME|FILE", type=RECIPES, show_default=DEFAULT_RECIPE, help=f"{RECIPE_HELP}."
)


training = with_options(
    (
        option("--output", required=True, type=LocalPath(), metavar="RUN", help="The run's folder."),
        setting_option("epochs", metavar="N", show_default=OF_RECIPE),
        setting_option("batch_size", metavar="N", show_default=OF_RECIPE),
        setting_option("lr", metavar="RATE", show_default=OF_RECIPE),
        setting_option("seed", metavar="N", show_default=OF_RECIPE),
        setting_option("compile"),
        option("--resume", is_flag=True, help="Continue the run in RUN from its newest checkpoint."),
        any_setting_option,
    )
)
"""The options of every command that trains a model."""


@contextmanager
def quick_imports() -> Iterator[None]:
    """Run the imports in the block without garbage collection, and leave what they made out of later collections.

    Modules live as long as the process, but Python's collector goes over all of their objects several times while they
    are imported, which takes a fifth of the time. Where PyTorch is imported already, there is nothing to gain; and what
    a program holds that calls the command line as a function is not set aside with the modules.
    """
    is_own_process = bool(click.get_current_context().obj)
    if "torch" in sys.modules or not gc.isenabled() or not is_own_process:
        yield
        return
    os.environ.setdefault(*_WAITING)  # OpenMP reads it as PyTorch loads it
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)  # extension modules look at exit for what is still alive, and report it
        gc.enable()


_WAITING = ("OMP_WAIT_POLICY", "PASSIVE")
"""By default OpenMP's threads spin while they wait for each other, also for one that other work keeps from a core."""

_CTRL_C = "interrupted; --resume continues from the newest checkpoint"


def show_run(
    run: Callable[[], Mapping[str, Any] | None],
    as_json: bool,
    then: Sequence[Sequence[object]] = (),
    *,
    resumes: bool = True,
) -> None:
    """Train and print the summary and what to type next, or that a signal stopped the run; the first rank tells it.

    Args:
        run: trains and returns the summary.
        as_json: print JSON.
        then: the commands that a user may type next, each as its words.
        resumes: whether `--resume` continues it.

    Raises:
        CommandEnd: Ctrl-C ended it; what the newest checkpoint has is kept, and the first Ctrl-C writes one.
        KeyboardInterrupt: Ctrl-C ended one that `--resume` does not continue.
    """
    from in21k.train.trainer.preemption import Preempted

    try:
        print_result(run(), as_json, then)
    except Preempted as stopped:
        line = str(stopped) if stopped.is_first else ""
        if stopped.number == signal.SIGINT:
            raise CommandEnd(line, INTERRUPTED) from stopped
        if line:
            click.echo(f"{PROGRAM.name}: {line}", err=True)
    except KeyboardInterrupt as error:
        if not resumes:
            raise
        raise CommandEnd(_CTRL_C, INTERRUPTED) from error


def print_result(summary: Mapping[str, Any] | None, as_json: bool, then: Sequence[Sequence[object]] = ()) -> None:
    """Print the summary of the command that runs; ranks other than the first have none and print nothing.

    Args:
        summary: values by key.
        as_json: print JSON.
        then: the commands that a user may type next, each as its words.
    """
    if summary is None:
        return
    skipped = {split: summary.get(key) for split, key in _SKIPPED.items()}
    if any(skipped.values()):
        counts = " and ".join(f"{count:,} {split}" for split, count in skipped.items() if count)
        is_one = sum(count or 0 for count in skipped.values()) == 1
        told = "image did not decode and was skipped" if is_one else "images did not decode and were skipped"
        click.echo(f"{PROGRAM.name}: {counts} {told}{_named_in(summary)}", err=True)
    print_summary(click.get_current_context().info_name or "", summary, as_json, then=then)


def _named_in(summary: Mapping[str, Any]) -> str:
    """Return where a run names the images that it skipped; empty where there is no such file."""
    from in21k.train.run.folder import SKIPPED

    names = Path(summary.get("run", ""), SKIPPED)
    return f"; {names} names what was skipped" if "run" in summary and names.exists() else ""
