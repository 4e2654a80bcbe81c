"""Transfer to an image folder and to shards: fine-tuning and linear probe, from the command line's core."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hub import put_into_cache
from safetensors.torch import load_file
from small_coco import write_coco
from small_dataset import jpeg, picture
from train_runs import answer, summary_of

from in21k.train.data.interfaces import ReadOptions
from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.open_datasets.image_folder import open_image_folder
from in21k.train.errors import TrainError

CLASSES = ("ant", "bee", "cow")


def write_folder(root: Path, splits=("train", "val"), images=24, classes=CLASSES) -> Path:
    """An image folder whose classes are easy to tell apart, in several formats and cases of extension."""
    for split in splits:
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(images):
                at = number + 1000 * (split == "val")
                if number % 5 == 0:
                    picture(label, at).save(folder / f"{number}.PNG")
                else:
                    (folder / f"{number}.{'JPEG' if number % 2 else 'jpg'}").write_bytes(jpeg(label, at))
            (folder / "notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("animals"))


@pytest.fixture(scope="module")
def checkpoint(short_run) -> Path:
    """A run on the shards."""
    return short_run("semantic-softmax")


def transfer(capsys, data, checkpoint, run, *arguments: object) -> tuple[int, str, str]:
    given = ["--checkpoint", checkpoint, "--output", run, *arguments]
    return answer(capsys, "transfer", data, *given, "--device", "cpu", "--workers", "0")


def test_an_image_folder_has_all_images_once_and_its_classes_in_order(folder):
    data = open_image_folder(folder)
    assert data.hierarchy.wnids == CLASSES
    assert (data.samples("train"), data.samples("val")) == (72, 72)
    assert data.images_train.tolist() == [24, 24, 24]
    reader = data.reader("train", ReadOptions())()
    samples = reader.collect(reader.request(np.arange(-1, 72)))
    assert samples[0] is None
    assert {sample.key for sample in samples[1:]} == {
        str(path.relative_to(folder)) for path in (folder / "train").rglob("*.*") if path.suffix != ".txt"
    }
    assert all(sample.key.split("/")[1] == CLASSES[sample.class_index] for sample in samples[1:])
    assert all(bytes(sample.image) == (folder / sample.key).read_bytes() for sample in samples[1:])


def test_neighbors_are_of_mixed_classes_and_the_order_is_always_the_same(folder):
    data, again = open_image_folder(folder), open_image_folder(folder)
    reader = data.reader("train", ReadOptions())()
    block = [sample.class_index for sample in reader.collect(range(32))]
    assert len(set(block)) == 3
    assert data.digest == again.digest


def test_another_image_or_label_gives_another_digest(folder, tmp_path):
    other = write_folder(tmp_path / "more")
    before = open_image_folder(other).digest
    assert before == open_image_folder(folder).digest  # whatever the folder's name
    (other / "val" / "ant" / "1.JPEG").rename(other / "val" / "bee" / "x.JPEG")
    assert open_image_folder(other).digest != before


def test_a_share_of_each_class_is_held_out(tmp_path):
    root = write_folder(tmp_path, ["train"])
    with pytest.raises(TrainError, match=r"has no folder of validation images .*pass --val-share"):
        open_image_folder(root)
    for data in (open_image_folder(root, 0.1), open_image_folder(root / "train", 0.1)):
        assert data.images_val.tolist() == [3, 3, 3]
        assert data.images_train.tolist() == [21, 21, 21]
        keys = {split: set(data.splits[split].keys) for split in data.splits}
        assert not keys["train"] & keys["val"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "train" / "dog").mkdir(), "dog contains no images"),
        (lambda root: (root / "val" / "dog").mkdir(), "dog is a class that train lacks"),
    ],
)
def test_folders_that_do_not_fit_are_named(tmp_path, spoil, message):
    root = write_folder(tmp_path, images=2)
    spoil(root)
    with pytest.raises(TrainError, match=message):
        open_image_folder(root)


def test_shards_are_a_plain_list_of_classes(dataset_folder):
    data = open_data(DataRequest(str(dataset_folder)))
    assert data.hierarchy.num_levels == 1
    assert data.is_single_label
    table = data.hierarchy_table()
    assert set(table["level"].to_pylist()) == {0}
    assert "dog" in table["name"].to_pylist()


def test_fine_tuning_learns_and_its_run_can_be_evaluated(capsys, folder, checkpoint, tmp_path):
    run = tmp_path / "run"
    status, out, err = transfer(
        capsys,
        folder,
        checkpoint,
        run,
        "--epochs",
        6,
        "--batch-size",
        24,
        "--lr",
        5e-3,
        "--set",
        "data.cutout=0",
        "--json",
    )
    assert (status, err) == (0, "")
    summary = json.loads(out)
    assert summary == {"command": "transfer"} | summary_of(run)
    assert summary["classes"] == 3
    assert summary["val_top1"] > 0.8
    assert summary["majority_top1"] == pytest.approx(1 / 3)


def test_the_head_is_new_even_if_the_old_one_fits(dataset_folder, checkpoint, tmp_path):
    from in21k.train.config.settings import ModelConfig
    from in21k.train.data.prepared.dataset import open_dataset
    from in21k.train.model.level_order import level_order
    from in21k.train.model.network import build_network

    init = str(next((checkpoint / "checkpoints").glob("*/model.safetensors")))
    order = level_order(open_dataset(str(dataset_folder)).hierarchy)
    old = load_file(init)
    for new_head in (False, True):
        network = build_network(ModelConfig("test_resnet", init=init, new_head=new_head), order, 32)
        taken = {name for name, value in network.weights().items() if torch.equal(value, old[name])}
        assert ({"fc.weight", "fc.bias"} <= taken) is not new_head
        assert "conv1.0.weight" in taken


def test_timms_weights_transfer_without_their_classifier(capsys, monkeypatch, folder, tmp_path):
    from in21k.train.config.settings import ModelConfig
    from in21k.train.data.open_datasets.listed import flat_hierarchy
    from in21k.train.model.level_order import level_order
    from in21k.train.model.network import build_network

    weights = timm.create_model("test_resnet").state_dict()
    put_into_cache(monkeypatch, tmp_path / "cache", "test_resnet.r160_in1k", weights)
    order = level_order(flat_hierarchy([str(number) for number in range(1000)]))
    network = build_network(ModelConfig("test_resnet.r160_in1k", pretrained=True, new_head=True), order, 160)
    assert torch.equal(network.weights()["conv1.0.weight"], weights["conv1.0.weight"])
    assert not torch.equal(network.weights()["fc.weight"], weights["fc.weight"])
    given = ["--probe", "--image-size", 32]
    assert transfer(capsys, folder, "timm:test_resnet.r160_in1k", tmp_path / "run", *given)[0] == 0
    assert summary_of(tmp_path / "run")["val_top1"] > 0.5
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["model"]["inputs"] == "timm"


def test_a_probe_is_deterministic_and_writes_a_model(capsys, folder, checkpoint, tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for run in runs:
        status, _, err = transfer(capsys, folder, checkpoint, run, "--probe", "--keep-features")
        assert (status, err) == (0, "")
    summaries = [summary_of(run) for run in runs]
    assert summaries[0]["val_top1"] > 0.8
    assert summaries[0]["val_top5"] == 1
    assert summaries[0]["held_out_scores"] == summaries[1]["held_out_scores"]
    weights = [load_file(run / "model.safetensors") for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    features = load_file(runs[0] / "features.safetensors")
    model = timm.create_model("test_resnet", num_classes=3)
    model.load_state_dict(weights[0])
    logits = model.fc(features["val/features"])
    again = [transfer(capsys, folder, checkpoint, runs[0], *how)[2] for how in (["--probe"], ["--resume"])]
    assert again[0].endswith("already holds a run; give another --output\n"), "a probe refuses --resume"
    assert again[1].endswith(" holds a linear probe, which cannot be resumed; give another --output\n")
    assert float((logits.argmax(1) == features["val/label_ids"]).double().mean()) == summaries[0]["val_top1"]


@pytest.mark.parametrize("probe", [True, False])
def test_multi_label_data_is_scored_by_map(capsys, checkpoint, tmp_path, probe):
    root = write_coco(tmp_path / "coco", train=64, val=16)
    how = ["--probe"] if probe else ["--epochs", 8, "--batch-size", 16, "--lr", 5e-3, "--set", "data.cutout=0"]
    assert transfer(capsys, root, checkpoint, tmp_path / "run", *how)[0] == 0
    summary = summary_of(tmp_path / "run")
    assert summary["classes"] == 3
    assert summary["val_map"] > 0.8
    status, out, _ = answer(
        capsys, "predict", root / "val2017" / "003.jpg", "--checkpoint", tmp_path / "run", "--device", "cpu", "--json"
    )
    guesses = {guess["name"]: guess["probability"] for guess in json.loads(out)[0]["levels"][0]["guesses"]}
    assert status == 0
    assert guesses.keys() == {"person", "cow", "toothbrush"}
    assert guesses["toothbrush"] < 0.5 < guesses["person"]


@pytest.mark.parametrize("how", [[], ["--probe"]])
@pytest.mark.parametrize("recipe", ["transfer-single-label", "semantic-softmax"])
def test_a_recipe_for_one_class_per_image_refuses_images_with_several(capsys, checkpoint, tmp_path, recipe, how):
    root = write_coco(tmp_path / "coco")
    status, out, err = transfer(capsys, root, checkpoint, tmp_path / "run", "--recipe", recipe, *how)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "images with any number of classes" in err
    assert "use --recipe transfer-multi-label" in err
    assert not (tmp_path / "run").exists()


def test_the_semantic_recipe_scores_a_plain_list_by_the_top1_of_its_one_level(capsys, folder, checkpoint, tmp_path):
    how = ["--recipe", "semantic-softmax", "--epochs", 1, "--batch-size", 24]
    assert transfer(capsys, folder, checkpoint, tmp_path / "run", *how)[0] == 0
    summary = summary_of(tmp_path / "run")
    assert summary["val_semantic_top1_by_level"] == {"0": summary["val_semantic_top1"]}
    assert summary["majority_semantic_top1"] == pytest.approx(1 / 3)


def test_an_empty_val_folder_trains_without_validation(capsys, checkpoint, tmp_path):
    root = write_folder(tmp_path / "data", splits=["train"])
    (root / "val").mkdir()
    for number, how in enumerate((["--epochs", 1], ["--probe"])):
        status, out, err = transfer(capsys, root, checkpoint, tmp_path / f"{number}", *how)
        assert status == 0
        assert ("note: there are few training images: a batch is of 16, not of the recipe's 128" in err) == (not number)
        assert "there are no val images to evaluate on" in out
    config = json.loads((tmp_path / "0" / "config.json").read_text())
    assert (config["config"]["data"]["batch_size"], config["sources"]["data.batch_size"]) == (16, "data")
    assert transfer(capsys, root, checkpoint, tmp_path / "held", "--probe", "--val-share", 0.25)[0] == 0
    assert summary_of(tmp_path / "held")["val_images"] == 18


def test_a_val_share_is_refused_where_there_are_val_images(capsys, dataset_folder, folder, checkpoint, tmp_path):
    for data in (dataset_folder, folder, write_coco(tmp_path / "coco")):
        status, out, err = transfer(capsys, data, checkpoint, tmp_path / "run", "--val-share", 0.1)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert "leave --val-share out" in err


def test_a_broken_image_is_skipped_and_counted(capsys, checkpoint, tmp_path):
    root = write_folder(tmp_path / "data", images=12)
    (root / "train" / "ant" / "1.JPEG").write_bytes(b"no image")
    (root / "val" / "bee" / "0.PNG").write_bytes(b"\x89PNG")
    assert transfer(capsys, root, checkpoint, tmp_path / "run", "--probe")[0] == 0
    summary = summary_of(tmp_path / "run")
    assert (summary["train_images"], summary["skipped_images"]) == (35, 1)
    assert (summary["val_images"], summary["val_skipped"]) == (35, 1)


@pytest.mark.parametrize("how", [("--probe",), ("--knn", 5)], ids=["a linear probe", "k-NN"])
def test_settings_of_training_that_have_no_effect_on_a_frozen_network_are_named(
    capsys, folder, checkpoint, tmp_path, request, how
):
    used = ["--set", "data.interpolation=bilinear", "--image-size", 32]
    assert transfer(capsys, folder, checkpoint, tmp_path / "plain", *how, *used)[::2] == (0, "")
    training = ["--epochs", 3, "--batch-size", 7, "--lr", 0.5, "--seed", 9, "--compile", "--set", "model.drop_path=0.5"]
    more = [f"--set={key}" for key in ("loss.label_smoothing=0.7", "data.random_crop_min_area=0.1", "run.log_steps=1")]
    status, _, err = transfer(capsys, folder, checkpoint, tmp_path / "run", *how, *used, *training, *more)
    unused = ["model.drop_path", "loss.label_smoothing", "data.random_crop_min_area", "run.log_steps"]
    unused += ["optim.epochs", "data.batch_size", "optim.lr", "run.seed", "run.compile"]
    told = f"does not train the network, so this has no effect: {', '.join(unused)}"
    assert (status, err) == (0, f"note: {request.node.callspec.id} {told}\n")
    kept = [
        {
            key: value
            for key, value in summary_of(tmp_path / name).items()
            if key not in ("run", "checkpoint", "seconds")
        }
        for name in ("plain", "run")
    ]
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "no/such"], "no/such: there is no checkpoint"),
        (["--checkpoint", "timm:resnet81", "--probe"], "timm has no model 'resnet81'"),
        (["--layout", "shards"], "no manifest.json there"),
        (["--val-share", "2"], "--val-share 2: it must be 0 or more, and below 1, such as 0.1"),
        (["--val-share", "nan"], "--val-share nan: it must be 0 or more"),
        (["--task", "detection", "--val-share", "-1"], "--val-share -1: it must be 0 or more"),
        (["--clips", "2"], "holds images, which have no clips; leave it at 1"),
        (["--clips", "2", "--probe"], "holds images, which have no clips; leave it at 1"),
        (["--clips", "2", "--knn", "1"], "holds images, which have no clips; leave it at 1"),
    ],
)
def test_a_wrong_value_is_one_line(capsys, folder, checkpoint, tmp_path, arguments, message):
    status, out, err = transfer(capsys, folder, checkpoint, tmp_path / "run", *arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert message in err


@pytest.mark.parametrize("where", [".", "train", "new/run", ".."])
def test_a_run_in_the_images_or_around_them_is_refused(capsys, tmp_path, checkpoint, where):
    data = write_folder(tmp_path / "around" / "animals", images=1)
    before = sorted(tmp_path.rglob("*"))
    status, _, err = transfer(capsys, data, checkpoint, data / where)
    assert (status, err) == (
        1,
        f"in21k-train: error: --output {data / where} and DATA {data} are not apart; give another --output\n",
    )
    assert sorted(tmp_path.rglob("*")) == before
