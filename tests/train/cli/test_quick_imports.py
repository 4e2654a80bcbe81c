"""Commands import PyTorch without garbage collection, and collect as always afterwards."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import warm

from in21k.train import cli

NOTED = """
import gc, json, os, sys
full, waiting = [], []
gc.callbacks.append(lambda phase, info: full.append("torch" in sys.modules) if info["generation"] == 2 else None)
from in21k.train.cli.main import main
class Watch:
    def find_spec(self, name, *_):
        if name == "torch":
            waiting.append(os.environ.get("OMP_WAIT_POLICY"))
sys.meta_path.insert(0, Watch())
try:
    main({given})
except SystemExit as end:
    print(json.dumps([end.code, sum(full), gc.isenabled(), gc.get_freeze_count(), waiting]))
"""


EVALUATE = ["evaluate", ".", "--model", "resnet18"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["pretrain", ".", "--scratch", "--model", "resnet18", "--output", "run"],
        pytest.param(["embed", ".", "--checkpoint", ".", "--output", "embeddings"], marks=pytest.mark.slow),
    ],
)
def test_a_command_collects_no_garbage_while_it_imports_pytorch(arguments, tmp_path):
    command = [sys.executable, "-c", NOTED.format(given=""), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    status, collections, is_on, left_out, waiting = json.loads(done.stdout)
    assert (status, collections, is_on, waiting) == (1, 0, True, ["PASSIVE"])
    assert left_out > 100_000
    assert done.stderr.count("\n") == 1, done.stderr  # the error, and nothing that extension modules report at exit


def functions_that_import_a_core() -> dict[str, bool]:
    """Each command that imports `… as core`, and whether it does so within quick_imports."""
    found = {}
    for path in Path(cli.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and "core" in imported_by(function):
                blocks = [each for each in function.body if isinstance(each, ast.With)]
                quick = [each for each in blocks if ast.unparse(each.items[0]) == "quick_imports()"]
                found[function.name] = any("core" in imported_by(each) for each in quick)
    return found


def imported_by(node: ast.AST) -> set[str]:
    return {
        name.asname or name.name for each in ast.walk(node) if isinstance(each, ast.ImportFrom) for name in each.names
    }


def test_every_command_does_so():
    found = functions_that_import_a_core()
    assert {"pretrain", "_evaluated", "predict", "transfer"} <= found.keys()
    assert [name for name, is_quick in found.items() if not is_quick] == []


def test_where_pytorch_is_there_already_nothing_is_set_aside(tmp_path):
    command = warm.python("-c", "import gc, torch\ngc.unfreeze()\n" + NOTED.format(given=""), *EVALUATE)
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)[-2] == 0


@pytest.mark.slow
def test_nothing_of_a_program_that_calls_the_command_line_is_set_aside(tmp_path):
    code = NOTED.format(given=repr(EVALUATE))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(done.stdout)[2:4] == [True, 0]
