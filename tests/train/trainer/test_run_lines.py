"""What a run says while it trains: a header, then lines without a terminal and bars on one."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_dataset import WNIDS
from spoken import PROGRESS, detached, on_terminal
from train_runs import FIXED, OPTIONS, answer, fork_command

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.device.ranks import Ranks
from in21k.train.trainer.header import images_text
from in21k.train.trainer.step_bar import StepBar, run_timing
from in21k.train.trainer.tally import Pace

HEADER = ["model", "weights", "data", "recipe", "images", "step", "epochs", "device", "processes"]
EPOCH = r"epoch {}/4, step {}/{}, loss \d+\.\d+, val loss \d+\.\d+, val semantic top-1 [\d.]+%, [\d,.]+ images/s, "
STEPS = 4 * (93 // 12)


def spoken(lines: list[str]) -> list[str]:
    return [line for line in lines if PROGRESS.match(line)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("nohup")


@pytest.fixture(scope="module")
def log(dataset_folder, folder) -> list[str]:
    """The log of a short run under nohup."""
    command = fork_command("pretrain", dataset_folder, "--output", folder / "run", *FIXED, *OPTIONS, "--workers", 1)
    return spoken(detached(folder, *command))


def test_the_header_says_what_is_trained_on_what(log, dataset_folder):
    header = dict(line.split(maxsplit=1) for line in log[: len(HEADER)])
    assert list(header) == HEADER
    assert re.fullmatch(r"test_vit, \d\.\d million parameters", header["model"])
    assert header["weights"] == "random"
    assert header["data"] == f"{dataset_folder}: {len(WNIDS)} classes, 93 train and 17 val images"
    assert header["recipe"] == "semantic-softmax"
    assert header["images"] == "32 x 32 pixels; no flip, Cutout 0.5, RandAugment 2"
    assert (header["step"], header["epochs"]) == ("12 images", f"4 of 7 steps, {STEPS} in all")
    assert (header["device"], header["processes"]) == ("cpu, in float32", "1, with 1 loader process")


def test_under_nohup_each_epoch_has_a_line(log):
    lines = [line for line in log[len(HEADER) :] if "val loss" in line]
    assert len(lines) == 4
    for number, line in enumerate(lines, 1):
        assert re.match(EPOCH.format(number, 7 * number, STEPS), line), line
        assert re.search(r"data wait [\d.]+%, memory [\d.]+ [MG]B(, .* left)?$", line)
    assert lines[0].endswith(" left")
    assert not lines[-1].endswith(" left")


def test_a_resumed_run_counts_what_is_done(capsys, dataset_folder, tmp_path):
    from in21k.train.cli.main import main

    run = ["pretrain", dataset_folder, "--output", tmp_path / "run", *FIXED, *OPTIONS, "--workers", 0]
    assert answer(capsys, *run)[0] == 0
    for name in ("step-00000021", "step-00000028"):
        assert (tmp_path / "run" / "checkpoints" / name).exists()
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / "checkpoints" / "step-00000028" / "model.safetensors").unlink()
    with pytest.raises(SystemExit):
        main([*map(str, run), "--resume"])
    lines = spoken(capsys.readouterr().err.splitlines())
    assert any(
        re.fullmatch(r"weights +resumed after step 21, 3 of 4 epochs, from .*step-00000021", line) for line in lines
    )
    epochs = [line.partition(",")[0] for line in lines if line.startswith("epoch ")]
    assert epochs == ["epoch 3/4", "epoch 4/4"]


@pytest.mark.usefixtures("log")
def test_transfer_says_its_defaults_and_has_its_lines(folder, dataset_folder):
    given = ["--checkpoint", folder / "run", "--device", "cpu", "--workers", 0, "--batch-size", 31, "--epochs", 2]
    command = fork_command("transfer", dataset_folder, "--output", folder / "transferred", *given)
    lines = spoken(detached(folder, *command))
    header = dict(line.split(maxsplit=1) for line in lines[: len(HEADER)])
    assert re.fullmatch(r".*/run/checkpoints/step-00000028/model\.safetensors", header["weights"])
    assert header["recipe"] == "transfer-single-label"
    assert header["images"] == "32 x 32 pixels; no flip, Cutout 0.5, RandAugment 2"
    assert header["epochs"] == "2 of 3 steps, 6 in all"
    epochs = [line for line in lines if "val loss" in line]
    assert [line.partition(",")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    assert re.search(r", val top-1 [\d.]+%, ", epochs[0])


def test_on_a_terminal_bars_show_epoch_loss_and_the_val_pass(dataset_folder, tmp_path):
    command = fork_command("pretrain", dataset_folder, "--output", tmp_path / "run", *FIXED, *OPTIONS, "--workers", 0)
    printed = on_terminal(*command, columns=200)
    bars = [bar for line in printed.splitlines() for bar in line.split("\r") if "epoch " in bar and "%|" in bar]
    assert re.search(r"epoch 4/4: 100%\|.*28/28 \[.* steps/s, .*loss=\d", bars[-1])
    assert "loss=" in next(bar for bar in bars if " 0/28 " not in bar)
    assert re.search(r"validate: +\d+%\|", printed)
    lines = re.findall(r"epoch (\d)/4, step \d+/28, loss \d[^\r\n]*, val semantic top-1 \d", printed)
    assert lines == ["1", "2", "3", "4"]  # above the bar, where they stay


@pytest.mark.parametrize(
    ("values", "crops", "text"),
    [
        ({"data.image_size": 224}, False, "224 x 224 pixels, squished to squares; no flip, Cutout 0.5, RandAugment 2"),
        ({"data.image_size": 224}, True, "224 x 224 pixels, cropped to squares; no flip, Cutout 0.5, RandAugment 2"),
        (
            {"data.image_size": 96, "data.random_crop_min_area": 0.2, "data.horizontal_flip": 0.5, "data.cutout": 0.0},
            False,
            "96 x 96 pixels, random crops of 0.2 to 1 of their area; flip 0.5, no Cutout, RandAugment 2",
        ),
        (
            {"data.image_size": "0:112, 30:224", "data.randaugment_ops": 0, "data.mixup": 0.2},
            False,
            "0:112, 30:224 pixels, by epoch, squished to squares; no flip, Cutout 0.5, no RandAugment, mixup 0.2",
        ),
    ],
)
def test_the_header_says_how_images_are_changed(values, crops, text):
    data = SimpleNamespace(image_size=None, decoding=lambda _: SimpleNamespace(crops=crops))
    assert images_text(with_values(Config(), values), data) == text


class Clock:
    def __init__(self) -> None:
        self.seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


def session(epochs: int = 10, per_epoch: int = 100) -> SimpleNamespace:
    plan = SimpleNamespace(epochs=epochs, steps_per_epoch=per_epoch, total_steps=epochs * per_epoch, global_batch=64)
    dataset = SimpleNamespace(samples=lambda _: 640)
    config = with_values(Config(), {"run.eval_epochs": 2})
    return SimpleNamespace(plan=plan, dataset=dataset, config=config, ranks=Ranks(torch.device("cpu")))


class Counted:
    """A meter of steps of a second each, of which a tenth is waiting, and whose loss is 2."""

    def __init__(self) -> None:
        self.steps, self.before = 0, 0.0

    def peek(self) -> Pace:
        return Pace(self.steps, 2.0 * self.steps, self.before + self.steps, 0.1 * self.steps)


def said(capsys, minutes: float, steps: int, logged: int = 50) -> list[str]:
    """The lines of a run that takes a second per step."""
    clock, meter = Clock(), Counted()
    bar = StepBar(session(), 0, shown=True, timing=run_timing(minutes, clock))
    bar.val_seconds = 100.0
    for step in range(1, steps + 1):
        clock.seconds += 1
        meter.steps += 1
        bar.step_done(meter)
        if step % logged == 0:
            bar.add(meter.peek())
            meter.steps = 0
        bar.after_step(meter)
    bar.close()
    return capsys.readouterr().err.splitlines()


def test_a_log_shows_life_soon_and_then_once_an_interval_and_at_each_epochs_end(capsys):
    lines = said(capsys, minutes=1, steps=200)
    assert [int(re.search(r"step (\d+)", line)[1]) for line in lines] == [10, 70, 100, 160, 200]
    assert lines[0].startswith("epoch 1/10, step 10/1,000, loss 2.0000, 64.0 images/s, data wait 10.0%, memory ")
    assert lines[0].endswith(", 24 min 50 s left")  # 990 seconds of steps, and five val passes
    assert lines[-1].startswith("epoch 2/10, step 200/1,000, loss 2.0000, 64.0 images/s, ")


def test_a_slow_first_step_does_not_count_for_the_time_left(capsys):
    clock, meter = Clock(), Counted()
    meter.before = 30.0
    bar = StepBar(session(), 0, shown=True, timing=run_timing(1, clock))
    for seconds, steps in ((31, 1), (60, 60)):
        clock.seconds += seconds
        meter.steps += steps
        bar.step_done(meter)
        bar.after_step(meter)
    first, second = capsys.readouterr().err.splitlines()
    assert not first.endswith(" left")
    assert second.endswith(", 16 min 38 s left")  # a second for each of 998 steps


def test_without_minutes_each_epoch_has_its_line_alone(capsys):
    assert [line.split(",")[0] for line in said(capsys, minutes=0, steps=300)] == [f"epoch {n}/10" for n in (1, 2, 3)]
