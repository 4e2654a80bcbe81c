"""timm's weights from a hub that works, works slowly, refuses, or never answers."""

import socket
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest
import timm
import torch
from fake_hub import hub
from hub import put_into_cache
from safetensors.torch import save_file
from train_runs import answer

from in21k.train.device.ranks import Ranks
from in21k.train.errors import ToldElsewhereError, TrainError
from in21k.train.model import hub as ours
from in21k.train.model.hub import Wanted, fetch, fetch_on_ranks

NAME, REPOSITORY = "test_vit.r160_in1k", "timm/test_vit.r160_in1k"
WANTED = Wanted(NAME, "give their file with --weights FILE")
HOW = f"fetch them where there is a network with `hf download {REPOSITORY}`"


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(ours, "_PAUSE", 0.0)
    monkeypatch.setattr(ours, "_LEAVE_SECONDS", 0.0)
    monkeypatch.setattr(hub_constants, "HF_HUB_ETAG_TIMEOUT", 0.3)
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)


def at(monkeypatch, endpoint: str) -> None:
    monkeypatch.setattr(hub_constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def refusing(monkeypatch) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    at(monkeypatch, endpoint)
    return endpoint


@pytest.fixture
def silent(monkeypatch) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        at(monkeypatch, endpoint)
        yield endpoint


@pytest.mark.parametrize("kind", ["refusing", "silent"])
def test_a_hub_that_cannot_be_reached_is_one_line(request, caplog, kind):
    endpoint = request.getfixturevalue(kind)
    with pytest.raises(TrainError) as caught:
        fetch(WANTED)
    line = str(caught.value)
    assert line.startswith(f"timm's weights {NAME} cannot be fetched from {endpoint}: ")
    assert f"; give their file with --weights FILE, or {HOW}" in line
    assert "\n" not in line
    assert not caplog.records  # the hub's own retries


def test_what_answers_and_is_no_hub_is_one_line(monkeypatch, tmp_path):
    with hub(tmp_path) as endpoint:
        at(monkeypatch, f"{endpoint}/elsewhere")
        with pytest.raises(TrainError, match="cannot be fetched from"):
            fetch(WANTED)


def served(folder: Path) -> Path:
    folder.mkdir()
    save_file(timm.create_model("test_vit").state_dict(), folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_a_hub_that_works_slowly_works(monkeypatch, tmp_path, delay):
    with hub(served(tmp_path / "served"), model=REPOSITORY, delay=delay) as endpoint:
        at(monkeypatch, endpoint)
        fetch(WANTED)
        assert list((tmp_path / "cache").rglob("model.safetensors"))
    at(monkeypatch, "http://127.0.0.1:9")
    fetch(WANTED)  # from the cache, without a request


def test_weights_that_timm_loads_by_functions_of_its_own_are_on_the_hub_too():
    assert ours._place_of("flexivit_base.300ep_in1k") == ("timm/flexivit_base.300ep_in1k", "pytorch_model.bin")
    assert ours._place_of("gcvit_base.in1k") == ("", "pytorch_model.bin")  # of another server


def test_offline_the_line_names_the_cache(monkeypatch, tmp_path):
    put_into_cache(monkeypatch, tmp_path / "other", "test_resnet.r160_in1k", {"x": torch.zeros(1)})
    with pytest.raises(TrainError, match=rf"{NAME} are not in {tmp_path}/other, and HF_HUB_OFFLINE is set"):
        fetch(WANTED)


class TwoRanks(Ranks):
    """Rank 0 or 1 of two, where the other one found what `other` says."""

    other = 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor[1 - self.rank] += self.other
        return tensor


def test_only_the_first_rank_that_failed_tells_it(refusing):
    first = TwoRanks(torch.device("cpu"), 0, 2, 2)
    with pytest.raises(TrainError, match="cannot be fetched"):
        fetch_on_ranks([WANTED], first)
    second = TwoRanks(torch.device("cpu"), 1, 2, 2)
    fetch_on_ranks([WANTED], second)  # it fetches nothing itself
    second = TwoRanks(torch.device("cpu"), 1, 2, 2)
    object.__setattr__(second, "other", 1)
    with pytest.raises(ToldElsewhereError):
        fetch_on_ranks([WANTED], second)


OTHER_FILE = "give their file with --checkpoint FILE --model NAME, or "


def test_a_rank_whose_fault_another_one_tells_prints_nothing(capsys, monkeypatch, tmp_path):
    def told(*_: object) -> None:
        raise ToldElsewhereError

    monkeypatch.setattr("in21k.train.embed.embed.fetch_on_ranks", told)
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert answer(capsys, "embed", tmp_path, *PHOTO, "--output", tmp_path / "out") == (1, "", "")
    assert not (tmp_path / "error.json").exists()


PHOTO = ["--checkpoint", "timm:test_vit", "--device", "cpu"]


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        (
            ["pretrain", "DATA", "--model", "test_vit", "--pretrained", "--output", "OUT"],
            "give a file of weights with --init FILE, start from random ones with --scratch, or ",
        ),
        (["transfer", "DATA", *PHOTO, "--output", "OUT"], OTHER_FILE),
        (["transfer", "DATA", *PHOTO, "--output", "OUT", "--probe"], OTHER_FILE),
        (["evaluate", "DATA", "--model", "test_vit", "--device", "cpu"], "give their file with --weights FILE, or "),
        (["predict", "PHOTO", *PHOTO], ""),
        (["embed", "PHOTO", *PHOTO, "--output", "OUT"], OTHER_FILE),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else "",
)
def test_each_command_names_what_it_takes_instead(capsys, refusing, dataset_folder, tmp_path, command, instead):
    from small_dataset import picture

    picture(1, 5, 48).save(tmp_path / "photo.jpg")
    places = {"DATA": dataset_folder, "OUT": tmp_path / "out", "PHOTO": tmp_path / "photo.jpg"}
    status, out, err = answer(capsys, *(places.get(word, word) for word in command))
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert f" cannot be fetched from {refusing}: " in err
    assert f"; {instead}{HOW}" in err
