"""The plot of specificity against accuracy."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from in21k.train.answers.paths import CONFIDENCE
from in21k.train.evaluation.report.curve import AnswerPoint
from in21k.train.run.curve_plot import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKED = (0.25, CONFIDENCE, 0.75, 0.9)


def draw_curve(points: Sequence[AnswerPoint]) -> bytes:
    """Return a PNG with two panels: specificity against accuracy, and the levels at which answers stop.

    Args:
        points: by ascending confidence.
    """
    import matplotlib as mpl  # only the first rank draws
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_trade(left, points)
        _draw_levels(right, points)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _draw_trade(axes: "Axes", points: Sequence[AnswerPoint]) -> None:
    axes.plot([each.specificity for each in points], [each.accuracy for each in points], color=COLORS[0])
    for each in points:
        if each.confidence in _MARKED:
            axes.plot(each.specificity, each.accuracy, "o", color=COLORS[0], markersize=5)
            place = (each.specificity, each.accuracy)
            axes.annotate(f"{each.confidence:g}", place, xytext=(6, 5), textcoords="offset points", fontsize=9)
    axes.set_title("Accuracy by specificity (confidence)", loc="left", fontweight="bold")
    axes.set_xlabel("specificity: mean information of the answers")
    axes.set_ylabel("answers that are the class or above it")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.06)


def _draw_levels(axes: "Axes", points: Sequence[AnswerPoint]) -> None:
    confidences = [each.confidence for each in points]
    shares = list(zip(*(each.stopped for each in points), strict=True))
    colors: Any = ["#dddddd", *_shades(len(shares) - 1)]
    labels = ["no answer", *(f"level {level}" for level in range(len(shares) - 1))]
    axes.stackplot(confidences, shares, colors=colors, labels=labels)
    axes.set_title("Where answers stop", loc="left", fontweight="bold")
    axes.set_xlabel("confidence")
    axes.set_ylabel("images")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)


def _shades(count: int) -> list[Any]:
    """Return a color for each level, darker with the level."""
    import matplotlib as mpl

    scale = mpl.colormaps["Blues"]
    return [scale(0.25 + 0.7 * level / max(count - 1, 1)) for level in range(count)]
