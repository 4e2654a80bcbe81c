"""Labels at the right ends of a plot's curves, none over another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE = 0.068
"""Height of a label, as a share of the panel's."""


@dataclass(frozen=True)
class EndLabel:
    """What stands beside a curve."""

    value: float
    """At its end."""
    text: str
    color: str


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Return places of 0 to 1 in the same order, each as near to its own as a gap between all of them allows.

    Args:
        places: of labels, in any order.
        gap: between two of them; smaller if there is no room for it.
    """
    gap = min(gap, 1 / max(len(places) - 1, 1))
    order = sorted(range(len(places)), key=lambda at: (places[at], -at))  # of equal ones the first is the upper one
    found = [min(max(places[at], 0.0), 1.0) for at in order]
    for at in range(1, len(found)):
        found[at] = max(found[at], found[at - 1] + gap)
    ceiling = 1.0
    for at in reversed(range(len(found))):
        found[at] = min(found[at], ceiling)
        ceiling = found[at] - gap
    by_place = dict(zip(order, found, strict=True))
    return [by_place[at] for at in range(len(places))]


def draw_end_labels(axis: "Axes", labels: Sequence[EndLabel]) -> None:
    """Write labels to the right of a panel, whose scale and limits are set, each at the height of its value."""
    to_axes = axis.transData + axis.transAxes.inverted()
    left, _ = axis.get_xlim()
    places = [float(to_axes.transform((left, label.value))[1]) for label in labels]
    size = 8.5 * min(1.0, 1 / (_LINE * max(len(labels) - 1, 1)))
    for label, place in zip(labels, spread(places, _LINE), strict=True):
        text = label.text.replace("$", r"\$")
        axis.text(1.015, place, text, transform=axis.transAxes, color=label.color, fontsize=size, va="center")
