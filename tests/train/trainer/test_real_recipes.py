"""Each recipe on mini21k, from the command line: two epochs, whole and cut at a random step."""

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from processes import until
from train_runs import run_train, summary_of, train_command, train_losses

from in21k.train.losses.schemes import DISTILLING
from in21k.train.recipes import read_recipe, recipe_names

pytestmark = [pytest.mark.real, pytest.mark.slow]

STEPS = 2 * (26383 // 256)
OPTIONS = ["--scratch", "--model", "test_resnet", "--device", "cpu", "--batch-size", 256, "--epochs", 2]
SETTINGS = ["--workers", 0, "--set", "data.randaugment_ops=0", "--set", "run.log_steps=1"]
SETTINGS += ["--set", "run.checkpoint_steps=20", "--set", "run.eval_epochs=2"]
RECIPES = [name for name in recipe_names() if not name.startswith(("transfer", "imagenet1k", "detection"))]


def command(mini: Path, run: Path, recipe: str, teacher: Path) -> list[object]:
    teachers = ["--teacher", teacher] if read_recipe(recipe).loss.scheme in DISTILLING else []
    rate = [] if read_recipe(recipe).optim.name == "sgd" else ["--lr", "1e-3"]  # SGD's own is larger
    return ["pretrain", mini, "--recipe", recipe, "--output", run, *OPTIONS, *rate, *SETTINGS, *teachers]


@pytest.fixture(scope="module")
def runs(mini, tmp_path_factory) -> dict[str, Path]:
    """The uncut run of each recipe."""
    folder = tmp_path_factory.mktemp("recipes")
    found: dict[str, Path] = {}
    for recipe in sorted(RECIPES, key=lambda name: read_recipe(name).loss.scheme in DISTILLING):
        run = folder / recipe
        done = run_train(*command(mini, run, recipe, folder / "semantic-softmax"), timeout=900)
        assert done.returncode == 0, done.stderr
        found[recipe] = run
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_it_trains_two_epochs(runs, recipe):
    summary, losses = summary_of(runs[recipe]), train_losses(runs[recipe])
    assert (summary["steps"], summary["val_images"], summary["skipped_images"]) == (STEPS, 2750, 0)
    assert sum(list(losses.values())[-10:]) < sum(list(losses.values())[:10])
    metrics = {"single-label": "val_top5", "multi-label": "val_map"}.get(summary["scheme"], "val_semantic_top1")
    assert 0 < summary[metrics] < 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_cut_at_a_random_step_its_losses_are_those_of_the_uncut_run(runs, mini, tmp_path, recipe):
    cut, at = tmp_path / "cut", random.randrange(25, STEPS - 5)
    words = command(mini, cut, recipe, runs["semantic-softmax"])
    process = subprocess.Popen(train_command(*words), start_new_session=True, stderr=subprocess.DEVNULL)
    until(lambda: (cut / "metrics.csv").exists() and max(train_losses(cut), default=0) >= at, seconds=900)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = run_train(*words, "--resume", timeout=900)
    assert done.returncode == 0, done.stderr
    assert 0 < summary_of(cut)["resumed_at_step"] <= at + 20
    assert train_losses(cut) == train_losses(runs[recipe])
