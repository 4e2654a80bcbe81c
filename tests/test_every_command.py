"""Every command of both programs, bare, with --help, mistyped, with --json, and read by `head -1`: one voice."""

import json
import os
import re
import shlex
import subprocess

import click
import pytest
import warm
from click.testing import CliRunner
from commands import error_lines
from summaries import problems

from in21k.prep.cli.main import main as prep
from in21k.shards_manifest.command.help import first_sentence
from in21k.train.cli.main import main as train

PROGRAMS = {"in21k-prep": prep, "in21k-train": train}
MODULES = {"in21k-prep": "in21k.prep", "in21k-train": "in21k.train"}
COMMANDS = {
    **{f"{name} {each}": command for name, program in PROGRAMS.items() for each, command in program.commands.items()},
    "in21k-train recipes show": train.commands["recipes"].commands["show"],
}
NEED_NOTHING = {"in21k-train models", "in21k-train recipes", "in21k-train settings"}
GONE = {
    "in21k-prep demo": ["gone/raw.tar"],
    "in21k-prep filter": ["gone", "work"],
    "in21k-prep shard": ["gone", "out"],
    "in21k-prep run": ["gone", "work", "out"],
    "in21k-prep repair": ["gone", "gone"],
    "in21k-prep compare": ["gone", "gone"],
    "in21k-train recipes": ["gone"],
    "in21k-train settings": ["--recipe", "gone"],
    "in21k-train models": ["gone"],
    "in21k-train pretrain": ["gone", "--model", "resnet18", "--scratch", "--output", "run"],
    "in21k-train throughput": ["gone", "--model", "resnet18"],
    "in21k-train evaluate": ["gone", "--model", "TResNet-M"],
    "in21k-train transfer": ["gone", "--checkpoint", "timm:resnet18", "--output", "run"],
    "in21k-train benchmark": ["gone", "--tasks", "gone.toml", "--output", "out"],
    "in21k-train predict": ["photo.jpg", "--checkpoint", "gone"],
    "in21k-train embed": ["gone", "--checkpoint", "timm:resnet18", "--output", "out"],
    "in21k-train retrieve": ["gone", "--checkpoint", "timm:resnet18", "--output", "out"],
    "in21k-train export": ["gone", "out"],
}
"""Arguments that lead nowhere, of the commands that take more than one of them."""
ANSWERS = [
    "in21k-prep classes fall11-p --subtree n02084071",
    "in21k-prep tree in1k --output {folder}/tree.parquet",
    "in21k-prep inspect {dataset}",
    "in21k-prep inspect {dataset} --class 0",
    "in21k-prep rejects {dataset}",
    "in21k-prep verify {dataset} --quick",
    "in21k-prep compare {dataset} {dataset}",
    "in21k-train models",
    "in21k-train recipes",
    "in21k-train recipes show multi-label",
    "in21k-train settings --recipe transfer-video",
]
"""Commands that answer at once, of every kind of answer; test_prep_json and test_train_json have the others."""

each_command = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def run(name, *arguments):
    """Exit status, stdout and stderr of a command, in this process."""
    program, *words = name.split()
    result = CliRunner().invoke(PROGRAMS[program], [*words, *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def the_error(name, status, out, err):
    """The one line that says what is wrong; above it stands the usage where that was wrong, and nothing else."""
    lines = err.splitlines()
    program = name.partition(" ")[0]
    assert out == ""
    assert error_lines(err) == lines[-1:], err
    assert lines[-1].startswith(f"{program}: error: ")
    assert status == (2 if lines[0].startswith("Usage: ") else 1)
    if status == 2:
        command = re.match(r"Usage: ([a-z0-9 -]+?) [A-Z\[]", lines[0])[1]
        assert lines[:-1] == [lines[0], f"Try {command} --help."]
    return lines[-1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_bare_program_prints_its_help(name):
    status, out, err = run(name)
    assert (status, out) == (2, "")
    assert all(f"  {each} " in err for each in PROGRAMS[name].commands)


@each_command
def test_a_bare_command_says_what_it_needs(name, tmp_path):
    status, out, err = run(name)
    if name in NEED_NOTHING:
        assert (status, err) == (0, "")
        assert out
        return
    line = the_error(name, status, out, err)
    assert status == 2
    required = [each for each in COMMANDS[name].params if each.required]
    assert all((each.metavar or "").rstrip("…") in line or f"--{each.name}" in line for each in required)
    assert "missing" in line or "name " in line
    assert list(tmp_path.iterdir()) == []


@each_command
def test_help_is_whole_and_as_wide_as_the_terminal(name):
    status, out, err = run(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: {name} ")
    assert first_sentence(COMMANDS[name]) in " ".join(out.split())
    above, _, rest = out.partition("  Examples:\n")
    examples, _, below = rest.partition("\n\n")
    assert [line for line in (above + below).splitlines() if len(line) > 80] == []
    assert f"  {name.partition(' ')[0]} " in examples
    assert "..." not in out.replace("[ARGS]...", "")


@each_command
def test_a_slip_in_an_option_is_answered_with_the_option(name, tmp_path):
    options = [each for each in COMMANDS[name].params if isinstance(each, click.Option)]
    meant = max((text for each in options for text in each.opts), key=len)
    slip = f"{meant[:-3]}{meant[-2]}{meant[-3]}{meant[-1]}" if meant[-2] != meant[-3] else f"{meant}x"
    line = the_error(name, *run(name, slip))
    assert f"there is no option {slip}; did you mean " in line
    assert meant in line
    assert list(tmp_path.iterdir()) == []


@each_command
def test_an_argument_that_leads_nowhere_is_one_line_that_names_it(name, tmp_path):
    if name == "in21k-prep demo":
        (tmp_path / "gone").write_text("a file, below which nothing can be")
    line = the_error(name, *run(name, *GONE.get(name, ["gone"])))
    assert "gone" in line
    assert [path.name for path in tmp_path.iterdir() if path.name != "gone"] == []


def shell(script):
    command = ["bash", "-c", f"set -o pipefail; {script}"]
    buffered = {each: value for each, value in os.environ.items() if each != "PYTHONUNBUFFERED"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=buffered)


def typed(line, **places):
    program, *words = line.format(**places).split()
    return shlex.join(warm.python("-m", MODULES[program], *words))


@each_command
def test_help_read_by_head_is_no_error(name):
    done = shell(f"{typed(name)} --help | head -1")
    assert done.returncode in (0, 141)
    assert done.stderr == ""
    assert done.stdout.startswith(f"Usage: {name} ")


@pytest.mark.parametrize("line", ANSWERS)
def test_an_answer_is_one_line_of_json_and_its_first_line_can_be_read_alone(dataset, tmp_path, line):
    command = typed(line, dataset=dataset.out, folder=tmp_path)
    done = shell(f"{command} --json | head -1")
    assert (done.returncode, done.stderr) == (0, ""), "all of it is on the first line"
    name = json.loads(done.stdout)["command"]
    assert line.startswith((f"in21k-prep {name}", f"in21k-train {name}"))
    assert problems(name, done.stdout) == []
    first = shell(f"{command} | head -1")
    assert first.returncode in (0, 141)
    assert first.stderr == ""
    assert first.stdout.strip()
