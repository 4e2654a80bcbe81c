"""The datasets that tests of the trainer share."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from small_dataset import write_dataset
from train_runs import trained

from in21k.shards_manifest.markers import PNG_START


@pytest.fixture(scope="session", autouse=True)
def blank_curves() -> Iterator[None]:
    """Lay out the curves of runs within this process and draw nothing, which would take most of a short run's time.

    test_curves.py draws them, and so do runs in processes of their own and `in21k-train curves`.
    """
    from matplotlib.figure import Figure

    from in21k.train.trainer import loop

    plot_curves = loop.plot_curves

    def plot_blank(runs: Sequence[Path], output: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Figure, "savefig", lambda _, stream, **options: stream.write(PNG_START))
            plot_curves(runs, output)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "plot_curves", plot_blank)
        yield


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """93 training images in five shards and 17 val images in two: nothing divides."""
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="session")
def short_run(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A run of one epoch of test_resnet by the recipe of a name; it is made once, and no test changes it."""

    @cache
    def run_by(recipe: str) -> Path:
        return trained(dataset_folder, tmp_path_factory.mktemp("short") / recipe, "test_resnet", recipe)

    return run_by


@pytest.fixture(scope="session")
def mini(real_data, tmp_path_factory) -> Path:
    """A bucket's folder with mini21k in it, prepared: 26,383 training and 2,750 val images in 28 shards."""
    folder = tmp_path_factory.mktemp("mini") / "bucket"
    arguments = [real_data / "mini21k.tar", folder.parent / "work", folder / "data"]
    options = ["--size", 32, "--samples-per-shard", 1000]
    prepare = [sys.executable, "-m", "in21k.prep", "run", *map(str, [*arguments, *options])]
    subprocess.run(prepare, check=True, capture_output=True)
    return folder / "data"
