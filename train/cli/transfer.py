"""The command that takes a pretrained model to other classes: transfer."""

from pathlib import Path
from typing import Any

import click

from in21k.train.cli.shared import settings_of, shared, show_run, training

LAYOUTS = ("auto", "shards", "cifar", "coco", "voc", "imagefolder", "webdataset")


@click.command()
@click.argument("data")
@click.option(
    "--checkpoint",
    required=True,
    metavar="CKPT",
    help="A run's folder, a checkpoint's, a model.safetensors, or timm:NAME for timm's weights.",
)
@click.option("--model", metavar="NAME", help="timm's name of the model, for a file of weights that does not say it.")
@click.option("--probe", is_flag=True, help="Fit a linear classifier to frozen features instead of fine-tuning.")
@click.option("--keep-features", is_flag=True, help="With --probe: write RUN/features.safetensors, too.")
@click.option("--recipe", default="", metavar="NAME", help="By default transfer-single-label or transfer-multi-label.")
@click.option(
    "--layout", type=click.Choice(LAYOUTS), default="auto", show_default=True, help="What DATA is; auto looks at it."
)
@click.option(
    "--val-share", type=float, default=0.0, metavar="SHARE", help="Of each class to hold out where DATA has no val."
)
@click.option("--annotations", default="", metavar="FILE", help="COCO: the annotations of the training images.")
@click.option(
    "--val", default="", metavar="FILE", help="COCO: those of the validation images. WebDataset: the validation tars."
)
@training
@shared
def transfer(
    data: str,
    output: Path,
    layout: str,
    val_share: float,
    annotations: str,
    val: str,
    checkpoint: str,
    settings: tuple[str, ...],
    resume: bool,
    recipe: str,
    probe: bool,
    keep_features: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Take a pretrained model to the classes of DATA, and measure it on their validation images.

    DATA is a dataset of in21k-prep, a folder of class folders (train/CLASS/IMAGE and val/CLASS/IMAGE), CIFAR's Python
    archive, a folder with COCO's annotations or of Pascal VOC, or a pattern of WebDataset's tars.

    \b
    Examples:
      in21k-train transfer cars/ --checkpoint runs/r50 --output runs/r50-cars
      in21k-train transfer cars/ --checkpoint runs/r50 --output runs/r50-cars-probe --probe
      in21k-train transfer cifar-100-python.tar.gz --checkpoint runs/r50 --output runs/r50-cifar --probe
      in21k-train transfer coco/ --checkpoint runs/r50 --output runs/r50-coco --image-size 448
      in21k-train transfer 'shards/train-{000..099}.tar' --val 'shards/val-*.tar' --checkpoint runs/r50 --output runs/x
      in21k-train transfer photos/ --val-share 0.1 --checkpoint timm:resnet50 --output runs/photos --epochs 20
    """
    from in21k.train.config.overrides import parse_setting
    from in21k.train.data.open_data import DataRequest
    from in21k.train.transfer.transfer import TransferRequest
    from in21k.train.transfer.transfer import transfer as core

    request = TransferRequest(
        DataRequest(data, layout, val_share, annotations, val),
        checkpoint,
        recipe,
        dict(map(parse_setting, settings)) | settings_of(options),
        probe,
        keep_features,
    )
    show_run(lambda: core(request, output, resume=resume), as_json)
