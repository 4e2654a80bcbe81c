"""The report's plots, as PNG: levels, images a class, validation images, rejects, and sheets of samples."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import Hierarchy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IntArray = npt.NDArray[np.int64]

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


def plot_levels(hierarchy: Hierarchy, images: IntArray | None) -> bytes:
    """Return the plot of classes and images at each level (the paper's figure 4).

    Args:
        hierarchy: C classes in L levels.
        images: int64 [C], images of each class; None where there is no dataset.
    """
    levels = np.arange(hierarchy.num_levels)
    panels = [("Classes at each level", "classes", hierarchy.level_sizes.astype(np.int64))]
    if images is not None:
        at_level = np.bincount(hierarchy.levels, weights=images, minlength=len(levels)).astype(np.int64)
        panels.append(("Images at each level", "images", at_level))
    figure, axes = _figure(9, 1 + 3.1 * len(panels), len(panels))
    for axis, (title, label, values) in zip(axes, panels, strict=True):
        colours = [_BLUE if active else _GRAY for active in hierarchy.active]
        bars = axis.bar(levels, values, color=colours, width=0.72)
        axis.bar_label(bars, labels=[_short(value) for value in values.tolist()], padding=2, fontsize=9)
        _title(axis, title)
        axis.set(ylabel=label, ylim=(0, 1.12 * max(1, int(values.max()))))
        axis.set_xticks(levels)
        _count_axis(axis, "y", whole=True)
    weights = [f"{weight:.3g}" for weight in hierarchy.level_weights.tolist()]
    ticks = [f"{level}\n{weight}" for level, weight in zip(levels.tolist(), weights, strict=True)]
    axes[-1].set_xticks(levels, ticks)
    inactive = "; gray: fewer than two classes, so no softmax" if not hierarchy.active.all() else ""
    axes[-1].set_xlabel(f"level (number of ancestors), and its weight $W_k$ below{inactive}")
    return _png(figure)


def plot_images_per_class(raw: IntArray, kept: npt.NDArray[np.bool_], dataset: IntArray, threshold: int) -> bytes:
    """Return the plot of images a class before and after the filter.

    Args:
        raw: int64, files of each raw class.
        kept: bool of the same shape, whether the class stays.
        dataset: int64 [C], images of each kept class in the dataset, train and val.
        threshold: the least number of files of a class that stays.
    """
    figure, (before, after) = _figure(9, 7.2, 2, sharex=True)
    top = int(max(raw.max(initial=1), dataset.max(initial=1), threshold))
    bins = np.unique([*np.geomspace(1, top + 1, 61).astype(np.int64), threshold]).astype(np.float64)
    shown = [np.maximum(raw[kept], 1), np.maximum(raw[~kept], 1)]
    labels = [f"kept ({kept.sum():,})", f"dropped ({(~kept).sum():,})"]
    before.hist(shown, bins=bins.tolist(), stacked=True, color=[_BLUE, _ORANGE], label=labels)
    before.axvline(threshold, color="#444444", linewidth=1, linestyle="--", label=f"least number, {threshold:,}")
    _title(before, "Files of each class before the filter")
    before.legend(frameon=False, loc="best")
    after.hist(np.maximum(dataset, 1), bins=bins.tolist(), color=_BLUE)
    middle = f" (median {int(np.median(dataset)):,})" if len(dataset) else ""
    _title(after, f"Images of each class in the dataset, train and val{middle}")
    after.set(xlabel="images a class (logarithmic)", xscale="log")
    for axis in (before, after):
        axis.set_ylabel("classes")
        _count_axis(axis, "y", whole=True)
    _count_axis(after, "x")
    return _png(figure)


def plot_val_per_class(images_val: IntArray) -> bytes:
    """Return the plot of how many classes have how many validation images, from int64 [C]."""
    figure, (axis,) = _figure(9, 4, 1)
    counts, classes = np.unique(images_val, return_counts=True)
    most, fewer = int(counts[-1]), int(classes[:-1].sum())
    bars = axis.bar(counts, classes, color=_BLUE, width=0.8)
    if len(counts) <= 20:
        axis.bar_label(bars, labels=[_short(number) for number in classes.tolist()], padding=2, fontsize=9)
        axis.set_xticks(counts)
    wide = max(4, int((most - counts[0]) * 0.06))
    axis.set_xlim(int(counts.min()) - wide, most + wide)
    _title(
        axis, "Validation images of each class" + (f" ({fewer:,} classes have fewer than {most:,})" if fewer else "")
    )
    axis.set(xlabel="validation images", ylabel="classes")
    axis.set_ylim(0, 1.12 * int(classes.max()))
    _count_axis(axis, "y", whole=True)
    return _png(figure)


def plot_rejects(reasons: Mapping[tuple[str, str], int]) -> bytes:
    """Return the plot of why what the dump holds is not in the dataset: counts by stage and reason."""
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
    axis.set(xlabel="files (logarithmic)", xscale="log", xlim=(0.7, 3 * max(values)))
    axis.grid(visible=False, axis="y")
    _count_axis(axis, "x")
    return _png(figure)


def plot_samples(level: int, samples: Sequence[tuple[str, npt.NDArray[np.uint8]]], columns: int = 8) -> bytes:
    """Return a sheet of samples of one level.

    Args:
        level: the level.
        samples: class names and RGB images, uint8 [S, S, 3] of one side S.
        columns: images side by side.
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
        place = (left + gap, left + side - gap, top + side - gap, top + gap)
        axis.imshow(image, extent=place, interpolation="antialiased")
        words = textwrap.wrap(name, 16, max_lines=2, placeholder=" …")
        axis.text(left + side / 2, top + side, "\n".join(words), ha="center", va="top", fontsize=8, parse_math=False)
    axis.set(xlim=(0, columns * side), ylim=(rows * pitch, 0))
    axis.set_axis_off()
    _title(axis, f"Samples of level {level}")
    return _png(figure)


def _figure(width: float, height: float, rows: int, sharex: bool = False) -> "tuple[Figure, Sequence[Axes]]":
    """Return a figure and its panels, one above the other.

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


def _count_axis(axis: "Axes", which: str, whole: bool = False) -> None:
    """Write an axis's numbers as 1,000 or 2.5M."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    side: Any = getattr(axis, f"{which}axis")
    if side.get_scale() == "log":
        side.set_minor_formatter(NullFormatter())
    elif whole:
        side.set_major_locator(MaxNLocator(integer=True))
    side.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    if value >= 1e5:
        return f"{value / 1e3:.3g}k"
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _png(figure: "Figure") -> bytes:
    """Return a figure as PNG; the same data give the same bytes with the same matplotlib."""
    import matplotlib as mpl

    stream = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
