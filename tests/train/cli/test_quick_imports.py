"""Commands import PyTorch without garbage collection, and collect as always afterwards."""

import json
import subprocess
import sys

import pytest

NOTED = """
import gc, json, sys
full = []
gc.callbacks.append(lambda phase, info: full.append("torch" in sys.modules) if info["generation"] == 2 else None)
from in21k.train.cli.main import main
try:
    main({arguments!r})
except SystemExit as end:
    print(json.dumps([end.code, sum(full), gc.isenabled(), gc.get_freeze_count()]))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["pretrain", "none", "--model", "resnet18", "--output", "run"],
        ["evaluate", "none", "--model", "resnet18"],
        ["throughput", "none", "--model", "resnet18"],
        ["embed", "none", "--checkpoint", "none", "--output", "embeddings"],
    ],
)
def test_a_command_collects_no_garbage_while_it_imports_pytorch(arguments, tmp_path):
    code = NOTED.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    status, collections, is_on, left_out = json.loads(done.stdout)
    assert (status, collections, is_on) == (1, 0, True)
    assert left_out > 100_000
    assert done.stderr.count("\n") == 1, done.stderr  # the error, and nothing that extension modules report at exit


def test_where_pytorch_is_there_already_nothing_is_set_aside(tmp_path):
    code = "import torch\n" + NOTED.format(arguments=["evaluate", "none", "--model", "resnet18"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)[-1] == 0
