"""Exported folders: what timm loads, the card and its header, the classes, and what is not overwritten."""

import csv
import io
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
import warm
import yaml
from small_dataset import write_dataset
from train_runs import answer, trained

from in21k.shards_manifest.storage.location import locate
from in21k.train.config.settings import ModelConfig
from in21k.train.publish.card_metadata import UNKNOWN, default_license, hub_base
from in21k.train.publish.class_files import class_lines, imagenet1k_map
from in21k.train.use.class_table import ClassTable
from in21k.train.use.trained_model import open_trained
from in21k.tree.class_lists import PublishedList, published_class_list
from in21k.tree.hierarchy import Hierarchy


@pytest.fixture(scope="module")
def run(dataset_folder, tmp_path_factory) -> Path:
    return trained(dataset_folder, tmp_path_factory.mktemp("export") / "run", "test_resnet")


@pytest.mark.parametrize(("name", "size"), [("test_resnet", 32), ("test_vit", 48)])
def test_timm_loads_an_export_and_gives_our_logits(capsys, dataset_folder, tmp_path, name, size):
    run = trained(dataset_folder, tmp_path / "run", name, **{"data.image_size": size})
    status, out, err = answer(capsys, "export", run, tmp_path / "out", "--json")
    assert (status, err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(json.loads(out)["files"])
    ours = open_trained(run)
    inputs = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    options = {"img_size": size} if name == "test_vit" else {}
    weights = tmp_path / "out" / "model.safetensors"
    loaded = [
        timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True),
        timm.create_model(name, checkpoint_path=str(weights), num_classes=10, **options),
        open_trained(tmp_path / "out").network.module,
    ]
    with torch.inference_mode():
        expected = ours.network.order.to_classes(ours.network.module(inputs).T).T
        found = [model.eval()(inputs) for model in loaded]
    found[2] = ours.network.order.to_classes(found[2].T).T
    for logits in found:
        torch.testing.assert_close(logits, expected)
    config = timm.data.resolve_data_config(model=loaded[0])
    assert (tuple(config["input_size"]), tuple(config["mean"]), config["crop_pct"]) == ((3, size, size), (0, 0, 0), 1)
    assert config["interpolation"] == open_trained(run).metadata.config.data.interpolation == "bilinear"
    assert loaded[0].pretrained_cfg["label_names"] == list(ours.classes.hierarchy.wnids)
    assert loaded[0].pretrained_cfg["label_descriptions"]["n02084071"].startswith("dog, domestic dog")


def test_the_model_card_has_data_metrics_and_recipe(capsys, run, tmp_path):
    assert answer(capsys, "export", run, tmp_path / "out")[0] == 0
    page = (tmp_path / "out" / "README.md").read_text()
    summary = json.loads((run / "summary.json").read_text())
    assert f"| val_semantic_top1 | {summary['val_semantic_top1']:.6g} |" in page
    assert json.loads((run / "config.json").read_text())["dataset"]["manifest_sha256"] in page
    assert "| optim.lr | 0.0003 |" in page
    status, _, err = answer(capsys, "export", run, tmp_path / "out")
    assert (status, err.count("\n")) == (1, 1)
    assert "already holds a model.safetensors" in err


def test_an_export_into_what_is_no_export_is_refused(capsys, run, tmp_path):
    status, _, err = answer(capsys, "export", run, run)
    assert (status, err.count("\n")) == (1, 1)
    assert f"{run} holds metrics.csv of a training run" in err
    (tmp_path / "README.md").write_text("mine")
    status, _, err = answer(capsys, "export", run, tmp_path)
    assert (status, err) == (1, f"in21k-train: error: {tmp_path} already holds a README.md; give another folder\n")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_an_export_that_was_killed_can_be_repeated(capsys, run, tmp_path):
    assert answer(capsys, "export", run, tmp_path / "out")[0] == 0
    (tmp_path / "out" / "model.safetensors").unlink()  # it is written last
    assert answer(capsys, "export", run, tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "model.safetensors").exists()


def header_of(folder: Path) -> dict:
    """The header of a model card, read by a YAML parser."""
    page = (folder / "README.md").read_text()
    assert page.startswith("---\n")
    return yaml.safe_load(page[4:].partition("\n---\n")[0])


def test_the_header_of_the_card_is_what_the_hub_reads(capsys, run, dataset_folder, tmp_path):
    assert answer(capsys, "export", run, tmp_path / "out")[0] == 0
    summary = json.loads((run / "summary.json").read_text())
    header = header_of(tmp_path / "out")
    assert (header["license"], header["license_name"]) == ("other", "imagenet")
    assert header["license_link"] == "https://www.image-net.org/download.php"
    assert (header["library_name"], header["pipeline_tag"]) == ("timm", "image-classification")
    assert header["tags"] == ["timm", "image-classification", "in21k"]
    assert (header["datasets"], header["metrics"]) == ([dataset_folder.name], ["accuracy"])
    assert "base_model" not in header
    [index] = header["model-index"]
    assert index["name"] == "test_resnet"
    [result] = index["results"]
    assert result["dataset"] == {"name": dataset_folder.name, "type": dataset_folder.name, "split": "val"}
    [metric] = result["metrics"]
    assert metric["value"] == pytest.approx(summary["val_semantic_top1"], abs=1e-6)
    assert str(dataset_folder.parent) not in (tmp_path / "out" / "README.md").read_text()


def test_the_license_is_the_users_choice(capsys, run, tmp_path):
    link = "https://example.org/terms"
    assert answer(capsys, "export", run, tmp_path / "out", "--license", "cc-by-nc-4.0", "--license-link", link)[0] == 0
    header = header_of(tmp_path / "out")
    assert (header["license"], header["license_link"]) == ("cc-by-nc-4.0", link)
    assert "license_name" not in header
    for given, message in (
        (["--license", "My License"], "'My License' is no identifier of the hub"),
        (["--license", "other"], "add --license-link URL"),
        (["--license-link", link], "'' is no identifier of the hub"),
        (["--license", "mit", "--license-link", "terms.txt"], "'terms.txt' is no address"),
    ):
        status, out, err = answer(capsys, "export", run, tmp_path / "other", *given)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert message in err
    assert not (tmp_path / "other").exists()


def test_timms_weights_are_named_as_on_the_hub():
    assert hub_base(ModelConfig("tresnet_m", pretrained=True)) == "timm/tresnet_m.miil_in21k_ft_in1k"
    assert hub_base(ModelConfig("resnet50.a1_in1k", pretrained=True)) == "timm/resnet50.a1_in1k"
    assert hub_base(ModelConfig("resnet50.a1_in1k")) == ""


def test_a_fine_tuned_model_names_the_run_that_it_started_from_and_no_folder_of_the_machine(
    capsys, run, dataset_folder, tmp_path
):
    weights = max(run.glob("checkpoints/*/model.safetensors"))
    tuned = trained(dataset_folder, tmp_path / "tuned", "test_resnet", **{"model.init": str(weights)})
    assert answer(capsys, "export", tuned, tmp_path / "out")[0] == 0
    page = (tmp_path / "out" / "README.md").read_text()
    assert f"It started from the weights `run/checkpoints/{weights.parent.name}/model.safetensors`." in page
    assert "base_model" not in header_of(tmp_path / "out")


def test_classes_are_listed_in_class_order_and_mapped_to_imagenet1k(capsys, run, tmp_path):
    assert answer(capsys, "export", run, tmp_path / "out")[0] == 0
    classes = open_trained(run).classes
    lines = [line.split("\t") for line in (tmp_path / "out" / "classes.txt").read_text().splitlines()]
    assert [wnid for wnid, _ in lines] == list(classes.hierarchy.wnids)
    assert dict(lines)["n02084071"] == "dog, domestic dog, Canis familiaris"
    assert not (tmp_path / "out" / "imagenet1k_map.csv").exists()  # none of the ten is in ImageNet-1K


def test_the_map_to_imagenet1k_is_used_as_the_card_says(capsys, tmp_path):
    known = published_class_list(PublishedList.IN1K)[7:900:90]
    data = write_dataset(tmp_path / "data", wnids=["n02084071", *known], train=(20,), val=(9,))
    assert answer(capsys, "export", trained(data, tmp_path / "run", "test_resnet"), tmp_path / "out")[0] == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "imagenet1k_map.csv").read_text())))
    assert [row["wnid"] for row in rows] == list(published_class_list(PublishedList.IN1K))
    assert [int(row["imagenet1k_index"]) for row in rows] == list(range(1000))
    wnids = open_trained(tmp_path / "run").classes.hierarchy.wnids
    assert {row["wnid"]: wnids[int(row["class_index"])] for row in rows if row["class_index"]} == {x: x for x in known}
    [code] = [part for part in re.findall(r"```python\n(.*?)```", card_of(tmp_path), re.DOTALL) if "csv" in part]
    logits = torch.zeros(2, len(wnids))
    logits[0, wnids.index(known[3])] = logits[1, wnids.index(known[5])] = 1
    logits[:, wnids.index("n02084071")] = 2  # no class of ImageNet-1K
    values = {"logits": logits}
    exec(code.replace("FOLDER", str(tmp_path / "out")), values)
    assert values["answers"] == [7 + 90 * 3, 7 + 90 * 5]
    assert "which is empty for the 990 of 1,000" in card_of(tmp_path)


def card_of(folder: Path) -> str:
    return (folder / "out" / "README.md").read_text()


@pytest.mark.parametrize("name", ["test_resnet", pytest.param("ofa_595", marks=pytest.mark.slow)])
def test_the_cards_python_runs(capsys, dataset_folder, tmp_path, name):
    run = trained(dataset_folder, tmp_path / "run", name)
    assert answer(capsys, "export", run, tmp_path / "out")[0] == 0
    code = re.findall(r"```python\n(.*?)```", card_of(tmp_path), re.DOTALL)[0].replace("FOLDER", str(tmp_path / "out"))
    done = subprocess.run(warm.python("-c", code), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_labels_of_a_taxonomy_of_ones_own_keep_a_line_each_and_no_license_is_made_up():
    hierarchy = Hierarchy(("a\tb", "c\nd"), np.array([-1, 0]))
    classes = ClassTable(locate("table"), hierarchy, ("x", "y"), (("x", "z\t"), ("y",)))
    assert class_lines(classes) == b"a b\tx, z \nc d\ty\n"
    assert imagenet1k_map(classes) == b""
    model = SimpleNamespace(classes=classes)
    assert default_license(model) == UNKNOWN
