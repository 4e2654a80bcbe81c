"""Which device a rank takes, what it says of it, and why it refuses one; CUDA's answers are made up."""

import warnings

import pytest
import torch

from in21k.train.config.settings import RunConfig
from in21k.train.device import choice
from in21k.train.device.choice import choose_device
from in21k.train.device.header import header_lines, step_text
from in21k.train.device.ranks import Ranks, claim_gpu
from in21k.train.errors import TrainError

CPU = torch.device("cpu")
OLD = "The NVIDIA driver on your system is too old (found version 11040)."


@pytest.fixture
def old_driver(monkeypatch, tmp_path):
    """A machine with a GPU whose driver is too old for PyTorch."""

    def is_available() -> bool:
        warnings.warn("CUDA initialization:\nthe driver is too old", stacklevel=2)
        return False

    def init() -> None:
        raise RuntimeError(OLD)

    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(choice, "_DEVICE_FILES", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def gpus(monkeypatch, count: int, capability=(9, 0), local_rank: int = 0) -> None:
    """Let torch find some GPUs, and start as the rank of this number on the machine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Big GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setenv("LOCAL_RANK", str(local_rank))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_gpu_with_an_old_driver_is_an_error_and_not_the_cpu(old_driver, name):
    with pytest.raises(TrainError, match=r"no CUDA device that PyTorch can use \(The NVIDIA .* too old .*--device cpu"):
        choose_device(name)
    assert choose_device("cpu") == CPU


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_was_hidden_is_left_alone(old_driver, monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert choose_device("auto") == CPU


def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(choice, "_DEVICE_FILES", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(TrainError, match=r"there is no CUDA device .*; pass --device cpu"):
        choose_device("cuda")


@pytest.mark.parametrize(("count", "local_rank", "index"), [(8, 3, 3), (1, 0, 0), (1, 3, 0)])
def test_a_rank_takes_the_gpu_of_its_number_or_the_only_one_it_sees(monkeypatch, count, local_rank, index):
    gpus(monkeypatch, count, local_rank=local_rank)
    assert choose_device("auto") == torch.device("cuda", index)


def test_more_ranks_than_gpus_are_refused(monkeypatch):
    gpus(monkeypatch, 2, local_rank=2)
    with pytest.raises(TrainError, match=r"local rank 2 has no GPU: this machine has 2"):
        choose_device("auto")
    store = torch.distributed.HashStore()
    claim_gpu(store, "0/machine/a")
    claim_gpu(store, "0/machine/b")
    with pytest.raises(TrainError, match=r"two ranks share one GPU"):
        claim_gpu(store, "0/machine/a")


def test_a_gpu_that_pytorch_has_no_code_for_is_refused(monkeypatch):
    gpus(monkeypatch, 1, capability=(7, 0))
    with pytest.raises(TrainError, match=r"Big GPU has compute capability 7.0, and PyTorch needs 7.5 or more"):
        choose_device("auto")


def test_the_header_names_device_precision_and_processes(monkeypatch):
    assert list(header_lines(Ranks(CPU), RunConfig(workers=1), {"model": "a\nb", "teacher": ""})) == [
        "model      a b",
        "device     cpu, in float32",
        "processes  1, with 1 loader process",
    ]
    gpus(monkeypatch, 8)
    ranks = Ranks(torch.device("cuda", 0), 0, 8, 8)
    assert list(header_lines(ranks, RunConfig(workers=7, amp_dtype="float16"), {})) == [
        "device     cuda:0 (Big GPU), in float16",
        "processes  8, with 7 loader processes each",
    ]


def test_a_step_says_how_its_images_are_divided():
    ranks = Ranks(torch.device("cuda", 0), 0, 8, 8)
    assert step_text(3328, ranks, 2) == "3,328 images = 208 x 8 processes x 2 micro-batches"
    assert step_text(3328, Ranks(CPU)) == "3,328 images"


def test_an_accelerator_that_is_left_idle_is_named(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: torch.device("mps"))
    device, _ = header_lines(Ranks(CPU), RunConfig(workers=0), {})
    assert device == "device     cpu (in21k does not compute on mps), in float32"
