"""The command line: an error is one line, help needs no torch, and options follow the settings."""

import json
import re
import signal
import subprocess

import pytest
import timm
import torch
import warm
from safetensors.torch import save_file
from spoken import without_progress
from train_runs import answer, run_train

from in21k.train.cli.main import main
from in21k.train.cli.shared import KEYS
from in21k.train.config.overrides import flatten
from in21k.train.config.settings import SETTINGS, Config


def pretrain(capsys, data, run, *arguments: object) -> tuple[int, str, str]:
    given = ["--output", run, *arguments]
    if "--model" not in arguments:
        given += ["--model", "test_resnet"]
    if "--init" not in arguments:
        given += ["--scratch"]
    return answer(
        capsys, "pretrain", data, *given, "--device", "cpu", "--workers", "0", "--batch-size", "20", "--epochs", "1"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "resnet81"], "timm has no model 'resnet81'; did you mean resnet18 or"),
        (["--model", "qqqq"], "timm has no model 'qqqq'"),
        (["--recipe", "magic"], "there is no recipe 'magic'; `in21k-train recipes` lists them"),
        (["--set", "optim.rl=1"], "there is no setting 'optim.rl'; did you mean optim.lr or optim.eps?"),
        (["--set", "optim.lr"], "--set 'optim.lr' is not of the form key=value"),
        (["--set", "loss.scheme=magic"], "loss.scheme must be single-label, multi-label,"),
        (["--lr", "2e-3", "--set", "optim.lr=abc"], "optim.lr must be a number, not 'abc'"),
        (["--cache", "c", "--cache-size", "lots"], "--cache-size: invalid size 'lots': use e.g. 200GB"),
        (["--init", "no/such/file.pth"], "no/such/file.pth: there is no such file"),
        (["--image-size", "-3"], "--image-size must be between 0 and 4096, not -3"),
    ],
)
def test_a_wrong_value_is_one_line(capsys, dataset_folder, tmp_path, arguments, message):
    status, out, err = pretrain(capsys, dataset_folder, tmp_path / "run", *arguments)
    assert (status, out) == (1, "")
    assert err.startswith("in21k-train: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_callers_own_answer_to_sigterm_comes_back(capsys, tmp_path):
    def own(*_: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, own)
    try:
        status, _, _ = answer(capsys, "evaluate", tmp_path / "none", "--checkpoint", tmp_path)
        assert (status, signal.getsignal(signal.SIGTERM)) == (1, own)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_batch_of_more_than_all_images_is_one_line(capsys, dataset_folder, tmp_path):
    status, _, err = answer(
        *(capsys, "pretrain", dataset_folder, "--scratch", "--model", "test_resnet", "--output", tmp_path / "run"),
        *("--device", "cpu"),
    )
    assert status == 1
    assert err == "in21k-train: error: a batch size of 3328 is more than the 93 training samples; give a smaller one\n"


def test_a_folder_without_manifest_is_one_line(capsys, tmp_path):
    status, _, err = pretrain(capsys, tmp_path, tmp_path / "run")
    assert status == 1
    assert "no manifest.json there" in err
    assert err.count("\n") == 1


def test_a_used_folder_needs_resume_and_the_same_settings(capsys, dataset_folder, tmp_path):
    run = tmp_path / "run"
    assert pretrain(capsys, dataset_folder, run)[0] == 0
    status, _, err = pretrain(capsys, dataset_folder, run)
    assert (status, err.count("\n")) == (1, 1)
    assert "already holds a run; pass --resume" in err
    status, _, err = pretrain(capsys, dataset_folder, run, "--resume", "--lr", "0.5")
    assert (status, err.count("\n")) == (1, 1)
    assert "optim.lr: 0.0003 → 0.5" in err
    status, out, _ = pretrain(capsys, dataset_folder, run, "--resume")
    assert status == 0
    assert re.search(r"^  resumed at step +4$", out, re.MULTILINE)


def test_a_loss_that_is_not_finite_stops_the_run(capsys, dataset_folder, tmp_path):
    weights = timm.create_model("test_resnet", num_classes=10).state_dict()
    save_file({**weights, "fc.bias": torch.full((10,), torch.nan)}, tmp_path / "nan.safetensors")
    status, _, err = pretrain(capsys, dataset_folder, tmp_path / "run", "--init", tmp_path / "nan.safetensors")
    assert status == 1
    assert err == (
        "in21k-train: error: the loss is nan from step 1 on; start a new run with a lower --lr, "
        "or with --set optim.clip_norm=1\n"
    )
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


@pytest.mark.parametrize(
    "arguments", [["pretrain"], ["evaluate", "x"], ["nothing"], ["pretrain", "x", "--epochs", "many"]]
)
def test_wrong_usage_is_one_line_below_the_usage_and_status_2(capsys, arguments):
    status, _, err = answer(capsys, *arguments)
    usage, hint, line = err.splitlines()
    assert status == 2
    assert usage.startswith("Usage: in21k-train")
    assert hint.startswith("Try in21k-train")
    assert line.startswith("in21k-train: error: ")


def test_debug_shows_the_traceback(capsys, tmp_path):
    _, _, err = answer(capsys, "--debug", "evaluate", tmp_path, "--checkpoint", tmp_path)
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("in21k-train: error: ")


@pytest.mark.parametrize("arguments", [["--help"], ["pretrain", "--help"], ["evaluate", "--help"]])
def test_help_needs_no_torch(arguments):
    code = (
        f"{warm.WITHOUT_TORCH}sys.modules.update(torch=None, timm=None)\n"
        f"from in21k.train.cli.main import main\nmain({arguments!r})"
    )
    done = subprocess.run(warm.python("-c", code), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: in21k-train" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["models"], 0),
        (["settings"], 0),
        (["pretrain", "x", "--model", "resnet18", "--output", "y", "--epochs", "many"], 2),
        (["pretrain", "x", "--model", "resnet18", "--output", "y", "--set", "optim.rl=1"], 1),
        (["evaluate", "x"], 2),
        (["evaluate", "x", "--checkpoint", "y", "--batch-size", "0"], 1),
        (["evaluate", "x", "--checkpoint", "none"], 1),
        (["predict", "x", "--checkpoint", "none"], 1),
        (["export", "none", "x"], 1),
        (["transfer", "x", "--checkpoint", "y", "--output", "z", "--lr", "-1"], 1),
    ],
)
def test_lists_and_wrong_arguments_are_answered_without_importing_torch(arguments, status):
    """That takes seconds."""
    code = (
        f"{warm.WITHOUT_TORCH}from in21k.train.cli.main import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    status = end.code\n"
        "assert not {'torch', 'timm', 'torchvision'} & set(sys.modules)\nsys.exit(status)"
    )
    done = subprocess.run(warm.python("-c", code), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr


def test_without_torch_it_says_what_to_install(tmp_path):
    code = (
        f"{warm.WITHOUT_TORCH}sys.modules.update(torch=None)\nfrom in21k.train.cli.main import main\n"
        "main(['pretrain', '.', '--scratch', '--model', 'resnet18', '--output', 'y'])"
    )
    done = subprocess.run(warm.python("-c", code), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "in21k-train: error: the package torch is not installed; pip install 'in21k[train]'\n"


def test_a_wrong_batch_of_an_evaluation_names_the_option(capsys, tmp_path):
    status, _, err = answer(capsys, "evaluate", tmp_path, "--checkpoint", tmp_path, "--batch-size", 0)
    assert (status, err) == (1, "in21k-train: error: --batch-size must be between 1 and 16777216, not 0\n")


def test_settings_are_listed_with_what_they_take(capsys):
    status, out, _ = answer(capsys, "settings", "--recipe", "single-label-scratch")
    assert status == 0
    assert "optim.lr = 0.01  (0 to 1000000)\n    Peak learning rate" in out
    assert 'optim.name = "sgd"  (adam, adamw or sgd)' in out
    _, out, _ = answer(capsys, "settings", "--json")
    assert {row["key"]: row["value"] for row in json.loads(out)["settings"]} == flatten(Config().to_dict())


def test_an_option_has_the_choices_and_the_help_of_its_setting():
    for command in main.commands.values():
        for option in command.params:
            if option.name not in KEYS:
                continue
            setting = SETTINGS[KEYS[option.name]]
            assert getattr(option.type, "choices", ()) == setting.choices, (command.name, option.name)
    (lr,) = (option for option in main.commands["pretrain"].params if option.name == "lr")
    assert lr.help == SETTINGS["optim.lr"].help


def test_a_summary_as_json(dataset_folder, tmp_path):
    done = run_train(
        *(
            "pretrain",
            dataset_folder,
            "--model",
            "test_resnet",
            "--scratch",
            "--output",
            tmp_path / "run",
            "--json",
            "--workers",
            "0",
        ),
        *("--epochs", "1", "--batch-size", "30", "--device", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    assert without_progress(done.stderr) == ""
    summary = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert summary == {"command": "pretrain"} | json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["carried_over_images"] == 3
