"""Figures: what the losses cost, and images per second from shards."""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from gpu.check import Failed, Outcome, Skip
from gpu.made import published
from gpu.setup import Setup
from gpu.trainer import call, require
from in21k.shards_manifest.command.numbers import bytes_text

BENCH = Path(__file__).parents[1]


def losses(setup: Setup) -> Outcome:
    """Measure all losses, forward and backward, at 1,024 × 11,221 in bfloat16; at 16 rows in float32 on a CPU."""
    import torch
    from bench_losses import LOOP, REFERENCE, contenders, measure

    from in21k.train.device.choice import choose_device
    from in21k.tree.class_lists import PublishedList, published_class_list
    from in21k.tree.table import wordnet_hierarchy

    rows, dtype, rounds = setup.pick((16, torch.float32, 3), (1024, torch.bfloat16, 40))
    device = choose_device(setup.device)
    hierarchy = wordnet_hierarchy(published_class_list(PublishedList.FALL11))
    contending = contenders(hierarchy, rows, dtype, device)
    logits = torch.randn(rows, len(hierarchy), device=device).to(dtype).requires_grad_()
    times = measure(contending, logits, rounds)
    plain, loop = median(times[REFERENCE]), median(times[LOOP])
    figures, facts = {}, {}
    for name, values in times.items():
        peak = _peak(contending[name], logits)
        facts[name] = {"ms": median(values) * 1e3, "least_ms": min(values) * 1e3, "peak_over_logits": peak}
        words = [f"{median(values) * 1e3:.3g} ms", f"{median(values) / plain:.2f} × cross entropy"]
        words += [f"{loop / median(values):.1f} × as fast as the loop"] if name == "semantic-softmax" else []
        words += [f"{peak:.1f} × the logits' memory"] if peak is not None else []
        figures[f"{name}, {rows:,} × {len(hierarchy):,}, {str(dtype).removeprefix('torch.')}"] = ", ".join(words)
    return Outcome(f"{len(times)} losses in {rounds} rounds", figures, facts)


def _peak(loss: Any, logits: Any) -> float | None:
    """Return the most GPU memory that a loss takes beyond its logits, over theirs; None on a CPU."""
    import torch

    if logits.device.type != "cuda":
        return None
    logits.grad = None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    loss(logits).backward()
    torch.cuda.synchronize()
    taken: int = torch.cuda.max_memory_allocated() - before
    return taken / (logits.numel() * logits.element_size())


def throughput(setup: Setup, model: str, batch: int, processes: int = 1) -> Outcome:
    """Measure a model's images per second with `in21k-train throughput`: from shards, and on synthetic data."""
    data, batch = published(setup), _fitting(setup, batch) * processes
    words = ["throughput", data, "--model", model, "--batch-size", batch, "--steps", setup.pick(2, 60), "--json"]
    found = json.loads(require(call(setup, "run", [*map(str, words), *_device(setup)], processes)))
    step, loader, both = (found[f"{name}images_per_second"] for name in ("step_", "loader_", ""))
    told = [f"{both:,.0f} images/s from shards", f"{both / step:.2f} of {step:,.0f} on synthetic data"]
    told += [f"loader alone {loader:,.0f} with {found['workers']} processes", f"waited {found['data_wait']:.0%}"]
    told += [f"{bytes_text(found['gpu_memory_bytes'])} of GPU memory"] if found["gpu_memory_bytes"] else []
    name = f"{model}, batches of {batch}{f' on {processes} devices' if processes > 1 else ''}"
    return Outcome(f"bound by: {found['bound_by']}", {name: ", ".join(told)}, found)


def beside_timm(setup: Setup, model: str, batch: int) -> Outcome:
    """Measure a model against timm's train script on the same shards, with `bench_train_throughput.py`."""
    if not setup.timm_train:
        raise Skip("give --timm-train FILE, timm's train.py")
    batch, steps = _fitting(setup, batch), setup.pick(2, 60)
    command = [sys.executable, BENCH / "bench_train_throughput.py", published(setup), "--model", model]
    command += ["--batch-size", batch, "--steps", steps, "--rounds", 1, "--timm-train", setup.timm_train]
    done = subprocess.run([*map(str, command), *_device(setup)], capture_output=True, text=True, check=False)
    (setup.folder / "run.log").write_text(done.stdout + done.stderr)
    rows = [line for line in done.stdout.splitlines() if line.startswith(f"| {model} |")]
    if done.returncode or not rows:
        said = [line for line in done.stderr.splitlines() if "Error" in line] or ["nothing was printed"]
        raise Failed(f"exit status {done.returncode}: {said[-1]}")
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    told = f"{cells[3]} images/s from shards, {cells[7]} of timm's script ({cells[6]})"
    return Outcome("", {f"{model}, batches of {batch}, beside timm": told}, {"row": cells})


def _fitting(setup: Setup, batch: int) -> int:
    """Return a batch size that suits the device: a GPU of less memory than 40 GiB gets a quarter."""
    if not setup.on_gpu:
        return 8
    import torch

    return batch if torch.cuda.get_device_properties(0).total_memory > 40 * 2**30 else batch // 4


def _device(setup: Setup) -> list[str]:
    return ["--device", setup.device, *setup.pick(["--workers", "1"], [])]
