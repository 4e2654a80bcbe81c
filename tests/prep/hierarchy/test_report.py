import json
import re

import numpy as np
import pytest
from commands import RefusedError, call, one_line, prep
from PIL import Image

from in21k.prep.hierarchy.report import write_report
from in21k.prep.hierarchy.thumbnails import thumbnails
from in21k.shards_manifest.storage.location import locate
from in21k.tree.parents import ParentRule

PLOTS = ["images-per-class.png", "levels.png", "rejects.png", "val-per-class.png"]


@pytest.fixture(scope="module")
def report(dataset, tmp_path_factory):
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("report")
    return folder, write_report(str(dataset.out), folder, ParentRule.PUBLISHED)


def embedded(folder, name):
    page = (folder / "report.html").read_text("utf-8")
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', page, re.DOTALL)[1])


def test_a_dataset_gets_plots_one_sheet_per_level_and_the_page(report):
    folder, summary = report
    sheets = [f"samples-level-{level:02d}.png" for level in range(summary["levels"])]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*PLOTS, *sheets, "report.html"])
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            image.load()


def test_the_page_has_counts_and_samples_of_every_class(report, dataset):
    folder, summary = report
    data, pictures = embedded(folder, "data"), embedded(folder, "thumbnails")
    assert sum(data["train"]) == dataset.manifest.samples("train")
    assert sorted(map(int, pictures)) == list(range(dataset.manifest.classes))
    assert summary["thumbnails"] == sum(map(len, pictures.values()))


def test_the_same_dataset_gives_the_same_report(report, dataset, tmp_path):
    write_report(str(dataset.out), tmp_path, ParentRule.PUBLISHED)
    for path in report[0].iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_thumbnails_stay_within_their_budget_and_the_most_important_come_first(dataset):
    importance = np.array([1, 5, 3, 4, 2])
    for budget in (0, 1100, 2500, 1 << 20):
        found, side = thumbnails(locate(dataset.out), dataset.manifest, importance, budget)
        assert sum(len(image) for images in found.values() for image in images) <= budget
        assert side >= 48
    few, _ = thumbnails(locate(dataset.out), dataset.manifest, importance, 1100)
    assert 1 in few
    assert len(few) < 5


def test_a_class_list_gets_only_the_levels_plot_and_the_page(tmp_path):
    pytest.importorskip("matplotlib")
    assert call("report", "fall11-p", "--output", tmp_path)["classes"] == 11_221
    assert sorted(path.name for path in tmp_path.iterdir()) == ["levels.png", "report.html"]
    assert embedded(tmp_path, "thumbnails") == {}


def test_without_matplotlib_one_line_names_the_extra(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    run = prep("report", "fall11-p", "--output", tmp_path / "r", env={"PYTHONPATH": str(tmp_path), "PATH": ""})
    assert one_line(run).endswith("pip install 'in21k[report]'")
    assert not (tmp_path / "r").exists()


def test_a_missing_source_is_reported(tmp_path):
    with pytest.raises(RefusedError, match="name a source"):
        call("report", "--output", tmp_path / "r")
