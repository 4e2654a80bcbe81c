"""The one-cycle schedule equals torch's, step by step."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from in21k.train.config.settings import OptimConfig
from in21k.train.recipes import read_recipe
from in21k.train.trainer.optimizer import one_cycle, set_step


@pytest.mark.parametrize(
    ("total", "pct_start", "div", "final"), [(200, 0.1, 20, 1e4), (37, 0.3, 25, 100), (7, 0.1, 20, 1e4), (2, 0.9, 4, 5)]
)
def test_it_is_torchs_one_cycle(total, pct_start, div, final):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        3e-4,
        total_steps=total,
        pct_start=pct_start,
        div_factor=div,
        final_div_factor=final,
        cycle_momentum=False,
    )
    for step in range(total):
        assert one_cycle(step, total, 3e-4, pct_start, div, final) == pytest.approx(
            schedule.get_last_lr()[0], rel=1e-12
        )
        optimizer.step()
        if step + 1 < total:
            schedule.step()


def test_asls_schedule_is_torchs_step_by_step_with_its_arguments():
    """Its train.py plans 80 epochs, stops after the 41st, and leaves all other arguments at torch's defaults."""
    optim, per_epoch = read_recipe("transfer-multi-label").optim, 7
    theirs = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-4, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        theirs, max_lr=1e-4, steps_per_epoch=per_epoch, epochs=80, pct_start=0.2
    )
    ours = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    assert optim.epochs == 41
    total = round(optim.epochs * per_epoch / optim.schedule_share)
    assert total == 80 * per_epoch
    seen = set()
    for step in range(optim.epochs * per_epoch):
        set_step(ours, step, total, optim)
        for key in ("lr", "betas"):
            assert ours.param_groups[0][key] == pytest.approx(theirs.param_groups[0][key], rel=1e-12), (step, key)
        seen.add(round(ours.param_groups[0]["betas"][0], 2))
        theirs.step()
        schedule.step()
    assert {0.95, 0.85} <= seen


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_momentum_moves_against_the_rate_as_torchs_does_or_not_at_all(name):
    optim = OptimConfig(name=name, beta1=0.9, momentum=0.9, momentum_at_peak=0.8, pct_start=0.3)
    parameter = torch.nn.Parameter(torch.zeros(1))
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": partial(torch.optim.SGD, momentum=0.9)}
    theirs, ours, still = (kinds[name]([parameter], lr=1) for _ in range(3))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        theirs, optim.lr, total_steps=50, pct_start=0.3, base_momentum=0.8, max_momentum=0.9
    )
    key = "momentum" if name == "sgd" else "betas"
    for step in range(50):
        set_step(ours, step, 50, optim)
        set_step(still, step, 50, replace(optim, momentum_at_peak=0.0))
        assert ours.param_groups[0][key] == pytest.approx(theirs.param_groups[0][key], rel=1e-12)
        assert still.param_groups[0][key] == (0.9 if name == "sgd" else (0.9, 0.999))
        theirs.step()
        if step < 49:
            schedule.step()


def test_a_rise_of_one_step_begins_at_the_peak():
    assert [one_cycle(step, 10, 1.0, 0.1, 20, 1e4) for step in (0, 9)] == [1.0, pytest.approx(1 / 20 / 1e4)]


@pytest.mark.parametrize("total", [1, 2, 10])
@pytest.mark.parametrize("pct_start", [0.0, 0.1, 1.0])
def test_it_is_defined_where_torchs_divides_by_zero(total, pct_start):
    rates = [one_cycle(step, total, 1.0, pct_start, 20, 1e4) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
