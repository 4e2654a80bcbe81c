"""Names that fit weights: the authors' files under the paper's names, and messages that name what does fit."""

from pathlib import Path

import pytest
import timm
import torch
from small_dataset import WNIDS

from in21k.train.config.settings import ModelConfig
from in21k.train.errors import TrainError
from in21k.train.model.architectures import ARCHITECTURES, Architecture
from in21k.train.model.level_order import level_order
from in21k.train.model.network import build_network
from in21k.train.run.resolve import resolve_model
from in21k.tree.table import wordnet_hierarchy

ORDER = level_order(wordnet_hierarchy(WNIDS))


def write_layout(path: Path, name: str, classes: int = 11_221) -> Path:
    """A file with the names and shapes of one of timm's models, each tensor a single number in memory."""
    with torch.device("meta"):
        layout = timm.create_model(name, num_classes=classes).state_dict()
    tensors = {key: torch.full((1,), 0.5).expand(value.shape) for key, value in layout.items() if value.ndim}
    torch.save({"state_dict": tensors}, path)
    return path


def sized(architecture: Architecture) -> int:
    return 224 if timm.models.get_pretrained_cfg_value(architecture.timm, "fixed_input_size") else 64


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.name)
def test_the_authors_files_load_under_the_papers_names(tmp_path, architecture):
    authors = (architecture.authors or architecture.timm).partition(".")[0]
    path = write_layout(tmp_path / "authors.pth", authors)
    config = resolve_model(ModelConfig(name=architecture.name, init=str(path)))
    assert config.name == authors
    network = build_network(config, ORDER, sized(architecture))
    taken = [bool((value == 0.5).all()) for key, value in network.weights().items() if key not in network.head]
    assert sum(taken) >= len(taken) - sum(key.endswith("num_batches_tracked") for key in network.weights())


def test_the_papers_vit_keeps_its_biases_where_the_weights_have_them(tmp_path):
    path = write_layout(tmp_path / "timms.pth", "vit_base_patch16_224")
    assert resolve_model(ModelConfig(name="ViT-B/16", init=str(path))).name == "vit_base_patch16_224"
    assert resolve_model(ModelConfig(name="ViT-B/16")).name == "vit_base_patch16_224"


@pytest.mark.parametrize(
    ("given", "fitting"), [("vit_base_patch16_224", "vit_base_patch16_224_miil"), ("tresnet_m", "resnet50")]
)
def test_weights_of_another_architecture_are_named(tmp_path, given, fitting):
    path = write_layout(tmp_path / "weights.pth", fitting)
    with pytest.raises(TrainError, match=rf"is not a checkpoint of .*; it is one of {fitting}, which --model takes"):
        build_network(ModelConfig(name=given, init=str(path)), ORDER, 224)
