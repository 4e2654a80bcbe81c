"""Both programs end alike: closed pipes, signals, missing packages, full disks, each in a process of its own."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm
from commands import PREP, error_lines, prep
from kills import OPTIONS, draw_dump, progress
from processes import descendants, lives, until

from in21k.prep.records import REJECTS_SCHEMA

PROGRAMS = {"in21k-prep": list(PREP), "in21k-train": [sys.executable, "-m", "in21k.train"]}
programs = pytest.mark.parametrize("program", PROGRAMS)


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as users do: with output that Python buffers."""
    command = ["bash", "-c", f"set -o pipefail; {script}"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=buffered)


@programs
def test_a_pipe_that_is_closed_before_anything_is_printed(program):
    run = shell(f"{shlex.join(PROGRAMS[program])} --help | true")
    assert (run.returncode, run.stdout, run.stderr) == (141, "", "")


@pytest.mark.parametrize(
    ("command", "line"), [pytest.param("models", "name  ", marks=pytest.mark.slow), ("settings", "model.name = ")]
)
def test_a_reader_of_one_line_of_the_trainers_lists(command, line):
    run = shell(f"{shlex.join(PROGRAMS['in21k-train'])} {command} | head -1")
    assert run.returncode in (0, 141), "the buffer of a pipe takes it all, if it comes before the reader leaves"
    assert run.stderr == ""
    assert run.stdout.startswith(line)


def test_a_reader_of_one_line_out_of_more_than_a_pipe_holds(dataset, tmp_path):
    (tmp_path / "manifest.json").write_bytes((dataset.out / "manifest.json").read_bytes())
    rows = [{name: f"{name}-{row}" for name in REJECTS_SCHEMA.names} for row in range(5000)]
    pq.write_table(pa.Table.from_pylist(rows, REJECTS_SCHEMA), tmp_path / "rejects.parquet")
    run = shell(f"{shlex.join(PREP)} rejects {shlex.quote(str(tmp_path))} | head -1")
    assert (run.returncode, run.stderr) == (141, "")
    assert run.stdout == "reason-0\twnid-0\tname-0\tdetail-0\n"


def test_what_waits_in_a_buffer_for_a_closed_pipe_is_no_error_at_exit():
    code = (
        "from in21k.shards_manifest.command.command_end import Program\n"
        "with Program('it', (), {}).ending():\n    print('late')\nraise AssertionError"
    )
    run = shell(f"{shlex.join([sys.executable, '-c', code])} | true")
    assert (run.returncode, run.stderr) == (141, "")


@programs
def test_output_to_a_full_disk_is_one_line(program):
    run = shell(f"{shlex.join(PROGRAMS[program])} --help > /dev/full")
    assert (run.returncode, run.stderr) == (1, f"{program}: error: No space left on device\n")


@programs
def test_outputs_that_are_closed_from_the_start_are_no_error(program):
    command = shlex.join(PROGRAMS[program])
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        run = shell(f"{command} --help {closed}")
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.startswith("Usage: ") is (closed == "2>&-")
    run = shell(f"{command} --no-such-option 2>&-")
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "")


def test_a_broken_pipe_that_is_not_the_output_is_an_error():
    code = (
        "from in21k.shards_manifest.command.command_end import Program\n"
        "with Program('it', (), {}).ending():\n    raise BrokenPipeError(32, 'Broken pipe')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "it: error: Broken pipe\n")


@programs
def test_no_arguments_show_the_help(program):
    run = subprocess.run(PROGRAMS[program], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith(f"Usage: {program} ")


@programs
def test_a_bug_keeps_its_traceback(program, tmp_path):
    package = program.removeprefix("in21k-")
    code = (
        f"from in21k.{package}.cli.main import main\n"
        "def callback(**options): raise ImportError('a name is gone', name='in21k.tree')\n"
        "command = next(iter(main.commands.values()))\ncommand.params, command.callback = [], callback\n"
        "main([command.name])"
    )
    run = subprocess.run(warm.python("-c", code), capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.endswith("ImportError: a name is gone\n")


@programs
@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("MemoryError", "there is not enough memory; free some, or ask for less at a time"),
        ("pyarrow.ArrowMemoryError('malloc of size 1 failed')", "there is not enough memory; free some, or ask for"),
        ("RecursionError('maximum')", "what it reads is nested too deeply; --debug shows where"),
    ],
)
def test_what_takes_too_much_memory_or_depth_is_one_line(program, error, line):
    package = program.removeprefix("in21k-")
    code = (
        f"import pyarrow\nfrom in21k.{package}.cli.main import main\n"
        f"def callback(**options): raise {error}\n"
        "command = next(iter(main.commands.values()))\ncommand.params, command.callback = [], callback\n"
        "main([command.name])"
    )
    run = subprocess.run(warm.python("-c", code), capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith(f"{program}: error: {line}")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        (
            "torch",
            "train pretrain . --scratch --model resnet18 --output y",
            "torch is not installed; pip install 'in21k[train]'",
        ),
        (
            "timm",
            "train pretrain . --scratch --model resnet18 --output y",
            "timm is not installed; pip install 'in21k[train]'",
        ),
        ("matplotlib", "train curves x", "matplotlib is not installed; pip install 'in21k[train]'"),
        (
            "cv2",
            "train pretrain . --scratch --model resnet18 --output y",
            "cv2 is not installed; pip install 'in21k[train]'",
        ),
        ("rapidgzip", "prep filter dump.tar.gz w", "needs rapidgzip: pip install 'in21k[gzip]'"),
        ("distributed", "prep resize work --executor dask --scheduler tcp://x:1", "pip install 'in21k[dask]'"),
        ("cv2", "prep resize w --compat reference", "cv2 is not installed; pip install 'in21k[reference]'"),
    ],
)
def test_a_missing_package_is_one_line_with_the_extra_that_installs_it(dataset, tmp_path, package, arguments, message):
    unfinished = shutil.ignore_patterns("resize.json", "parts")
    shutil.copytree(dataset.work, tmp_path / "work", ignore=unfinished)
    (tmp_path / "list.txt").write_text("n00015388\nn01317541\n")
    (tmp_path / "dump.tar.gz").write_bytes(b"\x1f\x8b\x08" + bytes(100))
    program, *given = arguments.split()
    code = f"import sys\nsys.modules[{package!r}] = None\nfrom in21k.{program}.cli.main import main\nmain({given!r})"
    run = subprocess.run(warm.python("-c", code), capture_output=True, text=True, check=False, cwd=tmp_path)
    lines = error_lines(run.stderr)
    assert run.returncode == 1
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith(f"in21k-{program}: error: ")
    assert lines[0].endswith(message)


def signals(process: int, kind: str) -> set[int]:
    """The signals that a process catches (`SigCgt`) or ignores (`SigIgn`)."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(rf"{kind}:\t([0-9a-f]+)", status)
    assert found is not None
    return {number for number in range(1, 65) if int(found[1], 16) >> (number - 1) & 1}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        pytest.param(signal.SIGTERM, "stopped by SIGTERM", id="SIGTERM"),
        pytest.param(signal.SIGINT, "interrupted", id="SIGINT", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_preparation_leaves_nothing_behind_and_continues(tmp_path, number, said):
    raw = draw_dump(tmp_path / "raw.tar")
    arguments = ("run", raw, tmp_path / "work", tmp_path / "out", *OPTIONS)
    run = subprocess.Popen(
        [*PREP, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's ignore it
    )
    until(lambda: progress(tmp_path) > 3 or run.poll() is not None, 60)
    below = descendants(run.pid)
    workers = {process for process in below if is_worker(process)}
    assert workers
    for process in workers:
        assert signal.SIGTERM not in signals(process, "SigCgt") | signals(process, "SigIgn")
    run.send_signal(number)
    _, errors = run.communicate(timeout=60)
    lines = [line for line in error_lines(errors) if line]
    assert lines == [f"in21k-prep: {said}; run the same command again to continue"]
    assert run.returncode == 128 + number
    until(lambda: not any(map(lives, below)), 30)
    assert not list(tmp_path.rglob(".tmp-*"))
    assert prep(*arguments).returncode == 0
    assert prep("verify", tmp_path / "out", "--deep").returncode == 0


def is_worker(process: int) -> bool:
    return b"forkserver" in Path(f"/proc/{process}/cmdline").read_bytes()


def test_sigterm_before_the_first_step_ends_training_at_once(tmp_path):
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data" / "manifest.json")  # whoever opens it waits
    command = [
        *PROGRAMS["in21k-train"],
        "pretrain",
        tmp_path / "data",
        "--model",
        "resnet18",
        "--scratch",
        "--output",
        tmp_path / "run",
    ]
    run = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    until(lambda: signal.SIGTERM in signals(run.pid, "SigCgt"), 60)
    run.send_signal(signal.SIGTERM)
    _, errors = run.communicate(timeout=60)
    assert (run.returncode, errors) == (143, "in21k-train: stopped by SIGTERM\n")
    assert not (tmp_path / "run").exists()


SWALLOWED = """
import os, signal, time, weakref
from in21k.shards_manifest.command.command_end import Program

class Thing:
    def __del__(self):
        if {in_del}:
            os.kill(os.getpid(), signal.{name})
            time.sleep(0.1)

def callback(*_):
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.1)

with Program("it", (), {{}}).ending():
    thing = Thing()
    watch = None if {in_del} else weakref.ref(thing, callback)
    del thing
    while True:
        time.sleep(0.01)
"""


@pytest.mark.parametrize("in_del", [True, False], ids=["__del__", "weakref"])
@pytest.mark.parametrize(("name", "said"), [("SIGTERM", "stopped by SIGTERM"), ("SIGINT", "interrupted")])
def test_a_signal_during_a_finalizer_still_ends_the_command(in_del, name, said):
    code = SWALLOWED.format(in_del=in_del, name=name)
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's ignore it
    )
    assert (run.returncode, run.stderr) == (128 + signal.Signals[name], f"it: {said}\n")
