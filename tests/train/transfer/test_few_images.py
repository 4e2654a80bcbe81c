"""The batch of few training images: the recipe's own would be more than there are."""

import pytest

from in21k.train.transfer.transfer import BATCH_SIZE, STEPS, batch_for


@pytest.mark.parametrize(
    ("images", "batch"),
    [(1, 1), (3, 1), (4, 1), (8, 2), (31, 4), (106, 16), (128, 32), (255, 32), (256, 64), (511, 64)],
)
def test_few_images_make_four_steps_an_epoch_or_more(images, batch):
    assert batch_for(images, 128) == {BATCH_SIZE: batch}
    assert images < STEPS or images // batch >= STEPS


@pytest.mark.parametrize("images", [512, 513, 50_000])
def test_otherwise_the_recipes_batch_stays(images):
    assert batch_for(images, 128) == {}
