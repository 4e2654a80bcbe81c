"""Plots of the curves of one or more runs."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from in21k.shards_manifest.errors import escaped, one_line
from in21k.shards_manifest.markers import PNG_START, require_file_place
from in21k.shards_manifest.storage.local_files import write_atomic
from in21k.train.errors import TrainError
from in21k.train.run.end_labels import EndLabel, draw_end_labels
from in21k.train.run.folder import METRICS
from in21k.train.run.majority_line import majority_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT = "curves.png"

Points = tuple[list[float], list[float]]
"""Epochs, and the value at each."""

COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
"""Distinct to color-blind eyes, too."""
_MAJORITY = "#666666"
_LONGEST = 24
"""Letters of a run's name beside its curves."""
STYLE: Any = {
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
"""Of all plots of training and evaluation."""


@dataclass
class RunCurves:
    """The content of a run's metrics.csv."""

    name: str
    majority: Mapping[str, float] = field(default_factory=dict)
    """What the majority's guess scores on the val split, by column."""
    points: dict[tuple[str, str], Points] = field(default_factory=dict)
    """By split and column, without columns that no row measures."""

    def get(self, split: str, column: str) -> Points | None:
        """Return a curve, None if the run has not measured it."""
        return self.points.get((split, column))


def plot_curves(runs: Sequence[Path], output: Path) -> None:
    """Plot the curves of runs over their epochs into a PNG, with a color per run.

    Args:
        runs: folders of runs, finished or not.
        output: the picture's file.

    Raises:
        TrainError: a run has no curves, the name is not that of a PNG, or the picture cannot be written.
    """
    require_file_place(output, PNG_START, "a PNG", option="--output")
    if output.suffix.lower() != ".png":
        raise TrainError(f"--output {output}: pictures are PNGs; give a name that ends in .png")
    import matplotlib as mpl  # only the first rank draws, at the end of a run
    from matplotlib.figure import Figure

    curves = [read_curves(run, name) for run, name in zip(runs, _names(runs), strict=True)]
    for run, each in zip(runs, curves, strict=True):
        each.majority = majority_scores(run)
    panels = [panel for panel in _PANELS if any(panel.measured(each) for each in curves)]
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7 * columns, 3.4 * rows), dpi=120, layout="constrained")
        axes: Any = figure.subplots(rows, columns, squeeze=False)
        for panel, axis in zip(panels, axes.flat, strict=False):
            _draw(panel, axis, curves)
        for axis in list(axes.flat)[len(panels) :]:
            axis.set_axis_off()
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(output, stream.getvalue())
    except OSError as error:
        raise TrainError(f"{output} cannot be written: {one_line(error)}") from error


def read_curves(run: Path, name: str) -> RunCurves:
    """Return the curves of a run's folder under a name, without a row that a kill cut off.

    Raises:
        TrainError: it has no curves.
    """
    path, curves = run / METRICS, RunCurves(name)
    try:
        with path.open(newline="", encoding="ascii", errors="replace") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values() and None not in row]
        for row in rows:
            for column in row.keys() - {"step", "epoch", "split"}:
                if row[column]:
                    epochs, values = curves.points.setdefault((row["split"], column), ([], []))
                    epochs.append(float(row["epoch"]))
                    values.append(float(row[column]))
    except FileNotFoundError as error:
        raise TrainError(f"{run}: no {METRICS} there; name the folder of a run that has begun to train") from error
    except (OSError, ValueError, KeyError) as error:
        raise TrainError(f"{path} cannot be read as the curves of a run: {one_line(error)}") from error
    if not curves.points:
        raise TrainError(f"{path} has no rows yet; wait for the run's first logged step")
    return curves


@dataclass(frozen=True)
class _Panel:
    title: str
    column: str
    splits: tuple[str, ...]
    scale: str = "linear"
    is_share: bool = False

    def text(self, value: float) -> str:
        """Return a value as it stands beside a curve."""
        return f"{100 * value:.1f} %" if self.is_share else f"{value:,.4g}"

    def measured(self, curves: RunCurves) -> bool:
        return any(curves.get(split, self.column) for split in self.splits)


_PANELS = (
    _Panel("Loss", "loss", ("train", "val")),
    _Panel("Semantic top-1", "semantic_top1", ("val",), is_share=True),
    _Panel("Top-1", "top1", ("val",), is_share=True),
    _Panel("Mean average precision", "map", ("val",), is_share=True),
    _Panel("Learning rate", "lr", ("train",)),
    _Panel("Gradient norm", "gradient_norm", ("train",), "log"),
    _Panel("Loss scale", "loss_scale", ("train",), "log"),
    _Panel("Images per second", "images_per_second", ("train",)),
    _Panel("Share of time waiting for data", "data_wait", ("train",), is_share=True),
)


def _draw(panel: _Panel, axis: "Axes", runs: Sequence[RunCurves]) -> None:
    axis.set_yscale(panel.scale)
    labels = []
    for number, run in enumerate(runs):
        color = COLORS[number % len(COLORS)]
        for split in panel.splits:
            if (points := run.get(split, panel.column)) is None:
                continue
            look: dict[str, Any] = (
                {"marker": "o", "markersize": 3.5, "linestyle": "--"} if split == "val" else {"linewidth": 1.2}
            )
            axis.plot(*points, color=color, **look)
            what = f"{_short(run.name)} ({split})" if len(panel.splits) > 1 else _short(run.name)
            labels.append(EndLabel(points[1][-1], f"{what} {panel.text(points[1][-1])}", color))
    for value in sorted({run.majority[panel.column] for run in runs if panel.column in run.majority}):
        axis.axhline(value, color=_MAJORITY, linewidth=1, linestyle=":")
        labels.append(EndLabel(value, f"majority {panel.text(value)}", _MAJORITY))
    axis.set_title(panel.title, loc="left", fontweight="bold")
    axis.set_xlabel("epoch")
    axis.set_xlim(left=0)
    if panel.scale == "linear":
        axis.set_ylim(bottom=0)
    if panel.is_share:
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    draw_end_labels(axis, labels)


def _short(name: str) -> str:
    shown = escaped(name)
    half = _LONGEST // 2
    return shown if len(shown) <= _LONGEST else f"{shown[: half - 1]}…{shown[-half:]}"


def _names(runs: Sequence[Path]) -> list[str]:
    short = [run.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run) for run in runs]
