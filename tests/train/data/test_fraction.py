"""Fractions of the training images: nested, those of in21k-prep, and read in an order that resumes as any other."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import call
from downstream import one_epoch, write_images
from dumps import images_of, make_dump
from hypothesis import given
from hypothesis import strategies as st
from small_dataset import write_dataset
from train_runs import answer, kill_at, run_train, summary_of, train_command, train_losses

from in21k.train.data.fraction import FractionData, chosen, with_fraction
from in21k.train.data.open_data import DataRequest, open_data
from in21k.train.data.prepared.dataset import open_dataset


def keys_of(data, split="train"):
    return data.listing(split).keys.to_pylist()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_a_smaller_fraction_is_part_of_a_larger_one(classes, one, other):
    keys, labels = pa.chunked_array([[f"k{number}" for number in range(len(classes))]]), np.array(classes)
    small, large = (chosen(keys, labels, fraction) for fraction in sorted((one, other)))
    assert set(small) <= set(large)
    for label in set(classes):
        images = classes.count(label)
        assert (labels[small] == label).sum() == max(1, round(min(one, other) * images))


@pytest.mark.parametrize("fraction", [0.5, 0.2, 0.03])
def test_they_are_the_images_that_preparing_a_fraction_takes(tmp_path, fraction):
    wnids = ("n02084071", "n02121620", "n01613294")
    dump = make_dump(tmp_path / "raw.tar", {wnid: images_of(wnid, 14 + at) for at, wnid in enumerate(wnids)})
    for name, more in (("whole", ()), ("part", ("--fraction", fraction))):
        options = ["--min-images", 1, "--val-per-class", 3, "--size", 16, "--samples-per-shard", 9, "--workers", 1]
        call("run", dump, tmp_path / f"work-{name}", tmp_path / name, *options, *more)
    whole, part = (open_dataset(str(tmp_path / name)) for name in ("whole", "part"))
    own = with_fraction(whole, fraction)
    assert sorted(keys_of(own)) == sorted(keys_of(part))
    assert own.images_train.tolist() == part.images_train.tolist()
    assert own.hierarchy_table()["images_subtree"].equals(part.hierarchy_table()["images_subtree"])
    assert keys_of(own, "val") == keys_of(part, "val")


def test_samples_are_those_of_the_whole_by_other_numbers(dataset_folder):
    whole = open_dataset(str(dataset_folder))
    data = with_fraction(whole, 0.4)
    assert isinstance(data, FractionData)
    assert sum(data.shard_lengths("train")) == data.samples("train") == len(data.numbers) < whole.samples("train")
    reader, everything = data.reader("train")(), whole.reader("train")()
    numbers = np.array([3, -1, 0, 7])
    found = reader.collect(reader.request(numbers))
    assert found[1] is None
    same = everything.collect(everything.request(data.numbers[numbers[numbers >= 0]]))
    kept = [sample for sample in found if sample]
    assert [(each.key, bytes(each.image)) for each in kept] == [(each.key, bytes(each.image)) for each in same]
    assert [each.key for each in kept] == [keys_of(data)[number] for number in (3, 0, 7)]
    assert data.digest != whole.digest
    assert data.digest == with_fraction(open_dataset(str(dataset_folder)), 0.4).digest
    assert with_fraction(whole, 1.0) is whole


def test_a_shard_of_which_nothing_is_left_is_left_out(tmp_path):
    data = with_fraction(open_dataset(str(write_dataset(tmp_path / "data", train=(1,) * 30))), 0.01)
    lengths = data.shard_lengths("train")
    assert min(lengths) == 1
    assert sum(lengths) == data.samples("train") == (data.images_train > 0).sum()


ARGUMENTS = [
    "--scratch",
    "--epochs",
    6,
    "--batch-size",
    8,
    "--model",
    "test_vit",
    "--image-size",
    32,
    "--device",
    "cpu",
]
ARGUMENTS += ["--workers", 0, "--set", "run.log_steps=1", "--set", "run.checkpoint_steps=3", "--lr", 1e-3]


@pytest.mark.guard
def test_a_run_on_a_fraction_resumes_on_several_ranks_with_the_same_batches(dataset_folder, tmp_path):
    half = ["pretrain", dataset_folder, *ARGUMENTS, "--set", "data.fraction=0.4"]
    assert run_train(*half, "--output", tmp_path / "calm").returncode == 0
    kill_at(11, tmp_path / "cut", train_command(*half, "--output", tmp_path / "cut"))
    done = run_train(*half, "--output", tmp_path / "cut", "--resume", processes=2)
    assert done.returncode == 0, done.stderr
    assert summary_of(tmp_path / "cut")["resumed_at_step"] > 0
    calm, cut = (train_losses(tmp_path / name) for name in ("calm", "cut"))
    samples = with_fraction(open_dataset(str(dataset_folder)), 0.4).samples("train")
    assert len(calm) == 6 * (samples // 8)
    assert cut == pytest.approx(calm, rel=1e-4)


def test_another_fraction_is_another_run(dataset_folder, tmp_path, capsys):
    command = ["pretrain", dataset_folder, *ARGUMENTS, "--epochs", 1, "--output", tmp_path / "run"]
    assert answer(capsys, *command, "--set", "data.fraction=0.5")[0] == 0
    status, _, err = answer(capsys, *command, "--set", "data.fraction=0.4", "--resume")
    assert (status, "data.fraction: 0.5 → 0.4" in err) == (1, True), err
    images = pq.read_table(tmp_path / "run" / "hierarchy.parquet")["images_train"].to_pylist()
    assert images == with_fraction(open_dataset(str(dataset_folder)), 0.5).images_train.tolist()


def write_csv(folder):
    """A CSV of images, some with two labels."""
    labels = {f"{number}.jpg": number % 4 for number in range(60)}
    write_images(folder / "images", labels)
    lines = [f"{name},{label}" + (",9" if label == 2 else "") for name, label in labels.items()]
    (folder / "train.csv").write_text("\n".join(lines[:40]) + "\n")
    (folder / "val.csv").write_text("\n".join(lines[40:]) + "\n")
    return folder / "train.csv", ["--images", folder / "images", "--val", folder / "val.csv"]


def test_of_images_with_several_labels_a_fraction_is_of_all_together(tmp_path):
    path, _ = write_csv(tmp_path)
    whole = open_data(DataRequest(str(path), images=str(tmp_path / "images"), val=str(tmp_path / "val.csv")))
    parts = [with_fraction(whole, fraction) for fraction in (0.25, 0.5)]
    assert [part.samples("train") for part in parts] == [10, 20]
    assert set(keys_of(parts[0])) < set(keys_of(parts[1])) < set(keys_of(whole))


@pytest.mark.parametrize("how", [(), ("--probe",), ("--knn", 3)], ids=["fine-tuned", "probed", "k-NN"])
def test_a_transfer_learns_from_a_fraction(capsys, tmp_path, how):
    path, options = write_csv(tmp_path)
    one_epoch(capsys, path, tmp_path / "run", *options, *how, "--set", "data.fraction=0.5")
    with (tmp_path / "run" / "val_classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    data = open_data(DataRequest(str(path), images=str(tmp_path / "images"), val=str(tmp_path / "val.csv")))
    assert [int(row["images_train"]) for row in rows] == with_fraction(data, 0.5).images_train.tolist()
    if how:
        assert summary_of(tmp_path / "run")["train_images"] == 20
