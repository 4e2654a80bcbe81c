"""What the commands of the trainer share: options, the settings that they change, and how a summary is shown."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

PROGRAM = "in21k-train"

_Command = TypeVar("_Command", bound=Callable[..., Any])

KEYS: Mapping[str, str] = {
    "model": "model.name",
    "pretrained": "model.pretrained",
    "init": "model.init",
    "inputs": "model.inputs",
    "teacher": "distill.teacher",
    "teacher_weights": "distill.teacher_weights",
    "image_size": "data.image_size",
    "strict": "data.strict",
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
}
"""The setting that each option changes."""


inputs_option = click.option(
    "--inputs",
    type=click.Choice(["auto", "unit", "timm"]),
    help="0 to 1 (unit), or by timm's mean and std; by default as the weights were trained.",
)


def settings_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, by dotted key, that the options given on the command line change."""
    return {KEYS[name]: value for name, value in options.items() if value is not None}


def shared(command: _Command) -> _Command:
    """Add the options of every command that runs a model."""
    return _with_options(
        command,
        click.option("--image-size", type=int, metavar="PIXELS", help="Side of the images; the dataset's by default."),
        click.option(
            "--workers",
            type=int,
            metavar="N",
            help="Loader processes of each training process; by default the CPUs decide.",
        ),
        click.option(
            "--device", type=click.Choice(["auto", "cpu", "cuda"]), help="auto takes a GPU where there is one."
        ),
        click.option("--amp/--no-amp", default=None, help="Mixed precision; on by default."),
        click.option("--strict", is_flag=True, default=None, help="A damaged sample is an error; else it is skipped."),
        click.option("--cache", metavar="FOLDER", help="Keep shards of an object store in this folder."),
        click.option("--cache-size", metavar="SIZE", help="How large the cache may become; 100GB by default."),
        click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
    )


def training(command: _Command) -> _Command:
    """Add the options of every command that trains a model."""
    return _with_options(
        command,
        click.option(
            "--output", required=True, type=click.Path(path_type=Path), metavar="RUN", help="The run's folder."
        ),
        click.option("--epochs", type=int, metavar="N", help="Passes over the training images."),
        click.option("--batch-size", type=int, metavar="N", help="Images of a step over all processes."),
        click.option("--lr", type=float, metavar="RATE", help="Peak learning rate; not scaled with the batch size."),
        click.option("--seed", type=int, metavar="N", help="Of weights, order and augmentation."),
        click.option("--compile", is_flag=True, default=None, help="Compile the model with torch.compile."),
        click.option("--resume", is_flag=True, help="Go on with the run in RUN, from its newest checkpoint."),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change any setting of the recipe."),
    )


def show_run(run: Callable[[], Mapping[str, Any] | None], as_json: bool) -> None:
    """Train, and show the summary, or that SIGTERM ended the run."""
    from in21k.train.trainer.preemption import Preempted

    try:
        print_summary(run(), as_json)
    except Preempted as stopped:
        click.echo(f"{PROGRAM}: {stopped}", err=True)


def print_summary(summary: Mapping[str, Any] | None, as_json: bool) -> None:
    """Show a summary, a line a value or as JSON; nothing on processes that have none."""
    if summary is None:
        return
    if as_json:
        click.echo(json.dumps(summary, indent=1))
        return
    for key, value in summary.items():
        click.echo(f"{key.replace('_', ' ')}: {_readable(value)}")


def _readable(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_readable(item)}" for key, item in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _with_options(command: _Command, *options: Callable[[_Command], _Command]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
