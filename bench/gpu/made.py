"""What several checks use, made once: datasets, and runs on the CPU in float32 to compare with."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gpu.setup import Setup

sys.path.append(str(Path(__file__).parents[2] / "tests" / "support"))
from small_dataset import Sample, jpeg, write_dataset

SMALL_SIDE = 32
PER_SHARD = 256


def small(setup: Setup) -> Path:
    """Return a dataset of 288 images of 32 pixels in ten classes on three levels, which are quickly learned."""
    return made_once(setup.shared / "small", lambda folder: write_dataset(folder, (61, 90, 57, 80), (40, 24)))


def pictures(setup: Setup) -> Path:
    """Return the same with images of 224 pixels, of 64 on a CPU."""
    side = setup.pick(64, 224)

    def larger(split: str, number: int, sample: Sample) -> Sample:
        image = jpeg(sample.class_index, number + 1000 * (split == "val"), side)
        return replace(sample, image=image)

    def make(folder: Path) -> None:
        write_dataset(folder, (61, 90, 57, 80), (40, 24), replace=larger, parameters={"size": side})

    return made_once(setup.shared / "pictures", make)


def published(setup: Setup) -> Path:
    """Return a dataset of the 11,221 published classes with JPEGs as large as those of photographs, to measure with."""
    side, shards = setup.pick((64, 1), (224, 32))

    def make(folder: Path) -> None:
        from bench_loader import drawn

        from in21k.tree.class_lists import PublishedList, published_class_list

        drawings = [drawn(number, side) for number in range(64)]
        write_dataset(
            folder,
            (PER_SHARD,) * shards,
            (64,),
            tuple(sorted(published_class_list(PublishedList.FALL11))),
            lambda _, number, sample: replace(sample, image=drawings[number % len(drawings)]),
            parameters={"size": side},
        )
        sidecars = [sys.executable, "-m", "in21k.prep", "sidecars", str(folder)]  # what timm reads
        subprocess.run(sidecars, check=True, stdout=subprocess.DEVNULL)

    return made_once(setup.shared / "published", make)


def unseen(class_index: int, number: int) -> bytes:
    """Return a JPEG like those of the small dataset, which is not in it."""
    image: bytes = jpeg(class_index, 5000 + number)
    return image


def made_once(target: Path, make: Callable[[Path], object]) -> Path:
    """Return a folder, made by the first process that asks for it; the others wait."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_name(f"{target.name}.lock")):
        if not target.exists():
            partial = target.with_name(f"{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # of a check that was ended
            make(partial)
            partial.rename(target)
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
