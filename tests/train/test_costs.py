"""The figures of docs/costs.md follow from the published counts and speeds, and from what bench_memory.py counted."""

import runpy
from pathlib import Path

import pytest
from torch import nn

from in21k.train.model.architectures import ARCHITECTURES, Architecture
from in21k.train.recipes import open_recipe

ROOT = Path(__file__).parents[2]
TRAIN_IMAGES, VAL_IMAGES = 11_797_632, 561_052
GPUS = 8


def rows(caption: str) -> dict[str, list[str]]:
    """Return the cells of the table below a comment, by architecture."""
    page = (ROOT / "docs" / "costs.md").read_text()
    table = page.partition(f"<!-- {caption}:")[2].partition("-->")[2].strip().partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name: values for name, *values in cells}


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=[each.name for each in ARCHITECTURES])
def test_gpu_hours_are_images_by_epochs_over_the_published_speed(architecture: Architecture):
    hours = {epochs: TRAIN_IMAGES * epochs / architecture.train_speed / 3600 for epochs in (80, 140)}
    assert rows("gpu hours")[architecture.name] == [
        f"{architecture.train_speed:,}",
        f"{hours[80]:,.0f}",
        f"{hours[80] / GPUS / 24:.1f}",
        f"{hours[140]:,.0f}",
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=[each.name for each in ARCHITECTURES])
def test_batches_that_fit_follow_from_what_an_image_keeps(architecture: Architecture):
    largest, image, besides, *fit, accumulate = rows("memory")[architecture.name]
    assert int(largest) == architecture.batch_size
    fits = [
        int((0.8 * 1000 * memory - float(besides.replace(",", ""))) / float(image)) // 16 * 16
        for memory in (16, 24, 40, 80)
    ]
    assert [int(cell.replace(",", "")) for cell in fit] == fits
    batch = open_recipe("semantic-softmax").config.data.batch_size // GPUS
    assert int(accumulate) == next(parts for parts in (1, 2, 4, 8) if batch % parts == 0 and batch // parts <= fits[0])


def test_the_readme_has_the_days_of_the_page():
    days = {name: values[2] for name, values in rows("gpu hours").items()}
    readme = (ROOT / "README.md").read_text()
    assert f"ResNet50 {days['ResNet50']} days, ViT-B/16 {days['ViT-B/16']} days" in readme


def test_what_a_backward_pass_keeps_is_counted_once_and_without_the_weights():
    costs = runpy.run_path(str(ROOT / "bench" / "bench_memory.py"))["costs"]
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10, bias=False), nn.ReLU(), nn.Linear(10, 5, bias=False))
    inputs, weights = 3 * 4 * 4 + 10, 5 * 10  # of both layers; of the second, for the gradient of the first
    assert costs(network.train(), 4) == (2 * inputs, 2 * weights)  # in bfloat16
