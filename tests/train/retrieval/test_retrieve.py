"""`retrieve` from the command line: scores are those of Holidays' protocol over the vectors that it wrote."""

import csv
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser import CHROMIUM, chromium
from commands import digests, error_lines
from downstream import MODEL, SIDE, write_images, write_weights
from processes import until
from slow_neighbors import holidays_average_precision, slow_ranks, whole_similarities
from small_coco import write_coco
from small_dataset import WNIDS, write_dataset
from small_holidays import write_holidays
from train_runs import answer, run_train, train_command

from in21k.tree.class_names import wordnet_class_names
from in21k.tree.parents import ParentRule


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


@pytest.fixture
def holidays(tmp_path):
    return write_holidays(tmp_path / "holidays")


def given(source, output, weights, *how):
    network = ["--checkpoint", weights, "--model", MODEL, "--image-size", SIDE] if weights else []
    return ["retrieve", source, *network, "--output", output, "--device", "cpu", "--workers", 0, *how]


def retrieved(capsys, source, output, weights=None, *how):
    """Run the command; return its summary and the rows of its queries."""
    status, out, err = answer(capsys, *given(source, output, weights, *how), "--json")
    assert status == 0, err
    summary = json.loads(out)
    record = json.loads((output / "retrieval.json").read_text())
    assert {**record, "output": str(output), "command": "retrieve"} == {"format_version": 1, **summary}
    return summary, pq.read_table(output / "queries.parquet").to_pylist()


def refused(capsys, source, output, weights=None, *how) -> str:
    status, out, err = answer(capsys, *given(source, output, weights, *how))
    assert (status in (1, 2), out, len(error_lines(err))) == (True, "", 1), err
    return err


def rows_of(folder: Path) -> list[dict]:
    return [row for path in sorted(folder.glob("embeddings-*.parquet")) for row in pq.read_table(path).to_pylist()]


def slow_scores(rows, groups, queries, gallery):
    """Of each query, by row number: its average precision by the protocol and the rank of the first relevant image."""
    values = np.array([row["vector"] or [0] * len(rows[0]["vector"]) for row in rows], np.float32)
    similar, found = whole_similarities(values, values), {}
    for query in queries:
        ranks = slow_ranks(similar[query], query, gallery, {at for at in gallery if groups[at] == groups[query]})
        found[query] = (holidays_average_precision(ranks, len(ranks)), ranks[0] + 1) if ranks else (None, None)
    return found


def require_scores(summary, table, rows, slow):
    assert [row["key"] for row in table] == [rows[at]["key"] for at in slow]
    assert [(row["average_precision"], row["first_relevant"]) for row in table] == list(slow.values())
    scored = [each for each in slow.values() if each[0] is not None]
    assert summary["queries"] == len(scored)
    assert summary["map"] == pytest.approx(np.mean([precision for precision, _ in scored]), rel=1e-12)
    for k in (1, 5, 10):
        assert summary[f"recall_at_{k}"] == np.mean([first <= k for _, first in scored])


def test_holidays_is_scored_by_its_names_as_its_script_does(capsys, tmp_path, weights, holidays):
    summary, table = retrieved(capsys, holidays, tmp_path / "out", weights)
    rows = rows_of(tmp_path / "out" / "embeddings")
    names = [Path(row["key"]).stem for row in rows]
    queries = [at for at, name in enumerate(names) if name.endswith("00")]
    slow = slow_scores(rows, [name[:4] for name in names], queries, range(len(rows)))
    require_scores(summary, table, rows, slow)
    assert (summary["relevance"], summary["gallery_images"], summary["search"]) == ("holidays", 22, "exact, in blocks")
    assert (summary["queries"], summary["queries_without_relevant"], summary["faults"]) == (7, 1, 0)
    assert 0.3 < summary["map"] < 1
    first = next(row for row in table if row["group"] == "1000")
    assert (first["relevant"], len(first["answers"])) == (2, 10)
    assert Path(first["answers"][0]).stem == "100704", "the copy of the query, in another group"
    assert first["key"] not in first["answers"]
    assert first["similarities"] == sorted(first["similarities"], reverse=True)
    assert first["similarities"][0] == pytest.approx(1, abs=1e-6)
    assert not (tmp_path / "out" / "faults.parquet").exists()


@pytest.mark.parametrize(("gallery", "splits"), [(None, ["val"]), ("train", ["train"]), ("all", ["train", "val"])])
def test_classes_are_looked_for_in_either_split(capsys, tmp_path, weights, gallery, splits):
    data = write_dataset(tmp_path / "data", train=(20, 13), val=(11, 8))
    how = ["--gallery", gallery] if gallery else []
    summary, table = retrieved(capsys, data, tmp_path / "out", weights, "--sheet", 0, *how)
    rows = rows_of(tmp_path / "out" / "embeddings")
    queries = [at for at, row in enumerate(rows) if row["split"] == "val"]
    there = [at for at, row in enumerate(rows) if row["split"] in splits]
    require_scores(summary, table, rows, slow_scores(rows, [row["label"] for row in rows], queries, there))
    assert (summary["relevance"], summary["gallery"], len(table)) == ("classes", gallery or "val", 19)
    assert summary["gallery_images"] == {"val": 19, "train": 33, "all": 52}[gallery or "val"]
    assert not (tmp_path / "out" / "sheet.html").exists()


def write_groups(path: Path, rows: list[tuple[str, ...]], heading=("path", "group", "role")) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([heading, *rows])
    return path


def test_a_csv_says_the_groups_and_roles_of_its_images_and_of_embeddings(capsys, tmp_path, weights, monkeypatch):
    write_images(tmp_path / "photos", {f"{at:02d}.jpg": at % 4 for at in range(20)})
    roles = [("query", "gallery", "both", "")[at % 4 if at < 12 else 1] for at in range(18)]
    groups = ["" if at in (3, 17) else f"place <{at % 3}>" for at in range(18)]
    lines = [(f"{at:02d}.jpg", groups[at], roles[at]) for at in range(18)]
    listed = write_groups(tmp_path / "photos" / "places.csv", lines)
    summary, table = retrieved(capsys, listed, tmp_path / "out", weights)
    rows = rows_of(tmp_path / "out" / "embeddings")
    queries = [at for at in range(18) if roles[at] != "gallery"]
    gallery = [at for at in range(18) if roles[at] != "query"]
    numbers = [group or f"none {at}" for at, group in enumerate(groups)]
    require_scores(summary, table, rows, slow_scores(rows, numbers, queries, gallery))
    assert {row["group"] for row in table} == {"place <0>", "place <1>", "place <2>", None}
    assert summary["relevance"] == str(listed)
    assert summary["queries_without_relevant"] == 1
    embedding = [
        "embed",
        tmp_path / "photos",
        "--output",
        tmp_path / "vectors",
        "--checkpoint",
        weights,
        "--model",
        MODEL,
    ]
    embedding += ["--image-size", SIDE, "--dtype", "float32", "--device", "cpu", "--workers", 0]
    assert answer(capsys, *embedding)[0] == 0
    monkeypatch.chdir(tmp_path / "photos")  # the embeddings have the images' paths from elsewhere
    vectors = f"{tmp_path / 'vectors'}/"  # as a shell completes it
    again, same = retrieved(capsys, vectors, tmp_path / "again", None, "--relevance", "places.csv")
    drop = ("key", "answers", "path")
    assert [{name: row[name] for name in row if name not in drop} for row in same] == [
        {name: row[name] for name in row if name not in drop} for row in table
    ]
    assert again["map"] == summary["map"]
    assert (again["images"], again["gallery_images"]) == (20, summary["gallery_images"])
    text = (tmp_path / "again" / "sheet.html").read_text()
    assert text.count("<img") > 20
    assert "place &lt;1&gt;: average precision" in text
    assert "place <" not in text


def test_faiss_gives_the_same_files_and_says_so(capsys, tmp_path, weights, holidays):
    plain, _ = retrieved(capsys, holidays, tmp_path / "out", weights)
    vectors = tmp_path / "out" / "embeddings"
    for name, how in (("blocks", []), ("faiss", ["--faiss"])):
        retrieved(capsys, vectors, tmp_path / name, None, *how)
    assert digests(tmp_path / "faiss", "*.[ph]*") == digests(tmp_path / "blocks", "*.[ph]*")
    assert len(digests(tmp_path / "faiss", "*.[ph]*")) == 2
    record = json.loads((tmp_path / "faiss" / "retrieval.json").read_text())
    assert record["faiss_queries"] == 8
    assert "FAISS" in record["search"]
    assert record["map"] == plain["map"]


def test_without_faiss_one_line_names_the_extra(capsys, tmp_path, weights, holidays, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    err = refused(capsys, holidays, tmp_path / "out", weights, "--faiss")
    assert "--faiss needs FAISS: pip install 'in21k[faiss]'" in err
    assert not (tmp_path / "out").exists()


def test_damaged_images_are_rows_and_counts_and_neither_queries_nor_answers(capsys, tmp_path, weights, holidays):
    for name in ("jpg1/100100.jpg", "jpg2/100001.jpg"):
        (holidays / name).write_bytes(b"no image")
    summary, table = retrieved(capsys, holidays, tmp_path / "out", weights)
    counts = ("faults", "queries", "queries_damaged", "gallery_images", "gallery_damaged")
    assert [summary[name] for name in counts] == [2, 6, 1, 20, 2]
    rows = {Path(row["key"]).stem: row for row in table}
    assert "not" in rows["100100"]["fault"]
    assert (rows["100100"]["answers"], rows["100100"]["average_precision"]) == ([], None)
    assert rows["100000"]["relevant"] == 1
    assert not any("100001" in key for row in table for key in row["answers"])
    faults = pq.read_table(tmp_path / "out" / "faults.parquet").to_pylist()
    assert sorted(Path(row["key"]).stem for row in faults) == ["100001", "100100"]
    assert all(row["fault"] for row in faults)


class Page(HTMLParser):
    """Collects a page's figures, and the addresses that it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.figures: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "figure":
            self.figures.append(values["class"])
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_the_sheet_shows_the_worst_queries_first_and_loads_nothing(capsys, tmp_path, weights, holidays):
    _, table = retrieved(capsys, holidays, tmp_path / "out", weights, "--sheet", 3)
    text = (tmp_path / "out" / "sheet.html").read_text()
    page = Page(text)
    assert page.figures.count("query") == 3
    assert len(page.figures) == 33
    assert len(page.loaded) == 33
    assert all(re.match("data:image/jpeg;base64,", each) for each in page.loaded)
    assert "url(" not in text.partition("</style>")[0]
    assert "prefers-color-scheme: dark" in text
    worst = sorted(
        (row for row in table if row["average_precision"] is not None), key=lambda row: row["average_precision"]
    )
    places = [text.index(f"{row['group']}: average precision") for row in worst[:3]]
    assert places == sorted(places)
    hits = sum(Path(key).stem[:4] == row["group"] for row in worst[:3] for key in row["answers"])
    assert page.figures.count("right") == hits > 0


def test_an_even_sheet_spreads_over_the_queries(capsys, tmp_path, weights, holidays):
    _, table = retrieved(capsys, holidays, tmp_path / "out", weights, "--sheet", 2, "--sheet-order", "even")
    text = (tmp_path / "out" / "sheet.html").read_text()
    ranked = sorted(
        (row for row in table if row["average_precision"] is not None), key=lambda row: row["average_precision"]
    )
    shown = re.findall(r"(\d{4}): average precision (\d\.\d{3})", text)
    assert [float(value) for _, value in shown] == [
        round(row["average_precision"], 3) for row in (ranked[0], ranked[-1])
    ]


def test_resume_keeps_the_embeddings_and_makes_the_same_results(capsys, tmp_path, weights, holidays):
    retrieved(capsys, holidays, tmp_path / "out", weights)
    before = digests(tmp_path / "out", "**/*.[ph]*")
    assert len(before) == 3
    err = refused(capsys, holidays, tmp_path / "out", weights)
    assert "already holds a retrieval; pass --resume to keep its embeddings, or give another --output" in err
    for lost in ("retrieval.json", "queries.parquet", "embeddings/embeddings.json"):
        (tmp_path / "out" / lost).unlink()
    retrieved(capsys, holidays, tmp_path / "out", weights, "--resume")
    assert digests(tmp_path / "out", "**/*.[ph]*") == before
    err = refused(capsys, holidays, tmp_path / "out", weights, "--resume", "--image-size", 64)
    assert "was begun with other settings: model.image_size 32, now 64" in err


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (["--relevance", "classes"], "image files have no classes; give --layout imagefolder, or another --relevance"),
        (["--relevance", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["--gallery", "train"], "--gallery train is for classes, and relevance goes by holidays here; leave it out"),
        (["--sheet", "501"], "Invalid value for '--sheet'"),
    ],
)
def test_options_that_do_not_fit_are_one_line(capsys, tmp_path, weights, holidays, how, message):
    assert message in refused(capsys, holidays, tmp_path / "out", weights, *how)
    assert not (tmp_path / "out" / "retrieval.json").exists()


def test_sources_that_say_no_relevance_are_one_line(capsys, tmp_path, weights, holidays):
    photos = write_images(tmp_path / "photos", {"a.jpg": 0, "b.jpg": 1})
    twice = write_images(tmp_path / "twice", {"a/100000.jpg": 0, "b/100000.jpg": 1})
    alone = write_images(tmp_path / "alone", {"train/a/1.jpg": 0, "train/b/1.jpg": 1})
    (alone / "val").mkdir()
    cases = [
        (photos, [], "give --relevance with a CSV"),
        (photos, ["--relevance", "holidays"], "a is not named as Holidays' images are, by six digits"),
        (write_coco(tmp_path / "coco"), [], "images with several classes have no one group"),
        (twice, [], "2 images are named 100000; keep one of them"),
        (alone, [], "has no val images, which are the queries"),
        (
            write_images(tmp_path / "one", {"100000.jpg": 0}),
            ["--relevance", tmp_path / "no.csv"],
            "no.csv cannot be read",
        ),
    ]
    for source, how, message in cases:
        assert message in refused(capsys, source, tmp_path / "out", weights, *how)
        assert not (tmp_path / "out").exists(), "it is refused before hours of embedding"


@pytest.mark.parametrize(
    ("rows", "how", "message"),
    [
        ([("a.jpg", "x", "judge")], [], "gives a.jpg the role 'judge'; give one of query, gallery, both"),
        ([("a.jpg", "x"), ("a.jpg", "y")], [], "list.csv lists a.jpg twice; an image has one group"),
        ([("../a.jpg", "x")], [], "../a.jpg"),
        ([], [], "list.csv lists no images; write a line 'path,group' for each"),
        ([("a.jpg", "x"), ("b.jpg", "y")], [], "none of its 2 queries has another image of its group in the gallery"),
        ([("a.jpg", "x", "gallery")], [], "none of its 0 queries has another image"),
        ([("a.jpg", "x", "query")], [], "none of its 1 queries has another image"),
        (
            [("a.jpg", "x")],
            ["--relevance", "holidays"],
            "list.csv says which images are relevant; leave --relevance out",
        ),
        (
            [("a.jpg", "x"), ("b.jpg", "x")],
            ["--val-share", "0.5"],
            "image files have no use for --val-share; leave it out",
        ),
    ],
)
def test_a_csv_that_says_too_little_is_one_line(capsys, tmp_path, weights, rows, how, message):
    write_images(tmp_path / "photos", {"a.jpg": 0, "b.jpg": 1})
    listed = write_groups(tmp_path / "photos" / "list.csv", rows)
    assert message in refused(capsys, listed, tmp_path / "out", weights, *how)
    assert not (tmp_path / "out" / "embeddings" / "embed.json").exists()


def test_embeddings_take_no_checkpoint_and_have_to_be_complete(capsys, tmp_path, weights, holidays):
    retrieved(capsys, holidays, tmp_path / "out", weights)
    vectors = tmp_path / "out" / "embeddings"
    for how in ((weights,), (None, "--strict"), (None, "--val-share", 0.1)):
        assert "no option of images serves there; leave it out" in refused(capsys, vectors, tmp_path / "again", *how)
    assert "holds no embeddings; give the --checkpoint" in refused(capsys, holidays, tmp_path / "again")
    (vectors / "embeddings-00000.parquet").write_bytes(b"PAR1")
    assert "embeddings-00000.parquet is no embedding file" in refused(capsys, vectors, tmp_path / "again")
    (vectors / "embeddings.json").unlink()
    assert "the embeddings are not complete" in refused(capsys, vectors, tmp_path / "later")


def write_cifar(folder: Path) -> Path:
    """CIFAR-100's unpacked folder, with 12 images in each split."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3072)).astype(np.uint8)
    batch = {"data": pixels, "fine_labels": [at % 3 for at in range(12)], "coarse_labels": [0] * 12}
    names = {"fine_label_names": ["ant", "bee", "cow"], "coarse_label_names": ["animal"]}
    for name, content in (("meta", names), ("train", batch), ("test", batch)):
        (folder / name).write_bytes(pickle.dumps(content, 2))
    return folder


def test_the_sheet_has_the_pictures_of_shards_and_of_pixels(capsys, tmp_path, weights):
    for name, data in (
        ("shards", write_dataset(tmp_path / "data")),
        ("pixels", write_cifar(tmp_path / "cifar-100-python")),
    ):
        retrieved(capsys, data, tmp_path / name, weights, "--sheet", 2, "--gallery", "all")
        page = Page((tmp_path / name / "sheet.html").read_text())
        assert len(page.loaded) == len(page.figures) == 22
    retrieved(capsys, tmp_path / "shards" / "embeddings", tmp_path / "without", None, "--sheet", 2, "--gallery", "all")
    text = (tmp_path / "without" / "sheet.html").read_text()
    assert text.count("<i>no picture</i>") == 22


def test_a_start_that_failed_is_no_retrieval(capsys, tmp_path, weights, holidays):
    assert "there is no checkpoint" in refused(capsys, holidays, tmp_path / "out", tmp_path / "nowhere")
    retrieved(capsys, holidays, tmp_path / "out", weights)


def test_an_output_among_the_images_of_a_dataset_is_refused(capsys, tmp_path, weights):
    data = write_images(tmp_path / "data", {f"{split}/a/{at}.jpg": 0 for split in ("train", "val") for at in range(3)})
    before = sorted(tmp_path.rglob("*"))
    assert "are not apart; give another --output" in refused(capsys, data, data / "val" / "out", weights)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.guard
def test_a_kill_while_it_embeds_leaves_the_files_of_a_calm_run(capsys, tmp_path, weights, holidays):
    retrieved(capsys, holidays, tmp_path / "calm", weights)
    out, command = tmp_path / "out", train_command(*given(holidays, tmp_path / "out", weights))
    run = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    until(lambda: (out / "embeddings" / "embed.json").exists())
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (out / "retrieval.json").exists()
    done = run_train(*given(holidays, out, weights, "--resume"))
    assert done.returncode == 0, done.stderr
    assert digests(out, "**/*.[ph]*") == digests(tmp_path / "calm", "**/*.[ph]*")


@pytest.mark.parametrize("name", ["queries.parquet", "manifest.json", "embed.json", "metrics.csv"])
def test_a_folder_of_something_else_is_left_alone(capsys, tmp_path, weights, holidays, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("{}")
    assert "give another --output" in refused(capsys, holidays, tmp_path / "out", weights, "--resume")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_no_other_command_writes_into_a_retrieval(capsys, tmp_path, weights, holidays):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "retrieve.json").write_text("{}")
    for command in ("embed", "transfer"):
        how = ["--checkpoint", weights, "--model", MODEL, "--val-share", 0.1, "--device", "cpu"]
        status, _, err = answer(capsys, command, holidays, *how, "--image-size", SIDE, "--output", tmp_path / "out")
        assert status == 1
        assert "holds retrieve.json of a retrieval; give another --output" in err


@pytest.mark.slow
def test_several_ranks_are_refused(tmp_path, weights, holidays):
    ended = run_train(*given(holidays, tmp_path / "out", weights), processes=2)
    assert ended.returncode != 0
    assert "retrieve runs on one rank; embed on several, and retrieve from that folder on one" in ended.stderr
    assert not (tmp_path / "out").exists()


def _rewritten(embeddings: Path, target: Path, **columns) -> Path:
    """Copy embeddings with other columns; the file says of itself what it said."""
    shutil.copytree(embeddings, target)
    file = target / "embeddings-00000.parquet"
    table = pq.read_table(file)
    metadata = table.schema.metadata
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.remove_column(at) if values is None else table.set_column(at, name, values)
    pq.write_table(table.replace_schema_metadata(metadata), file)
    return target


def test_embeddings_that_embed_did_not_write_are_one_line(capsys, tmp_path, weights, holidays):
    retrieved(capsys, holidays, tmp_path / "out", weights, "--sheet", 0)
    made = tmp_path / "out" / "embeddings"
    table = pq.read_table(made / "embeddings-00000.parquet")
    count, length = len(table), table.schema.field("vector").type.list_size
    vectors, keys = table["vector"].to_pylist(), table["key"].to_pylist()
    kind = table.schema.field("vector").type
    for number, (columns, message) in enumerate(
        [
            ({"vector": pa.array([None, *vectors[1:]], kind)}, f"{keys[0]} has not either a vector or a fault"),
            ({"fault": pa.array([None] * (count - 1) + ["x"], pa.string())}, f"{keys[-1]} has not either"),
            (
                {"vector": pa.array([["a"] * length] * count, pa.list_(pa.string(), length))},
                f"its column vector is of type fixed_size_list<element: string>[{length}]; fixed_size_list<",
            ),
            ({"vector": pa.array([[1e300] * length] * count, pa.list_(pa.float64(), length))}, "[96]; fixed_size"),
            ({"key": pa.array(range(count))}, "its column key is of type int64; string is what embed writes"),
            ({"key": pa.array([None] * count, pa.string())}, "an image has no key"),
            ({"path": pa.array([b"\xff"] * count)}, "its column path is of type binary"),
            ({"path": None}, "its column path is missing"),
            ({"label": pa.array(range(count))}, "its column label is of type int64"),
        ]
    ):
        damaged = _rewritten(made, tmp_path / str(number), **columns)
        said = refused(capsys, damaged, tmp_path / "again")
        assert f"{damaged}/embeddings-00000.parquet is damaged (" in said
        assert message in said
    retrieved(capsys, _rewritten(made, tmp_path / "same"), tmp_path / "again")


def test_results_of_before_stay_until_there_are_new_ones(capsys, tmp_path, weights, holidays):
    out = tmp_path / "out"
    retrieved(capsys, holidays, out, weights)
    before = digests(out, "*.*")
    other = write_groups(tmp_path / "other.csv", [("nowhere.jpg", "a", ""), ("else.jpg", "a", "")])
    said = refused(capsys, out / "embeddings", out, None, "--relevance", other, "--resume")
    assert f"{other}: 2 of its images are not in {out / 'embeddings'}" in said
    assert digests(out, "*.*") == before


@pytest.mark.parametrize("name", ["retrieval.json", "queries.parquet", "faults.parquet", "sheet.html", "retrieve.json"])
def test_a_folder_in_the_place_of_a_file_is_named_and_nothing_is_lost(capsys, tmp_path, weights, holidays, name):
    out = tmp_path / "out"
    retrieved(capsys, holidays, out, weights)
    (out / name).unlink(missing_ok=True)
    (out / name).mkdir()
    before = digests(out, "*.*")
    said = refused(capsys, holidays, out, weights, "--resume")
    assert f"{out / name} is not a regular file" in said
    assert digests(out, "*.*") == before


def test_names_of_one_image_in_two_lines_are_refused(capsys, tmp_path, weights, holidays):
    retrieved(capsys, holidays, tmp_path / "out", weights, "--sheet", 0)
    made = tmp_path / "out" / "embeddings"
    named = _rewritten(made, tmp_path / "named", key=pa.array([f"{at}.jpg" for at in range(22)]))
    path = pq.read_table(made / "embeddings-00000.parquet")["path"][0].as_py()
    file = str(Path(path).relative_to(tmp_path))
    listed = write_groups(tmp_path / "groups.csv", [("0.jpg", "a", ""), (file, "b", ""), ("1.jpg", "a", "")])
    said = refused(capsys, named, tmp_path / "again", None, "--relevance", listed)
    assert f"{listed}: 0.jpg and {file} are the same image of {named}; list it once" in said


def test_images_that_all_fail_are_said_to(capsys, tmp_path, weights):
    (tmp_path / "photos").mkdir()
    for name in ("100000.jpg", "100001.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    status, _, err = answer(capsys, *given(tmp_path / "photos", tmp_path / "out", weights))
    assert status == 1
    assert "none of the 1 queries has a relevant image in the gallery; 2 of 2 images do not decode" in err


def test_the_sheet_calls_classes_by_their_names(capsys, tmp_path, weights):
    retrieved(capsys, write_dataset(tmp_path / "data"), tmp_path / "out", weights, "--sheet", 2)
    retrieved(capsys, tmp_path / "out" / "embeddings", tmp_path / "again", None, "--sheet", 2)
    names = dict(zip(WNIDS, wordnet_class_names(WNIDS, ParentRule.PUBLISHED).names, strict=True))
    for folder in ("out", "again"):
        text = (tmp_path / folder / "sheet.html").read_text()
        captions = re.findall(r"<figcaption>(.*?)<br><small>(.*?)</small>", text)
        assert len(captions) == 22
        for name, about in captions:
            wnid = about.rpartition("<br>")[2].partition("_")[0]
            assert name == names[wnid]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_the_answers_of_a_sheet_wrap(capsys, tmp_path, weights, holidays):
    retrieved(capsys, holidays, tmp_path / "out", weights, "--sheet", 2)
    address = (tmp_path / "out" / "sheet.html").as_uri()
    with chromium(tmp_path / "browser") as page:
        for width in (1200, 500):
            page.look(width, 900, "light")
            page.open(address)
            wide = "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth && e.clientWidth)"
            assert page.evaluate(f"{wide}.length") == 0
        assert page.problems == []


def test_a_list_that_is_no_file_is_refused_at_once(capsys, tmp_path, weights, holidays):
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path, tmp_path / "pipe"):
        said = refused(capsys, holidays, tmp_path / "out", weights, "--relevance", source)
        assert f"{source} is not a regular file; give a CSV with the columns path and group" in said
