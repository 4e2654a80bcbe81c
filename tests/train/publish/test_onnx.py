"""Exports to ONNX: the logits of torch for any batch, what the file says of itself, and what predict makes of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
import warm
from exported import exported, random_model
from onnx.external_data_helper import set_external_data
from small_dataset import picture
from train_runs import answer

from in21k.train.errors import TrainError
from in21k.train.model.architectures import ARCHITECTURES
from in21k.train.model.model_file import load_network, save_model
from in21k.train.publish.export import ExportOptions
from in21k.train.publish.onnx_file import TOLERANCE, require_equal, write_onnx
from in21k.train.use.trained_model import open_trained

WITH_ONNX = ExportOptions(onnx=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model in `model`, and its export in `out`."""
    folder = tmp_path_factory.mktemp("onnx")
    exported(folder, "test_resnet", 32, WITH_ONNX, **{"model.inputs": "timm"})
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        picture(number, 5, 30 + 7 * number).save(path)
    (folder / "4.png").write_text("no image")
    return paths


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("test_vit", 32),
        *(pytest.param(each.timm, 224, marks=pytest.mark.slow) for each in ARCHITECTURES),
    ],
)
def test_onnxruntime_gives_torchs_logits_in_class_order_and_predict_the_same_labels(
    capsys, images, tmp_path, name, size
):
    exported(tmp_path, name, size, WITH_ONNX)
    network = load_network(tmp_path / "model" / "model.safetensors")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 4):
        inputs = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(batch))
        with torch.inference_mode():
            expected = network.module(inputs)
        [found] = session.run(["logits"], {"images": inputs.numpy()})
        assert expected.std() > 0.01
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=TOLERANCE, rtol=0)
    check_same_predictions(capsys, tmp_path / "model", tmp_path / "out" / "model.onnx", images)


def predictions(capsys, checkpoint: Path, images: list[Path], *options: object) -> tuple[list[dict], str]:
    given = ["predict", *images, "--checkpoint", checkpoint, "--device", "cpu", "--top", 3, "--json", *options]
    status, out, err = answer(capsys, *given)
    assert status == 1  # for the file that is no image
    return json.loads(out), err


def check_same_predictions(capsys, one: Path, other: Path, images: list[Path], *options: object) -> None:
    (expected, line), (found, other_line) = (predictions(capsys, each, images, *options) for each in (one, other))
    assert line == other_line
    assert len(expected) == len(images)
    assert found == near(expected)


def near(values: Any) -> Any:
    """The same values, of which probabilities may differ by 1e-4."""
    if isinstance(values, dict):
        return {key: near(value) for key, value in values.items()}
    if isinstance(values, list):
        return [near(value) for value in values]
    return pytest.approx(values, abs=1e-4) if isinstance(values, float) else values


@pytest.mark.parametrize("options", [[], ["--batch-size", 2], ["--batch-size", 3, "--workers", 1]])
def test_predict_makes_of_the_onnx_file_what_it_makes_of_the_weights(capsys, folder, images, tmp_path, options):
    for name in ("model.onnx", "hierarchy.parquet"):  # all that is left of the export
        (tmp_path / name).write_bytes((folder / "out" / name).read_bytes())
    check_same_predictions(capsys, folder / "model", tmp_path, images, *options)


def test_the_file_describes_itself_and_names_nothing_of_this_machine(folder, tmp_path):
    graph = onnx.load(folder / "out" / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert [(each.domain, each.version) for each in graph.opset_import] == [("", 18)]
    texts = {entry.key: entry.value for entry in graph.metadata_props}
    model = open_trained(folder / "model")
    assert json.loads(texts["classes"]) == list(model.classes.hierarchy.wnids)
    assert tuple(json.loads(texts["mean"])) == model.network.normalization.mean
    assert tuple(json.loads(texts["std"])) == model.network.normalization.std != (1, 1, 1)
    assert (texts["model"], texts["image_size"], texts["num_classes"]) == ("test_resnet", "32", "10")
    content = (folder / "out" / "model.onnx").read_bytes()
    for place in (sys.prefix, Path(torch.__file__).parents[1], Path(__file__).parents[3], "stack_trace"):
        assert str(place).encode() not in content
    write_onnx(tmp_path / "again.onnx", model)
    assert (tmp_path / "again.onnx").read_bytes() == content


@pytest.mark.slow
def test_a_model_with_activation_checkpoints_is_exported_as_any_other(tmp_path):
    model = random_model(tmp_path / "model", "test_vit", 32, **{"model.grad_checkpointing": True})
    assert model.network.module.grad_checkpointing
    write_onnx(tmp_path / "model.onnx", model)
    assert {node.domain for node in onnx.load(tmp_path / "model.onnx").graph.node} == {""}


def test_logits_that_are_not_torchs_are_refused(folder, tmp_path):
    network = load_network(folder / "model" / "model.safetensors")
    content = (folder / "out" / "model.onnx").read_bytes()
    require_equal(tmp_path / "other.onnx", content, network, 32)
    network.module.fc.weight.data[3] *= 1.01
    with pytest.raises(
        TrainError, match=r"other.onnx was not written: onnxruntime's logits differ from torch's by 0\."
    ):
        require_equal(tmp_path / "other.onnx", content, network, 32)


def test_a_model_that_fails_leaves_no_onnx_file_and_no_complete_folder(capsys, tmp_path):
    model = random_model(tmp_path / "model", "test_resnet", 32)
    weights = {name: tensor * float("nan") for name, tensor in model.network.weights().items() if "fc" in name}
    save_model(model.path, model.metadata, model.network.weights() | weights)
    status, out, err = answer(capsys, "export", tmp_path / "model", tmp_path / "out", "--onnx")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "model.onnx was not written: onnxruntime's logits differ from torch's by nan" in err
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"README.md", "classes.txt", "config.json", "hierarchy.parquet"}
    assert answer(capsys, "export", tmp_path / "model", tmp_path / "out")[0] == 0  # into what was left


def outside_weights(graph: onnx.ModelProto) -> None:
    set_external_data(graph.graph.initializer[0], "../../secret")


def outside_weights_of_a_branch(graph: onnx.ModelProto) -> None:
    tensor = onnx.helper.make_tensor("x", onnx.TensorProto.FLOAT, [1], bytes(4), raw=True)
    set_external_data(tensor, "secret")
    branch = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["x"], value=tensor)], "branch", [], [])
    graph.graph.node.append(onnx.helper.make_node("If", ["images"], ["y"], then_branch=branch, else_branch=branch))


def other_size(graph: onnx.ModelProto) -> None:
    graph.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 64


def fewer_classes(graph: onnx.ModelProto) -> None:
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 9


def no_metadata(graph: onnx.ModelProto) -> None:
    del graph.metadata_props[:]


def bad_metadata(graph: onnx.ModelProto) -> None:
    next(entry for entry in graph.metadata_props if entry.key == "image_size").value = "large"


def unknown_operator(graph: onnx.ModelProto) -> None:
    graph.graph.node[0].op_type, graph.graph.node[0].domain = "Mine", "custom"
    graph.opset_import.add(domain="custom", version=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (outside_weights, "takes weights from other files"),
        (outside_weights_of_a_branch, "takes weights from other files"),
        (other_size, "has other inputs and outputs than its metadata says"),
        (fewer_classes, "has other inputs and outputs than its metadata says"),
        (no_metadata, "is not a model file of in21k: its metadata lacks 'model'"),
        (bad_metadata, "cannot be read: invalid literal for int"),
        (unknown_operator, "onnxruntime cannot load it"),
    ],
)
def test_a_file_that_is_not_what_export_writes_is_one_line(capsys, folder, images, tmp_path, change, message):
    graph = onnx.load(folder / "out" / "model.onnx")
    change(graph)
    path = tmp_path / "changed.ONNX"
    path.write_bytes(graph.SerializeToString())
    check_refused(capsys, folder, images, path, message)


@pytest.mark.parametrize(("content", "message"), [(b"no graph", "cannot be read"), (b"", "its metadata lacks 'model'")])
def test_a_file_that_is_no_graph_is_one_line(capsys, folder, images, tmp_path, content, message):
    (tmp_path / "model.onnx").write_bytes(content)
    check_refused(capsys, folder, images, tmp_path / "model.onnx", message)


def test_a_file_beyond_the_formats_size_is_not_read(capsys, folder, images, tmp_path):
    with (tmp_path / "model.onnx").open("wb") as file:
        file.truncate(2**31)
    check_refused(capsys, folder, images, tmp_path / "model.onnx", "2,147,483,648 bytes are more than an ONNX file may")


def check_refused(capsys, folder: Path, images: list[Path], path: Path, message: str) -> None:
    table = ["--hierarchy", folder / "out" / "hierarchy.parquet"]
    status, out, err = answer(capsys, "predict", images[0], "--checkpoint", path, "--device", "cpu", *table)
    assert (status, out, err.count("\n")) == (1, "", 1), err
    assert message in err
    assert str(path) in err


@pytest.mark.parametrize(
    "command", ["export {} new", "evaluate data --checkpoint {}", "transfer data --checkpoint {} --output new"]
)
def test_what_needs_weights_takes_no_graph(capsys, folder, dataset_folder, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(dataset_folder)
    status, _, err = answer(capsys, *command.format(folder / "out" / "model.onnx").split())
    assert (status, err.count("\n")) == (1, 1)
    assert "model.onnx is a graph, which only predict takes; name the run or model.safetensors it came from" in err
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "command"),
    [("onnxscript", "export model new --onnx"), ("onnxruntime", "predict 0.png --checkpoint out/model.onnx")],
)
def test_a_missing_library_is_one_line_that_names_the_extra(folder, images, missing, command):
    code = f"import sys; sys.modules[{missing!r}] = None; from in21k.train.cli.main import main; main(sys.argv[1:])"
    words = [str(images[0]) if word == "0.png" else word for word in command.split()]
    done = subprocess.run(warm.python("-c", code, *words), cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "pip install 'in21k[onnx]'" in done.stderr
    assert not (folder / "new").exists()


@pytest.mark.slow
def test_an_export_without_onnx_imports_nothing_of_it(folder, tmp_path):
    code = """
import atexit, sys
from in21k.train.cli.main import main
atexit.register(lambda: print(sorted(name for name in sys.modules if name.startswith("onnx"))))
main(["export", "model", sys.argv[1], "--json"])
"""
    given = warm.python("-c", code, str(tmp_path / "out"))
    done = subprocess.run(given, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr
