"""How fast `verify` digests shards, against sha256sum (and openssl) on the same files, in interleaved rounds.

    python bench/bench_verify.py [DATASET]

Without a dataset: four files of 128 MiB in the page cache, through what `verify` calls for each shard. With
one: also the whole of `verify`, tables and sidecars included, against the same programs over its shards.

coreutils' sha256sum does not use the processor's SHA instructions where it was built without OpenSSL; openssl does, as
Python's hashlib: that row is the harder one.
"""

import hashlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from in21k.shards_manifest.manifest import SPLITS, ImageSpec, Shard, read_manifest
from in21k.shards_manifest.storage.location import locate
from in21k.shards_manifest.verify.checks import in_threads, verify
from in21k.shards_manifest.verify.findings import Depth
from in21k.shards_manifest.verify.shard import VerifyTask, check_shard

FILES, SIZE, ROUNDS = 4, 128 << 20, 5
PEERS = [peer for peer in ("sha256sum", "openssl dgst -sha256") if shutil.which(peer.split()[0])]

Run = Callable[[int], object]


def peer_run(program: str, paths: list[Path]) -> Run:
    """Return what digests files by another program, with as many processes as workers."""

    def run(workers: int) -> None:
        command = ["xargs", "-0", "-n", str(-(-len(paths) // workers)), "-P", str(workers), *program.split()]
        subprocess.run(command, input="\0".join(map(str, paths)), capture_output=True, text=True, check=True)

    return run


def compare(what: str, size: int, ours: Run, paths: list[Path]) -> None:
    """Print the speeds by one and by two workers, and the median ratio of ours to each peer's."""
    runs = {"verify": ours, **{peer: peer_run(peer, paths) for peer in PEERS}}
    for workers in (1, 2):
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                start = time.perf_counter()
                run(workers)
                seconds[name].append(time.perf_counter() - start)
        for name in runs:
            speed = size / statistics.median(seconds[name]) / 1e6
            ratio = statistics.median(b / a for a, b in zip(seconds["verify"], seconds[name], strict=True))
            print(f"{what:<34} {workers:>7}  {name:<20} {speed:>6,.0f} {ratio:>14.2f}")


def main() -> None:
    """Run the benchmark."""
    print(f"{'what':<34} {'workers':>7}  {'who':<20} {'MB/s':>6} {'verify is × it':>14}")
    with tempfile.TemporaryDirectory() as folder:
        shards = []
        for number in range(FILES):
            content = np.random.default_rng(number).bytes(SIZE)
            (Path(folder) / f"{number}.tar").write_bytes(content)
            shards.append(Shard(f"{number}.tar", 1, SIZE, hashlib.sha256(content).hexdigest()))
        images = ImageSpec(size=224)
        tasks = [VerifyTask(locate(folder), shard, None, images, is_deep=False) for shard in shards]

        def digests(workers: int) -> None:
            assert not any(in_threads(workers)(check_shard, tasks))

        paths = [Path(folder) / shard.path for shard in shards]
        compare(f"digests of {FILES} × {SIZE >> 20} MiB", FILES * SIZE, digests, paths)
    for dataset in sys.argv[1:]:
        manifest = read_manifest(locate(dataset))
        listed = [shard for split in SPLITS for shard in manifest.splits[split]]
        size = sum(shard.bytes for shard in listed)

        def whole(workers: int, dataset: str = dataset) -> None:
            assert verify(locate(dataset), Depth.DIGEST, in_threads(workers)).is_sound

        compare(f"all of verify, {size / 1e6:,.0f} MB", size, whole, [Path(dataset) / shard.path for shard in listed])


if __name__ == "__main__":
    main()
