"""The learning rate of a step: one cycle, up and down (the reference's OneCycleLR with cosine annealing)."""

import math


def one_cycle(
    step: int, total_steps: int, peak: float, pct_start: float, div_factor: float, final_div_factor: float
) -> float:
    """Return the learning rate of a step; a pure function, so that a resumed run needs no scheduler state.

    It rises from peak / div_factor to peak over the first `pct_start` of the run and falls to
    peak / div_factor / final_div_factor at its last step, both along half a cosine.

    Args:
        step: 0 to total_steps - 1.
        total_steps: steps of the whole run.
        peak: the highest learning rate.
        pct_start: share of the run in which it rises, 0 to 1.
        div_factor: the peak over the first step's rate.
        final_div_factor: the first step's rate over the last one's.
    """
    first = peak / div_factor
    top = pct_start * total_steps - 1  # where torch puts the peak; between two steps as a rule
    if step <= top:
        return _cosine(first, peak, step / top if top else 1.0)
    return _cosine(peak, first / final_div_factor, (step - top) / (total_steps - 1 - top))


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))
