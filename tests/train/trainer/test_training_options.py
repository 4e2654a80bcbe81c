"""Optimizers, EMA, accumulation, clipping, precision and compilation: what they promise about losses."""

import json
import random
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from processes import until
from safetensors.torch import load_file
from train_runs import cut_at, run_train, summary_of, train_command, train_losses

from in21k.train.config.overrides import parse_setting, with_values
from in21k.train.config.settings import DataConfig, RunConfig
from in21k.train.errors import TrainError
from in21k.train.evaluation.scores import evaluate, trained_model
from in21k.train.losses.schemes import DISTILLING
from in21k.train.model.model_file import MODEL
from in21k.train.recipes import read_recipe, recipe_names
from in21k.train.recipes.choice import choose
from in21k.train.run.checkpoint import EMA, find_model, latest_checkpoint
from in21k.train.trainer.loop import pretrain

STEPS = 14
SETTINGS = {
    "model.name": "test_vit",
    "model.start": "random",
    "data.image_size": 32,
    "data.batch_size": 12,
    "optim.epochs": 2,
    "run.device": "cpu",
    "run.workers": 0,
    "run.log_steps": 1,
    "run.checkpoint_steps": 3,
}


def train(dataset: Path, run: Path, recipe: str = "semantic-softmax", resume: bool = False, **values) -> dict:
    """Train for fourteen steps in this process."""
    changed = {**SETTINGS, **{key.replace("__", "."): value for key, value in values.items()}}
    return pretrain(str(dataset), run, with_values(read_recipe(recipe), changed), resume=resume, progress=False)


def options(*settings: str) -> list[str]:
    """The same settings as command-line arguments."""
    known = [f"{key}={value}" for key, value in SETTINGS.items() if key != "model.name"]
    return ["--model", "test_vit", *(word for each in (*known, *settings) for word in ("--set", each))]


def column(run: Path, name: str) -> list[str]:
    header, *rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    return [row[header.index(name)] for row in rows if row[2] == "train"]


@pytest.fixture(scope="module")
def plain(dataset_folder, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("options") / "plain"
    train(dataset_folder, run)
    return run


SGD = ("optim.name=sgd", "optim.lr=0.01")
MIXED = (*SGD, "optim.ema_decay=0.9", "optim.accumulate=3", "optim.clip_norm=0.5")
TOGETHER = [
    MIXED,
    ("optim.name=adamw", "optim.ema_decay=0.999"),
    (*SGD, "optim.nesterov=true"),
    ("run.amp_dtype=float16", "optim.accumulate=2"),
    ("model.frozen_stages=2", "optim.layer_decay=0.8", "optim.head_lr=5", "data.horizontal_flip=0.5"),
    ("optim.momentum_at_peak=0.8", "optim.schedule_share=0.6", "loss.reduction=sum", "optim.ema_decay=0.9"),
]
KILLED = [
    pytest.param("semantic-softmax", MIXED, marks=pytest.mark.guard),
    *(
        pytest.param(name, ("optim.accumulate=2",), marks=pytest.mark.slow)
        for name in recipe_names()
        if read_recipe(name).detection.head == "none" and not read_recipe(name).video.frames
    ),
]


def require_same_end(run: Path, other: Path) -> None:
    """The losses and the weights of two runs are the same to the bit."""
    assert train_losses(run) == train_losses(other)
    for name in (MODEL, *([EMA] if (latest_checkpoint(other) / EMA).exists() else [])):
        ours, theirs = (load_file(latest_checkpoint(each) / name) for each in (run, other))
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())


@pytest.mark.parametrize("settings", TOGETHER, ids=" ".join)
def test_it_resumes_bit_for_bit(dataset_folder, tmp_path, settings):
    """From a copy that ends where a kill between steps 6 and 9 leaves a run."""
    values = {key.replace(".", "__"): value for key, value in map(parse_setting, settings)}
    train(dataset_folder, tmp_path / "uncut", **values, run__keep_checkpoints=STEPS)
    cut = cut_at(tmp_path / "uncut", tmp_path / "cut", 6)
    resumed = train(dataset_folder, cut, resume=True, **values, run__keep_checkpoints=STEPS)
    assert resumed["resumed_at_step"] == 6
    require_same_end(cut, tmp_path / "uncut")


@pytest.mark.parametrize(
    ("recipe", "settings"), KILLED, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_killed_at_a_random_step_it_resumes_bit_for_bit(plain, dataset_folder, tmp_path, recipe, settings):
    if read_recipe(recipe).loss.scheme in DISTILLING:
        settings = (*settings, f"distill.teacher={plain}")
    values = {key.replace(".", "__"): value for key, value in map(parse_setting, settings)}
    cut, at = tmp_path / "cut", random.randrange(4, STEPS - 1)
    command = ["pretrain", dataset_folder, "--recipe", recipe, "--output", cut, *options(*settings)]
    process = subprocess.Popen(train_command(*command), stderr=subprocess.DEVNULL)
    until(
        lambda: (
            process.poll() is not None or ((cut / "metrics.csv").exists() and max(train_losses(cut), default=0) >= at)
        )
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    if not (cut / "summary.json").exists():  # the kill came in time
        assert train(dataset_folder, cut, recipe, resume=True, **values)["resumed_at_step"] >= 3
    train(dataset_folder, tmp_path / "uncut", recipe, **values)
    require_same_end(cut, tmp_path / "uncut")


@pytest.mark.parametrize(
    ("processes", "accumulate"), [(1, 4), (2, 3), pytest.param(2, 1, marks=pytest.mark.slow)], ids=str
)
def test_micro_batches_and_ranks_change_no_loss_and_no_metric(plain, dataset_folder, tmp_path, processes, accumulate):
    """test_vit has no batch norm, whose statistics are per micro-batch."""
    run = tmp_path / "run"
    if processes == 1:
        train(dataset_folder, run, optim__accumulate=accumulate)
    else:
        command = ["pretrain", dataset_folder, "--output", run, *options(f"optim.accumulate={accumulate}")]
        done = run_train(*command, processes=processes)
        assert done.returncode == 0, done.stderr
    assert train_losses(run) == pytest.approx(train_losses(plain), rel=1e-4)
    metrics = [{key: value for key, value in summary_of(each).items() if "top1" in key} for each in (run, plain)]
    assert metrics[0] == metrics[1]
    assert summary_of(run)["val_loss"] == pytest.approx(summary_of(plain)["val_loss"], rel=1e-4)


def test_micro_batches_of_unequal_size_are_refused(dataset_folder, tmp_path):
    with pytest.raises(TrainError, match=r"a rank's batch of 12 images does not divide into optim.accumulate=5"):
        train(dataset_folder, tmp_path / "run", optim__accumulate=5)


def test_the_ema_follows_all_steps_and_is_evaluated(dataset_folder, tmp_path):
    """Against the EMA computed by hand from a checkpoint of every step."""
    run = tmp_path / "run"
    keep = {"run__checkpoint_steps": 1, "run__keep_checkpoints": STEPS}
    summary = train(dataset_folder, run, optim__ema_decay=0.8, optim__epochs=1, **keep)
    saved = [load_file(run / f"checkpoints/step-{step:08d}" / MODEL) for step in range(1, 8)]
    ema = load_file(run / "checkpoints/step-00000001" / EMA)
    for step, weights in list(enumerate(saved))[1:]:
        decay = min(0.8, (1 + step) / (10 + step))
        ema = {name: decay * each + (1 - decay) * weights[name] for name, each in ema.items()}
    found = load_file(latest_checkpoint(run) / EMA)
    torch.testing.assert_close(found, ema)
    assert find_model(run).name == EMA
    assert find_model(run, raw=True).name == MODEL
    scores = {
        raw: evaluate(
            str(dataset_folder), trained_model(run, raw=raw), DataConfig(), RunConfig(device="cpu", workers=0)
        )
        for raw in (False, True)
    }
    assert scores[False]["val_loss"] == pytest.approx(summary["val_loss"], rel=1e-6)
    assert scores[True]["val_loss"] != pytest.approx(summary["val_loss"], rel=1e-6)


def test_a_clipped_gradient_has_the_norm_asked_for(plain, dataset_folder, tmp_path):
    """With plain SGD the first step is the learning rate times the clipped gradient."""
    run, norm = tmp_path / "run", 0.25
    sgd = {"optim__name": "sgd", "optim__momentum": 0.0, "optim__weight_decay": 0.0, "optim__clip_norm": norm}
    keep = {"run__checkpoint_steps": 1, "run__keep_checkpoints": 9}
    train(dataset_folder, run, **sgd, optim__lr=0.02, optim__epochs=1, **keep)
    first, second = (load_file(run / f"checkpoints/step-{step:08d}" / MODEL) for step in (1, 2))
    moved = torch.cat([(second[name] - first[name]).flatten() for name in first]).norm()
    assert float(column(run, "gradient_norm")[1]) > norm
    assert moved / float(column(run, "lr")[1]) == pytest.approx(norm, rel=1e-3)


def test_bfloat16_on_the_cpu_is_near_float32(plain, dataset_folder, tmp_path):
    train(dataset_folder, tmp_path / "run", run__amp_dtype="bfloat16")
    assert train_losses(tmp_path / "run") != train_losses(plain)
    assert train_losses(tmp_path / "run") == pytest.approx(train_losses(plain), rel=0.02)


def test_float16_overflows_are_skipped_counted_and_logged(plain, dataset_folder, tmp_path, monkeypatch):
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *given, **more: scaler(*given, init_scale=2.0**30, **more))
    summary = train(dataset_folder, tmp_path / "run", run__amp_dtype="float16", optim__epochs=5)
    overflows = list(map(int, column(tmp_path / "run", "overflows")))
    assert 10 < sum(overflows) == summary["overflowed_steps"] < 25
    assert overflows[-1] == 0
    assert float(column(tmp_path / "run", "loss_scale")[-1]) == 2.0 ** (30 - sum(overflows))
    assert column(tmp_path / "run", "gradient_norm")[0] == ""
    assert set(column(plain, "loss_scale")) == {""}


def test_float16_that_keeps_overflowing_stops_the_run(dataset_folder, tmp_path, monkeypatch):
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *given, **more: scaler(*given, init_scale=2.0**120, **more))
    with pytest.raises(
        TrainError, match=r"overflowed at 25 consecutive steps by step 25, .* --set run.amp_dtype=bfloat16"
    ):
        train(dataset_folder, tmp_path / "run", run__amp_dtype="float16", optim__epochs=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "settings"),
    [(1, ()), (2, ("optim.accumulate=2",)), (1, ("model.grad_checkpointing=true",))],
    ids=["alone", "two ranks", "checkpointing"],
)
def test_a_compiled_run_has_the_same_losses_and_names(plain, dataset_folder, tmp_path, processes, settings):
    run = tmp_path / "run"
    command = ["pretrain", dataset_folder, "--output", run, "--compile", *options(*settings)]
    done = run_train(*command, processes=processes, timeout=900)
    assert done.returncode == 0, done.stderr
    assert train_losses(run) == pytest.approx(train_losses(plain), rel=1e-3)
    assert load_file(find_model(run)).keys() == load_file(find_model(plain)).keys()


def test_without_a_compiler_compile_is_one_line(dataset_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(TrainError, match=r"--compile needs a compiler, and none of g\+\+, .* is installed"):
        train(dataset_folder, tmp_path / "run", run__compile=True)


def test_a_deterministic_run_is_the_same_run_on_the_cpu(plain, dataset_folder, tmp_path):
    try:
        train(dataset_folder, tmp_path / "run", run__deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert train_losses(tmp_path / "run") == train_losses(plain)


def test_the_clock_saves_between_the_steps(dataset_folder, tmp_path):
    often = {"run__checkpoint_steps": 1000, "run__keep_checkpoints": 100, "run__checkpoint_minutes": 1e-6}
    train(dataset_folder, tmp_path / "run", **often)
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == STEPS


def test_nesterov_without_momentum_is_one_line(dataset_folder, tmp_path):
    sgd = {"optim__name": "sgd", "optim__momentum": 0.0, "optim__nesterov": True}
    with pytest.raises(TrainError, match=r"optim.nesterov needs momentum"):
        train(dataset_folder, tmp_path / "run", **sgd)


def test_accumulation_may_change_on_resume(dataset_folder, tmp_path):
    run = tmp_path / "run"
    train(dataset_folder, run)
    assert train(dataset_folder, run, resume=True, optim__accumulate=4)["resumed_at_step"] == STEPS
    with pytest.raises(TrainError, match=r"optim.ema_decay: 0.0 → 0.9"):
        train(dataset_folder, run, resume=True, optim__ema_decay=0.9)


def test_a_run_of_an_older_version_with_fewer_settings_resumes(dataset_folder, tmp_path):
    run = tmp_path / "run"
    train(dataset_folder, run)
    old = {"optim": ["lr", "epochs"], "run": ["seed"], "data": ["image_size", "batch_size"], "model": ["name"]}
    for path in (run / "config.json", latest_checkpoint(run) / "state.json"):
        record = json.loads(path.read_text())
        record["config"] = {
            section: {name: record["config"][section][name] for name in names} for section, names in old.items()
        }
        path.write_text(json.dumps(record))
    choice = choose("semantic-softmax", SETTINGS)
    assert pretrain(str(dataset_folder), run, choice, resume=True, progress=False)["resumed_at_step"] == STEPS


def test_an_ema_without_warm_up_has_its_decay_from_the_first_step_on(dataset_folder, tmp_path):
    run = tmp_path / "run"
    keep = {"run__checkpoint_steps": 1, "run__keep_checkpoints": STEPS, "optim__epochs": 1}
    train(dataset_folder, run, optim__ema_decay=0.8, optim__ema_warmup=False, **keep)
    first = load_file(run / "checkpoints/step-00000001" / EMA)
    second, saved = (load_file(run / "checkpoints/step-00000002" / name) for name in (EMA, MODEL))
    torch.testing.assert_close(second, {name: 0.8 * each + 0.2 * saved[name] for name, each in first.items()})


def test_the_sum_over_a_batch_changes_weights_only_by_the_weight_decays_share(dataset_folder, tmp_path):
    """In Adam, which divides the gradient by its own size; without weight decay, nothing is left of the difference."""
    none = {"optim__weight_decay": 0.0, "optim__eps": 1e-15, "optim__epochs": 1}
    for name, more in (("mean", {}), ("sum", {"loss__reduction": "sum"})):
        train(dataset_folder, tmp_path / name, **none, **more)
        for decay in (0.1, 1.2):
            train(dataset_folder, tmp_path / f"{name}-{decay}", **none | more | {"optim__weight_decay": decay})
    assert train_losses(tmp_path / "sum") == pytest.approx(train_losses(tmp_path / "mean"), rel=1e-4)
    decayed = train_losses(tmp_path / "mean-0.1")
    assert train_losses(tmp_path / "sum-0.1") != pytest.approx(decayed, rel=1e-3)
    assert train_losses(tmp_path / "sum-1.2") == pytest.approx(decayed, rel=1e-4)
    assert float(column(tmp_path / "sum", "gradient_norm")[0]) == pytest.approx(
        12 * float(column(tmp_path / "mean", "gradient_norm")[0]), rel=1e-4
    )


@pytest.mark.parametrize(
    ("processes", "accumulate"),
    [(1, 3), pytest.param(2, 1, marks=pytest.mark.slow), pytest.param(2, 3, marks=pytest.mark.slow)],
)
def test_the_sum_is_the_same_on_any_number_of_micro_batches_and_ranks(dataset_folder, tmp_path, processes, accumulate):
    settings = ("loss.reduction=sum", "optim.momentum_at_peak=0.8", "optim.schedule_share=0.5", "optim.name=sgd")
    more = (*settings, "optim.lr=1e-4")
    values = {key.replace(".", "__"): value for key, value in map(parse_setting, more)}
    train(dataset_folder, tmp_path / "alone", **values)
    if processes == 1:
        train(dataset_folder, tmp_path / "run", **values, optim__accumulate=accumulate)
    else:
        command = ["pretrain", dataset_folder, "--output", tmp_path / "run", *options(*more)]
        done = run_train(*command, "--set", f"optim.accumulate={accumulate}", processes=processes)
        assert done.returncode == 0, done.stderr
    assert train_losses(tmp_path / "run") == pytest.approx(train_losses(tmp_path / "alone"), rel=1e-4)


def test_settings_that_contradict_each_other_are_one_line(dataset_folder, tmp_path):
    sgd = {"optim__name": "sgd", "optim__momentum": 0.0, "optim__momentum_at_peak": 0.8}
    with pytest.raises(TrainError, match=r"optim.momentum_at_peak needs momentum, but optim.momentum is 0"):
        train(dataset_folder, tmp_path / "run", **sgd)


@pytest.mark.slow
def test_what_is_set_for_fine_tuning_changes_no_loss_on_several_ranks(dataset_folder, tmp_path):
    more = ("model.frozen_stages=2", "optim.layer_decay=0.8", "optim.head_lr=5", "data.horizontal_flip=0.5")
    train(dataset_folder, tmp_path / "alone", **{k.replace(".", "__"): v for k, v in map(parse_setting, more)})
    command = ["pretrain", dataset_folder, "--output", tmp_path / "run", *options(*more)]
    done = run_train(*command, processes=2)
    assert done.returncode == 0, done.stderr
    assert train_losses(tmp_path / "run") == pytest.approx(train_losses(tmp_path / "alone"), rel=1e-4)


def test_frozen_stages_stay_as_they_were_with_their_statistics(dataset_folder, tmp_path):
    values = {"model__name": "test_resnet", "optim__epochs": 1, "run__keep_checkpoints": 9, "run__checkpoint_steps": 1}
    train(dataset_folder, tmp_path / "run", model__frozen_stages=3, **values)
    first, last = (load_file(tmp_path / f"run/checkpoints/step-{step:08d}" / MODEL) for step in (1, 7))
    kept = {name for name, tensor in first.items() if torch.equal(tensor, last[name])}
    frozen = {name for name in first if name.startswith(("conv1", "bn1", "layer1", "layer2"))}
    assert {"bn1.running_mean", "bn1.num_batches_tracked", "layer2.0.conv1.weight"} <= frozen
    assert kept == frozen
    with pytest.raises(TrainError, match=r"model.frozen_stages=6 is more than the 5 stages of test_resnet before its"):
        train(dataset_folder, tmp_path / "more", model__frozen_stages=6, **values)


def test_images_of_another_size_are_resized_in_evaluation_as_in_training(dataset_folder, tmp_path):
    found = {}
    for name in ("bicubic", "bilinear"):
        summary = train(
            dataset_folder, tmp_path / name, data__interpolation=name, data__image_size=24, model__name="test_resnet"
        )
        run = RunConfig(device="cpu", workers=0)
        scores = evaluate(str(dataset_folder), trained_model(tmp_path / name), DataConfig(), run)
        found[name] = scores["val_loss"]
        assert found[name] == summary["val_loss"]
    assert found["bicubic"] != found["bilinear"]
