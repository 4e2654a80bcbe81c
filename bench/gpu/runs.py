"""Checks of runs of one process: schemes and precisions, accumulation, EMA, image sizes, use of what was trained."""

import csv
import json
import math
from pathlib import Path
from typing import Any

from gpu.check import Failed, Outcome, Skip
from gpu.made import pictures, small, unseen
from gpu.setup import Setup
from gpu.trainer import (
    BATCH,
    EPOCHS,
    EXACT,
    call,
    learns,
    losses_of,
    pretraining,
    reference,
    require,
    same_losses,
    summary_of,
    train,
)

NETWORK = ("--model", "test_resnet")
FIRST = {"bfloat16": 0.02, "float16": 0.01, "float32": 1e-4}
"""The largest relative gap between the first loss and that of the CPU in float32, by precision."""


def scheme(setup: Setup, name: str, dtype: str, more: tuple[str, ...] = (), processes: int = 1) -> Outcome:
    """Check that a scheme learns, and that its first loss is that of a CPU in float32."""
    options = [*NETWORK, *recipe(setup, name)]
    run = train(setup, "run", *options, "--set", f"run.amp_dtype={dtype}", *more, processes=processes)
    found = losses_of(run)
    told = learns(found)
    summary = summary_of(run)
    if (summary["device"], summary["processes"]) != (setup.device, processes):
        raise Failed(f"it ran on {summary['processes']} × {summary['device']}")
    if not math.isfinite(summary["val_loss"]):
        raise Failed(f"the val loss is {summary['val_loss']}")
    overflows = f", {summary['overflowed_steps']} overflows" if dtype == "float16" else ""
    if processes == 1:  # batch norm sees the images of one rank
        expected = losses_of(reference(setup, name, *options))
        same_losses({1: found[1]}, {1: expected[1]}, FIRST[dtype], 0)
        told += f" (float32 on a CPU: to {sum(list(expected.values())[-6:]) / 6:.3g})"
    return Outcome(f"{told}{overflows}", facts=_kept(run))


def recipe(setup: Setup, name: str) -> list[str]:
    """Return the options of a scheme; the teacher of the distilling ones is another scheme's run."""
    is_distilling = name.endswith("distillation")
    words = ["--recipe", "semantic-distillation" if is_distilling else name, "--set", f"loss.scheme={name}"]
    if is_distilling:
        words += ["--teacher", str(reference(setup, "semantic-softmax", *NETWORK, *recipe(setup, "semantic-softmax")))]
    return words


def exact(setup: Setup, name: str, more: tuple[str, ...] = (), processes: int = 1, is_alike: bool = False) -> Outcome:
    """Check that a run in float32 without batch norm has the losses and the val loss that a CPU has.

    Args:
        setup: of the check.
        name: of the reference.
        more: options of the run.
        processes: ranks.
        is_alike: whether the reference has these options, too, because they change the losses.
    """
    expected = reference(setup, name, *EXACT, *(more if is_alike else ()))
    run = train(setup, "run", *EXACT, *more, processes=processes)
    told = same_losses(losses_of(run), losses_of(expected), FIRST["float32"], 0.02)
    _near("val_loss", summary_of(run), summary_of(expected), 0.02)
    return Outcome(told, facts=_kept(run))


def ema(setup: Setup) -> Outcome:
    """Check that the moving average is a CPU's, and that `evaluate` finds it again, and the weights themselves."""
    option = ("--set", "optim.ema_decay=0.9")
    found = exact(setup, "ema", option, is_alike=True)
    run, scores = setup.folder / "run", {}
    for name, more in (("ema", []), ("raw", ["--raw"])):
        scores[name] = _evaluated(setup, run, name, setup.device, more)
    _near("val_loss", scores["ema"], summary_of(run), 1e-3)
    if scores["raw"]["val_loss"] == scores["ema"]["val_loss"]:
        raise Failed("the moving average scores as the weights themselves")
    return Outcome(f"{found.note}; evaluated: {scores['ema']['val_loss']:.5g}, raw {scores['raw']['val_loss']:.5g}")


def large_images(setup: Setup, model: str) -> Outcome:
    """Check that one of the paper's models learns at 224 pixels, at 64 on a CPU."""
    data, batch = pictures(setup), setup.pick(8, BATCH)
    more = ["--model", model, "--batch-size", batch, "--epochs", setup.pick(1, EPOCHS), "--lr", "1e-3"]
    run = train(setup, "run", *more, data=data)
    losses = losses_of(run)
    values = [losses[step] for step in sorted(losses)]
    if not all(map(math.isfinite, values)) or sum(values[-6:]) >= sum(values[:6]):
        raise Failed(f"the loss went from {values[0]:.4g} to {values[-1]:.4g}")
    memory = _memory(run)
    figures = {f"{model}, batches of {batch}: GPU memory of the run": f"{memory:,.0f} MB"} if memory else {}
    return Outcome(f"loss from {values[0]:.3g} to {values[-1]:.3g}", figures, _kept(run))


def growing_images(setup: Setup, *more: str) -> Outcome:
    """Check a run whose images grow."""
    run = train(setup, "run", *NETWORK, "--image-size", "0:16, 1:24, 2:32", *more)
    return Outcome(learns(losses_of(run)), facts=_kept(run))


def augmented_on_device(setup: Setup) -> Outcome:
    """Check a run whose images are augmented on the device."""
    more = ["data.augment_device=gpu", "data.cutout=0.5", "data.randaugment_ops=2"]
    run = train(setup, "run", *NETWORK, *(word for pair in more for word in ("--set", pair)))
    return Outcome(learns(losses_of(run), 1.0), facts=_kept(run))


def deterministic(setup: Setup, model: str) -> Outcome:
    """Check that two deterministic runs have the same losses to the last digit."""
    runs = []
    for name in ("one", "other"):
        run = setup.folder / name
        done = call(setup, name, pretraining(setup, run, "--model", model, "--set", "run.deterministic=true"))
        if done.returncode == 1 and "run.deterministic=false" in done.stderr:
            raise Skip(f"{model} cannot: {done.stderr.splitlines()[-1]}")
        require(done)
        runs.append((run / "metrics.csv").read_text().splitlines())
    one, other = ([line.split(",")[3] for line in lines] for lines in runs)
    if one != other:
        raise Failed(
            f"the losses differ, first in row {[a == b for a, b in zip(one, other, strict=True)].index(False)}"
        )
    return Outcome(f"{len(one) - 1} equal losses")


def uses(setup: Setup) -> Outcome:
    """Check that evaluation, a linear probe and predictions on the device are those of a CPU, within bfloat16."""
    model = reference(setup, "semantic-softmax", *NETWORK, *recipe(setup, "semantic-softmax"))
    devices = tuple(dict.fromkeys(("cpu", setup.device)))
    found = {device: _evaluated(setup, model, f"evaluate-{device}", device) for device in devices}
    _near("val_loss", found[setup.device], found["cpu"], 0.03)
    _close("val_semantic_top1", found[setup.device], found["cpu"], 0.05)
    probes = {}
    for device in devices:
        run = setup.folder / f"probe-{device}-run"
        words = ["transfer", small(setup), "--checkpoint", model, "--probe", "--output", run, "--workers", 1]
        require(call(setup, f"probe-{device}", [*map(str, words), "--device", device]))
        probes[device] = summary_of(run)
    _close("val_top1", probes[setup.device], probes["cpu"], 0.1)
    predicted = {device: _predicted(setup, model, device) for device in devices}
    for name in predicted["cpu"]:
        _close(name, predicted[setup.device], predicted["cpu"], 0.05)
    return Outcome(
        f"val loss {found[setup.device]['val_loss']:.4g} ({found['cpu']['val_loss']:.4g}), "
        f"probe {probes[setup.device]['val_top1']:.2f} ({probes['cpu']['val_top1']:.2f}), "
        f"{len(predicted['cpu'])} predictions alike"
    )


def _evaluated(setup: Setup, model: Path, name: str, device: str, more: list[str] | None = None) -> dict[str, Any]:
    words = ["evaluate", str(small(setup)), "--checkpoint", str(model), "--workers", "1", "--json", "--device", device]
    scores: dict[str, Any] = json.loads(require(call(setup, name, [*words, *(more or [])])))
    return scores


def _predicted(setup: Setup, model: Path, device: str) -> dict[str, float]:
    """Return the highest probability of each level for an image of each class."""
    images = [setup.folder / f"{number}.jpg" for number in range(10)]
    for number, path in enumerate(images):
        path.write_bytes(unseen(number, number))
    words = ["predict", *images, "--checkpoint", model, "--data", small(setup), "--json", "--device", device]
    found = json.loads(require(call(setup, f"predict-{device}", list(map(str, words)))))
    return {
        f"probability at level {level['level']} of image {number}": level["guesses"][0]["probability"]
        for number, prediction in enumerate(found)
        for level in prediction["levels"]
    }


def _near(key: str, found: dict[str, Any], expected: dict[str, Any], gap: float) -> None:
    """Refuse a value further from the expected one than a share of it."""
    _close(key, found, expected, gap * abs(expected[key]))


def _close(key: str, found: dict[str, Any], expected: dict[str, Any], gap: float) -> None:
    """Refuse a value further from the expected one than a gap."""
    if not abs(found[key] - expected[key]) <= gap:
        raise Failed(f"{key} is {found[key]:.6g}, and {expected[key]:.6g} is expected (within {gap:.2g})")


def _memory(run: Path) -> float:
    """Return the most GPU memory that a run took, in MB; 0 on a CPU."""
    with (run / "metrics.csv").open() as file:
        return max(float(row["gpu_memory_mb"] or 0) for row in csv.DictReader(file))


def _kept(run: Path) -> dict[str, Any]:
    """Return what the JSON keeps of a run."""
    return {"losses": losses_of(run), "gpu_memory_mb": _memory(run)}
