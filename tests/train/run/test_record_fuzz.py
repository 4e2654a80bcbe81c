"""Mutants of what runs and model files record: each is read, or refused in one line that names the file."""

import json
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from in21k.train.config.settings import Config
from in21k.train.errors import TrainError
from in21k.train.model.model_file import read_metadata
from in21k.train.run.checkpoint import STATE, RunState, load_state
from in21k.train.run.folder import read_config

NASTY = [
    "null",
    "true",
    "-1",
    "1e999",
    "NaN",
    "-Infinity",
    "9" * 5000,
    "9" * 400,
    "[]",
    "{}",
    '""',
    r'"\ud800\n\u001b[2J"',
    '"' + "x" * 100_000 + '"',
    "[" * 100_000,
    "[" * 20 + "]" * 20,
    '{"a":' * 100_000,
]
STATED = RunState(
    step=8,
    epoch=2,
    samples=160,
    skipped=0,
    dataset_sha256="ab" * 32,
    config=Config(),
    scaler={"scale": 65536.0, "growth_interval": 2000},
    groups=({"lr": 1e-3, "betas": [0.9, 0.999], "amsgrad": False, "foreach": None},),
)
STATE_TEXT = json.dumps(asdict(STATED), indent=1)
CONFIG_TEXT = json.dumps({"config": asdict(Config()), "dataset": {"manifest_sha256": "ab" * 32}}, indent=1)


def mutant(text: str, draw: random.Random) -> bytes:
    """A value replaced by a nasty one, or bytes changed, cut out or doubled."""
    lines = text.splitlines()
    kind = draw.randrange(4)
    if kind == 0:
        at = draw.choice([at for at, line in enumerate(lines) if ": " in line])
        head, _, _ = lines[at].partition(": ")
        lines[at] = f"{head}: {draw.choice(NASTY)}{',' if lines[at].endswith(',') else ''}"
        return "\n".join(lines).encode()
    content = bytearray(text.encode())
    start = draw.randrange(len(content))
    stop = start + draw.randrange(1, 40)
    if kind == 1:
        content[start] = draw.randrange(256)
    elif kind == 2:
        del content[start:stop]
    else:
        content[start:start] = content[start:stop]
    return bytes(content)


def state_of(path: Path, content: bytes) -> object:
    (path / STATE).write_bytes(content)
    return load_state(path)


def config_of(path: Path, content: bytes) -> object:
    (path / "config.json").write_bytes(content)
    return read_config(path / "config.json")


def metadata_of(path: Path, content: bytes) -> object:
    """The mutant is the configuration, or one of the numbers."""
    stored = {"model": "test_resnet", "num_classes": "10", "image_size": "32", "step": "8", "class_list_sha256": "ab"}
    text = content.decode(errors="replace")
    key = ["config", *stored][len(content) % 6]
    values = stored | {"config": json.dumps(asdict(Config()))} | {key: text}
    save_file({"a": torch.zeros(1)}, path / "model.safetensors", values)
    return read_metadata(path / "model.safetensors")


def check(read: Callable[[Path, bytes], object], text: str, folder: Path, mutants: range) -> None:
    for number in mutants:
        content = mutant(text, random.Random(number))
        message = ""
        try:
            read(folder, content)
        except TrainError as error:
            message = str(error)
        assert not message or str(folder) in message, number
        assert message.isprintable(), number
        assert len(message) < 600, number


READERS = [(state_of, STATE_TEXT), (config_of, CONFIG_TEXT), (metadata_of, json.dumps(asdict(Config()), indent=1))]


@pytest.mark.parametrize(("read", "text"), READERS)
def test_a_mutant_of_a_record_is_read_or_refused_in_a_line(tmp_path, read, text):
    check(read, text, tmp_path, range(100))


@pytest.mark.slow
@pytest.mark.parametrize(("read", "text"), READERS)
def test_each_of_a_thousand_mutants_is_read_or_refused_in_a_line(tmp_path, read, text):
    check(read, text, tmp_path, range(100, 1100))


@pytest.mark.parametrize("nasty", NASTY[:14])
@pytest.mark.parametrize("key", ["step", "dataset_sha256", "config", "scaler", "groups"])
def test_a_state_of_another_type_is_refused(tmp_path, key, nasty):
    if (key, nasty) in {("config", "{}"), ("scaler", "{}"), ("groups", "[]"), ("dataset_sha256", '""')}:
        return  # what an older version, a run without float16, or any digest may be
    values = json.loads(STATE_TEXT) | {key: "HERE"}
    with pytest.raises(TrainError, match=f"{STATE} cannot be read: "):
        state_of(tmp_path, json.dumps(values).replace('"HERE"', nasty).encode())
