"""Whole runs on mini21k: the same images in the same order on any number of ranks, after kills, and from S3."""

import io
import os
import random
import subprocess
import tarfile
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from fault_proxy import Faults, faulty
from noting import command, digest, global_batches, kill_all, seen_in
from object_store import Server
from PIL import Image
from processes import descendants, until

pytestmark = [pytest.mark.real, pytest.mark.slow]

BATCH, EPOCHS = 192, 2
OPTIONS = [
    "--scratch",
    "--model",
    "test_vit",
    "--device",
    "cpu",
    "--batch-size",
    BATCH,
    "--epochs",
    EPOCHS,
    "--lr",
    "1e-3",
]
PLAIN = ["--set", "data.cutout=0", "--set", "data.randaugment_ops=0", "--set", "run.checkpoint_steps=10"]


@pytest.fixture(scope="module")
def images(mini) -> Counter[str]:
    """How often each training image is in the shards, read without any of our code."""
    found: Counter[str] = Counter()
    for path in sorted((mini / "train").glob("*.tar")):
        with tarfile.open(path) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}
        for name in files:
            if name.endswith(".jpg"):
                pixels = Image.open(io.BytesIO(files[name])).convert("RGB").tobytes()
                found[digest(pixels, int(files[f"{name[:-4]}.cls"]))] += 1
    return found


def run(folder: Path, data: object, processes: int, workers: int, *more: object) -> dict[tuple[int, int], list[str]]:
    """The global batches of a whole run."""
    notes = folder / f"notes-{processes}-{workers}"
    options = ["--output", folder / f"run-{processes}-{workers}", "--workers", workers, *OPTIONS, *PLAIN, *more]
    subprocess.run(command(notes, processes, data, *options), check=True, capture_output=True, timeout=500)
    return global_batches(seen_in(notes), BATCH)


@pytest.fixture(scope="module")
def alone(mini, tmp_path_factory) -> dict[tuple[int, int], list[str]]:
    return run(tmp_path_factory.mktemp("alone"), mini, 1, 0)


def test_an_epoch_is_every_image_once_but_for_the_last_incomplete_batch(alone, images):
    total = images.total()
    assert total == 26383
    for epoch in range(EPOCHS):
        taken = Counter(image for (number, _), batch in alone.items() if number == epoch for image in batch)
        assert taken <= images
        assert taken.total() == total // BATCH * BATCH
    assert list(alone) == [(epoch, step) for epoch in range(EPOCHS) for step in range(total // BATCH)]


@pytest.mark.parametrize(("processes", "workers"), [(1, 2), (2, 1), (2, 3)], ids=lambda value: str(value))
def test_ranks_and_loader_processes_see_the_same_batches_in_the_same_order(alone, mini, tmp_path, processes, workers):
    assert run(tmp_path, mini, processes, workers) == alone


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_again_and_again_and_resumed_on_other_counts_the_batches_are_those_of_one_run(
    alone, mini, tmp_path, seed
):
    """Each run contributes its batches up to the checkpoint from which the next one continues."""
    dice = random.Random(seed)
    counts = [(2, 3), (1, 0), (1, 2), (2, 1)]
    dice.shuffle(counts)
    order, parts = list(alone), []
    kills = sorted(dice.sample(range(11, len(alone) - 5), len(counts)))
    for at, (processes, workers) in enumerate([*counts, (1, 0)]):
        notes = tmp_path / f"notes-{at}"
        options = ["--output", tmp_path / "run", "--workers", workers, *OPTIONS, *PLAIN, *(["--resume"] if at else [])]
        process = subprocess.Popen(
            command(notes, processes, mini, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if at < len(kills):
            target = (order[kills[at]][0], order[kills[at]][1] * BATCH)
            until(lambda notes=notes, target=target: max(seen_in(notes), default=(-1, -1)) >= target, 400)
            kill_all(process, descendants(process.pid))
        assert process.wait(timeout=500) == (-9 if at < len(kills) else 0)
        parts.append(global_batches(seen_in(notes), BATCH))
    firsts = [order.index(min(part)) for part in parts]
    assert firsts[0] == 0
    assert all(first % 10 == 0 and first <= kill + 1 for first, kill in zip(firsts[1:], kills, strict=True))
    joined = [
        (step, part[step])
        for part, first, end in zip(parts, firsts, [*firsts[1:], len(order)], strict=True)
        for step in order[first:end]
    ]
    assert joined == list(alone.items())


@pytest.fixture
def server(mini, monkeypatch):
    monkeypatch.setenv("IN21K_RETRY_SECONDS", "30")
    server = Server(mini.parents[1])
    yield server
    server.kill()


def test_a_store_that_refuses_cuts_and_dies_gives_the_same_images_as_the_disk(alone, server, tmp_path):
    """One request in five gets a 503, one body in ten is cut at a random byte, and the server is killed twice."""
    faults, over, kills = Faults(refused=0.2, cut=0.1), threading.Event(), []

    def kill_now_and_then() -> None:
        while not over.wait(6) and len(kills) < 2:
            server.kill()
            kills.append(time.monotonic())
            over.wait(2)
            server.start()

    killer = threading.Thread(target=kill_now_and_then)
    with faulty(server.port, faults) as port:
        data = server.uri.format("bucket/data").replace(f":{server.port}", f":{port}")
        killer.start()
        try:
            assert run(tmp_path, data, 2, 1) == alone
        finally:
            over.set()
            killer.join()
    assert len(kills) == 2
    assert min(faults.seen["refused"], faults.seen["cut"]) > 50


@pytest.mark.parametrize(("processes", "workers"), [(1, 2), (2, 1)], ids=lambda value: str(value))
def test_a_store_that_is_gone_for_good_ends_the_run_in_time_with_one_error(server, tmp_path, processes, workers):
    notes, retry_seconds = tmp_path / "notes", 5
    options = ["--output", tmp_path / "run", "--workers", workers, *OPTIONS, *PLAIN]
    process = subprocess.Popen(
        command(notes, processes, server.uri.format("bucket/data"), *options),
        env={**os.environ, "IN21K_RETRY_SECONDS": str(retry_seconds)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: len(seen_in(notes)) >= 10)
        server.kill()
        _, errors = process.communicate(timeout=200)
    finally:
        if process.poll() is None:
            kill_all(process, descendants(process.pid))
    assert process.returncode != 0
    lines = [line for line in errors.splitlines() if "in21k-train: error: s3://" in line]
    assert lines
    assert all(f"127.0.0.1:{server.port}" in line and "bucket/data/train/in21k-train-" in line for line in lines)
    assert "testsecret" not in errors
    if processes == 1:
        assert len(lines) == 1
