"""`--json` of every command of `in21k-train` keeps to the declared schema."""

import json

import warm
from summaries import problems
from train_runs import answer

from in21k.shards_manifest.command.declared import keys_of
from in21k.train.cli.main import main
from in21k.train.detection.coco_metric import NAMES
from in21k.train.retrieval.scores import KS

TASKS = """
[defaults.set]
run.workers = 0
[tasks.probe]
kind = "probe"
data = "{data}"
"""
ON_CPU = ("--device", "cpu", "--workers", 0)
TRAINED = (*ON_CPU, "--epochs", 1, "--batch-size", 30)


def calls(data, folder):
    """Every command with arguments that show its keys, in an order in which each finds what it needs."""
    run = folder / "run"
    (folder / "tasks.toml").write_text(TASKS.format(data=data))
    yield "models", ()
    yield "recipes", ()
    yield "recipes show", ("semantic-softmax",)
    yield "settings", ()
    yield "pretrain", (data, "--model", "test_resnet", "--scratch", "--output", run, *TRAINED)
    yield "evaluate", (data, "--checkpoint", run, *ON_CPU, "--output", folder / "evaluation", "--worst", 3)
    yield "curves", (run, "--output", folder / "curves.png")
    yield "transfer", (data, "--layout", "shards", "--checkpoint", run, "--output", folder / "tuned", *TRAINED)
    yield "transfer", (data, "--checkpoint", run, "--output", folder / "probe", "--probe", *ON_CPU)
    yield "transfer", (data, "--checkpoint", run, "--output", folder / "knn", "--knn", "5,3", *ON_CPU)
    yield "embed", (data, "--checkpoint", run, "--output", folder / "vectors", *ON_CPU)
    yield "retrieve", (folder / "vectors", "--output", folder / "retrieval", "--relevance", "classes", *ON_CPU)
    yield "benchmark", (run, "--tasks", folder / "tasks.toml", "--output", folder / "benchmark", "--device", "cpu")
    yield "export", (run, folder / "exported")
    yield "throughput", (data, "--model", "test_resnet", "--steps", 1, "--batch-size", 30, *ON_CPU)


def test_the_json_of_every_command_is_as_declared(capsys, monkeypatch, dataset_folder, tmp_path):
    monkeypatch.setattr("sys.executable", warm.python()[0])  # by which benchmark starts its runs
    seen = set()
    for command, arguments in calls(dataset_folder, tmp_path):
        status, printed, errors = answer(capsys, *command.split(), *arguments, "--json")
        assert status == 0, errors
        assert problems(command, printed) == [], (command, arguments)
        assert json.loads(printed)["command"] == command
        seen.add(command.split()[0])
    assert seen == main.commands.keys() - {"predict"}, "predict prints a list, or a line per image: docs/transfer.md"


def test_the_numbers_of_detectors_and_rankings_are_declared():
    for command in ("transfer", "evaluate"):
        assert {f"val_{name}" for name in NAMES} <= set(keys_of(command))
    assert {f"recall_at_{k}" for k in KS} <= set(keys_of("retrieve"))
