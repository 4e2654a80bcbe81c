"""A run's curves: rows that survive kills and new columns, and their plot."""

import itertools
import shutil
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from train_runs import answer

from in21k.shards_manifest.errors import DatasetError
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.errors import TrainError
from in21k.train.evaluation.semantic_top1 import majority_guess
from in21k.train.run import curve_plot
from in21k.train.run.curve_plot import plot_curves, read_curves
from in21k.train.run.curves import CurvePoint, CurveWriter
from in21k.train.run.end_labels import spread
from in21k.train.run.majority_line import majority_scores

COLUMNS = [field.name for field in fields(CurvePoint)]


def write_run(run, steps: int, slope: float = 1.0):
    run.mkdir()
    writer = CurveWriter(run, 0, validates=False)
    for step in range(1, steps + 1):
        writer.write(CurvePoint(step, step / 10, "train", 5 - slope * step / steps, lr=1e-3, gradient_norm=2.0))
        if step % 10 == 0:
            writer.write(CurvePoint(step, step / 10, "val", 4 - slope * step / steps, semantic_top1=step / 200))
    writer.close()
    return run


@pytest.mark.parametrize(("validates", "kept"), [(True, 10), (False, 11)])
def test_a_resumed_run_keeps_the_rows_up_to_its_step(tmp_path, validates, kept):
    """That step's val row is kept only if the val pass is not repeated."""
    run = write_run(tmp_path / "run", 20)
    CurveWriter(run, 10, validates=validates).close()
    assert len((run / "metrics.csv").read_text().splitlines()) == 1 + kept


def test_rows_of_an_older_version_with_fewer_columns_are_kept(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "step,epoch,split,loss,semantic_top1,lr,images_per_second,data_wait,gpu_memory_mb,skipped\n"
        "5,0.5,train,3.25,,0.001,10.0,0.1,,2\n"
        "6,0.6,train,3.1\n"
    )
    CurveWriter(tmp_path, 9, validates=False).close()
    header, *rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    assert header == COLUMNS
    row = dict(zip(header, rows[0], strict=True))
    assert (len(rows), row["loss"], row["skipped"], row["gradient_norm"]) == (1, "3.25", "2", "")


def test_runs_are_plotted_together(capsys, tmp_path):
    runs = [write_run(tmp_path / name, steps, slope) for name, steps, slope in (("slow", 30, 1), ("fast", 40, 3))]
    picture = tmp_path / "new" / "both.png"
    status, out, err = answer(capsys, "curves", *runs, "--output", picture)
    assert (status, err) == (0, "")
    assert str(picture) in out
    with Image.open(picture) as image:
        assert min(image.size) > 700
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


def test_each_curve_has_its_run_and_last_value_and_the_majority_a_line(monkeypatch, tmp_path):
    runs = [write_run(tmp_path / name, 20) for name in ("one", "a-$-run-whose-name-is-longer-than-that")]
    written = []
    monkeypatch.setattr(curve_plot, "draw_end_labels", lambda _, labels: written.append([each.text for each in labels]))
    monkeypatch.setattr(curve_plot, "majority_scores", lambda _: {"semantic_top1": 0.365})
    plot_curves(runs, tmp_path / "x.png")
    short = "a-$-run-who…er-than-that"
    assert written[0] == ["one (train) 4", "one (val) 3", f"{short} (train) 4", f"{short} (val) 3"]
    assert written[1] == ["one 10.0 %", f"{short} 10.0 %", "majority 36.5 %"]


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=40))
def test_labels_keep_their_order_and_never_touch(places):
    found = spread(places, 0.068)
    gap = min(0.068, 1 / max(len(places) - 1, 1))
    ordered = [found[at] for at in sorted(range(len(places)), key=lambda at: (places[at], -at))]
    assert all(above - below > gap - 1e-9 for below, above in itertools.pairwise(ordered))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in found)


def test_the_majority_of_a_run_is_its_summarys(dataset_folder, tmp_path):
    shutil.copy(dataset_folder / "hierarchy.parquet", tmp_path)
    data = open_dataset(str(dataset_folder))
    expected = majority_guess(data.hierarchy, data.images_train, data.images_val).micro
    top1 = data.images_val[data.images_train.argmax()] / data.images_val.sum()
    assert majority_scores(tmp_path) == {"semantic_top1": expected, "top1": top1}
    assert majority_scores(tmp_path / "none") == {}


def test_a_row_cut_off_by_a_kill_is_left_out(tmp_path):
    run = write_run(tmp_path / "run", 20)
    path = run / "metrics.csv"
    path.write_text(path.read_text()[:-9])
    assert len(read_curves(run, "run").points["val", "loss"][0]) == 1


@pytest.mark.parametrize("text", [None, "", "a,b\n1,2\n", ",".join(COLUMNS) + "\n"])
def test_a_folder_without_curves_is_one_line(tmp_path, text):
    if text is not None:
        (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(TrainError, match=r"metrics.csv") as caught:
        plot_curves([tmp_path], tmp_path / "x.png")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x.png").exists()


def test_a_picture_has_the_name_of_one(tmp_path):
    with pytest.raises(TrainError, match=r"curves.txt: pictures are PNGs; give a name that ends in .png"):
        plot_curves([tmp_path], tmp_path / "curves.txt")


def test_a_file_that_is_no_png_is_not_replaced(tmp_path):
    (tmp_path / "curves.csv").write_text("mine")
    with pytest.raises(DatasetError, match=r"curves.csv exists and is not a PNG; give another --output"):
        plot_curves([tmp_path], tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_text() == "mine"
