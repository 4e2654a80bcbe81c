"""`--json` of every command of `in21k-prep` keeps to the declared schema."""

import json
import shutil

import pytest
from click.testing import CliRunner
from summaries import problems

from in21k.prep.cli import run as cli_run
from in21k.prep.cli.main import main
from in21k.prep.records import Kept
from in21k.shards_manifest.command.declared import FACTS, PROGRAMS, columns_of, keys_of

pytestmark = pytest.mark.usefixtures("inline")
KEPT = ("--min-images", 20)
SPLIT = ("--val-per-class", 4)
RESIZED = ("--size", 32, "--workers", 1)


def calls(folder):
    """Every command with arguments that show its keys, in an order in which each finds what it needs."""
    raw, work, out = folder / "raw.tar", folder / "work", folder / "out"
    shapes, broken = folder / "shapes", folder / "broken"
    yield "demo", (raw,)
    yield "demo", (shapes, "--tree", "taxonomy", "--species", 2)
    yield "filter", (raw, work, *KEPT)
    yield "filter", (shapes, folder / "w2", "--edges", folder / "shapes.csv", *KEPT)
    yield "split", (work, *SPLIT, "--export-lists", folder / "lists")
    yield "run", (raw, work, out, *KEPT, *SPLIT, *RESIZED, "--dry-run")
    yield "resize", (work, *RESIZED)
    yield "shard", (work, out, "--workers", 1)
    yield "run", (raw, work, out, *KEPT, *SPLIT, *RESIZED)
    yield (
        "run",
        (raw, folder / "w3", folder / "o3", *KEPT, *SPLIT, *RESIZED, "--fraction", 0.5, "--exclude", "n02084071"),
    )
    yield "classes", (out, "--export", folder / "classes.txt")
    yield "rejects", (out,)
    yield "tree", (out, "--output", folder / "tree.parquet", "--compare", "in1k")
    yield "tree", (out, "--output", folder / "map.csv", "--map-to", "in1k")
    yield "report", (out, "--output", folder / "report")
    yield "inspect", (out,)
    yield "inspect", (out, "--class", "dog", "--save", folder / "dogs")
    yield "inspect", (out, "--key", "n02084071_20")
    yield "verify", (out,)
    yield "duplicates", (out, "--output", folder / "twins", "--workers", 1)
    yield "compare", (out, folder / "o3")
    shutil.copytree(out, broken)
    (broken / "val" / "sizes.json").unlink()
    (broken / "train" / "in21k-train-000000.tar").unlink()
    yield "verify", (broken,)
    yield "sidecars", (broken,)
    yield "repair", (work, broken)


def test_the_json_of_every_command_is_as_declared(tmp_path, monkeypatch):
    monkeypatch.setattr(cli_run, "THOROUGH_SECONDS", 0.1)
    seen = {}
    for command, arguments in calls(tmp_path):
        result = CliRunner().invoke(main, [command, *map(str, arguments), "--json"])
        found = command == "compare" or (command == "verify" and tmp_path / "broken" in arguments)
        assert result.exit_code == (1 if found else 0), result.stderr
        assert problems(command, result.stdout) == [], (command, arguments)
        seen[command] = json.loads(result.stdout)
    assert seen.keys() == main.commands.keys()
    assert seen["repair"]["written"] == ["train/in21k-train-000000.tar"]


def test_what_breaks_the_schema_is_found():
    assert problems("split", '{"command": "split", "train": 1}\n') == []
    wrong = {
        '{"train": 1}\n': "no object that begins with its command",
        '{"command": "split",\n "train": 1}\n': "not one line",
        '{"command": "split", "socks": 1}\n': "socks is not declared for split",
        '{"command": "split", "train": "1"}\n': "train is no count",
        '{"command": "repair", "left": [{"odd": 1}]}\n': "left has undeclared",
    }
    for line, problem in wrong.items():
        assert problem in problems(json.loads(line).get("command", "split"), line)[0]


def test_every_reason_to_drop_a_class_is_declared():
    for command in ("run", "shard", "inspect"):
        for reason in set(Kept) - {Kept.KEPT}:
            assert {f"classes_{reason.word}", f"images_{reason.word}"} <= set(keys_of(command))


def test_every_key_of_every_command_has_a_kind_and_a_label():
    keys = {(command, key) for commands in PROGRAMS.values() for command in commands for key in keys_of(command)}
    keys |= {(key, column) for command, key in keys for column in columns_of(command, key)}
    assert [each for each in sorted(keys) if ".".join(each) not in FACTS and each[1] not in FACTS] == []
    assert all(fact.label for fact in FACTS.values())
