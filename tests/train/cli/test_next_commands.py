"""What embed, retrieve, throughput and transfer say to type next is a command that works on what they made."""

import json
import shlex
from pathlib import Path

import pytest
from small_dataset import picture
from train_runs import answer

from in21k.train.cli.main import main

CPU = ["--device", "cpu", "--workers", 0]


def next_of(out: str) -> list[str]:
    """The words of the command that is named last."""
    told = [line for line in out.splitlines() if line.startswith(("next: ", "  or: "))]
    return shlex.split(told[-1][6:])


def checks(words: list[str]) -> bool:
    """Whether the command line is one that `in21k-train` takes."""
    command = main.commands[words[1]]
    command.make_context(words[1], words[2:], parent=main.make_context("in21k-train", [], resilient_parsing=True))
    return True


@pytest.fixture(scope="module")
def run(short_run) -> Path:
    return short_run("semantic-softmax")


def test_after_embed_the_embeddings_are_ranked_and_the_page_is_opened(capsys, run, dataset_folder, tmp_path):
    given = ["embed", dataset_folder, "--checkpoint", run, *CPU, "--output", tmp_path / "vectors"]
    status, out, err = answer(capsys, *given)
    assert status == 0, err
    words = next_of(out)
    assert words[:3] == ["in21k-train", "retrieve", str(tmp_path / "vectors")]
    status, out, err = answer(capsys, *words[1:])
    assert status == 0, err
    assert next_of(out) == ["python", "-m", "webbrowser", str(tmp_path / "vectors-retrieval/sheet.html")]
    assert (tmp_path / "vectors-retrieval/sheet.html").exists()


def test_after_embed_of_images_without_labels_a_list_of_groups_is_asked_for(capsys, run, tmp_path):
    for number in (1, 2):
        picture(number, 5, 48).save(tmp_path / f"{number}.jpg")
    given = ["embed", tmp_path, "--checkpoint", run, *CPU, "--output", tmp_path.with_name("vectors")]
    status, out, err = answer(capsys, *given)
    assert status == 0, err
    assert next_of(out)[-2:] == ["--relevance", "groups.csv"]
    assert checks(next_of(out))
    assert not json.loads((tmp_path.with_name("vectors") / "embeddings.json").read_text())["files"][0]["split"]


@pytest.mark.parametrize(("model", "start"), [("test_resnet", "--pretrained"), ("ofa-595", "--scratch")])
def test_after_throughput_the_run_is_started(capsys, dataset_folder, monkeypatch, model, start):
    from in21k.train.trainer import throughput

    monkeypatch.setattr(throughput, "throughput", lambda *_: {"bound": "step"})  # which another test measures
    given = ["throughput", dataset_folder, "--model", model, "--batch-size", 20, *CPU, "--steps", 2]
    status, out, err = answer(capsys, *given)
    assert status == 0, err
    words = next_of(out)
    assert words[:3] == ["in21k-train", "pretrain", str(dataset_folder)]
    assert {"--batch-size", "20", start, f"runs/{model}"} < set(words)
    assert "--steps" not in words
    assert checks(words)


def test_after_a_transfer_its_evaluation_reads_the_same_photos(capsys, run, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            picture(number, 5, 48).save(tmp_path / "photos" / name / f"{number}.jpg")
    given = ["transfer", tmp_path / "photos", "--val-share", 0.25, "--checkpoint", run, *CPU]
    given += ["--output", tmp_path / "out", "--epochs", 1, "--batch-size", 4]
    status, out, err = answer(capsys, *given)
    assert status == 0, err
    words = next_of(out)
    assert {"--layout", "imagefolder", "--val-share", "0.25"} < set(words)
    status, _, err = answer(capsys, *words[1:], *CPU)
    assert status == 0, err
