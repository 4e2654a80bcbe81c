"""Shells complete commands, options and the values that are known, by the lines that docs/command-line.md gives."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from spoken import Terminal

SCRIPTS = Path(sys.executable).parent
PAGE = Path(__file__).parents[3] / "docs/command-line.md"
LINES = re.findall(r"`(eval [^`]*|_IN21K[^`]*)`", PAGE.read_text(encoding="utf-8"))

ASK = """
{line}
compopt() {{ :; }}  # outside of a completion, bash's own is an error
COMP_LINE={typed!r}
COMP_POINT=${{#COMP_LINE}}
_{name}_completion in21k-{program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def environment(scripts: Path = SCRIPTS) -> dict[str, str]:
    return os.environ | {"PATH": f"{scripts}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> Path:
    """A folder with both programs, which start fast."""
    folder = tmp_path_factory.mktemp("scripts")
    for program in ("in21k-prep", "in21k-train"):
        script = folder / program
        script.write_text(f'#!/bin/sh\nexec {shlex.join(warm.python(SCRIPTS / program))} "$@"\n')
        script.chmod(0o755)
    return folder


def completions(scripts: Path, typed: str) -> list[str]:
    """What bash offers for a line that ends where the cursor is."""
    program = typed.partition(" ")[0].removeprefix("in21k-")
    name = f"in21k_{program}"
    (line,) = [each for each in LINES if f"{name.upper()}_COMPLETE=bash_source" in each]
    script = ASK.format(line=line, typed=typed, program=program, name=name)
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=environment(scripts))
    assert run.stderr == ""
    return run.stdout.splitlines()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("in21k-prep ver", ["verify"]),
        ("in21k-prep run raw w o --min-i", ["--min-images"]),
        ("in21k-prep split w --order ", ["name", "hash"]),
        ("in21k-prep split w --order=", ["name", "hash"]),
        ("in21k-prep classes fall", ["fall11-p"]),
        ("in21k-prep run r w o --classes in1", ["in12k", "in1k"]),
        ("in21k-prep classes fall11-p --subtree n0208407", ["n02084071"]),
        ("in21k-prep classes fall11-p --subtree golden_ret", ["n02099601"]),
        ("in21k-prep run r w o --exclude-subtree=golden_ret", ["n02099601"]),
        ("in21k-train pretrain out --model TRes", ["TResNet-M", "TResNet-L"]),
        (
            "in21k-train pretrain out --model resnet10",
            ["resnet101", "resnet101c", "resnet101d", "resnet101s", "resnet10t"],
        ),
        ("in21k-train pretrain out --recipe semantic-", ["semantic-distillation", "semantic-softmax"]),
        ("in21k-train recipes show multi", ["multi-label"]),
        ("in21k-train pretrain out --set optim.ep", ["optim.epochs=", "optim.eps="]),
        ("in21k-train pretrain out --set run.amp=", ["true", "false"]),
        ("in21k-train pretrain out --set loss.scheme=sem", ["semantic-softmax", "semantic-distillation"]),
        ("in21k-train transfer x --layout=imagef", ["imagefolder"]),
        ("in21k-train transfer x --checkpoint ti", ["timm:"]),
        ("in21k-train transfer x --checkpoint timm:tresnet_m.", ["tresnet_m.miil_in1k", "tresnet_m.miil_in1k_448"]),
    ],
)
def test_bash_completes(scripts, typed, offered):
    found = completions(scripts, typed)
    assert set(offered) <= set(found)
    assert len(found) < 12


def test_bash_lists_the_classes_of_a_name_and_keeps_the_word(scripts):
    first, *classes = completions(scripts, "in21k-prep classes fall11-p --subtree crane")
    assert first == "crane…"
    assert classes[0].startswith("crane… n02012849 crane: large long-necked wading bird")
    assert len(classes) == 4


def line_for(shell: str) -> str:
    """The lines of the page that turn completion on in a shell."""
    return "\n".join(line.replace(r"\|", "|") for line in LINES if f"{shell}_source" in line)


OFFERED_BY_FISH = {
    "in21k-prep ver": "verify\tCheck a dataset: files, digests, labels",
    "in21k-prep classes fall": "fall11-p\t11,221 classes",
    "in21k-prep classes fall11-p --subtree crane": "n02012849\tcrane: large long-necked wading bird",
    "in21k-prep split w --order=ha": "--order=hash",
    "in21k-train pretrain out --model TRes": "TResNet-M\t",
    "in21k-train transfer x --layout=imagef": "--layout=imagefolder",
}


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(scripts):
    script = "\n".join([line_for("fish"), *(f"complete -C '{typed}'; echo ---" for typed in OFFERED_BY_FISH)])
    command = ["fish", "--no-config", "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(scripts))
    assert run.stderr == ""
    for found, offered in zip(run.stdout.split("---\n"), OFFERED_BY_FISH.values(), strict=False):
        assert any(line.startswith(offered) for line in found.splitlines()), (offered, found)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_names_and_what_follows_an_equals_sign(scripts):
    with Terminal("zsh", "-f", "-i", environment=environment(scripts)) as zsh:
        zsh.type(
            "PS1='$ '; autoload -U compinit; compinit -u -D\n"
            + line_for("zsh").replace("\n", "; ")
            + "; echo re''ady\n"
        )
        zsh.read_until("ready")
        for typed, completed in (
            ("in21k-prep ver\t", "verify"),
            ("in21k-prep classes fall11-p --subtree golden_ret\t", "n02099601"),
            ("in21k-prep classes fall11-p --subtree crane\t", "crane: large long-necked wading bird"),
        ):
            zsh.type(typed)
            zsh.read_until(completed)
            zsh.type("\x15")  # Ctrl-U: the line is empty again
        zsh.type("in21k-prep split work --order=ha\t\x01echo here: \n")  # Ctrl-A: at the beginning of the line
        zsh.read_until("here: in21k-prep split work --order=hash\r\n")


def test_every_shell_has_its_line():
    for line in LINES:
        shell = re.search(r"=(\w+)_source", line)[1]
        source = line.removeprefix('eval "$(').removesuffix(')"').removesuffix(r" \| source")
        run = subprocess.run(["bash", "-c", source], capture_output=True, text=True, check=True, env=environment())
        assert {"bash": "complete -o nosort", "zsh": "#compdef in21k-", "fish": "complete --no-files"}[
            shell
        ] in run.stdout
    assert len(LINES) == 6


def test_a_path_is_completed_by_the_shell_and_names_come_with_their_help():
    asked = {
        "_IN21K_TRAIN_COMPLETE": "zsh_complete",
        "COMP_WORDS": "in21k-train settings --recipe soft",
        "COMP_CWORD": "3",
    }
    run = subprocess.run(
        [SCRIPTS / "in21k-train"], capture_output=True, text=True, check=True, env=environment() | asked
    )
    *file, kind, name, about = run.stdout.splitlines()
    assert (kind, name, file) == ("plain", "soft-labels", ["file", "soft", "_"])
    assert about != "_"


def test_completion_needs_no_pytorch():
    asked = {
        "_IN21K_TRAIN_COMPLETE": "zsh_complete",
        "COMP_WORDS": "in21k-train pretrain x --model ",
        "COMP_CWORD": "4",
    }
    command = [sys.executable, "-X", "importtime", SCRIPTS / "in21k-train"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment() | asked)
    imported = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert "in21k.train.cli.known" in imported
    assert not imported & {"torch", "timm", "pandas"}
    assert run.stdout.count("plain\n") > 1000
