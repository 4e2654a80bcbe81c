"""Mutants of what runs and model files record; `python record_mutants.py FOLDER KIND FIRST LAST` tries some of them."""

import json
import random
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from watched import DONE, Growth, watch

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


READERS = {
    "state": (state_of, STATE_TEXT),
    "config": (config_of, CONFIG_TEXT),
    "metadata": (metadata_of, json.dumps(asdict(Config()), indent=1)),
}


def main() -> None:
    folder, kind, first, last = sys.argv[1:]
    read, text = READERS[kind]
    growth = Growth()
    for number in range(int(first), int(last)):
        content = mutant(text, random.Random(number))
        print(f"{kind} {number}", flush=True)
        message = ""
        try:
            read(Path(folder), content)
        except TrainError as error:
            message = str(error)
        assert not message or folder in message, message
        assert message.isprintable(), message
        assert len(message) < 600, message
        growth.check()
    print(DONE, end="", flush=True)


def try_records(folder: Path, kind: str, mutants: range) -> None:
    """Try the mutants of these numbers in a process of its own; fail with one that ends it, hangs or grows."""
    watch(__file__, folder, kind, mutants.start, mutants.stop)


if __name__ == "__main__":
    main()
