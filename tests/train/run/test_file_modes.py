"""The permissions of what a run, an export and a probe write: those that the umask gives every new file."""

import os
import stat
from pathlib import Path

import pytest
from train_runs import answer, trained


@pytest.fixture(params=[0o022, 0o007])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_others_may_read_what_the_umask_lets_them(capsys, dataset_folder, tmp_path, umask):
    run = trained(dataset_folder, tmp_path / "run", "test_resnet", **{"optim.ema_decay": 0.9})
    probe = ("--checkpoint", run, "--probe", "--keep-features", "--output", tmp_path / "probe")
    for words in (("export", run, tmp_path / "exported"), ("transfer", dataset_folder, *probe)):
        assert answer(capsys, *words)[0] == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".safetensors"]) >= 6
    assert {path: oct(mode(path)) for path in files if mode(path) != 0o666 & ~umask} == {}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
