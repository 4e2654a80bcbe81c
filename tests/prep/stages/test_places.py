"""Where commands may write: never into the dump, and never into what something else wrote."""

import json
import shutil
from pathlib import Path

import pytest
from commands import RefusedError, call, digests
from dumps import PIPELINE, images_of, make_dump

from in21k.prep.demo.dump import draw_dump
from in21k.prep.errors import PrepError

pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture
def raw(tmp_path) -> Path:
    """A dump that is a folder of class folders."""
    for wnid in ("n02084071", "n02121620"):
        (tmp_path / "raw" / wnid).mkdir(parents=True)
        for name, data in images_of(wnid, 4):
            (tmp_path / "raw" / wnid / name).write_bytes(data)
    return tmp_path / "raw"


def refused(root: Path, *arguments) -> str:
    """Return the line with which a command refused; it must have changed nothing."""
    before = {**digests(root), **{str(path): "" for path in root.rglob("*") if path.is_dir()}}
    with pytest.raises(RefusedError) as error:
        call(*arguments)
    assert {**digests(root), **{str(path): "" for path in root.rglob("*") if path.is_dir()}} == before
    return str(error.value)


@pytest.mark.parametrize(
    ("work", "out", "message"),
    [
        ("raw", "out", "WORK {}/raw lies in RAW"),
        ("raw/work", "out", "WORK {}/raw/work lies in RAW"),
        ("linked/work", "out", "WORK {}/linked/work lies in RAW"),
        ("work", "raw", "OUT {}/raw lies in RAW"),
        ("work", "raw/n02084071/out", "OUT {}/raw/n02084071/out lies in RAW"),
        ("work", "work", "OUT {0}/work and WORK {0}/work are not apart"),
        ("out/work", "out", "OUT {0}/out and WORK {0}/out/work are not apart"),
        ("work", "work/parts", "OUT {0}/work/parts and WORK {0}/work are not apart"),
    ],
)
def test_raw_work_and_out_are_apart(tmp_path, raw, work, out, message):
    (tmp_path / "linked").symlink_to(raw)
    line = refused(tmp_path, "run", raw, tmp_path / work, tmp_path / out, "--min-images", 1)
    assert message.format(tmp_path) in line


@pytest.mark.parametrize("place", ["WORK", "OUT"])
@pytest.mark.parametrize("marker", ["metrics.csv", "report.html", "checkpoints/a", "config.json"])
def test_a_preparation_keeps_out_of_what_another_command_wrote(tmp_path, raw, place, marker):
    folder = tmp_path / "taken"
    (folder / marker).parent.mkdir(parents=True)
    (folder / marker).write_text(json.dumps({"config": {}, "dataset": {}}))
    work, out = (folder, tmp_path / "out") if place == "WORK" else (tmp_path / "work", folder)
    line = refused(tmp_path, "run", raw, work, out, "--min-images", 1)
    assert f"taken holds {marker.split('/')[0]} of" in line
    assert line.endswith(f"give another {place}")


def test_a_dataset_is_no_work_folder_and_a_work_folder_no_dataset(tmp_path, dataset):
    shutil.copytree(dataset.out, tmp_path / "out")
    shutil.copytree(dataset.work, tmp_path / "work")
    line = refused(tmp_path, "filter", dataset.raw, tmp_path / "out")
    assert f"{tmp_path / 'out'} holds manifest.json of a prepared dataset; give another WORK" in line
    line = refused(tmp_path, "shard", dataset.work, tmp_path / "work")
    assert f"{tmp_path / 'work'} holds filter.json of a work folder of in21k-prep; give another OUT" in line


@pytest.mark.parametrize("name", ["images.parquet", "taxonomy.parquet"])
def test_a_table_of_the_users_in_a_new_work_folder_is_refused(tmp_path, dataset, name):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / name).write_bytes(b"mine")
    line = refused(tmp_path, "filter", dataset.raw, tmp_path / "work")
    assert f"work holds {name}, which in21k-prep did not write" in line


def test_a_run_whose_output_is_taken_ends_before_it_begins(tmp_path, dataset):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"mine")
    line = refused(tmp_path, "run", dataset.raw, tmp_path / "work", tmp_path / "photos", *PIPELINE)
    assert "photos holds cat.jpg and no dataset" in line


def test_a_finished_run_is_repeated_as_before(tmp_path, dataset):
    shutil.copytree(dataset.out, tmp_path / "out")
    shutil.copytree(dataset.work, tmp_path / "work")
    for folder in ("work", "out"):
        (tmp_path / folder / "report.html").touch()  # older versions wrote reports there
    before = digests(tmp_path / "out")
    call("run", dataset.raw, tmp_path / "work", tmp_path / "out", *PIPELINE, "--workers", 1)
    assert digests(tmp_path / "out") == before


def test_reports_and_tables_keep_out_of_a_dataset(tmp_path, dataset):
    shutil.copytree(dataset.out, tmp_path / "out")
    line = refused(tmp_path, "report", dataset.out, "--output", tmp_path / "out")
    assert "out holds manifest.json of a prepared dataset; give another --output" in line
    line = refused(tmp_path, "tree", "fall11-p", "--output", tmp_path / "out" / "hierarchy.parquet")
    assert "out holds manifest.json of a prepared dataset; give another --output" in line


def test_a_file_of_another_kind_is_not_replaced(tmp_path, dataset):
    mine = tmp_path / "classes.txt"
    mine.write_text("n02084071\n")
    assert "classes.txt exists and is not a Parquet table" in refused(tmp_path, "tree", mine, "--output", mine)
    page = tmp_path / "report.html"
    page.write_text("<h1>mine</h1>")
    line = refused(tmp_path, "report", dataset.out, "--output", tmp_path)
    assert "report.html is not a page of in21k-prep report; give another --output" in line
    page.unlink()
    for _ in range(2):
        call("report", dataset.out, "--output", tmp_path)
    table = tmp_path / "t.parquet"
    call("tree", mine, "--output", table)
    call("tree", mine, "--output", table)
    line = refused(tmp_path, "tree", mine, "--output", table, "--compare", table)
    assert "--output is the file to compare with" in line


@pytest.mark.parametrize("kind", ["text", "dump", "damaged"])
def test_demo_replaces_only_its_own_dumps(tmp_path, kind):
    path = tmp_path / "raw.tar"
    if kind == "dump":
        make_dump(path, {"n02084071": images_of("n02084071", 2)})
    else:
        path.write_bytes(b"my thesis" if kind == "text" else b"n0" * 2000)
    before = path.read_bytes()
    with pytest.raises(PrepError, match=r"raw.tar exists and is not a dump that demo drew"):
        draw_dump(path, images_per_class=16, size_range=(24, 40))
    assert path.read_bytes() == before
    path.unlink()
    drawn = draw_dump(path, images_per_class=16, size_range=(24, 40))
    assert draw_dump(path, images_per_class=16, size_range=(24, 40)) == drawn
