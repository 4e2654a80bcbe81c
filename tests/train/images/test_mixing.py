"""Mixup and CutMix of pairs: pixels against one pair at a time, shares against their distributions."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from timm.data.mixup import cutmix_bbox_and_lam

from in21k.train.images.mixing import Mixing, draw_mixing, mix_batch, partners_of

BOTH = Mixing(3, mixup=0.4, cutmix=1.0, probability=0.8)
MIXUP, CUTMIX = Mixing(3, mixup=0.8, cutmix=0.0), Mixing(3, mixup=0.0, cutmix=0.7)


def images_of(count: int, height: int = 20, width: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(256, (count, height, width, 3), dtype=torch.uint8, generator=generator)
    return pixels.permute(0, 3, 1, 2)


def slow_pair(one, other, is_cut: bool, share: float, center) -> tuple[torch.Tensor, float]:
    """What takes the place of the one image, and what that has of it."""
    height, width = one.shape[1:]
    if not is_cut:
        share = round(share * 65536) / 65536
        return torch.floor(share * one.double() + (1 - share) * other.double() + 0.5).to(torch.uint8), share
    tall, wide = int(height * math.sqrt(1 - share)), int(width * math.sqrt(1 - share))
    mixture, cut = one.clone(), 0
    for y in range(height):
        for x in range(width):
            down, right = y - int(center[0] * height) + tall // 2, x - int(center[1] * width) + wide // 2
            if 0 <= down < tall and 0 <= right < wide:
                mixture[:, y, x] = other[:, y, x]
                cut += 1
    return mixture, 1 - cut / (height * width)


@pytest.mark.parametrize("mixing", [BOTH, MIXUP, CUTMIX], ids=["both", "mixup", "cutmix"])
def test_each_pair_is_mixed_by_its_own_numbers(mixing):
    images, valid = images_of(60), torch.ones(60, dtype=torch.bool)
    valid[[0, 7, 8, 9]] = False
    before, draws = images.clone(), draw_mixing(mixing, 2, 100, 60)
    mixed, shares = mix_batch(images, valid, draws)
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)
    for row in range(60):
        pair, other = row // 2, row ^ 1
        expected, share = images[row], 1.0
        if draws.is_mixed[pair] and valid[row] and valid[other]:
            expected, share = slow_pair(
                images[row], images[other], draws.is_cut[pair], draws.shares[pair], draws.centers[pair]
            )
        assert torch.equal(mixed[row], expected), (row, share)
        assert shares[row].item() == pytest.approx(share, abs=1e-7)
    assert 0 < (shares < 1).sum() <= 56


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 2.0, 30.0])
def test_shares_are_of_the_beta_distribution(alpha):
    shares = draw_mixing(Mixing(1, mixup=alpha, cutmix=0.0), 0, 0, 20_000).shares
    assert ((shares >= 0) & (shares <= 1)).all()
    theirs = np.random.default_rng(0).beta(alpha, alpha, 10_000)
    ours, wanted = (np.rint(each * 65536) for each in (shares, theirs))  # the shares that mixtures have
    assert stats.ks_2samp(ours, wanted).pvalue > 1e-3
    if alpha >= 0.5:
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_no_alpha_and_no_number_gives_anything_but_a_share():
    for alpha in (1e-9, 1e-3, 1.0, 1e3):
        shares = draw_mixing(Mixing(0, alpha, 0.0), 0, 0, 200_000).shares
        assert np.isfinite(shares).all()
        assert 0.45 < shares.mean() < 0.55


def test_boxes_are_distributed_as_timms():
    count, height, width = 4000, 48, 64
    boxes = draw_mixing(CUTMIX, 0, 0, 2 * count).boxes(height, width)
    np.random.seed(0)
    theirs = [cutmix_bbox_and_lam((3, height, width), share)[0] for share in np.random.beta(0.7, 0.7, count)]
    for ours, wanted in zip(boxes.T, np.array(theirs).T, strict=True):
        assert stats.ks_2samp(ours, wanted).pvalue > 1e-3


def test_pairs_are_mixed_and_cut_with_the_probabilities_asked_for():
    draws = draw_mixing(Mixing(0, 0.2, 1.0, probability=0.7, cutmix_share=0.3), 0, 0, 40_000)
    assert abs(draws.is_mixed.mean() - 0.7) < 0.015
    assert abs(draws.is_cut[draws.is_mixed].mean() - 0.3) < 0.015
    assert stats.kstest(draws.shares[draws.is_cut], stats.beta(1, 1).cdf).pvalue > 1e-3
    each = np.c_[draws.is_mixed, draws.is_cut, draws.shares, draws.centers].T.astype(float)
    assert np.abs(np.corrcoef(each) - np.eye(5)).max() < 0.03
    assert not draw_mixing(MIXUP, 0, 0, 100).is_cut.any()
    assert draw_mixing(CUTMIX, 0, 0, 100).is_cut.all()


@pytest.mark.parametrize("mixing", [BOTH, MIXUP, CUTMIX], ids=["both", "mixup", "cutmix"])
def test_a_pairs_numbers_belong_to_its_positions(mixing):
    """So a batch on two ranks is mixed as on one."""
    images, valid = images_of(24), torch.ones(24, dtype=torch.bool)
    whole = mix_batch(images, valid, draw_mixing(mixing, 5, 1000, 24))
    halves = [
        mix_batch(images[rows], valid[rows], draw_mixing(mixing, 5, 1000 + rows.start, 12))
        for rows in (slice(0, 12), slice(12, 24))
    ]
    for one, parts in zip(whole, zip(*halves, strict=True), strict=True):
        assert torch.equal(torch.cat(parts), one)
    other = mix_batch(images, valid, draw_mixing(mixing, 6, 1000, 24))
    assert not torch.equal(other.images, whole.images)


def test_partners_change_places():
    assert partners_of(torch.arange(6)).tolist() == [1, 0, 3, 2, 5, 4]
