"""The random numbers of images are pinned: a change would break resuming every run in progress."""

import numpy as np

from in21k.train.data.partition import TrainPlan
from in21k.train.images.augment_draws import Augmentation, draw
from in21k.train.images.crops import crop_offsets, resized_crops
from in21k.train.images.erasing import draw_erasing
from in21k.train.images.mixing import Mixing, draw_mixing


def thousandths(shares: np.ndarray) -> list[list[int]]:
    return np.floor(shares * 1000).astype(int).tolist()


def test_flips_squares_and_colors():
    draws = draw(Augmentation(3, 0.5, 2, 9, flip=0.5), 1, 7, 4)
    assert draws.flips.tolist() == [False, False, False, True]
    assert thousandths(draws.center) == [[844, 723], [845, 563], [697, 453], [138, 615]]
    assert draws.color.tolist() == [[90, 110, 27], [216, 224, 128], [76, 28, 222], [191, 110, 181]]
    assert thousandths(crop_offsets(3, 1, 7, 3)) == [[511, 983], [535, 23], [405, 16]]


def test_random_crops():
    crops = resized_crops((0.08, 1.0), (0.75, 4 / 3), 3, 1, 7, 3)
    assert [crop.box(100, 100) for crop in crops] == [(41, 95, 24, 69), (55, 91, 27, 62), (38, 98, 4, 64)]


def test_erasing():
    draws = draw_erasing(0.5, 3, 1, 7, 4)
    assert draws.boxes(100, 100).tolist() == [[9, 89, 59, 100], [44, 72, 23, 57], [17, 76, 5, 41], [0, 0, 0, 0]]
    assert draws.noise[:2].tolist() == [457442625483961289, 16182326051468736880]


def test_mixing():
    draws = draw_mixing(Mixing(3, 0.4, 1.0, 0.8), 1, 8, 8)
    assert draws.is_mixed.all()
    assert draws.is_cut.tolist() == [False, True, False, True]
    assert np.rint(draws.shares * 65536).tolist() == [61271, 37164, 65490, 34695]
    assert draws.boxes(100, 100).tolist() == [[0, 0, 0, 0], [46, 100, 47, 100], [0, 0, 0, 0], [47, 100, 55, 100]]


def test_the_order_of_a_run_that_mixes():
    plan = TrainPlan((5, 9, 4), seed=7, epochs=1, global_batch=6, block=3, shuffled=True)
    steps = [[17, 0, 2, 1, 4, 3], [12, 11, 13, 8, 9, 10], [6, 7, 5, 16, 15, 14]]
    assert [batch.samples.tolist() for batch in plan.batches()] == steps
