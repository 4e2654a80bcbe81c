"""Embeddings from the command line: the vectors are the network's own, and the bytes are the same however they came."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from commands import digests
from downstream import write_images
from embeddings import MODEL, SIDE, embed, expected, random_weights, refusal, rows_of, vectors_of
from hub import put_into_cache
from safetensors.torch import load_file, save_file
from small_dataset import jpeg, write_dataset
from train_runs import answer


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return random_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_images(tmp_path / "photos", {f"{number:02d}.jpg": number % 3 for number in range(11)})


def test_the_rows_of_a_dataset_hold_keys_shards_labels_and_the_networks_own_vectors(capsys, tmp_path, weights):
    folder = write_dataset(tmp_path / "data", train=(7, 5), val=(4,))
    summary = embed(capsys, [folder], tmp_path / "out", weights, "--dtype", "float32", "--rows-per-file", 8)
    rows = rows_of(tmp_path / "out")
    samples = pq.read_table(folder / "samples.parquet").to_pylist()
    assert [row["key"] for row in rows] == [sample["key"] for sample in samples]
    assert [row["class_index"] for row in rows] == [sample["class_index"] for sample in samples]
    assert [row["label"] for row in rows] == [sample["key"].partition("_")[0] for sample in samples]
    assert [row["split"] for row in rows] == ["train"] * 12 + ["val"] * 4
    assert [row["path"] for row in rows[6:8]] == ["train/in21k-train-000000.tar", "train/in21k-train-000001.tar"]
    assert (summary["images"], summary["files"], summary["faults"], summary["images_kept"]) == (16, 3, 0, 0)
    images = [
        jpeg(sample["class_index"], number + 1000 * (sample["split"] == "val"))
        for split in ("train", "val")
        for number, sample in enumerate(each for each in samples if each["split"] == split)
    ]
    np.testing.assert_allclose(vectors_of(tmp_path / "out"), expected(weights, images), rtol=1e-3, atol=1e-4)


def test_damaged_images_are_rows_without_a_vector_and_with_their_reason(capsys, tmp_path, weights, photos):
    (photos / "03.jpg").write_bytes(b"no image")
    (photos / "broken.jpg").symlink_to(tmp_path / "nowhere")
    summary = embed(capsys, [photos], tmp_path / "out", weights)
    rows = {Path(row["path"]).name: row for row in rows_of(tmp_path / "out")}
    assert {name for name, row in rows.items() if row["vector"] is None} == {"03.jpg", "broken.jpg"}
    assert {name for name, row in rows.items() if row["fault"]} == {"03.jpg", "broken.jpg"}
    assert "No such file" in rows["broken.jpg"]["fault"]
    assert (summary["images"], summary["faults"]) == (12, 2)
    assert {(row["label"], row["class_index"], row["split"]) for row in rows.values()} == {(None, None, None)}


def test_too_many_damaged_images_end_it_and_more_may_be_allowed_later(capsys, tmp_path, weights, photos):
    for number in range(6):
        (photos / f"{number:02d}.jpg").write_bytes(b"no image")
    err = refusal(capsys, [photos], tmp_path / "out", weights, "--workers", 0)
    assert "6 of 11 images do not decode, more than a share of 0.001 (--max-skipped)" in err
    assert not (tmp_path / "out" / "embeddings.json").exists()
    assert embed(capsys, [photos], tmp_path / "out", weights, "--max-skipped", 1, "--resume")["faults"] == 6


def test_vectors_of_an_image_do_not_depend_on_the_workers(capsys, tmp_path, weights, photos):
    embed(capsys, [photos], tmp_path / "calm", weights, "--rows-per-file", 3)
    embed(capsys, [photos], tmp_path / "two", weights, "--rows-per-file", 3, "--workers", 2)
    assert digests(tmp_path / "two") == digests(tmp_path / "calm")
    assert len(digests(tmp_path / "calm", "*.parquet")) == 4


def test_normalized_vectors_have_length_one_and_float16_is_the_rounded_float32(capsys, tmp_path, weights, photos):
    embed(capsys, [photos], tmp_path / "plain", weights, "--dtype", "float32")
    embed(capsys, [photos], tmp_path / "half", weights)
    embed(capsys, [photos], tmp_path / "unit", weights, "--dtype", "float32", "--normalize")
    plain, half, unit = (vectors_of(tmp_path / name) for name in ("plain", "half", "unit"))
    vector = pq.read_schema(tmp_path / "half" / "embeddings-00000.parquet").field("vector").type
    assert (vector.value_type, vector.list_size) == (pa.float16(), plain.shape[1])
    np.testing.assert_array_equal(half, plain.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True), rtol=1e-6)


def test_a_vector_that_float16_cannot_hold_is_an_error(capsys, tmp_path, photos):
    torch.manual_seed(0)
    large = {
        name: tensor * 1e6 if name.endswith("bn3.weight") else tensor
        for name, tensor in timm.create_model(MODEL).state_dict().items()
    }
    large = {name: tensor + 1e6 if name.endswith("bn2.bias") else tensor for name, tensor in large.items()}
    save_file(large, tmp_path / "large.safetensors")
    err = refusal(capsys, [photos], tmp_path / "out", tmp_path / "large.safetensors", "--workers", 0)
    assert "has values that float16 cannot hold; take --dtype float32" in err


def test_a_named_layer_is_averaged_over_its_positions(capsys, tmp_path, weights, photos):
    embed(capsys, [photos], tmp_path / "out", weights, "--layer", "layer1", "--dtype", "float32")
    images = [path.read_bytes() for path in sorted(photos.iterdir())]
    np.testing.assert_allclose(vectors_of(tmp_path / "out"), expected(weights, images, "layer1"), rtol=1e-3, atol=1e-4)


def test_an_unknown_layer_is_refused_with_the_nearest_names_and_nothing_is_written(capsys, tmp_path, weights, photos):
    err = refusal(capsys, [photos], tmp_path / "out", weights, "--layer", "layer11")
    assert "test_resnet has no layer 'layer11'; did you mean layer1 or" in err
    assert not (tmp_path / "out").exists()


def test_images_with_several_labels_have_lists_of_them(capsys, tmp_path, weights, photos):
    (tmp_path / "train.csv").write_text("00.jpg,red,round\n02.jpg,round\n")
    (tmp_path / "val.csv").write_text("03.jpg,red\n")
    how = ["--images", photos, "--val", tmp_path / "val.csv", "--split", "train"]
    embed(capsys, [tmp_path / "train.csv"], tmp_path / "out", weights, *how)
    rows = {row["key"]: row for row in rows_of(tmp_path / "out")}
    assert {key: row["label"] for key, row in rows.items()} == {"00.jpg": ["red", "round"], "02.jpg": ["round"]}
    assert rows["00.jpg"]["class_index"] == [0, 1]
    assert rows["00.jpg"]["path"] == str(photos / "00.jpg")


def test_a_folder_of_folders_is_unlabeled_unless_it_is_called_a_dataset(capsys, tmp_path, weights):
    photos = write_images(tmp_path / "photos", {f"{'ab'[number % 2]}/{number}.jpg": number % 2 for number in range(8)})
    embed(capsys, [photos], tmp_path / "files", weights)
    assert {row["label"] for row in rows_of(tmp_path / "files")} == {None}
    embed(capsys, [photos], tmp_path / "classes", weights, "--val-share", 0.25)
    found = {(row["key"][0], row["label"], row["split"]) for row in rows_of(tmp_path / "classes")}
    assert found == {(name, name, split) for name in "ab" for split in ("train", "val")}


def test_weights_of_timm_need_no_class_table_and_are_those_of_the_file(capsys, monkeypatch, tmp_path, weights, photos):
    put_into_cache(monkeypatch, tmp_path / "cache", f"{MODEL}.r160_in1k", load_file(weights))
    embed(capsys, [photos], tmp_path / "file", weights)
    how = ["--image-size", SIDE, "--device", "cpu", "--batch-size", 8, "--workers", 0]
    source = ["embed", photos, "--checkpoint", f"timm:{MODEL}.r160_in1k", "--output", tmp_path / "timm"]
    status, _, err = answer(capsys, *source, *how)
    assert status == 0, err
    np.testing.assert_array_equal(vectors_of(tmp_path / "timm"), vectors_of(tmp_path / "file"))
    records = [json.loads((tmp_path / name / "embeddings.json").read_text()) for name in ("timm", "file")]
    assert records[0]["model"]["weights_sha256"] == records[1]["model"]["weights_sha256"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--dtype", "float32"], "dtype float16, now float32"),
        (["--normalize"], "normalized False, now True"),
        (["--layer", "layer1"], "layer classifier input, now layer1"),
        (["--batch-size", 2], "batch_size 4, now 2"),
        (["--rows-per-file", 5], "rows_per_file 4, now 5"),
    ],
)
def test_other_settings_do_not_continue(capsys, tmp_path, weights, photos, change, said):
    embed(capsys, [photos], tmp_path / "out", weights, "--rows-per-file", 4)
    before = digests(tmp_path / "out")
    err = refusal(capsys, [photos], tmp_path / "out", weights, "--rows-per-file", 4, "--resume", *change)
    assert said in err
    assert "already holds embeddings; pass --resume" in refusal(capsys, [photos], tmp_path / "out", weights)
    assert digests(tmp_path / "out") == before


def test_other_weights_or_images_do_not_continue(capsys, tmp_path, weights, photos):
    embed(capsys, [photos], tmp_path / "out", weights)
    torch.manual_seed(1)
    save_file(timm.create_model(MODEL).state_dict(), tmp_path / "other.safetensors")
    assert "model.weights_sha256" in refusal(
        capsys, [photos], tmp_path / "out", tmp_path / "other.safetensors", "--resume"
    )
    (photos / "new.jpg").write_bytes(jpeg(0, 0))
    assert "source.digest" in refusal(capsys, [photos], tmp_path / "out", weights, "--resume")


def test_what_others_wrote_is_left_alone(capsys, tmp_path, weights, photos):
    data = write_dataset(tmp_path / "data", train=(3,), val=(2,))
    assert "holds manifest.json of a prepared dataset" in refusal(capsys, [photos], data, weights)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "embeddings-00000.parquet").write_bytes(b"precious")
    assert "holds embeddings-00000.parquet without embed.json" in refusal(capsys, [photos], tmp_path / "out", weights)


def test_whole_files_are_kept_and_damaged_ones_refused(capsys, tmp_path, weights, photos):
    out = tmp_path / "out"
    embed(capsys, [photos], out, weights, "--rows-per-file", 4)
    before = digests(out)
    (out / "embeddings.json").unlink()
    (out / "embeddings-00001.parquet").unlink()
    summary = embed(capsys, [photos], out, weights, "--rows-per-file", 4, "--resume")
    assert (summary["images_kept"], digests(out)) == (7, before)
    (out / "embeddings-00002.parquet").write_bytes((out / "embeddings-00002.parquet").read_bytes()[:-9])
    assert "embeddings-00002.parquet is no embedding file" in refusal(
        capsys, [photos], out, weights, "--rows-per-file", 4, "--resume"
    )


def test_the_number_of_threads_is_as_before_afterwards(capsys, tmp_path, weights, photos, monkeypatch):
    monkeypatch.setattr("in21k.train.embed.request.available_cpus", lambda: torch.get_num_threads() + 1)
    before = torch.get_num_threads()
    embed(capsys, [photos], tmp_path / "out", weights)
    assert json.loads((tmp_path / "out" / "embed.json").read_text())["threads"] == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("threads", ["null", '"2"', "-1", "1e9"])
def test_a_damaged_beginning_is_one_line(capsys, tmp_path, weights, photos, threads):
    embed(capsys, [photos], tmp_path / "out", weights)
    record = tmp_path / "out" / "embed.json"
    record.write_text(re.sub(r'"threads": \d+', f'"threads": {threads}', record.read_text()))
    assert "embed.json is damaged (threads is" in refusal(capsys, [photos], tmp_path / "out", weights, "--resume")


def test_a_folder_of_the_images_is_no_place_for_embeddings(capsys, tmp_path, weights, photos):
    before = sorted(photos.rglob("*"))
    (tmp_path / "link").symlink_to(photos)
    for output in (photos, tmp_path / "link"):
        err = refusal(capsys, [tmp_path / "link"], output, weights)
        assert f"--output {output} is a folder of the images; give another --output" in err
    assert sorted(photos.rglob("*")) == before
