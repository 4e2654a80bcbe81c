"""What is not there is refused before anything slow: models and paths without PyTorch, the rest before data open."""

import subprocess
import sys

import pytest
import warm
from train_runs import answer

from in21k.train.config.overrides import with_values
from in21k.train.config.settings import Config
from in21k.train.data.open_data import DataRequest
from in21k.train.errors import TrainError
from in21k.train.model.timm_names import require_architecture, timm_models
from in21k.train.trainer.loop import train_on
from in21k.train.trainer.throughput import throughput
from in21k.train.transfer import transfer

MODEL = "timm has no model 'resent18'; did you mean resnet18 or "
TIMM = "timm has no model 'resent18'; did you mean timm:resnet18 or "
DATA = "gone: there is no such file or folder"
CHECKPOINT = "gone: there is no checkpoint; name a run's folder"
MAIN = f"{warm.WITHOUT_TORCH}sys.modules.update(torch=None)\nfrom in21k.train.cli.main import main\nmain(sys.argv[1:])"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("pretrain here --model resent18 --scratch --output r", MODEL),
        ("pretrain gone --model resnet18 --scratch --output r", DATA),
        ("pretrain here --model resnet18 --recipe single-lable --output r", "did you mean single-label or"),
        ("throughput here --model resent18", MODEL),
        ("throughput gone --model ResNet50", DATA),
        ("evaluate here --model resent18", MODEL),
        ("evaluate here --checkpoint gone", CHECKPOINT),
        ("evaluate gone --model TResNet-M", DATA),
        ("transfer here --checkpoint timm:resent18 --output r", TIMM),
        ("transfer here --checkpoint gone --output r", CHECKPOINT),
        ("transfer here --checkpoint TResNet-M --output r", "for timm's weights give timm:tresnet_m.miil_in21k"),
        ("embed here --checkpoint resnet18 --output r", "for timm's weights give timm:resnet18"),
        ("transfer here --checkpoint here --model resent18 --output r", MODEL),
        ("transfer gone --checkpoint here --output r", DATA),
        ("embed here --checkpoint timm:resent18 --output r", TIMM),
        ("embed gone --checkpoint timm:resnet18 --output r", DATA),
        ("retrieve here --checkpoint timm:resent18 --output r", TIMM),
        ("retrieve gone --checkpoint timm:resnet18 --output r", DATA),
        ("predict here --checkpoint gone", CHECKPOINT),
        ("predict here --checkpoint here --data gone", DATA),
        ("export gone out", CHECKPOINT),
        ("export here out --hierarchy gone", DATA),
    ],
)
def test_commands_refuse_it_without_pytorch(tmp_path, given, line):
    (tmp_path / "here").mkdir()
    command = warm.python("-c", MAIN, *given.split())
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1), run.stderr
    assert line in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_benchmark_refuses_a_model_before_it_runs_anything(tmp_path, capsys):
    (tmp_path / "tasks.toml").write_text(f"[tasks.a]\nkind = 'fine-tune'\ndata = '{tmp_path}'\n")
    given = ("timm:resent18", "--tasks", tmp_path / "tasks.toml", "--output", tmp_path / "out")
    status, _, err = answer(capsys, "benchmark", *given)
    assert (status, TIMM in err) == (1, True), err
    assert not (tmp_path / "out").exists()


class OpenedError(Exception):
    """Data were opened."""


def opened(*_: object) -> None:
    raise OpenedError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model.name": "resnet50.a1_in2k", "model.start": "random"},
            "timm has no weights 'resnet50.a1_in2k'; did you mean resnet50.a1_in1k",
        ),
        ({"model.name": "OFA-595", "model.pretrained": True}, "timm has no weights of OFA-595"),
        ({"model.name": "resnet18", "model.init": "gone.pth"}, "gone.pth: there is no such file"),
        ({"model.name": "resnet18", "distill.teacher": "resent18", "model.start": "random"}, MODEL),
    ],
)
def test_weights_and_teachers_are_refused_before_the_data_are_opened(tmp_path, monkeypatch, values, message):
    config = with_values(Config(), {"run.device": "cpu", **values})
    with pytest.raises(TrainError, match=message):
        train_on(opened, tmp_path / "run", config)
    monkeypatch.setattr("in21k.train.trainer.throughput.open_dataset", opened)
    with pytest.raises(TrainError, match=message):
        throughput("x", config, 1)


@pytest.mark.parametrize("checkpoint", ["timm:resnet50.a1_in2k", "gone"])
def test_a_transfer_refuses_its_checkpoint_before_the_data_are_opened(tmp_path, monkeypatch, checkpoint):
    monkeypatch.setattr(transfer, "open_data", opened)
    request = transfer.TransferRequest(DataRequest(str(tmp_path)), checkpoint)
    with pytest.raises(TrainError, match=r"did you mean|there is no checkpoint"):
        transfer.transfer(request, tmp_path / "run")


def test_every_model_of_timm_is_known_by_its_source():
    import timm

    ours = {"ofa_595"}
    assert set(timm_models()) == set(timm.list_models()) - ours
    for name in [*timm.list_models(), *timm.list_models(pretrained=True), "TResNet-L", "vit-b/16", "ofa_595", ""]:
        require_architecture(name)
    deprecated = next(iter(sys.modules["timm.models._registry"]._deprecated_models))
    assert timm.is_model(deprecated)
    require_architecture(deprecated)
