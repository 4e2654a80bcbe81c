"""`transfer` to videos, from the command line: what it learns, that it resumes exactly, and what it refuses."""

import csv
import json
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from downstream import MODEL, write_weights
from safetensors.torch import load_file
from small_dataset import jpeg
from small_videos import write_ordered, write_video
from torch.nn import functional as F
from train_runs import answer, kill_at, run_train, summary_of, train_command, train_losses

from in21k.train.config.overrides import with_values
from in21k.train.data.open_datasets.videos import open_video_folder
from in21k.train.data.partition import EvalPlan
from in21k.train.model.clips import of_videos
from in21k.train.model.model_file import load_network, read_metadata
from in21k.train.run.checkpoint import find_model
from in21k.train.stream.loader import open_stream
from in21k.train.stream.source import val_source
from in21k.train.video.clips import Clips

SMALL = ["video.frames=4", "video.rate=2", "video.layers=2", "video.heads=4", "data.cutout=0", "data.randaugment_ops=0"]
PLAIN = ["--set", "data.horizontal_flip=0", "--set", "optim.ema_decay=0", "--set", "model.inputs=unit"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    return write_ordered(tmp_path_factory.mktemp("ordered"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


def arguments(data, weights, run, *how, epochs=2, batch=8) -> list[object]:
    small = [each for key in SMALL for each in ("--set", key)]
    given = ["transfer", data, "--checkpoint", weights, "--model", MODEL, "--image-size", 32, "--output", run]
    given += ["--epochs", epochs, "--batch-size", batch, "--lr", 1e-3, "--device", "cpu", "--workers", 0]
    return [*given, *small, *PLAIN, "--set", "run.log_steps=1", *how]


def last_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(find_model(run))


def same_weights(one: Path, other: Path) -> bool:
    left, right = last_weights(one), last_weights(other)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_the_order_of_frames_is_learned_by_the_transformer_and_not_by_the_mean(capsys, videos, weights, tmp_path):
    for aggregate in ("transformer", "mean"):
        how = ["--set", f"video.aggregate={aggregate}", "--set", "model.frozen_stages=5", "--seed", 1]
        assert answer(capsys, *arguments(videos, weights, tmp_path / aggregate, *how, epochs=4))[0] == 0
    transformer, mean = (summary_of(tmp_path / each) for each in ("transformer", "mean"))
    assert transformer["val_top1"] > 0.9
    assert mean["val_top1"] == 0.5  # each video has a twin of the other class
    assert (transformer["val_top5"], transformer["val_images"]) == (1.0, 16)


def test_a_run_is_a_run_of_videos_by_its_recipe_and_its_files(capsys, videos, weights, tmp_path):
    status, _, err = answer(capsys, *arguments(videos, weights, tmp_path / "run", "--clips", 3, epochs=1))
    assert (status, err) == (0, "")
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["recipe"]["name"] == "transfer-video"
    assert record["config"]["video"] == {
        "frames": 4,
        "rate": 2.0,
        "clips": 3,
        "aggregate": "transformer",
        "layers": 2,
        "heads": 4,
    }
    names = last_weights(tmp_path / "run")
    assert names["classifier.weight"].shape[0] == 2
    assert any(name.startswith("backbone.") for name in names)
    assert names["aggregate.positions"].shape[1] == 5
    summary = summary_of(tmp_path / "run")
    assert (summary["classes"], summary["val_images"], summary["skipped_images"]) == (2, 16, 0)


@pytest.fixture(scope="module")
def run(videos, weights, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = run_train(*arguments(videos, weights, folder, epochs=1))
    assert done.returncode == 0, done.stderr
    return folder


def scores(capsys, *how) -> dict[str, float]:
    status, out, err = answer(capsys, "evaluate", *how, "--device", "cpu", "--workers", 0, "--json")
    assert (status, err) == (0, ""), err
    return json.loads(out)


def test_evaluate_scores_a_run_as_its_own_val_pass_did(capsys, run, videos):
    found, own = scores(capsys, videos, "--layout", "video", "--checkpoint", run), summary_of(run)
    for key in ("val_loss", "val_top1", "val_top5", "val_images"):
        assert found[key] == pytest.approx(own[key], rel=1e-6)


def test_clips_count_by_their_probabilities_and_not_by_their_logits():
    torch.manual_seed(0)
    logits = 9 * torch.randn(6, 4)
    found = of_videos(logits, Clips(frames=2, rate=Fraction(1), count=3))
    expected = torch.stack([logits[rows].softmax(1).mean(0) for rows in (slice(0, 3), slice(3, 6))])
    torch.testing.assert_close(found.exp(), expected)
    assert of_videos(logits, Clips(frames=2, rate=Fraction(1))) is logits


def test_the_probabilities_of_several_clips_are_averaged(capsys, run, tmp_path):
    for label in ("up", "down"):
        for split in ("train", "val"):
            write_video(tmp_path / split / label / "1.mp4", "mpeg4", 90 + 10 * len(label))
    found = scores(capsys, tmp_path, "--layout", "video", "--checkpoint", run, "--clips", 3)
    path = find_model(run)
    config, data = read_metadata(path).config, open_video_folder(tmp_path)
    network = load_network(path, takes_clips=True)
    losses = []
    with torch.inference_mode():
        for batch in open_stream(val_source(data, with_values(config, {"video.clips": 3})), EvalPlan(2, 1)):
            logits = network.module(network.inputs(batch.images, torch.device("cpu")))
            assert logits.shape == (3, 2)
            mean = logits.softmax(1).mean(0, keepdim=True).log()
            losses.append(
                F.cross_entropy(mean, batch.labels.class_indices, label_smoothing=config.loss.label_smoothing)
            )
    assert found["val_loss"] == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
    single = scores(capsys, tmp_path, "--layout", "video", "--checkpoint", run)
    assert single["val_loss"] != found["val_loss"]


def test_a_model_of_videos_starts_another_transfer_of_videos(capsys, run, videos, tmp_path):
    given = ["transfer", videos, "--checkpoint", run, "--output", tmp_path / "next", "--epochs", 1, "--batch-size", 8]
    status, _, err = answer(capsys, *given, "--lr", 0, "--device", "cpu", "--workers", 0, *PLAIN)
    assert (status, err) == (0, "")
    before, after = last_weights(run), last_weights(tmp_path / "next")
    kept = [name for name in sorted(before) if "running" not in name and "tracked" not in name]
    assert [name for name in kept if not torch.equal(before[name], after[name])] == [
        "classifier.bias",
        "classifier.weight",
    ]


@pytest.mark.guard
def test_stochastic_training_resumes_in_mid_epoch_to_the_same_weights_on_other_ranks(videos, weights, tmp_path):
    how = ["--set", "run.checkpoint_steps=2", "--set", "data.cutout=0.5", "--set", "data.randaugment_ops=2"]
    how += ["--set", "run.eval_epochs=9"]
    ends = ["--set", "model.frozen_stages=5"]  # whose batch norm would see other batches on other ranks
    whole = run_train(*arguments(videos, weights, tmp_path / "whole", *how, *ends))
    assert whole.returncode == 0, whole.stderr
    given = arguments(videos, weights, tmp_path / "killed", *how, *ends)
    kill_at(3, tmp_path / "killed", train_command(*given))
    again = run_train(*given, "--resume")
    assert again.returncode == 0, again.stderr
    assert summary_of(tmp_path / "killed")["resumed_at_step"] in (2, 4)
    assert same_weights(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.slow
def test_a_resumed_run_on_two_ranks_sees_the_losses_of_one(videos, weights, tmp_path):
    """Dropout draws by rank, so without it: the mean of the frames."""
    how = ["--set", "run.checkpoint_steps=2", "--set", "video.aggregate=mean", "--set", "model.frozen_stages=5"]
    whole = run_train(*arguments(videos, weights, tmp_path / "whole", *how))
    assert whole.returncode == 0, whole.stderr
    given = arguments(videos, weights, tmp_path / "killed", *how)
    kill_at(3, tmp_path / "killed", train_command(*given))
    again = run_train(*given, "--resume", processes=2)
    assert again.returncode == 0, again.stderr
    one, two = train_losses(tmp_path / "whole"), train_losses(tmp_path / "killed")
    assert one.keys() == two.keys()
    assert all(two[step] == pytest.approx(one[step], rel=1e-5) for step in one)


def test_videos_that_do_not_decode_are_counted_and_named(capsys, weights, tmp_path):
    data = write_ordered(tmp_path / "data", train=8, val=2)
    (data / "train" / "up" / "x.mp4").write_bytes(b"")
    (data / "val" / "up" / "x.mp4").write_bytes(b"no video")
    run = tmp_path / "run"
    status, _, err = answer(capsys, *arguments(data, weights, run, "--max-skipped", 0.5, batch=17, epochs=1))
    named = f"{run / 'skipped.csv'} names what was skipped"
    assert (status, err) == (0, f"in21k-train: 1 train and 1 val images did not decode and were skipped; {named}\n")
    assert (run / "skipped.csv").read_text() == "1,train/up/x.mp4,train\n1,val/up/x.mp4,val\n"
    assert (summary_of(run)["skipped_images"], summary_of(run)["val_skipped"]) == (1, 1)


def test_videos_that_a_list_has_and_the_folder_lacks_are_noted_and_named(capsys, weights, tmp_path):
    write_ordered(tmp_path / "v", train=4, val=2)
    lines = ["label,youtube_id,time_start,time_end,split", "up,gone,0,2,train"]
    for path in sorted((tmp_path / "v").rglob("*.avi")):
        split, label, number = path.relative_to(tmp_path / "v").with_suffix("").parts
        path.rename(tmp_path / f"{split}{label}{number}_000000_000002.avi")
        lines.append(f"{label},{split}{label}{number},0,2,{split}")
    (tmp_path / "all.csv").write_text("\n".join(lines))
    run = tmp_path.parent / f"{tmp_path.name}-run"
    status, _, err = answer(capsys, *arguments(tmp_path / "all.csv", weights, run, epochs=1))
    assert status == 0
    assert err.startswith(
        f"note: {tmp_path / 'all.csv'} lists 1 videos that are not there and are left out, such as gone"
    )
    assert list(csv.reader((run / "skipped.csv").open())) == [["0", "gone_000000_000002", "train"]]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (["--recipe", "transfer-single-label"], "holds videos; a recipe with video.frames takes them"),
        (["--probe"], "holds videos, which a linear probe does not take"),
        (["--knn", "5"], "holds videos, which k-NN does not take"),
        (["--set", "data.mixup=0.2"], "data.mixup and data.cutmix mix images"),
        (["--set", "data.augment_device=gpu"], "data.augment_device=gpu does not take videos"),
        (["--set", "loss.scheme=multi-label"], "loss.scheme=multi-label does not take videos"),
        (["--set", "video.heads=7"], "which video.heads=7 does not divide"),
        (["--teacher", "resnet50"], "videos are learned without a teacher"),
    ],
)
def test_what_does_not_go_with_videos_is_refused_in_a_line(capsys, videos, weights, tmp_path, how, message):
    given = arguments(videos, weights, tmp_path / "run", *how)
    if "--recipe" in how:
        given = [each for each in given if each != "video.frames=4"]
        given = [each for at, each in enumerate(given) if not (each == "--set" and given[at + 1 : at + 2] == ["--set"])]
    status, out, err = answer(capsys, *given)
    assert (status, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


def test_images_are_no_videos_and_their_commands_take_no_model_of_videos(capsys, run, dataset_folder, tmp_path):
    (tmp_path / "1.jpg").write_bytes(jpeg(0, 0))
    for command in (
        ["transfer", dataset_folder, "--checkpoint", run, "--output", tmp_path / "t", "--image-size", 32],
        ["export", run, tmp_path / "exported"],
        ["embed", dataset_folder, "--checkpoint", run, "--output", tmp_path / "e"],
    ):
        status, _, err = answer(capsys, *command)
        assert (status, err.count("\n")) == (1, 1), err
        assert "is a model of videos" in err


def test_predict_names_videos_as_the_val_pass_does(capsys, run, videos, tmp_path):
    status, out, err = answer(capsys, "predict", videos / "val", "--checkpoint", run, "--jsonl", "--device", "cpu")
    assert (status, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert [Path(each["image"]) for each in found] == sorted((videos / "val").rglob("*.avi"))
    right = [each["labels"] == [Path(each["image"]).parent.name] for each in found]
    assert sum(right) / len(right) == summary_of(run)["val_top1"]


def test_predict_says_which_video_it_cannot_read(capsys, run, videos, tmp_path):
    sound = videos / "val" / "up" / "0.avi"
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    given = [tmp_path / "bad.mp4", sound, tmp_path / "none.mp4"]
    status, out, err = answer(capsys, "predict", *given, "--checkpoint", run, "--device", "cpu")
    assert (status, out.count(".avi: "), out.count(".mp4: ")) == (1, 1, 0)
    assert [line.split(": ")[2:4] for line in err.splitlines()] == [
        [str(tmp_path / "bad.mp4"), "not-a-video"],
        [str(tmp_path / "none.mp4"), "No such file or directory"],
    ]
    status, _, err = answer(capsys, "predict", sound, "--checkpoint", run, "--picture", tmp_path / "a.png")
    assert (status, err.count("\n")) == (1, 1)
    assert "--picture draws images" in err
    status, _, err = answer(capsys, "predict", tmp_path.parent / "nothing", "--checkpoint", run)
    assert status == 1


def test_embed_takes_no_videos(capsys, videos, weights, tmp_path):
    how = ["--layout", "video", "--checkpoint", weights, "--model", MODEL, "--image-size", 32, "--device", "cpu"]
    status, _, err = answer(capsys, "embed", videos, *how, "--output", tmp_path / "e")
    assert (status, err.count("\n")) == (1, 1), err
    assert "holds videos, which are not embedded; give images" in err


def test_without_pyav_the_extra_is_named(capsys, monkeypatch, videos, weights, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    status, _, err = answer(capsys, *arguments(videos, weights, tmp_path / "run"))
    assert (status, err) == (1, "in21k-train: error: video needs PyAV: pip install 'in21k[video]'\n")
