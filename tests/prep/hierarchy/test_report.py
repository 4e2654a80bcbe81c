import os
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import RefusedError, call, prep
from explorer_pages import data_of, pictures_of

from in21k.prep.hierarchy.report import write_report
from in21k.prep.hierarchy.thumbnails import thumbnails
from in21k.shards_manifest.storage.location import locate
from in21k.tree.parents import ParentRule


@pytest.fixture(scope="module")
def report(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, write_report(str(dataset.out), folder, ParentRule.PUBLISHED)


def page_in(folder):
    return (folder / "report.html").read_text("utf-8")


def test_a_report_is_one_page(report):
    folder, summary = report
    assert [path.name for path in folder.iterdir()] == ["report.html"]
    assert summary["page_bytes"] == (folder / "report.html").stat().st_size


def test_the_page_has_counts_and_samples_of_every_class(report, dataset):
    folder, summary = report
    data, pictures = data_of(page_in(folder)), pictures_of(page_in(folder))
    assert sum(data["train"]) == dataset.manifest.samples("train")
    assert sorted(map(int, pictures["classes"])) == list(range(dataset.manifest.classes))
    assert summary["thumbnails"] == sum(map(len, pictures["classes"].values()))


def test_samples_name_their_key_and_shard(report, dataset):
    pictures = pictures_of(page_in(report[0]))
    rows = pq.read_table(dataset.out / "samples.parquet").to_pylist()
    shards = {(row["split"], row["key"]): (row["class_index"], row["shard"]) for row in rows}
    for index, samples in pictures["classes"].items():
        for key, shard, _ in samples:
            split, path = pictures["shards"][shard]
            class_index, number = shards[split, key]
            assert (str(class_index), dataset.manifest.splits[split][number].path) == (index, path)


def test_the_page_has_the_rejects_of_each_class_and_the_dropped_classes(report, dataset):
    census = data_of(page_in(report[0]))["census"]
    rejects = pq.read_table(dataset.out / "rejects.parquet").to_pylist()
    assert sum(count for _, _, count, _ in census["rejects"]) == len(rejects)
    classes = pq.read_table(dataset.out / "classes.parquet").to_pylist()
    index_of = {row["wnid"]: row["class_index"] for row in classes if row["kept"]}
    found = {(stage, reason, at): count for stage, reason, _, few in census["rejects"] for at, count in few}
    assert found == Counter(
        (row["stage"], row["reason"], index_of[row["wnid"]]) for row in rejects if row["wnid"] in index_of
    )
    lost = sorted((-row["images"], row["wnid"], row["name"] or "", row["reason"]) for row in classes if not row["kept"])
    columns = (census["dropped"][name] for name in ("files", "wnids", "names", "reasons"))
    assert [(-files, *rest) for files, *rest in zip(*columns, strict=True)] == lost
    assert census["kept"] == [
        row["images"] for row in sorted(classes, key=lambda row: row["class_index"]) if row["kept"]
    ]


def test_the_same_dataset_gives_the_same_report(report, dataset, tmp_path):
    write_report(str(dataset.out), tmp_path, ParentRule.PUBLISHED)
    for path in report[0].iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_thumbnails_stay_within_their_budget_and_the_most_important_come_first(dataset):
    importance = np.array([1, 5, 3, 4, 2])
    for budget in (0, 1100, 2500, 1 << 20):
        found, side = thumbnails(locate(dataset.out), dataset.manifest, importance, budget)
        assert sum(len(sample.image) for samples in found.values() for sample in samples) <= budget
        assert side >= 48
    few, _ = thumbnails(locate(dataset.out), dataset.manifest, importance, 1100)
    assert 1 in few
    assert len(few) < 5


def test_thumbnails_are_no_larger_than_the_images_they_show(dataset):
    _, side = thumbnails(locate(dataset.out), dataset.manifest, np.zeros(5, np.int64), 1 << 30)
    assert side == max(48, dataset.manifest.images.size)


def test_a_class_list_gets_the_page_with_its_glosses(tmp_path):
    assert call("report", "fall11-p", "--output", tmp_path)["classes"] == 11_221
    data = data_of(page_in(tmp_path))
    assert len(data["glosses"]) == 11_221
    assert data["census"] is None
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_the_report_needs_no_matplotlib(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = prep("report", "fall11-p", "--output", tmp_path / "r", env={"PYTHONPATH": path, "PATH": ""})
    assert run.returncode == 0, run.stderr


def test_a_missing_source_is_reported(tmp_path):
    with pytest.raises(RefusedError, match="SOURCE is missing"):
        call("report", "--output", tmp_path / "r")
