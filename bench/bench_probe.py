"""The linear probe's fit: the memory that it takes beside the features, and its minimum against scikit-learn's.

    python bench/bench_probe.py [--images 200000] [--features 512] [--classes 1000] [--steps 12]

Memory is measured in a process for each size, for a quarter of the images and for all of them, by what the process's
peak grew once the features were there. `--steps` of L-BFGS fill its history. scikit-learn solves the same problem on a
small set, if it is installed (`pip install scikit-learn`); it is not among in21k's dependencies.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from in21k.train.transfer import linear_fit
from in21k.train.transfer.linear_fit import Linear, fit, fit_choosing, workspace_bytes
from in21k.train.transfer.linear_objective import Labels, Objective
from in21k.train.transfer.row_blocks import compute_type, row_blocks, standardization

CPU = torch.device("cpu")
SMALL = (4000, 256, 20)
"""Images, features and classes of the comparison; as many others are for its test."""
COMPARED = (1e-1, 1e-3, 1e-5)
"""L2 strengths."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, value in (("images", 200_000), ("features", 512), ("classes", 1000), ("steps", 12)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--one", action="store_true", help="measure this size in this process")
    options = parser.parse_args()
    if options.one:
        print_row(options.images, options.features, options.classes, options.steps)
        return
    print("| images | features | classes | type | features, MB | peak beside them, MB | at most, MB |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for images in (options.images // 4, options.images):
        size = ["--features", options.features, "--classes", options.classes, "--steps", options.steps]
        command = [sys.executable, __file__, "--one", "--images", images, *size]
        subprocess.run(list(map(str, command)), check=True)
    print()
    print_comparison()


def print_row(images: int, features: int, classes: int, steps: int) -> None:
    """Choose a strength out of one on random features, and print the row of what memory that took."""
    values, ids = torch.empty(images, features), torch.arange(images) * 7919 % classes
    values.normal_()
    linear_fit.MAX_STEPS, linear_fit.STRENGTHS = steps, (1e-4,)
    fit(torch.randn(20, 4), Labels(torch.arange(20) % 2, 2), 1.0, CPU)  # loads what torch loads when it is needed first
    before = _peak()
    fit_choosing(values, Labels(ids, classes), lambda logits: sum(float(rows.max()) for rows, _ in logits), CPU)
    beside, most = _peak() - before, workspace_bytes(classes, features)
    dtype = str(compute_type(values)).removeprefix("torch.")
    print(
        f"| {images:,} | {features:,} | {classes:,} | {dtype} | {values.nbytes / 1e6:,.0f} | {beside / 1e6:,.0f} | "
        f"{most / 1e6:,.0f} |"
    )


def print_comparison() -> None:
    """Print the minimum that each finds, its accuracy on other images and its time."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ModuleNotFoundError:
        print("scikit-learn is not installed: no comparison")
        return
    values, ids = clusters(2 * SMALL[0], *SMALL[1:])
    train, test = (values[: SMALL[0]], ids[: SMALL[0]]), (values[SMALL[0] :], ids[SMALL[0] :])
    labels = Labels(train[1], SMALL[2])
    blocks = row_blocks(train[0], SMALL[2], CPU)
    standardize = standardization(blocks)

    def peer(strength: float) -> Linear:
        model = LogisticRegression(C=1 / (len(train[0]) * strength), tol=1e-6, max_iter=10_000)
        model.fit(((train[0] - standardize.mean) / standardize.std).numpy(), train[1].numpy())
        weight = torch.from_numpy(model.coef_) / standardize.std
        return Linear(weight, torch.from_numpy(model.intercept_) - weight @ standardize.mean)

    print("| strength | fit | objective | top-1 on other images | seconds |")
    print("|---|---|---|---|---|")
    for strength in COMPARED:
        objective = Objective(blocks, labels, standardize, strength)
        for name, solve in (("in21k", lambda s: fit(train[0], labels, s, CPU)), ("scikit-learn", peer)):
            linear, seconds = _timed(solve, strength)
            weight = linear.weight * standardize.std
            value = float(objective(weight, linear.bias + linear.weight @ standardize.mean)[0])
            top1 = float((linear(test[0]).argmax(1) == test[1]).double().mean())
            print(f"| {strength:.0e} | {name} | {value:.8f} | {top1:.4f} | {seconds:.2f} |")


def clusters(images: int, features: int, classes: int) -> tuple[Tensor, Tensor]:
    """Return features of correlated dimensions and uneven scales, a quarter of whose labels are wrong."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, classes, (images,), generator=generator)
    mix = torch.randn(features, features, generator=generator) * torch.logspace(0, -2, features)[:, None]
    centers = 0.6 * torch.randn(classes, features, generator=generator)
    values = torch.relu((centers[ids] + torch.randn(images, features, generator=generator)) @ mix)
    is_wrong = torch.rand(images, generator=generator) < 0.25
    return values, torch.where(is_wrong, torch.randint(0, classes, (images,), generator=generator), ids)


def _timed(solve: Callable[[float], Linear], strength: float) -> tuple[Linear, float]:
    began = time.perf_counter()
    return solve(strength), time.perf_counter() - began


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    main()
