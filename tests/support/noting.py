"""Runs the trainer and records which images it takes: `python noting.py NOTES pretrain …`, also under torchrun.

Each rank appends a line per batch to its own file in NOTES: epoch, position, and each image's digest and label.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

Seen = dict[tuple[int, int], list[str]]
"""(epoch, position of the first image) → `digest:label` of each image, in order."""


def digest(pixels: bytes, label: int) -> str:
    return f"{hashlib.blake2b(pixels, digest_size=12).hexdigest()}:{label}"


def seen_in(notes: Path) -> Seen:
    """What all ranks recorded, except lines that a kill cut short."""
    lines = [line for path in notes.glob("*") for line in path.read_text().splitlines() if line.endswith("]")]
    return {(epoch, start): images for epoch, start, images in map(json.loads, lines)}


def global_batches(seen: Seen, size: int) -> dict[tuple[int, int], list[str]]:
    """(epoch, step in the epoch) → the images of a global batch, those of all ranks together."""
    batches: dict[tuple[int, int], list[str]] = {}
    for (epoch, start), images in sorted(seen.items()):
        batches.setdefault((epoch, start // size), []).extend(images)
    return batches


def command(notes: Path, processes: int, *arguments: object) -> list[str]:
    notes.mkdir()
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    return [*launcher, __file__, str(notes), "pretrain", *map(str, arguments)]


def kill_all(process: "subprocess.Popen[str]", below: set[int]) -> None:
    """Kill a process and its descendants at once, also those of torchrun, which have sessions of their own."""
    for member in {process.pid, *below}:
        os.kill(member, signal.SIGKILL)
    process.wait()


def main() -> None:
    from in21k.train.cli.main import main as train
    from in21k.train.trainer import loop

    notes, opened = Path(sys.argv[1]), loop.open_stream

    def noting(*arguments: object, **options: object) -> Iterator[object]:
        with (notes / str(os.getpid())).open("a", buffering=1) as file:
            for batch in opened(*arguments, **options):  # type: ignore[arg-type]
                rows = batch.images.permute(0, 2, 3, 1).contiguous()
                pairs = zip(rows, batch.labels.class_indices.tolist(), strict=True)
                images = [digest(row.numpy().tobytes(), label) for row, label in pairs]
                file.write(json.dumps([batch.labels.epoch, batch.labels.start, images]) + "\n")
                yield batch
                del batch

    loop.open_stream = noting  # type: ignore[assignment]
    torch.set_num_threads(1)
    train(sys.argv[2:])


if __name__ == "__main__":
    main()
