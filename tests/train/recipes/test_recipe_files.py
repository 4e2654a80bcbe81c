"""Recipes of the user's own: on top of others, checked, printed in full, and not needed to resume."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import warm
from train_runs import answer, summary_of

from in21k.shards_manifest.errors import DatasetError
from in21k.train.config.overrides import flatten
from in21k.train.recipes.recipe import LONGEST, MOST, open_recipe, parse_recipe, recipe_names


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_changes_the_recipe_that_it_extends(tmp_path):
    write(tmp_path / "base/cars.toml", '# For cars.\nextends = "single-label"\n[optim]\nlr = 1e-3\nepochs = 5\n')
    mine = write(tmp_path / "mine.toml", 'extends = "base/cars.toml"\n[optim]\nlr = 2e-3\n[run]\nseed = 7\n')
    found, base = open_recipe(mine), open_recipe("single-label")
    values = flatten(found.config.to_dict())
    changed = {key: value for key, value in values.items() if value != flatten(base.config.to_dict())[key]}
    assert changed == {"optim.lr": 2e-3, "optim.epochs": 5, "run.seed": 7}
    assert [layer.name for layer in found.layers] == [mine, str(tmp_path / "base/cars.toml"), "single-label"]
    wanted = {"optim.lr": mine, "optim.epochs": str(tmp_path / "base/cars.toml"), "data.cutout": "single-label"}
    assert {key: found.source(key) for key in wanted} == wanted
    assert found.source("model.sync_bn") == "default"
    assert open_recipe(str(tmp_path / "base/cars.toml")).summary == "For cars."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "b.toml"', r"recipes extend each other in a circle: .*a\.toml → .*b\.toml → .*/\.\./.*a\.toml$"),
        (
            'extends = "nobody"',
            r"recipe .*a\.toml: there is no recipe 'nobody'; `in21k-train recipes` lists them",
        ),
        ('extends = "nobody.toml"', r"nobody\.toml: there is no such file"),
        ('extends = ["single-label"]', r"a\.toml: extends must be the name of a recipe or a file, not \['single-"),
        ('extends = ""', r"a\.toml: extends must be the name of a recipe or a file, not ''"),
        ('extends = "a\\u0000.toml"', r"a\.toml: extends must be the name of a recipe or a file"),
        ('extends = "s3://bucket/a.toml"', r"only a path on this machine will do here, not a URI"),
        ("[optim]\nlrs = 1.0", r"a\.toml: there is no setting 'optim\.lrs'; did you mean optim\."),
        ("[optimizer]", r"a\.toml: there is no section \[optimizer\]; did you mean optim\?"),
        ("lr = 1.0", r"a\.toml: there is no setting 'lr'; did you mean optim\.lr\?"),
        ("[optim]\nlr = ?", r"a\.toml: Invalid value"),
        ("[optim]\nlr = 'a\\nb'", r"a\.toml: optim\.lr must be a number, not "),
        (f"[run]\nseed = {'9' * 5000}", r"a\.toml: "),
        ("[" * 5000, r"a\.toml: "),
        ("x = " + "[" * 20_000, r"a\.toml: "),
        ("#" * (LONGEST + 1), rf"recipe .*a\.toml is longer than {LONGEST} bytes"),
    ],
    ids=range(16),
)
def test_what_is_wrong_with_a_file_is_one_line_that_names_it(tmp_path, text, message):
    write(tmp_path / "b.toml", f'extends = "../{tmp_path.name}/a.toml"')
    with pytest.raises(DatasetError, match=message) as caught:
        open_recipe(write(tmp_path / "a.toml", text))
    assert "\n" not in str(caught.value)


def test_what_is_no_text_or_no_file_is_refused_without_waiting(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"# \xe9t\xe9")
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "folder.toml").mkdir()
    for name, message in (("latin", "not UTF-8"), ("fifo", "not a regular file"), ("folder", "not a regular file")):
        with pytest.raises(DatasetError, match=message):
            open_recipe(str(tmp_path / f"{name}.toml"))


def test_a_long_chain_of_files_is_refused(tmp_path):
    for number in range(MOST + 1):
        write(tmp_path / f"{number}.toml", f'extends = "{number + 1}.toml"')
    with pytest.raises(DatasetError, match=rf"0\.toml extends more than {MOST} others"):
        open_recipe(str(tmp_path / "0.toml"))


def test_recipes_are_listed_in_a_line_each(capsys):
    status, out, _ = answer(capsys, "recipes")
    lines = out.splitlines()
    assert (status, [line.split()[0] for line in lines]) == (0, recipe_names())
    assert all(line.endswith(".") for line in lines), "a sentence"
    rows = json.loads(answer(capsys, "recipes", "--json")[1])["recipes"]
    assert [(row["name"], row["summary"]) for row in rows] == [tuple(line.split(maxsplit=1)) for line in lines]


@pytest.mark.parametrize("name", [*recipe_names(), "mine"])
def test_a_recipe_is_shown_as_toml_that_loads_again_and_as_json(capsys, tmp_path, name):
    if name == "mine":
        name = write(
            tmp_path / "é.toml",
            '# Mine.\nextends = "multi-label"\n[model]\ninit = "a\\"b\\\\\\u007f\\U0001F600"\n'
            '[data]\nimage_size = "0:112, 3:224"\n',
        )
    found = open_recipe(name)
    status, out, _ = answer(capsys, "recipes", "show", name)
    assert status == 0
    assert parse_recipe("shown", out) == found.config
    assert set(flatten(tomllib.loads(out))) == set(flatten(found.config.to_dict()))
    shown = json.loads(answer(capsys, "recipes", "show", name, "--json")[1])
    assert shown["values"] == found.config.to_dict()
    assert shown["sources"]["optim.lr"] == found.source("optim.lr") != "default"
    assert [layer["name"] for layer in shown["layers"]] == [layer.name for layer in found.layers]


@pytest.mark.parametrize("words", [["recipes"], ["recipes", "show", "semantic-softmax"], ["recipes", "show", "x.toml"]])
def test_they_are_answered_without_importing_torch(tmp_path, words):
    """That takes seconds."""
    code = (
        f"{warm.WITHOUT_TORCH}from in21k.train.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit as end:\n    status = end.code\n"
        "assert not {'torch', 'timm', 'torchvision', 'cv2'} & set(sys.modules)\nsys.exit(status)"
    )
    done = subprocess.run(warm.python("-c", code), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == (1 if "x.toml" in words else 0), done.stderr
    assert done.stderr == ("in21k-train: error: x.toml: there is no such file or folder\n" if "x.toml" in words else "")


RUN = ["--scratch", "--model", "test_resnet", "--device", "cpu", "--workers", "0", "--batch-size", "20"]
MINE = 'extends = "single-label"\n[optim]\nepochs = 1\nlr = 2e-3\n'


def pretrain(capsys, data: Path, run: Path, *more: object) -> tuple[int, str, str]:
    return answer(capsys, "pretrain", data, "--output", run, *RUN, *more)


def test_a_run_says_where_its_values_are_from_and_resumes_without_the_file(capsys, dataset_folder, tmp_path):
    run, mine = tmp_path / "run", write(tmp_path / "mine.toml", MINE)
    assert pretrain(capsys, dataset_folder, run, "--recipe", mine)[0] == 0
    record = json.loads((run / "config.json").read_text())
    assert record["config"]["optim"]["lr"] == 2e-3
    assert record["recipe"]["name"] == mine
    assert [layer["name"] for layer in record["recipe"]["layers"]] == [mine, "single-label"]
    wanted = {
        "optim.lr": mine,
        "data.cutout": "single-label",
        "model.name": "command line",
        "data.image_size": "resolved",
        "model.inputs": "resolved",
    }
    assert {key: record["sources"].get(key) for key in wanted} == wanted
    assert "model.sync_bn" not in record["sources"]
    Path(mine).unlink()
    status, out, err = pretrain(capsys, dataset_folder, run, "--recipe", mine, "--resume")
    assert (status, err) == (0, "")
    assert re.search(r"^  resumed at step +4$", out, re.MULTILINE)
    again = json.loads((run / "config.json").read_text())
    assert again["config"] == record["config"]
    assert again["recipe"] == record["recipe"]
    assert again["sources"] == record["sources"]


def test_a_resumed_run_keeps_its_values_whatever_its_recipe_says_by_now(capsys, dataset_folder, tmp_path):
    run, mine = tmp_path / "run", write(tmp_path / "mine.toml", MINE)
    assert pretrain(capsys, dataset_folder, run, "--recipe", mine)[0] == 0
    write(Path(mine), MINE.replace("2e-3", "5e-3"))
    status, out, err = pretrain(capsys, dataset_folder, run, "--recipe", mine, "--resume")
    assert (status, bool(re.search(r"^  resumed at step +4$", out, re.MULTILINE))) == (0, True)
    assert err == (
        f"note: {run} goes on with the values that it was started with; its recipe has others: "
        "optim.lr: 0.002 → 0.005\n"
    )
    assert json.loads((run / "config.json").read_text())["config"]["optim"]["lr"] == 2e-3
    for more, message in (
        (["--recipe", mine, "--lr", "5e-3"], "optim.lr: 0.002 → 0.005"),
        (["--recipe", "multi-label"], "loss.scheme: 'single-label' → 'multi-label'"),
    ):
        status, _, err = pretrain(capsys, dataset_folder, run, *more, "--resume")
        assert (status, err.count("\n")) == (1, 1)
        assert message in err


def test_a_run_of_a_version_that_recorded_no_recipe_resumes_with_the_values_it_was_started_with(
    capsys, dataset_folder, tmp_path
):
    run = tmp_path / "run"
    words = ["--recipe", "single-label", "--epochs", "1"]
    assert pretrain(capsys, dataset_folder, run, *words, "--set", "data.cutout=0.25")[0] == 0
    record = json.loads((run / "config.json").read_text())
    del record["recipe"], record["sources"]
    (run / "config.json").write_text(json.dumps(record))
    status, out, err = pretrain(capsys, dataset_folder, run, *words, "--resume")
    assert (status, bool(re.search(r"^  resumed at step +4$", out, re.MULTILINE))) == (0, True)
    assert err.endswith("its recipe has others: data.cutout: 0.25 → 0.5\n")
    assert summary_of(run)["steps"] == 4


def test_a_damaged_record_of_the_recipe_is_one_line(capsys, dataset_folder, tmp_path):
    run = tmp_path / "run"
    assert pretrain(capsys, dataset_folder, run, "--epochs", "1")[0] == 0
    record = json.loads((run / "config.json").read_text())
    for change in ({"recipe": 3}, {"recipe": {"name": 3, "layers": []}}, {"sources": []}, {"sources": {"a": 1}}):
        (run / "config.json").write_text(json.dumps(record | change))
        status, _, err = pretrain(capsys, dataset_folder, run, "--epochs", "1", "--resume")
        assert (status, err.count("\n")) == (1, 1)
        assert "config.json is damaged (" in err
