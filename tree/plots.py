"""The report's plots as PNGs: levels, images per class, validation images, rejects, and sheets of samples."""

import io
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import Hierarchy, Int64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GRAY = "#2f6fab", "#d9822b", "#9aa0a6"
_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e3e3e0",
    "axes.edgecolor": "#7b8087",
}
_DPI = 110


def plot_levels(hierarchy: Hierarchy, images: Int64Array | None) -> bytes:
    """Return a plot of the number of classes and images at each level.

    Args:
        hierarchy: C classes in L levels.
        images: int64 [C], images per class; None if there is no dataset.
    """
    levels = np.arange(hierarchy.num_levels)
    panels = [("Classes per level", "classes", hierarchy.level_sizes.astype(np.int64))]
    if images is not None:
        at_level = np.bincount(hierarchy.levels, weights=images, minlength=len(levels)).astype(np.int64)
        panels.append(("Images per level", "images", at_level))
    figure, axes = _figure(9, 1 + 3.1 * len(panels), len(panels))
    for axis, (title, label, values) in zip(axes, panels, strict=True):
        colors = [_BLUE if active else _GRAY for active in hierarchy.active]
        bars = axis.bar(levels, values, color=colors, width=0.72)
        axis.bar_label(bars, labels=[_short(value) for value in values.tolist()], padding=2, fontsize=9)
        _title(axis, title)
        axis.set(ylabel=label, ylim=(0, 1.12 * max(1, int(values.max()))))
        axis.set_xticks(levels)
        _count_axis(axis, "y", integer=True)
    weights = [f"{weight:.3g}" for weight in hierarchy.level_weights.tolist()]
    ticks = [f"{level}\n{weight}" for level, weight in zip(levels.tolist(), weights, strict=True)]
    axes[-1].set_xticks(levels, ticks)
    inactive = "; gray: fewer than two classes, no softmax" if not hierarchy.active.all() else ""
    axes[-1].set_xlabel(f"level (number of ancestors), with its weight $W_k$ below{inactive}")
    return _png(figure)


def plot_images_per_class(raw: Int64Array, kept: npt.NDArray[np.bool_], dataset: Int64Array, threshold: int) -> bytes:
    """Return a plot of the number of images per class before and after the filter.

    Args:
        raw: int64, files per class of the raw dump.
        kept: bool of the same shape, whether the class was kept.
        dataset: int64 [C], train and val images per kept class in the dataset.
        threshold: the smallest number of files for which a class is kept.
    """
    figure, (before, after) = _figure(9, 7.2, 2, sharex=True)
    top = int(max(raw.max(initial=1), dataset.max(initial=1), threshold))
    bins = np.unique([*np.geomspace(1, top + 1, 61).astype(np.int64), threshold]).astype(np.float64)
    shown = [np.maximum(raw[kept], 1), np.maximum(raw[~kept], 1)]
    labels = [f"kept ({kept.sum():,})", f"rejected ({(~kept).sum():,})"]
    before.hist(shown, bins=bins.tolist(), stacked=True, color=[_BLUE, _ORANGE], label=labels)
    before.axvline(threshold, color="#444444", linewidth=1, linestyle="--", label=f"minimum ({threshold:,})")
    _title(before, "Files per class before the filter")
    before.legend(frameon=False, loc="best")
    after.hist(np.maximum(dataset, 1), bins=bins.tolist(), color=_BLUE)
    median = f" (median {int(np.median(dataset)):,})" if len(dataset) else ""
    _title(after, f"Images per class in the dataset, train and val{median}")
    after.set(xlabel="images per class (log scale)", xscale="log")
    for axis in (before, after):
        axis.set_ylabel("classes")
        _count_axis(axis, "y", integer=True)
    _count_axis(after, "x")
    return _png(figure)


def plot_val_per_class(images_val: Int64Array) -> bytes:
    """Return a histogram of the validation images per class, int64 [C]."""
    figure, (axis,) = _figure(9, 4, 1)
    counts, classes = np.unique(images_val, return_counts=True)
    most, fewer = int(counts[-1]), int(classes[:-1].sum())
    bars = axis.bar(counts, classes, color=_BLUE, width=0.8)
    if len(counts) <= 20:
        axis.bar_label(bars, labels=[_short(number) for number in classes.tolist()], padding=2, fontsize=9)
        axis.set_xticks(counts)
    margin = max(4, int((most - counts[0]) * 0.06))
    axis.set_xlim(int(counts.min()) - margin, most + margin)
    _title(axis, "Validation images per class" + (f" ({fewer:,} classes have fewer than {most:,})" if fewer else ""))
    axis.set(xlabel="validation images", ylabel="classes")
    axis.set_ylim(0, 1.12 * int(classes.max()))
    _count_axis(axis, "y", integer=True)
    return _png(figure)


def plot_rejects(reasons: Mapping[tuple[str, str], int]) -> bytes:
    """Return a plot of the number of rejected files, by stage and reason."""
    rows = sorted(reasons.items(), key=lambda row: row[1])
    figure, (axis,) = _figure(9, max(2.4, 1.4 + 0.42 * len(rows)), 1)
    _title(axis, "Rejected, by reason")
    if not rows:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "nothing was rejected", ha="center", va="center", transform=axis.transAxes, fontsize=13)
        return _png(figure)
    values = [count for _, count in rows]
    bars = axis.barh([f"{reason} ({stage})" for (stage, reason), _ in rows], values, color=_ORANGE, height=0.7)
    axis.bar_label(bars, labels=[f"{value:,}" for value in values], padding=3, fontsize=10)
    axis.set(xlabel="files (log scale)", xscale="log", xlim=(0.7, 3 * max(values)))
    axis.grid(visible=False, axis="y")
    _count_axis(axis, "x")
    return _png(figure)


def plot_samples(level: int, samples: Sequence[tuple[str, npt.NDArray[np.uint8]]], columns: int = 8) -> bytes:
    """Return a sheet of samples from one level.

    Args:
        level: the level.
        samples: class names and RGB images, uint8 [S, S, 3], all of the same size S.
        columns: the number of images per row.
    """
    side = samples[0][1].shape[0]
    columns = min(columns, max(3, len(samples)))
    rows = -(-len(samples) // columns)
    inch, caption = 1.25, 0.34
    figure, (axis,) = _figure(columns * inch, rows * (inch + caption) + 0.35, 1)
    pitch = side * (inch + caption) / inch
    gap = side * 0.03
    for at, (name, image) in enumerate(samples):
        left, top = at % columns * side, at // columns * pitch
        extent = (left + gap, left + side - gap, top + side - gap, top + gap)
        axis.imshow(image, extent=extent, interpolation="antialiased")
        words = textwrap.wrap(name, 16, max_lines=2, placeholder=" …")
        axis.text(left + side / 2, top + side, "\n".join(words), ha="center", va="top", fontsize=8, parse_math=False)
    axis.set(xlim=(0, columns * side), ylim=(rows * pitch, 0))
    axis.set_axis_off()
    _title(axis, f"Samples from level {level}")
    return _png(figure)


def _figure(width: float, height: float, rows: int, sharex: bool = False) -> "tuple[Figure, Sequence[Axes]]":
    """Return a figure and its panels, stacked vertically.

    Raises:
        TreeError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TreeError("plots need matplotlib: pip install 'in21k[report]'") from error
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
        axes: Any = figure.subplots(rows, 1, squeeze=False, sharex=sharex)
    return figure, list(axes[:, 0])


def _title(axis: "Axes", text: str) -> None:
    axis.set_title(text, loc="left", fontweight="bold", fontsize=13)


def _count_axis(axis: "Axes", which: str, integer: bool = False) -> None:
    """Label an axis's ticks as 1,000 or 2.5M."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    side: Any = getattr(axis, f"{which}axis")
    if side.get_scale() == "log":
        side.set_minor_formatter(NullFormatter())
    elif integer:
        side.set_major_locator(MaxNLocator(integer=True))
    side.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    if value >= 1e5:
        return f"{value / 1e3:.3g}k"
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _png(figure: "Figure") -> bytes:
    """Return a figure as PNG; the same data and the same matplotlib give the same bytes."""
    import matplotlib as mpl

    stream = io.BytesIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # a name in another script: boxes
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
