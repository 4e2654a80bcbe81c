"""Commands end with what to type next, which is right as it stands."""

import shlex
import shutil

import pytest
from commands import said

from in21k.prep.cli.main import main as prep_main
from in21k.train.cli.main import main as train_main


def words(lines: list[str]) -> list[str]:
    """The words of the command that comes next."""
    [line] = [line.removeprefix("next: ") for line in lines if line.startswith("next: ")]
    return shlex.split(line)


@pytest.mark.parametrize(
    ("command", "following"),
    [
        (("verify", "OUT", "--quick"), "in21k-train pretrain OUT --model resnet50 --pretrained --output runs/resnet50"),
        (("inspect", "OUT"), "in21k-prep report OUT"),
        (("sidecars", "COPY"), "in21k-prep verify COPY"),
        (("tree", "OUT", "--output", "HERE/a.parquet"), "in21k-prep report OUT"),
        (("tree", "--edges", "EDGES", "--output", "HERE/a.parquet"), "in21k-prep report --edges EDGES"),
    ],
)
def test_what_comes_next_can_be_typed(command, following, dataset, tmp_path):
    shutil.copytree(dataset.out, tmp_path / "copy")
    (tmp_path / "edges.csv").write_text("child,parent\noak,tree\nelm,tree\n")
    places = {"OUT": dataset.out, "COPY": tmp_path / "copy", "EDGES": tmp_path / "edges.csv", "HERE": tmp_path}
    for name, place in places.items():
        command = [word.replace(name, str(place)) for word in command]
        following = following.replace(name, str(place))
    found = words(said(*command))
    assert shlex.join(found) == following
    program, name, *arguments = found
    group = prep_main if program == "in21k-prep" else train_main
    group.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("command", ["report", "duplicates"])
def test_a_page_is_said_where_it_was_written(command, dataset, tmp_path):
    lines = said(command, dataset.out, "--output", tmp_path / "a folder")
    assert words(lines) == ["open", str(tmp_path / "a folder" / f"{command}.html"), "in", "a", "browser"]


def test_a_tree_of_labels_has_no_report(tmp_path):
    for wnid in ("oak", "elm"):
        (tmp_path / "photos" / wnid).mkdir(parents=True)
        (tmp_path / "photos" / wnid / "1.jpg").write_bytes(b"")
    lines = said("tree", tmp_path / "photos", "--flat", "--output", tmp_path / "a.parquet")
    assert not [line for line in lines if line.startswith("next: ")]


def test_report_shows_how_far_its_pictures_are(dataset, tmp_path, monkeypatch):
    from in21k.prep.hierarchy import thumbnails

    told, progress = [], thumbnails.Progress
    monkeypatch.setattr(thumbnails, "Progress", lambda *given: told.append(progress(*given)) or told[-1])
    said("report", dataset.out, "--output", tmp_path)
    [bar] = told
    assert (bar.what, bar.unit, bar.done) == ("pictures", "picture", bar.total)
    assert bar.total > 10
