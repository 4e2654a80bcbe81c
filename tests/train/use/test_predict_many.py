"""Predictions for many images: in batches and loader processes, from folders and lists, printed as they come."""

import io
import json
import os
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from commands import error_lines
from dumps import rotated_jpeg
from image_files import damaged_in_the_middle
from small_dataset import picture
from train_runs import answer

from in21k.train.config.settings import RunConfig
from in21k.train.data.partition import EvalPlan
from in21k.train.device.ranks import Ranks
from in21k.train.errors import TrainError
from in21k.train.stream.worker_count import default_workers
from in21k.train.use import predict as predicting
from in21k.train.use.image_files import image_files
from in21k.train.use.trained_model import TrainedModel, open_trained

CPU = RunConfig(device="cpu", workers=0)
BAD = {"02.jpg": "not-an-image", "05.jpg": "No such file or directory", "06.jpg": "Is a directory"}
"""Of eleven files, those that cannot be read, and why."""


@pytest.fixture(scope="module")
def run(short_run) -> Path:
    return short_run("semantic-softmax")


@pytest.fixture(scope="module")
def model(run) -> TrainedModel:
    return open_trained(run)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[Path]:
    """Eleven files: of all sizes, some rotated or damaged a little, some that cannot be read."""
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{number:02}.jpg" for number in range(11)]
    for number, path in enumerate(paths):
        if path.name not in BAD:
            picture(number, 7, 20 + 9 * number).save(path, quality=95)
    paths[2].write_text("no image")
    paths[6].mkdir()
    paths[4].write_bytes(damaged_in_the_middle())
    paths[8].write_bytes(rotated_jpeg(6))
    return paths


def printed(capsys, run: Path, *arguments: object, form: str = "--json") -> tuple[int, list[dict], str]:
    status, out, err = answer(capsys, "predict", "--checkpoint", run, "--device", "cpu", *arguments, form)
    return status, json.loads(out) if form == "--json" else [json.loads(line) for line in out.splitlines()], err


def listed(folder: Path, paths: list[Path]) -> Path:
    (folder / "list.txt").write_text("".join(f"{path}\n" for path in paths))
    return folder / "list.txt"


def check_equal(found: list[dict], expected: list[dict]) -> None:
    """The same classes in the same order, with the same probabilities but for what six digits round."""
    assert [row["image"] for row in found] == [row["image"] for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row.get("error") == other.get("error")
        assert row.get("labels") == other.get("labels")
        for level, known in zip(row.get("levels", ()), other.get("levels", ()), strict=True):
            assert [guess["wnid"] for guess in level["guesses"]] == [guess["wnid"] for guess in known["guesses"]]
            shares = [guess["probability"] for guess in known["guesses"]]
            assert [guess["probability"] for guess in level["guesses"]] == pytest.approx(shares, abs=2e-6)


@pytest.mark.slow
def test_batches_and_loader_processes_predict_what_each_image_alone_does(capsys, run, images, tmp_path):
    alone = [printed(capsys, run, "--images-from", listed(tmp_path, [path]), "--top", 3)[1][0] for path in images]
    assert {row["image"][-6:]: row["error"].split(":")[0] for row in alone if "error" in row} == BAD
    assert len({json.dumps(row["levels"]) for row in alone if "error" not in row}) == 8
    for batch_size, workers in ((1, 0), (3, 0), (64, 0), (3, 2), (4, 2)):
        how = ["--batch-size", batch_size, "--workers", workers, "--top", 3]
        status, found, err = printed(capsys, run, "--images-from", listed(tmp_path, images), *how)
        assert status == 1
        assert [line.split(": ")[2] for line in err.splitlines()] == [str(images[at]) for at in (2, 5, 6)]
        check_equal(found, alone)


def test_images_pass_through_the_network_in_batches_without_padding(model, images):
    shapes = []
    hook = model.network.module.register_forward_pre_hook(lambda _, inputs: shapes.append(len(inputs[0])))
    try:
        found = list(predicting.predict(model, image_files(images), CPU, batch_size=4))
    finally:
        hook.remove()
    assert len(found) == len(images)
    assert shapes == [4, 4, 3]


def test_images_are_read_only_when_their_predictions_are_due(model, images, tmp_path):
    """So memory does not grow with their number, and the first prediction does not wait for the last image."""
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        picture(1, 1).save(path)
    predictions = predicting.predict(model, image_files(paths), CPU, batch_size=2)
    first = next(predictions)
    paths[3].unlink()
    rest = list(predictions)
    assert [bool(each.error) for each in (first, *rest)] == [False, False, False, True, False, False]


def test_the_network_computes_in_mixed_precision_and_its_classifier_in_float32(model, images):
    types = {}
    module = model.network.module
    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: types.__setitem__(name, output.dtype))
        for name, layer in (("convolution", module.conv1[0]), ("classifier", module.fc))
    ]
    try:
        list(predicting.predict(model, image_files(images[:1]), RunConfig(device="cpu", amp_dtype="bfloat16")))
    finally:
        for hook in hooks:
            hook.remove()
    assert types == {"convolution": torch.bfloat16, "classifier": torch.float32}


def test_a_folder_stands_for_all_images_below_it_by_path(capsys, run, images, tmp_path):
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    (folder / ".cache").mkdir()
    names = ["b/2.JPG", "a.png", "b/1.jpeg", ".hidden.png", ".cache/3.png", "notes.txt"]
    for number, name in enumerate(names):
        picture(number, 1).save(folder / name, "PNG" if name.endswith("g") else "JPEG")
    status, found, _ = printed(capsys, run, images[0], folder, images[1])
    expected = [images[0], folder / "a.png", folder / "b" / "1.jpeg", folder / "b" / "2.JPG", images[1]]
    assert (status, [row["image"] for row in found]) == (0, list(map(str, expected)))
    (tmp_path / "empty").mkdir()
    status, out, err = answer(capsys, "predict", tmp_path / "empty", "--checkpoint", run)
    assert (status, out) == (1, "")
    assert err == f"in21k-train: error: {tmp_path / 'empty'} contains no images; name another folder, or files\n"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_list_names_images_from_a_file_or_standard_input(capsys, monkeypatch, run, tmp_path, workers):
    names = [b"one.png", b" two \xff.png", b"three.png"]
    for number, name in enumerate(names):
        picture(number, 1).save(tmp_path / os.fsdecode(name))
    content = b"one.png\r\n\n" + names[1] + b"\n\nthree.png"
    (tmp_path / "list").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    how = ["--workers", workers, "--batch-size", 2]
    one, other = (printed(capsys, run, "--images-from", source, *how) for source in ("list", "-"))
    assert one == other
    assert (one[0], [row["image"] for row in one[1]]) == (0, [os.fsdecode(name) for name in names])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "list: there is no such file or folder"),
        (b"\n", "the list of images is empty; write one path per line"),
        (b"a.jpg\nb\0.jpg\n", "list: line 2 has a NUL byte, so it is no list of paths; give one path per line"),
    ],
)
def test_what_is_no_list_is_one_line(capsys, run, tmp_path, content, message):
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    status, out, err = answer(capsys, "predict", "--checkpoint", run, "--images-from", tmp_path / "list")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.endswith(f"{message}\n")


def test_no_images_at_all_is_wrong_usage(capsys, run):
    status, out, err = answer(capsys, "predict", "--checkpoint", run)
    assert (status, out, len(error_lines(err))) == (2, "", 1)
    assert "--images-from" in err


def test_json_is_printed_as_one_list_or_line_by_line(capsys, run, images):
    given = ["predict", *images[:4], "--checkpoint", run, "--device", "cpu", "--batch-size", 3]
    _, out, _ = answer(capsys, *given, "--json")
    found = json.loads(out)
    assert out == json.dumps(found, indent=1) + "\n"
    assert printed(capsys, run, *images[:4], form="--jsonl")[1] == found


def test_a_few_images_start_no_loader_processes(capsys):
    assert predicting._resolved(RunConfig(), Ranks(torch.device("cpu")), EvalPlan(255, 64), 32).workers == 0
    many = predicting._resolved(RunConfig(), Ranks(torch.device("cpu")), EvalPlan(256, 64), 32)
    assert many.workers == default_workers(1, 64 * 32 * 32 * 3)
    asked = predicting._resolved(RunConfig(workers=3), Ranks(torch.device("cpu")), EvalPlan(5, 5), 32)
    assert asked.workers == 3


def test_several_ranks_are_refused(monkeypatch, model, images):
    monkeypatch.setattr(predicting, "join_ranks", lambda _: nullcontext(Ranks(torch.device("cpu"), 0, 2)))
    with pytest.raises(TrainError, match="without torchrun"):
        next(predicting.predict(model, image_files(images), CPU))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_predicts_what_the_cpu_does(run, images):
    files = image_files(images)
    expected = list(predicting.predict(open_trained(run), files, CPU, top=50))
    for amp, within in ((False, 2e-3), (True, 0.05)):
        settings = RunConfig(device="cuda", workers=2, amp=amp)
        found = list(predicting.predict(open_trained(run), files, settings, top=50, batch_size=4))
        assert [each.error for each in found] == [each.error for each in expected]
        for one, other in zip(found, expected, strict=True):
            for level, known in zip(one.levels, other.levels, strict=True):
                shares = {guess.wnid: guess.probability for guess in known.guesses}
                assert {guess.wnid: guess.probability for guess in level.guesses} == pytest.approx(shares, abs=within)
