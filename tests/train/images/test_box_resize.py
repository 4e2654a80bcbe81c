"""Images with boxes, resized and mirrored: against versions that walk over pixels and corners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from in21k.train.images.box_resize import BoxSizes, draw_boxes, resize_boxed, resized_size

SIZES = BoxSizes(side=160, least=96, longest=200)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60), st.data())
def test_boxes_follow_their_corners_through_resizing_and_mirroring(height, width, new_width, new_height, data):
    at = st.tuples(st.floats(0, width), st.floats(0, height))
    corners = data.draw(st.lists(st.tuples(at, at), max_size=4))
    boxes = np.array([[*first, *last] for first, last in corners], np.float64).reshape(-1, 4)
    pixels = np.zeros((height, width, 3), np.uint8)
    flip = data.draw(st.booleans())
    resized, found = resize_boxed(pixels, boxes, (new_width, new_height), "bilinear", flip=flip)
    assert resized.shape == (new_height, new_width, 3)
    for (first, last), box in zip(corners, found.tolist(), strict=True):
        xs = [x / width * new_width for x, _ in (first, last)]
        xs = [new_width - x for x in reversed(xs)] if flip else xs
        ys = [y / height * new_height for _, y in (first, last)]
        assert box == pytest.approx([xs[0], ys[0], xs[1], ys[1]])


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_a_mirrored_image_shows_in_its_boxes_what_it_showed_before(height, width, data):
    left, right = sorted(data.draw(st.tuples(st.integers(0, width), st.integers(0, width))))
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    mirrored, boxes = resize_boxed(
        pixels, np.array([[left, 0, right, height]], float), (width, height), "bicubic", flip=True
    )
    begin, end = (int(each) for each in boxes[0, [0, 2]])
    assert mirrored[:, begin:end].tolist() == [row[::-1] for row in pixels[:, left:right].tolist()]


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((100, 200), (80, 160)),
        ((200, 100), (160, 80)),
        ((100, 1000), (20, 200)),
        ((50, 60), (80, 96)),
        ((1, 1000), (1, 200)),
    ],
)
def test_the_short_side_is_as_asked_unless_the_long_one_would_be_too_long(size, resized):
    assert resized_size(*size, side=80, longest=200) == resized


def test_draws_depend_on_the_sample_alone():
    whole = draw_boxes(SIZES, 0.5, seed=3, epoch=2, start=0, count=64)
    for start in range(0, 64, 8):
        part = draw_boxes(SIZES, 0.5, seed=3, epoch=2, start=start, count=8)
        assert part.sides.tolist() == whole.sides[start : start + 8].tolist()
        assert part.is_flipped.tolist() == whole.is_flipped[start : start + 8].tolist()
    assert set(whole.sides.tolist()) == {96, 128, 160}
    assert 16 < whole.is_flipped.sum() < 48
    for other in (draw_boxes(SIZES, 0.5, 4, 2, 0, 64), draw_boxes(SIZES, 0.5, 3, 1, 0, 64)):
        assert other.sides.tolist() != whole.sides.tolist()


def test_one_size_and_no_flip_are_no_draw():
    drawn = draw_boxes(BoxSizes(side=160, least=0, longest=200), 0.0, seed=0, epoch=0, start=0, count=8)
    assert (drawn.sides.tolist(), drawn.is_flipped.any()) == ([160] * 8, False)
