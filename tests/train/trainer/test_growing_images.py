"""Runs whose images grow: sizes by epoch, an exact resume, the last size in the model's file, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from train_runs import answer, cut_at, summary_of, train_losses

from in21k.train.config.overrides import with_values
from in21k.train.errors import TrainError
from in21k.train.model.model_file import MODEL, read_metadata
from in21k.train.recipes import read_recipe
from in21k.train.run.checkpoint import find_model
from in21k.train.trainer.loop import pretrain
from in21k.train.trainer.session import Session

SIZES = "0:16, 1:20, 2:32"
STEPS = 93 // 12
SETTINGS = {
    "model.name": "test_resnet",
    "model.start": "random",
    "data.image_size": SIZES,
    "data.batch_size": 12,
    "optim.epochs": 3,
    "run.device": "cpu",
    "run.workers": 0,
    "run.log_steps": 1,
    "run.checkpoint_steps": 3,
    "run.keep_checkpoints": 100,
    "run.eval_epochs": 3,
}


def train(dataset: Path, run: Path, resume: bool = False, **values) -> dict:
    changed = SETTINGS | {key.replace("__", "."): value for key, value in values.items()}
    recipe = read_recipe("semantic-softmax")
    return pretrain(str(dataset), run, with_values(recipe, changed), resume=resume, progress=False)


@pytest.fixture(scope="module")
def grown(dataset_folder, tmp_path_factory) -> tuple[Path, list[int]]:
    """A run, and the side of the images of each of its steps."""
    run, sides = tmp_path_factory.mktemp("growing") / "run", []

    def watched(session, batch, step, take=Session.train_step):
        sides.append(batch.images.shape[-1])
        return take(session, batch, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "train_step", watched)
        train(dataset_folder, run)
    return run, sides


def test_the_steps_of_an_epoch_have_its_size(grown):
    assert grown[1] == [16] * STEPS + [20] * STEPS + [32] * STEPS


def test_the_run_keeps_its_schedule_and_the_model_its_last_size(grown):
    run, _ = grown
    assert json.loads((run / "config.json").read_text())["config"]["data"]["image_size"] == SIZES
    assert summary_of(run)["image_size"] == 32
    metadata = read_metadata(find_model(run))
    assert (metadata.image_size, metadata.config.data.image_size) == (32, SIZES)


def test_its_evaluation_is_at_the_last_size(grown, dataset_folder, capsys):
    command = ["evaluate", dataset_folder, "--checkpoint", grown[0], "--device", "cpu", "--json"]
    status, out, _ = answer(capsys, *command)
    assert (status, json.loads(out)["val_loss"]) == (0, summary_of(grown[0])["val_loss"])
    status, out, err = answer(capsys, *command, "--image-size", SIZES)
    assert (status, out) == (1, "")
    assert f"an evaluation takes one --image-size, not the schedule '{SIZES}'; give its last size" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("step", [STEPS - 1, STEPS + 2])
def test_resumed_around_a_change_of_size_it_is_the_same_run(grown, dataset_folder, tmp_path, step):
    run, _ = grown
    at = step // 3 * 3
    cut = cut_at(run, tmp_path / "cut", at)
    assert train(dataset_folder, cut, resume=True)["resumed_at_step"] == at
    assert train_losses(cut) == train_losses(run)
    ours, theirs = (load_file(find_model(each)) for each in (cut, run))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_resumed_run_keeps_its_sizes(grown, dataset_folder):
    with pytest.raises(TrainError, match=rf"data.image_size: '{SIZES}' → '0:16, 2:32'"):
        train(dataset_folder, grown[0], resume=True, data__image_size="0:16, 2:32")


def test_a_run_from_before_there_was_a_choice_resumes_with_the_pixels_that_it_had(grown, dataset_folder, tmp_path):
    cut = cut_at(grown[0], tmp_path / "cut", 3)
    record = json.loads((cut / "config.json").read_text())
    del record["config"]["data"]["downscale"]
    (cut / "config.json").write_text(json.dumps(record))
    assert train(dataset_folder, cut, resume=True)["resumed_at_step"] == 3
    assert train_losses(cut) == train_losses(grown[0])


def test_images_that_come_to_their_sizes_in_another_way_hinder_a_resume(grown, dataset_folder, tmp_path):
    train(dataset_folder, tmp_path / "run", data__downscale="linear")
    assert train_losses(tmp_path / "run") != train_losses(grown[0])
    with pytest.raises(TrainError, match=r"data.downscale: 'linear' → 'libjpeg'"):
        train(dataset_folder, tmp_path / "run", resume=True)


def test_a_size_after_the_last_epoch_is_refused(dataset_folder, tmp_path):
    with pytest.raises(TrainError, match=r"begins 32 pixels with epoch 3, and the run's last epoch is 2"):
        train(dataset_folder, tmp_path / "run", data__image_size="0:16, 3:32")
    assert not (tmp_path / "run").exists()


def test_a_model_of_fixed_size_is_refused_before_the_start(dataset_folder, tmp_path):
    reason = r"test_vit3 does not take images of 16 × 16 pixels: .*; give one image size, or a model whose input may"
    with pytest.raises(TrainError, match=reason):
        train(dataset_folder, tmp_path / "run", model__name="test_vit3")
    assert not (tmp_path / "run").exists()


def test_a_transformer_of_dynamic_size_grows(dataset_folder, tmp_path):
    """timm resamples its position embeddings; its sizes are multiples of the patches'."""
    assert train(dataset_folder, tmp_path / "run", model__name="test_vit", data__image_size="0:16, 1:32")["steps"] == 21


def test_a_teacher_of_fixed_size_is_refused_before_the_start(dataset_folder, tmp_path):
    teacher = tmp_path / "teacher"
    train(dataset_folder, teacher, model__name="test_vit3", data__image_size=32, optim__epochs=1)
    taught = {"loss__scheme": "semantic-distillation", "distill__teacher": str(teacher)}
    with pytest.raises(TrainError, match="test_vit3 does not take images of 16 × 16 pixels"):
        train(dataset_folder, tmp_path / "run", **taught)


def test_a_probe_takes_one_size(grown, dataset_folder, tmp_path, capsys):
    command = ["transfer", dataset_folder, "--checkpoint", grown[0], "--output", tmp_path / "probe", "--probe"]
    status, _, err = answer(capsys, *command, "--image-size", SIZES, "--device", "cpu")
    assert status == 1
    assert f"a linear probe takes one --image-size, not the schedule '{SIZES}'" in err
    assert not (tmp_path / "probe" / MODEL).exists()
