"""A picture of predictions: each image beside its levels, with a bar per class."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from in21k.shards_manifest.errors import escaped
from in21k.shards_manifest.markers import PNG_START, require_file_place
from in21k.shards_manifest.storage.local_files import atomic_path
from in21k.train.errors import TrainError
from in21k.train.images.decode_wild import read_pixels
from in21k.train.use.guesses import SURE, Guess, Prediction
from in21k.train.use.image_files import ImageFiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_IMAGES = 24
"""More would make a picture too large to open."""

_SURE, _UNSURE = "#2f6b9a", "#b9c4cd"
_ROW = 0.27
"""Height of a bar, in inches."""


def check_picture(path: Path, images: Sequence[Path]) -> None:
    """Refuse a picture that cannot be drawn, before predictions are made for it.

    Raises:
        TrainError: the files are videos, matplotlib is missing, the file name does not end in .png, or there are too
            many images.
        DatasetError: the file exists and is no picture.
    """
    if isinstance(images, ImageFiles) and images.is_video:
        raise TrainError("--picture draws images, and the model is one of videos; leave it out")
    if path.suffix.lower() != ".png":
        raise TrainError(f"--picture {path}: pictures are PNGs; give a name that ends in .png")
    if len(images) > MAX_IMAGES:
        raise TrainError(f"a picture of {len(images)} images is too large; give at most {MAX_IMAGES}, or use --json")
    require_file_place(path, PNG_START, "a PNG", option="--picture")
    if any(path.exists() and image.exists() and path.samefile(image) for image in images):
        raise TrainError(f"--picture {path} is one of the images; give another name")
    try:
        import matplotlib  # noqa: F401, ICN001 - is it installed?
    except ModuleNotFoundError as error:
        raise TrainError("pictures need matplotlib: pip install 'in21k[report]'") from error


def draw_picture(predictions: Sequence[Prediction], path: Path) -> None:
    """Write a PNG with a row per image, the image on the left and bars on the right; images with an error are left out.

    Raises:
        TrainError: there is nothing to draw.
        DatasetError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    shown = [prediction for prediction in predictions if not prediction.error]
    if not shown:
        raise TrainError(f"{path}: none of the images can be read, so there is nothing to draw")
    heights = [max(2.6, 0.9 + _ROW * len(_bars(prediction))) for prediction in shown]
    figure = Figure(figsize=(10, sum(heights)), dpi=110, layout="constrained")
    grid = figure.subplots(len(shown), 2, squeeze=False, gridspec_kw={"height_ratios": heights, "width_ratios": (2, 3)})
    for (left, right), prediction in zip(grid, shown, strict=True):
        _draw_image(left, prediction)
        _draw_bars(right, prediction)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # a name in another script: boxes
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _bars(prediction: Prediction) -> list[tuple[str, Guess, bool]]:
    """Return the bars from top to bottom, each with its name, and whether the model is sure of its class.

    First comes the path, whose classes are sure down to the answer.
    """
    found = prediction.path
    path = [("path" if not place else "", guess, place < len(found.answered)) for place, guess in enumerate(found.path)]
    return path + [
        ("" if place or level.level is None else f"level {level.level}", guess, guess.probability > SURE)
        for level in prediction.beside
        for place, guess in enumerate(level.guesses)
    ]


def _draw_image(axes: "Axes", prediction: Prediction) -> None:
    axes.imshow(read_pixels(Path(prediction.image).read_bytes()))
    axes.set_axis_off()
    axes.set_title(escaped(Path(prediction.image).name), fontsize=10, parse_math=False)


def _draw_bars(axes: "Axes", prediction: Prediction) -> None:
    bars = _bars(prediction)
    shares = [guess.probability for _, guess, _ in bars]
    colors = [_SURE if sure else _UNSURE for *_, sure in bars]
    axes.barh(range(len(bars)), shares, color=colors, height=0.75)
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize=8)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability", fontsize=8)
    axes.tick_params(axis="both", length=0, labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    for row, (_, guess, sure) in enumerate(bars):
        inside = guess.probability > SURE
        axes.annotate(
            f"{escaped(guess.name)}  {guess.probability:.2f}",
            (guess.probability, row),
            xytext=(-5 if inside else 5, 0),
            textcoords="offset points",
            ha="right" if inside else "left",
            va="center",
            fontsize=8,
            color="white" if inside and sure else "black",
            parse_math=False,
        )
    title = prediction.headline or "no class is probable enough"
    axes.set_title(escaped(title), fontsize=10, parse_math=False)
