"""The cost of the schemes' losses, forward and backward, at 11,221 classes, compared with plain cross entropy.

    python bench/bench_losses.py [--rounds 60] [--threads 1] [--device cpu|cuda]

It takes 256 images in float32 on a CPU, 1,024 in bfloat16 on a GPU. All losses take turns within a round, on the same
logits; times are medians and minima over rounds, ratios are medians of the ratios within a round and, for a busy
machine, ratios of the minima. On one thread of a CPU, the time is the process's CPU time, and freed memory is kept: to
get it anew from the system takes twice as long as cross entropy itself. `per-level loop` is semantic softmax written
plainly: one softmax and one-hot targets per level, with a loop over the images to find the targets.
"""

import argparse
import ctypes
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from in21k.train.config.settings import LossConfig
from in21k.train.losses.schemes import DISTILLING, SCHEMES, build_loss
from in21k.train.model.level_order import LevelOrder, level_order
from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.hierarchy import Hierarchy
from in21k.tree.table import wordnet_hierarchy

Loss = Callable[[Tensor], Tensor]
SMOOTHING = 0.2
REFERENCE = "cross entropy"
LOOP = "per-level loop"
TARGETS = {"semantic-softmax": 1.3, "multi-label": 2.5, "distillation": 2.5, "semantic-distillation": 2.5}


def main() -> None:
    """Time all losses and print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    device = torch.device(options.device)
    rows, dtype = (1024, torch.bfloat16) if device.type == "cuda" else (256, torch.float32)
    hierarchy = wordnet_hierarchy(published_class_list(PublishedList.FALL11))
    losses = contenders(hierarchy, rows, dtype, device)
    logits = torch.randn(rows, len(hierarchy), device=device).to(dtype).requires_grad_()
    print_table(measure(losses, logits, options.rounds), rows, dtype, device, options.threads)


def keep_memory() -> None:
    """Let glibc keep what is freed; elsewhere, do nothing."""
    trim_threshold, map_threshold = -1, -3  # of malloc.h
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 1 << 30)
        libc.mallopt(map_threshold, 1 << 25)


def measure(losses: dict[str, Loss], logits: Tensor, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each loss in each round, forward and backward."""
    times: dict[str, list[float]] = {name: [] for name in losses}
    for number in range(rounds + 2):
        for name, loss in losses.items():
            seconds = timed(loss, logits, logits.device)
            if number >= 2:  # the first two warm up
                times[name].append(seconds)
    return times


def contenders(hierarchy: Hierarchy, rows: int, dtype: torch.dtype, device: torch.device) -> dict[str, Loss]:
    """Return every loss as a function of logits in level order."""
    order = level_order(hierarchy)
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(len(hierarchy), (rows,), generator=generator).to(device)
    valid = torch.ones(rows, dtype=torch.bool, device=device)
    teacher = torch.randn(rows, len(hierarchy), generator=generator).to(device, dtype)
    losses: dict[str, Loss] = {REFERENCE: lambda logits: F.cross_entropy(logits, classes, label_smoothing=SMOOTHING)}
    for scheme in SCHEMES:
        module = build_loss(LossConfig(scheme), order).to(device)
        teacher_logits = (teacher,) if scheme in DISTILLING else ()
        losses[scheme] = lambda logits, module=module, more=teacher_logits: module(logits, classes, valid, *more)
    losses[LOOP] = per_level_loop(order, classes)
    return losses


def per_level_loop(order: LevelOrder, classes: Tensor) -> Loss:
    """Return semantic softmax as one would first write it: level by level, with a loop over images on the host."""
    paths = [[int(target) for target in row] for row in order.targets]

    def loss(logits: Tensor) -> Tensor:
        total = logits.new_zeros(())
        for level in order.active:
            start, stop = order.bounds[level]
            log_probs = torch.log_softmax(logits[:, start:stop], 1)
            wanted = torch.tensor([paths[index][level] for index in classes.tolist()], device=logits.device)
            target = torch.zeros_like(log_probs).scatter_(1, wanted.clamp(min=0)[:, None], 1)
            target = target * (1 - SMOOTHING) + SMOOTHING / (stop - start)
            losses = -(target * log_probs).sum(1) * (wanted >= 0)
            total = total + order.weights[level] * losses.mean()
        return total

    return loss


def timed(loss: Loss, logits: Tensor, device: torch.device) -> float:
    """Return the seconds of one forward and backward pass."""
    logits.grad = None
    if device.type == "cuda":
        torch.cuda.synchronize()
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    loss(logits).backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def processor() -> str:
    """Return the name of the machine's processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def print_table(
    times: dict[str, list[float]], rows: int, dtype: torch.dtype, device: torch.device, threads: int
) -> None:
    """Print medians and ratios, and whether they meet their targets."""
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{processor()}, {threads} thread(s)"
    print(f"{rows} × 11,221, {dtype}, {on}; torch {version('torch')}\n")
    print(f"{'loss':<24}{'ms, median':>12}{'least':>9}{'× cross entropy':>18}{'of the least':>15}")
    ratios = {}
    for name, values in times.items():
        ratios[name] = median(own / plain for own, plain in zip(values, times[REFERENCE], strict=True))
        least = min(values) / min(times[REFERENCE])
        print(f"{name:<24}{median(values) * 1e3:>12.2f}{min(values) * 1e3:>9.2f}{ratios[name]:>18.2f}{least:>15.2f}")
    print()
    for name, target in TARGETS.items():
        verdict = "met   " if ratios[name] <= target else "MISSED"
        print(f"{verdict}  {name}: {ratios[name]:.2f} × cross entropy (target: at most {target})")
    own = ratios["semantic-softmax"]
    if device.type == "cuda":
        faster = ratios[LOOP] / own
        verdict = "met   " if faster >= 20 else "MISSED"
        print(f"{verdict}  semantic softmax: {faster:.0f} × as fast as the per-level loop (target: at least 20)")


if __name__ == "__main__":
    main()
