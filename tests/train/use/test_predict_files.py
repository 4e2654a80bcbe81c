"""Predictions in files, of patterns and of standard input."""

import csv
import io
import json
import os

import pyarrow.parquet as pq
import pytest
from small_dataset import picture
from train_runs import answer

from in21k.train.use import answer_files
from in21k.train.use.answer_files import written
from in21k.train.use.answer_rows import SCHEMA
from in21k.train.use.guesses import Guess, LevelGuesses, Prediction

FORMULA = "=1+2.jpg"


@pytest.fixture(scope="module", params=["semantic-softmax", "single-label"])
def run(request, short_run):
    return short_run(request.param)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Five images in folders of folders, one of them damaged, and what no pattern means."""
    names = ["a/1.jpg", "a/b/2.png", "a/b/c/3.jpg", FORMULA, "broken.jpg"]
    for number, name in enumerate([*names, "a/.hidden.jpg", "a/notes.txt"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number, 5, 48).save(tmp_path / name, "PNG" if name.endswith("png") else "JPEG")
    (tmp_path / "broken.jpg").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(capsys, run, *words):
    return answer(capsys, "predict", *words, "--checkpoint", run, "--device", "cpu")


def images_of(capsys, run, *words):
    status, out, _ = asked(capsys, run, *words, "--json")
    return status, [row["image"] for row in json.loads(out)]


def test_a_pattern_stands_for_the_images_that_it_matches(capsys, run, photos):
    assert images_of(capsys, run, "a/**/*.jpg") == (0, ["a/1.jpg", "a/b/c/3.jpg"])
    assert images_of(capsys, run, "a/*") == (0, ["a/1.jpg"])
    assert images_of(capsys, run, photos / "**" / "[23].*")[1] == [f"{photos}/a/b/2.png", f"{photos}/a/b/c/3.jpg"]
    (photos / "[1].jpg").write_bytes((photos / "a" / "1.jpg").read_bytes())
    assert images_of(capsys, run, "[1].jpg") == (0, ["[1].jpg"])  # a file of that name
    status, out, err = asked(capsys, run, "a/*.gif")
    assert (status, out) == (1, "")
    assert err == "in21k-train: error: a/*.gif matches no images; give another pattern, or a folder\n"


def test_one_images_bytes_come_from_standard_input(capsys, monkeypatch, run, photos):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((photos / "a" / "1.jpg").read_bytes())))
    status, out, _ = asked(capsys, run, "-", "--json")
    piped = json.loads(out)[0]
    assert (status, piped.pop("image")) == (0, "-")
    file = json.loads(asked(capsys, run, "a/1.jpg", "--json")[1])[0]
    assert piped == {key: value for key, value in file.items() if key != "image"}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"nothing")))
    status, out, err = asked(capsys, run, "-")
    assert (status, out) == (1, "")
    assert "error: -: not-an-image" in err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{photos / 'a' / '1.jpg'}\n".encode())))
    status, out, err = asked(capsys, run, "-")
    assert (status, out) == (2, "")
    assert "standard input is a list of paths; give --images-from - in the place of -" in err
    for more in (["a/1.jpg"], ["--images-from", "list"], ["--picture", "out.png"]):
        assert asked(capsys, run, "-", *more)[0] == 2


def rows_of(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_and_parquet_have_the_same_rows_which_are_what_json_says(capsys, run, photos):
    printed = json.loads(asked(capsys, run, ".", "--json", "--top", 2)[1])
    for name in ("out.csv", "out.parquet"):
        status, out, err = asked(capsys, run, ".", "--top", 2, "--output", name, "--json")
        assert (status, err.count("\n")) == (1, 1)
        summary = json.loads(out)
        assert (summary["images"], summary["faults"], summary["output"]) == (5, 1, name)
    table, text = (rows_of(photos / name) for name in ("out.parquet", "out.csv"))
    shown = [{key: "" if value is None else str(value) for key, value in row.items()} for row in table]
    assert [row | {"image": row["image"].removeprefix("'")} for row in text] == shown
    heads = {row["image"]: row for row in table if row["kind"] in ("answer", "error")}
    assert list(heads) == [each["image"] for each in printed]
    for each in printed:
        own = [row for row in table if row["image"] == each["image"]]
        if "error" in each:
            assert [(row["kind"], row["error"]) for row in own] == [("error", each["error"])]
            continue
        of_path = [row["wnid"] for row in own if row["kind"] == "path"]
        assert of_path == [guess["wnid"] for guess in each["path"]]
        of_levels = [(row["level"], row["rank"], row["wnid"], row["gloss"]) for row in own if row["kind"] == "level"]
        assert of_levels == [
            (level["level"], rank, guess["wnid"], guess["gloss"])
            for level in each["levels"]
            for rank, guess in enumerate(level["guesses"], 1)
        ]
        assert heads[each["image"]]["wnid"] == (each["answer"] or {"wnid": None})["wnid"]


def test_no_cell_of_a_csv_is_a_formula(tmp_path):
    name = '@SUM(1)\n"x"'
    guess = Guess("=label", name, f"-a > {name}", 0.9, "+gloss")
    prediction = Prediction("\t=1.jpg", (LevelGuesses(None, (guess,)),), (name,))
    list(written([prediction, Prediction("=2.jpg", error="-1")], tmp_path / "out.csv"))
    for row in rows_of(tmp_path / "out.csv"):
        assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert rows_of(tmp_path / "out.csv")[0]["name"] == f"'{name}"


def test_lines_of_json_are_those_that_are_printed(capsys, run, photos):
    printed = asked(capsys, run, "a", "--jsonl")[1]
    status, out, _ = asked(capsys, run, "a", "--output", "out.jsonl")
    assert (status, (photos / "out.jsonl").read_text()) == (0, printed)
    assert "out.jsonl" in out


def test_a_file_appears_whole_and_an_older_one_stays_until_then(tmp_path):
    output, guess = tmp_path / "out.parquet", Guess("n1", "x", "x", 0.9)
    one = Prediction("1.jpg", (LevelGuesses(None, (guess,)),), ("x",))
    list(written([one], output))
    before = output.read_bytes()
    begun = written(iter([one, one]), output)
    next(begun)
    assert output.read_bytes() == before
    begun.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    assert output.read_bytes() == before


def test_rows_are_held_in_memory_by_the_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr(answer_files, "_GROUP", 10)
    images = (Prediction(f"{number}.jpg", error="gone") for number in range(35))
    list(written(images, tmp_path / "out.parquet"))
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert file.num_row_groups == 4
    assert file.schema_arrow.equals(SCHEMA)


def test_a_path_that_is_no_utf8_is_escaped(tmp_path):
    name = os.fsdecode(b"\xff.jpg")
    for suffix in ("csv", "parquet"):
        list(written([Prediction(name, error="gone")], tmp_path / f"out.{suffix}"))
        assert rows_of(tmp_path / f"out.{suffix}")[0]["image"] == "\\udcff.jpg"


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["--output", "out.txt"], 1, "give a name that ends in .csv, .parquet or .jsonl"),
        (["--output", "a/1.jpg.csv"], 1, "exists and is not a CSV of predictions"),
        (["--output", "none/out.csv"], 1, "there is no folder none"),
        (["--output", "out.jsonl", "--jsonl"], 2, "leave --jsonl out"),
        (["--weights", "w.pth"], 2, "--weights goes with a name of the paper's"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_predicted(capsys, run, photos, words, status, line):
    (photos / "a" / "1.jpg.csv").write_text("mine")
    found, out, err = asked(capsys, run, "a/1.jpg", *words)
    assert (found, out) == (status, "")
    assert line in err
    assert (photos / "a" / "1.jpg.csv").read_text() == "mine"
