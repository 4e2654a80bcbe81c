"""The command that transfers a pretrained model to other classes: transfer."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from in21k.shards_manifest.command.help import command, option
from in21k.shards_manifest.command.options import PLACE
from in21k.train.cli.checks import check_named
from in21k.train.cli.data_options import data_options, data_request, typed_data
from in21k.train.cli.known import CHECKPOINTS, MODELS, MODELS_OR_FILES, RECIPES
from in21k.train.cli.numbers import Positive, WholeNumbers
from in21k.train.cli.shared import (
    OF_RECIPE,
    RECIPE_HELP,
    quick_imports,
    setting_option,
    settings_of,
    shared,
    show_run,
    training,
)
from in21k.train.config.overrides import read_overrides
from in21k.train.recipes.choice import choose

if TYPE_CHECKING:
    from in21k.train.data.open_data import DataRequest
    from in21k.train.neighbors.knn import Voting


@command()
@click.argument(
    "data",
    metavar="DATA",
    type=PLACE,
    help="A prepared dataset, or other data as --layout says; class folders, for instance.",
)
@option(
    "--checkpoint",
    required=True,
    metavar="CKPT",
    type=CHECKPOINTS,
    help="A run's folder, a checkpoint's folder, a model.safetensors, or timm:NAME for timm's weights.",
)
@setting_option(
    "model",
    metavar="NAME",
    type=MODELS,
    show_default="what the weights file says",
    help="Name of the model in timm, for a weights file that does not say it.",
)
@option(
    "--task",
    type=click.Choice(("classification", "detection")),
    default="classification",
    help="What to train for; detection takes boxes in COCO's format (the extra `detection`).",
)
@option("--probe", is_flag=True, help="Fit a linear classifier to frozen features instead of fine-tuning.")
@option(
    "--knn",
    type=WholeNumbers(),
    metavar="K[,K…]",
    help="Let the K nearest training images in frozen features vote, for each K; the run's scores are the first's.",
)
@option(
    "--temperature",
    type=Positive(),
    metavar="T",
    show_default="0.07, as in DINO",
    help="With --knn: a neighbor's weight is exp(similarity / T).",
)
@option("--keep-features", is_flag=True, help="With --probe or --knn, also write RUN/features.safetensors.")
@option(
    "--recipe",
    default="",
    metavar="NAME|FILE",
    type=RECIPES,
    show_default="transfer-single-label or -multi-label; with a teacher, transfer-distillation or "
    "transfer-multi-label-distillation; for videos transfer-video, for boxes detection",
    help=f"{RECIPE_HELP}.",
)
@setting_option("teacher", metavar="RUN|NAME", type=MODELS_OR_FILES, more="Its classes must be those of DATA.")
@setting_option("teacher_weights", metavar="FILE", type=PLACE)
@setting_option("clips", metavar="N", show_default=OF_RECIPE)
@data_options("auto")
@training
@shared
def transfer(
    data: str,
    output: Path,
    checkpoint: str,
    settings: tuple[str, ...],
    resume: bool,
    recipe: str,
    task: str,
    probe: bool,
    knn: tuple[int, ...] | None,
    temperature: float | None,
    keep_features: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fine-tune a model on other data, or fit a probe or k-NN.

    It is evaluated on the validation images of DATA, which are a dataset that in21k-prep wrote, a folder of class
    folders (train/CLASS/IMAGE and val/CLASS/IMAGE), CIFAR's Python archive, a COCO or Pascal VOC folder, a CSV of
    images and their labels, a glob pattern of WebDataset tars, or ImageNet-1K, iNaturalist, Open Images, Food-251 or
    Stanford Cars as they are downloaded; or class folders of videos, or a CSV of Kinetics.

    \b
    Examples:
      in21k-train transfer cars/ --checkpoint runs/r50 --output runs/r50-cars
      in21k-train transfer cars/ --checkpoint runs/r50 --output runs/r50-cars-probe --probe
      in21k-train transfer cars/ --checkpoint runs/r50 --output runs/r50-cars-knn --knn 20,10,200
      in21k-train transfer cifar-100-python.tar.gz --checkpoint runs/r50 --output runs/r50-cifar --probe
      in21k-train transfer train.csv --images photos/ --val val.csv --checkpoint runs/r50 --output runs/r50-photos
      in21k-train transfer 'shards/train-{000..099}.tar' --val 'shards/val-*.tar' --checkpoint runs/r50 --output runs/x
      in21k-train transfer cars/ --checkpoint runs/r50 --teacher runs/vit-cars --output runs/r50-cars-taught
      in21k-train transfer 1k/ --recipe imagenet1k-distillation --teacher tresnet_l --checkpoint runs/a --output runs/b
      in21k-train transfer videos/ --checkpoint runs/r50 --output runs/r50-videos --clips 3
      in21k-train transfer coco/ --task detection --checkpoint runs/r50 --output runs/r50-boxes
      in21k-train transfer photos/ --val-share 0.1 --checkpoint timm:resnet50 --output runs/photos --epochs 20
    """
    voting = _voting(knn, temperature, probe=probe, resume=resume)
    _require_features(voting, task, probe=probe, keep=keep_features)
    asked = data_request(data, options)
    values = read_overrides(settings) | settings_of(options)
    chosen = choose(recipe, values, run=output if resume else None).recipe if recipe else None
    check_named(data, checkpoint=checkpoint, model=values.get("model.name", ""), takes_timm=True)
    with quick_imports():
        from in21k.train.neighbors.knn import knn as vote
        from in21k.train.transfer.transfer import TransferRequest
        from in21k.train.transfer.transfer import transfer as core
    request = TransferRequest(asked, checkpoint, chosen, values, probe=probe, keep_features=keep_features)
    core = _for_detectors(voting) if task == "detection" else core
    run = partial(vote, request, output, voting) if voting else partial(core, request, output, resume=resume)
    show_run(run, as_json, _next(output, asked, task, checkpoint if voting else ""), resumes=not (voting or probe))


def _next(output: Path, asked: "DataRequest", task: str, voted_for: str) -> list[tuple[object, ...]]:
    """Return what to type after a transfer: how the model is used, and which classes it fails at.

    After k-NN, which keeps no model, it is the probe of the same data and checkpoint, which does.
    """
    if voted_for:
        probe = ("--checkpoint", voted_for, "--output", output.with_name(f"{output.name}-probe"), "--probe")
        return [("in21k-train", "transfer", *typed_data(), *probe)]
    with quick_imports():
        from in21k.train.data.open_data import AUTO, SHARDS, recognized

    found = recognized(asked)
    named = ("--layout", found) if asked.layout == AUTO and found not in ("", SHARDS) and task != "detection" else ()
    picture = "clip.mp4" if found == "video" else "photo.jpg"
    shown = () if task == "detection" else ("--output", output.with_name(f"{output.name}-evaluation"))
    return [
        ("in21k-train", "predict", picture, "--checkpoint", output),
        ("in21k-train", "evaluate", *typed_data(), *named, "--checkpoint", output, *shown),
    ]


def _require_features(voting: "Voting | None", task: str, *, probe: bool, keep: bool) -> None:
    """Refuse to keep features where none are made; detectors say so themselves."""
    if keep and not (probe or voting or task == "detection"):
        raise click.UsageError("--keep-features is that of --probe and --knn; give one of them, or leave it out")


def _for_detectors(voting: "Voting | None") -> Callable[..., Any]:
    """Return what trains detectors; refuse what is for classifiers."""
    if voting:
        raise click.UsageError("--knn names classes; leave it out with --task detection")
    with quick_imports():
        from in21k.train.detection.training import train_detector

    return train_detector


def _voting(knn: tuple[int, ...] | None, temperature: float | None, *, probe: bool, resume: bool) -> "Voting | None":
    """Return how neighbors vote, None without --knn; refuse what contradicts it, or is of use with it alone."""
    if knn is None:
        if temperature is not None:
            raise click.UsageError("--temperature is that of --knn; give both, or leave it out")
        return None
    if probe:
        raise click.UsageError("give either --probe or --knn")
    if resume:
        raise click.UsageError(
            "--knn fits nothing that could be resumed; leave --resume out, and give another --output"
        )
    with quick_imports():
        from in21k.train.neighbors.knn import Voting

    return Voting(knn) if temperature is None else Voting(knn, temperature)
