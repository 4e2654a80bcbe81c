"""Every architecture of the paper takes a real training step with its full classifier of 11,221 classes."""

import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from small_dataset import write_dataset
from train_runs import summary_of, train_losses

from in21k.train.config.overrides import with_values
from in21k.train.model.architectures import ARCHITECTURES
from in21k.train.model.level_order import level_order
from in21k.train.model.network import build_network
from in21k.train.recipes import read_recipe
from in21k.train.trainer.loop import pretrain
from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.table import wordnet_hierarchy

pytestmark = pytest.mark.slow
FALL11 = published_class_list(PublishedList.FALL11)
STEP = {
    "data.batch_size": 2,
    "data.eval_batch_size": 1,
    "data.image_size": 224,
    "optim.epochs": 1,
    "optim.lr": 1e-3,
    "run.workers": 0,
    "model.start": "random",
}


@pytest.fixture(scope="module")
def all_classes(tmp_path_factory) -> Path:
    """A dataset of all 11,221 classes with a batch of two images."""
    return write_dataset(tmp_path_factory.mktemp("fall11"), train=(2,), val=(1,), wnids=FALL11)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.timm)
def test_a_step_at_the_full_classifier(all_classes, tmp_path, architecture):
    settings = {**STEP, "model.name": architecture.name, "run.device": "cpu", "run.log_steps": 1}
    pretrain(str(all_classes), tmp_path, with_values(read_recipe("semantic-softmax"), settings), progress=False)
    [loss] = train_losses(tmp_path).values()
    assert 0 < loss < math.inf
    assert summary_of(tmp_path)["val_images"] == 1

    folder = tmp_path / "checkpoints" / "step-00000001"
    order = level_order(wordnet_hierarchy(FALL11))
    config = with_values(read_recipe("semantic-softmax"), {"model.name": architecture.timm}).model
    network = build_network(config, order, 224)
    with safe_open(folder / "optimizer.safetensors", "pt") as moments:
        for name in network.head:  # Adam's first moment after a step is a tenth of the gradient
            gradient = moments.get_tensor(f"{name}/exp_avg")
            assert len(gradient) == 11_221
            assert gradient.isfinite().all()
            assert gradient.count_nonzero() > len(gradient) // 2

    written = load_file(folder / "model.safetensors")
    network.load(written)
    read = network.weights()
    assert read.keys() == written.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in written.items())
    rows = network.module.state_dict()
    for name in network.head:  # in memory by level, in the file by class
        assert torch.equal(rows[name][torch.from_numpy(order.row_of_class)], written[name])
        assert not torch.equal(rows[name], written[name])
