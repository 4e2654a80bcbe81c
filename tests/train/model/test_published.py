"""Published models on a prepared dataset: the right classifier rows, and the right normalization."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from commands import error_lines
from hub import put_into_cache
from PIL import Image
from safetensors.torch import save_file
from small_dataset import WNIDS, write_dataset
from train_runs import answer

from in21k.train.config.settings import DataConfig, ModelConfig, RunConfig
from in21k.train.errors import TrainError
from in21k.train.evaluation.scores import evaluate, published_model
from in21k.train.model.published import PublishedModel, outputs_of, published_classes, published_network
from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.table import wordnet_hierarchy

FALL11 = published_class_list(PublishedList.FALL11)
HIERARCHY = wordnet_hierarchy(WNIDS)
CPU = RunConfig(device="cpu", workers=0)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> tuple[torch.nn.Module, Path]:
    """A model of 11,221 classes with random weights, and its file in timm's layout."""
    torch.manual_seed(0)
    module = timm.create_model("test_resnet", num_classes=11_221).eval()
    torch.nn.init.normal_(module.fc.weight)
    torch.nn.init.normal_(module.fc.bias)
    file = tmp_path_factory.mktemp("published") / "model.pth"
    torch.save({"state_dict": module.state_dict()}, file)
    return module, file


def test_the_order_of_the_authors_classes_is_timms():
    assert published_classes(11_221) == FALL11
    assert list(FALL11) == timm.data.ImageNetInfo("imagenet-21k-miil").label_names()
    assert published_classes(1000)[:2] == ("n01440764", "n01443537")
    assert published_classes(10_450) == published_class_list(PublishedList.WINTER21)
    with pytest.raises(TrainError, match="a classifier of 55 outputs matches no published class list"):
        published_classes(55)


def test_a_class_that_the_classifier_lacks_is_named():
    with pytest.raises(
        TrainError, match=r"1 of the dataset's 2 classes are not among the 1,000 of m, such as n00015388"
    ):
        outputs_of(["n00015388", "n01440764"], 1000, "m")


@pytest.mark.parametrize("inputs", ["timm", "unit"])
def test_logits_are_those_of_the_datasets_classes(published, inputs):
    module, file = published
    network = published_network(ModelConfig(name="test_resnet", inputs=inputs), file, HIERARCHY, 32)
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels = images / 255
    if inputs == "timm":
        mean, std = (torch.tensor(module.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
        assert mean.max() > 0
        pixels = (pixels - mean) / std
    with torch.no_grad():
        expected = module(pixels)[:, [FALL11.index(wnid) for wnid in WNIDS]]
        rows = network.module.eval()(network.inputs(images, torch.device("cpu")))
    torch.testing.assert_close(network.order.to_classes(rows.T).T, expected)


def val_images(folder: Path) -> tuple[torch.Tensor, list[int]]:
    """All val images of a dataset as float32 [N, 3, H, W] of 0 to 255, and their class indices."""
    images, labels = [], []
    for shard in sorted((folder / "val").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member).read()
                if member.name.endswith(".cls"):
                    labels.append(int(content))
                else:
                    images.append(np.asarray(Image.open(io.BytesIO(content)), np.float32))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), labels


def slow_semantic_top1(logits: torch.Tensor, labels: list[int]) -> float:
    """The share of correct guesses among all pairs of an image and a level at which it has an ancestor."""
    right = []
    for scores, label in zip(logits, labels, strict=True):
        for level, ancestor in enumerate(HIERARCHY.ancestors[label]):
            if ancestor >= 0:
                peers = [index for index in range(len(WNIDS)) if HIERARCHY.levels[index] == level]
                right.append(max(peers, key=lambda index, s=scores: s[index]) == ancestor)
    return sum(right) / len(right)


def test_scores_equal_those_computed_by_hand(published, dataset_folder):
    module, file = published
    summary = evaluate(str(dataset_folder), published_model(PublishedModel("test_resnet", file)), DataConfig(), CPU)
    pixels, labels = val_images(dataset_folder)
    mean, std = (torch.tensor(module.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        logits = module((pixels / 255 - mean) / std)[:, [FALL11.index(wnid) for wnid in WNIDS]]
    assert summary["val_images"] == len(labels) == 17
    assert summary["val_semantic_top1"] == pytest.approx(slow_semantic_top1(logits, labels))


def test_the_authors_models_take_inputs_of_0_to_1(capsys, monkeypatch, dataset_folder, tmp_path):
    torch.manual_seed(0)
    module = timm.create_model("mobilenetv3_large_100", num_classes=11_221).eval()
    torch.nn.init.normal_(module.classifier.weight)
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    pixels, labels = val_images(dataset_folder)
    with torch.no_grad():
        logits = module(pixels / 255)[:, [FALL11.index(wnid) for wnid in WNIDS]]
    expected = pytest.approx(slow_semantic_top1(logits, labels))
    put_into_cache(monkeypatch, tmp_path / "cache", "mobilenetv3_large_100.miil_in21k", module.state_dict())
    for arguments in (
        ("--model", "mobilenetv3_large_100.miil_in21k", "--weights", tmp_path / "weights.safetensors"),
        ("--model", "MobileNetV3-L", "--weights", tmp_path / "weights.safetensors"),
        ("--model", "MobileNetV3-L"),
    ):
        options = ("--json", "--device", "cpu", "--workers", "0")
        status, output, errors = answer(capsys, "evaluate", dataset_folder, *arguments, *options)
        assert status == 0, errors
        summary = json.loads(output)
        assert summary["model"] == "mobilenetv3_large_100.miil_in21k"
        assert summary["val_semantic_top1"] == expected


def test_wrong_requests_are_one_line(capsys, published, dataset_folder, tmp_path):
    _, file = published
    odd = timm.create_model("test_resnet", num_classes=55).state_dict()
    save_file(odd, tmp_path / "55.safetensors")
    save_file({k: v for k, v in odd.items() if not k.startswith("fc.")}, tmp_path / "headless.safetensors")
    thousand = timm.create_model("test_resnet", num_classes=1000).state_dict()
    save_file(thousand, tmp_path / "1000.safetensors")
    for status, arguments, message in (
        (2, [], "give either --checkpoint or --model"),
        (2, ["--checkpoint", tmp_path, "--model", "test_resnet"], "give either --checkpoint or --model"),
        (2, ["--checkpoint", tmp_path, "--weights", file], "--weights and --inputs belong to --model"),
        (1, ["--model", "resnet18", "--weights", file], "is not a checkpoint of resnet18"),
        (
            1,
            ["--model", "ResNet50"],
            "timm has no ImageNet-21K weights of ResNet50; pass the authors' file as --weights",
        ),
        (
            1,
            ["--model", "resnet50.a1_in2k"],
            "timm has no weights 'resnet50.a1_in2k'; did you mean resnet50.a1_in1k or resnet50.",
        ),
        (
            1,
            ["--model", "test_resnet", "--weights", tmp_path / "55.safetensors"],
            "a classifier of 55 outputs matches no",
        ),
        (1, ["--model", "test_resnet", "--weights", tmp_path / "headless.safetensors"], "has no classifier"),
        (
            1,
            ["--model", "test_resnet", "--weights", tmp_path / "1000.safetensors"],
            "10 of the dataset's 10 classes are",
        ),
        (1, ["--model", "test_resnet", "--weights", tmp_path / "none.pth"], "there is no such file"),
    ):
        got, out, err = answer(capsys, "evaluate", dataset_folder, *arguments, "--device", "cpu", "--workers", "0")
        assert (got, out, len(error_lines(err))) == (status, "", 1), err
        assert message in err


def test_a_class_outside_of_the_published_list_is_named(published, tmp_path):
    data = write_dataset(tmp_path / "data", wnids=sorted([*WNIDS, "n00001740"]))  # entity, in no release
    with pytest.raises(
        TrainError, match=r"1 of the dataset's 11 classes are not among the 11,221 .*, such as n00001740"
    ):
        evaluate(str(data), published_model(PublishedModel("test_resnet", published[1])), DataConfig(), CPU)
