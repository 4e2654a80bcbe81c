"""The list of tasks: what it gives, and the line with which each mistake in it is refused."""

import pytest

from in21k.train.benchmark.checkpoints import Checkpoint
from in21k.train.benchmark.kinds import KINDS
from in21k.train.benchmark.plan import PlannedRun
from in21k.train.benchmark.tasks_file import Task, read_tasks
from in21k.train.cli.main import main
from in21k.train.errors import TrainError

GOOD = """
[defaults]
seeds = [0, 1, 2]
val_share = 0.1
[defaults.set]
run.workers = 0
optim.epochs = 3
[tasks.cars]
kind = "fine-tune"
data = "images"
recipe = "mine.toml"
title = "Stanford Cars"
set."optim.lr" = 1e-4
set.optim.epochs = 5
[tasks.probed]
kind = "probe"
data = "s3://bucket/data"
metric = "val_top5"
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "mine.toml").write_text("extends = 'transfer-single-label'\n[optim]\nlr = 3e-4\n")

    def written(text: str):
        path = tmp_path / "tasks.toml"
        path.write_text(text)
        return path

    return written


def test_defaults_hold_where_a_task_does_not_say_otherwise(write, tmp_path):
    cars, probed = read_tasks(write(GOOD))
    assert (cars.name, cars.title, cars.kind, cars.seeds) == ("cars", "Stanford Cars", "fine-tune", (0, 1, 2))
    assert (cars.data, cars.recipe) == (str(tmp_path / "images"), str(tmp_path / "mine.toml"))
    assert dict(cars.options) == {"val_share": 0.1}
    assert {key: cars.settings[key] for key in ("optim.lr", "optim.epochs", "run.workers")} == {
        "optim.lr": 1e-4,
        "optim.epochs": 5,
        "run.workers": 0,
    }
    assert (probed.title, probed.data, probed.metric, probed.recipe) == ("probed", "s3://bucket/data", "val_top5", "")
    assert probed.seeds == (0,)


def test_another_recipe_in_the_same_file_is_another_task(write, tmp_path):
    before = read_tasks(write(GOOD))[0]
    (tmp_path / "mine.toml").write_text("extends = 'transfer-single-label'\n[optim]\nlr = 5e-4\n")
    assert read_tasks(write(GOOD))[0].recipe_sha256 != before.recipe_sha256


TASK = '[tasks.a]\nkind = "fine-tune"\ndata = "images"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there are no tasks; give each a table, such as [tasks.cars]"),
        ("tasks = 3", "tasks = 3: it must be a table, [tasks]"),
        ("[task.a]", "task: there is no such key; did you mean tasks?"),
        ("x = = 1", "Invalid value"),
        ('[tasks."a/b"]\nkind = "probe"', "tasks = 'a/b': it must be a name of letters"),
        ("[tasks.a]\ndata = 'images'", "tasks.a: kind is missing"),
        ('[tasks.a]\nkind = "prob"\ndata = "images"', "tasks.a.kind = 'prob': it must be one of probe, fine-tune"),
        ('[tasks.a]\nkind = "probe"', "tasks.a: data is missing"),
        ('[tasks.a]\nkind = "probe"\ndata = "nowhere"', "nowhere: there is no such file or folder"),
        (f"{TASK}layuot = 'coco'", "tasks.a.layuot: there is no such key; did you mean layout?"),
        (f"{TASK}seeds = 3", "tasks.a.seeds = 3: it must be a list of whole numbers"),
        (f"{TASK}seeds = [1, -1]", "tasks.a.seeds = [1, -1]: it must be a list of whole numbers"),
        (f"{TASK}seeds = [1, 1]", "tasks.a.seeds = [1, 1]: it must be each seed once"),
        (f"{TASK}recipe = 'transfer'", "tasks.a.recipe: there is no recipe 'transfer'"),
        (f"{TASK}recipe = 'none.toml'", "none.toml"),
        (f"{TASK}metric = 'top1'", "tasks.a.metric = 'top1': it must be one of val_top1, "),
        (f"{TASK}val_share = true", "tasks.a.val_share = True: it must be a text or a number"),
        (f"{TASK}set.optim.lrr = 1", "tasks.a.set: there is no setting 'optim.lrr'; did you mean "),
        (f"{TASK}set.optim.lr = 'high'", "tasks.a.set: optim.lr must be a number, not 'high'"),
        (f"{TASK}set.run.seed = 1", "tasks.a.set = 'run.seed': it must be left out; give seeds = [0, 1, 2]"),
        ('[tasks.a]\nkind = "probe"\ndata = "images"\nseeds = [0]', "tasks.a.seeds = [0]: it must be left out"),
        ('[tasks.a]\nkind = "probe"\ndata = "images"\nrecipe = "x"', "tasks.a.recipe: there is no such key"),
    ],
)
def test_mistakes_are_one_line_that_names_file_key_and_value(write, text, told):
    path = write(text)
    with pytest.raises(TrainError) as refused:
        read_tasks(path)
    assert told in str(refused.value)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


KNN = '[tasks.a]\nkind = "knn"\ndata = "images"\n'
RETRIEVE = '[tasks.a]\nkind = "retrieve"\ndata = "images"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{KNN}knn = 0", "tasks.a.knn = 0: it must be a whole number above 0"),
        (f"{KNN}knn = 2.5", "tasks.a.knn = 2.5: it must be a whole number above 0"),
        (f"{KNN}knn = [5, 'a']", "tasks.a.knn = [5, 'a']: it must be a whole number above 0"),
        (f"{KNN}knn = [1, 1]", "tasks.a.knn = [1, 1]: it must be a whole number above 0"),
        (f"{KNN}knn = '5,05'", "tasks.a.knn = '5,05': it must be a whole number above 0, or a list of different ones"),
        (f"[defaults]\nknn = 'x'\n{KNN}", "tasks.a.knn = 'x': it must be a whole number above 0"),
        (f"{KNN}knn = 1\ntemperature = -1", "tasks.a.temperature = -1: it must be a finite number above 0"),
        (f"{KNN}knn = 1\ntemperature = nan", "tasks.a.temperature = nan: it must be a finite number above 0"),
        (f"{KNN}knn = 1\nlayout = 'foo'", "tasks.a.layout = 'foo': it must be one of auto, shards, csv"),
        (f"{KNN}knn = 1\nval_share = 2", "tasks.a.val_share = 2: it must be a number of 0 or more, and below 1"),
        (f"{KNN}knn = 1\nval_share = 'x'", "tasks.a.val_share = 'x': it must be a number"),
        (f"{KNN}knn = 1\nval = 'no.csv'", "tasks.a.val = 'no.csv': it must be a path; there is no such file or"),
        (f"{RETRIEVE}gallery = 'x'", "tasks.a.gallery = 'x': it must be one of val, train, all"),
        (f"{RETRIEVE}sheet = 501", "tasks.a.sheet = 501: it must be a whole number from 0 to 500"),
        (f"{RETRIEVE}relevance = 'foo'", "tasks.a.relevance = 'foo': it must be auto, holidays, classes or a CSV"),
        (f"{RETRIEVE}image_size = -1", "tasks.a.image_size = -1: it must be between"),
        (f"{RETRIEVE}batch_size = 'a'", "tasks.a.batch_size = 'a': it must be a whole number"),
        ('[tasks.a]\nkind = "video"\ndata = "images"\nclips = 0', "tasks.a.clips = 0: it must be between"),
    ],
)
def test_what_a_command_would_refuse_is_refused_before_anything_runs(write, text, told):
    path = write(text)
    with pytest.raises(TrainError) as refused:
        read_tasks(path)
    assert str(refused.value).startswith(f"{path}: {told}")


def test_options_that_a_command_takes_are_taken(write, tmp_path):
    (tmp_path / "groups.txt").write_text("path,group\n")
    text = (
        f"{KNN}knn = [20, 200]\ntemperature = 0.1\nval = 'shards/val-*.tar'\nval_share = 0.5\nlayout = 'webdataset'\n"
    )
    text += RETRIEVE.replace("tasks.a", "tasks.b") + "relevance = 'groups.txt'\nsheet = 0\nimage_size = 32\n"
    first, second = read_tasks(write(text))
    assert first.options["knn"] == "20,200"
    assert second.options["relevance"] == str(tmp_path / "groups.txt")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_command_that_is_understood(tmp_path, kind):
    words = {"val_share": 0.1, "knn": 5, "temperature": 0.1, "clips": 2, "sheet": 3, "image_size": 32, "batch_size": 4}
    words |= {"layout": "csv", "gallery": "val", "relevance": "classes"}
    options = {key: words.get(key, "path") for key in KINDS[kind].keys}
    settings = {**KINDS[kind].settings, "optim.lr": 1e-4, "model.name": "x"} if KINDS[kind].takes_settings else {}
    task = Task("a", kind, "data", "a", options=options, settings=settings, recipe="r" * KINDS[kind].takes_recipe)
    run = PlannedRun(task, "label", 0, Checkpoint("runs/x", "0" * 64), 3, tmp_path / "run")
    _, _, _, command, *rest = run.command("cpu")
    parsed = main.commands[command].make_context(command, list(rest)).params
    assert (parsed["output"], parsed["checkpoint"], parsed["device"]) == (tmp_path / "run", "runs/x", "cpu")
    for key in KINDS[kind].keys:
        assert str(parsed[key]) == ("(5,)" if key == "knn" else str(options[key]))
    assert parsed.get("resume") == KINDS[kind].resumes
