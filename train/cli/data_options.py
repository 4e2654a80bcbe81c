"""The options that say in which layout DATA are, and where their parts lie."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from in21k.shards_manifest.command.help import Command, option
from in21k.shards_manifest.command.options import PLACE, OneOf, with_options
from in21k.shards_manifest.command.typed import typed_again

if TYPE_CHECKING:
    from in21k.train.data.open_data import DataRequest

LAYOUTS = (
    "auto",
    "shards",
    "csv",
    "cifar",
    "inaturalist",
    "openimages",
    "coco",
    "voc",
    "food251",
    "stanford-cars",
    "imagenet",
    "imagefolder",
    "video",
    "webdataset",
)

_NAMES = ("layout", "val_share", "annotations", "val", "images")


def typed_data() -> list[str]:
    """Return DATA and the options about it, as they were typed."""
    return typed_again(only=("data", *_NAMES))


def data_options(layout: str, *more: str) -> Callable[[Command], Command]:
    """Return what adds the options to a command.

    Args:
        layout: the one that DATA have by default.
        more: further layouts.
    """
    return with_options(
        (
            option(
                "--layout",
                type=OneOf((*LAYOUTS, *more)),
                default=layout,
                metavar="LAYOUT",
                help=f"The layout of DATA: {', '.join((*LAYOUTS, *more)[1:])}; or auto, which recognizes it.",
            ),
            option(
                "--val-share",
                type=float,
                default=0.0,
                metavar="SHARE",
                help="Fraction of each class to hold out for validation if DATA has no val split.",
            ),
            option(
                "--annotations",
                default="",
                metavar="FILE",
                type=PLACE,
                show_default="the usual place",
                help="For COCO, iNaturalist and Open Images, the annotations of the training images.",
            ),
            option(
                "--val",
                default="",
                metavar="FILE",
                type=PLACE,
                show_default="the usual place",
                help="Validation images: annotations as for --annotations, the other CSV of a CSV or of Kinetics, or "
                "the tars of WebDataset.",
            ),
            option(
                "--images",
                default="",
                metavar="FOLDER",
                type=PLACE,
                show_default="beside the list",
                help="For CSV, iNaturalist and Open Images, where paths begin; for Kinetics, where the videos are.",
            ),
        )
    )


def data_request(data: str, options: dict[str, Any]) -> "DataRequest":
    """Return what the options ask for, and take them out of the others."""
    given = {name: options.pop(name) for name in _NAMES}
    from in21k.train.data.open_data import DataRequest

    return DataRequest(data, **given)
