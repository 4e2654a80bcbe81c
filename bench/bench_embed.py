"""Images per second of `in21k-train embed`, against those of the network's own forward pass on a batch in memory.

    python bench/bench_embed.py [--model resnet50] [--images 768] [--batch-size 32] [--rounds 1] [--workers 1]
        [--device cpu]

The dataset is drawn: JPEGs at the network's own size. embed's seconds are those of its summary, from the start of its
loader processes to the last file on the disk. The rounds of both are interleaved, and the figures are medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

from in21k.train.config.settings import RunConfig
from in21k.train.device.backend import same_bits
from in21k.train.device.ranks import Ranks
from in21k.train.embed.model import open_model
from in21k.train.model.layers import classifier_layer, pooled, watched
from in21k.train.model.on_device import evaluating, prepare_network
from in21k.train.stream.worker_count import available_cpus

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

DRAWN = 64
"""Different pictures; the images of the dataset are links to them."""


def main() -> None:
    """Measure, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--device", default="cpu")
    for name, value in (("images", 768), ("batch-size", 32), ("rounds", 1), ("workers", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        torch.manual_seed(0)
        save_file(timm.create_model(options.model).state_dict(), folder / "weights.safetensors")
        size = timm.models.get_pretrained_cfg_value(options.model, "input_size")[-1]
        draw_images(folder / "images", options.images, size)
        own, embedded = [], []
        for number in range(options.rounds):
            own.append(forward_rate(folder, options))
            embedded.append(embed_rate(folder, folder / f"out-{number}", options))
    mine, its = statistics.median(embedded), statistics.median(own)
    print("| model | images | forward, images/s | embed, images/s | share |\n|---|---|---|---|---|")
    print(f"| {options.model} | {options.images:,} | {its:,.1f} | {mine:,.1f} | {mine / its:.3f} |")


def draw_images(folder: Path, count: int, size: int) -> None:
    """Write JPEGs of a size."""
    from small_dataset import jpeg

    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:06d}.jpg"
        if number < DRAWN:
            path.write_bytes(jpeg(number % 10, number, size))
        else:
            path.hardlink_to(folder / f"{number % DRAWN:06d}.jpg")


def forward_rate(folder: Path, options: argparse.Namespace) -> float:
    """Return the images per second of the network alone, prepared as embed prepares it, on one batch in memory."""
    model, run = open_model(str(folder / "weights.safetensors"), options.model), RunConfig(device=options.device)
    device = torch.device(options.device)
    network = prepare_network(model.network, Ranks(device))
    shape = options.batch_size, 3, model.image_size, model.image_size
    images = torch.randint(256, shape, dtype=torch.uint8).to(device)
    with (
        same_bits(run, device, available_cpus()),
        watched(classifier_layer(network), inputs=True) as seen,
        evaluating(network, device, run),
    ):
        for step in range(-2, options.images // options.batch_size):
            if step == 0:  # after two steps of warming up
                began = time.perf_counter()
            network.module(network.inputs(images, device))
            last = pooled(network, seen.pop(), "input")
        last.cpu()  # waits for the device
    return options.images // options.batch_size * options.batch_size / (time.perf_counter() - began)


def embed_rate(folder: Path, output: Path, options: argparse.Namespace) -> float:
    """Return the images per second that the command states."""
    how = ["--checkpoint", folder / "weights.safetensors", "--model", options.model, "--output", output, "--json"]
    how += ["--batch-size", options.batch_size, "--workers", options.workers, "--device", options.device]
    command = [sys.executable, "-m", "in21k.train", "embed", folder / "images", *how]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    rate: float = json.loads(done.stdout)["images_per_second"]
    return rate


if __name__ == "__main__":
    main()
