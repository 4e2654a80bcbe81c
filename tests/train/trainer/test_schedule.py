"""The one-cycle schedule equals torch's, step by step."""

import pytest
import torch

from in21k.train.trainer.optimizer import one_cycle


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


def test_a_rise_of_one_step_begins_at_the_peak():
    assert [one_cycle(step, 10, 1.0, 0.1, 20, 1e4) for step in (0, 9)] == [1.0, pytest.approx(1 / 20 / 1e4)]


@pytest.mark.parametrize("total", [1, 2, 10])
@pytest.mark.parametrize("pct_start", [0.0, 0.1, 1.0])
def test_it_is_defined_where_torchs_divides_by_zero(total, pct_start):
    rates = [one_cycle(step, total, 1.0, pct_start, 20, 1e4) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
