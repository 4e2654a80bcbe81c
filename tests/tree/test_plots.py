import io
import sys

import numpy as np
import pytest
from PIL import Image

from in21k.tree import plots
from in21k.tree.errors import TreeError
from in21k.tree.hierarchy import Hierarchy

FOREST = Hierarchy(tuple("abcdef"), np.array([-1, -1, 0, 0, 1, 2], np.int32))


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert np.asarray(image.convert("L")).std() > 5, "an empty picture"
        return image.size


def heights(axes) -> float:
    return sum(bar.get_height() for bar in axes.patches)


@pytest.fixture
def figures(draw, monkeypatch):
    """The figures behind the pictures."""
    drawn, png = [], plots._png
    monkeypatch.setattr(plots, "_png", lambda figure: (drawn.append(figure), png(figure))[1])
    return drawn


@pytest.fixture
def draw():
    pytest.importorskip("matplotlib")
    return plots


def test_levels_are_drawn_with_and_without_images(draw):
    alone, both = (draw.plot_levels(FOREST, images) for images in (None, np.arange(6)))
    assert size_of(both)[1] > size_of(alone)[1]


def test_the_same_data_give_the_same_bytes(draw):
    assert draw.plot_levels(FOREST, None) == draw.plot_levels(FOREST, None)


@pytest.mark.parametrize("raw", [[1, 3, 500, 700], [0, 0], [600]])
def test_every_class_is_in_a_bar_of_its_images_whatever_the_counts(draw, figures, raw):
    files = np.array(raw)
    size_of(draw.plot_images_per_class(files, files >= 500, files[files >= 500], 500))
    before, after = figures[0].axes
    assert (heights(before), heights(after)) == (len(files), (files >= 500).sum())


@pytest.mark.parametrize("val", [[50] * 9, list(range(60)), [0, 50]])
def test_every_class_is_in_a_bar_of_its_val_images_whatever_the_counts(draw, figures, val):
    size_of(draw.plot_val_per_class(np.array(val)))
    (axes,) = figures[0].axes
    assert heights(axes) == len(val)
    assert sum(bar.get_height() * (bar.get_x() + bar.get_width() / 2) for bar in axes.patches) == pytest.approx(
        sum(val)
    )


def test_rejects_are_drawn_by_reason_and_none_at_all_is_stated(draw):
    some = draw.plot_rejects({("resize", f"reason-{i}"): 10**i for i in range(9)})
    assert size_of(some)[1] > size_of(draw.plot_rejects({}))[1]


def test_sheets_grow_with_the_samples_and_accept_any_name(draw):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    names = ["$x$ \\frac", "a name that goes on and on and on and never ends", "ä" * 60, ""]
    few, many = (size_of(draw.plot_samples(2, [(name, picture) for name in names * times])) for times in (1, 6))
    assert many[0] > few[0]
    assert many[1] > few[1]


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(TreeError, match=r"pip install 'in21k\[report\]'"):
        plots.plot_levels(FOREST, None)
