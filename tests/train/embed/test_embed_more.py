"""Embeddings of images from an object store and from lists, of tokens, and of networks with two classifiers."""

import numpy as np
import pytest
import timm
import torch
from downstream import write_images
from embeddings import embed, expected, inputs_of, random_weights, refusal, rows_of, vectors_of
from object_store import served
from safetensors.torch import save_file
from small_dataset import write_dataset


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return random_weights(tmp_path_factory.mktemp("weights") / "weights.safetensors")


def test_a_dataset_in_an_object_store_has_the_vectors_of_the_one_on_disk(capsys, monkeypatch, tmp_path, weights):
    dataset = write_dataset(tmp_path / "served" / "bucket" / "data")
    embed(capsys, [dataset], tmp_path / "disk", weights)
    with served(tmp_path / "served", monkeypatch) as uri:
        embed(capsys, [uri.format("bucket/data")], tmp_path / "store", weights)
    assert rows_of(tmp_path / "store") == rows_of(tmp_path / "disk")


def test_listed_images_follow_the_named_ones_and_need_not_be_there(capsys, tmp_path, weights):
    photos = write_images(tmp_path / "photos", {f"{number}.jpg": number for number in range(3)})
    listed = [photos / "2.jpg", photos / "0.jpg", photos / "gone.jpg"]
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in listed))
    how = ["--images-from", tmp_path / "list.txt", "--max-skipped", 0.5]
    embed(capsys, [photos / "1.jpg"], tmp_path / "out", weights, *how)
    rows = rows_of(tmp_path / "out")
    assert [row["path"] for row in rows] == [str(path) for path in (photos / "1.jpg", *listed)]
    assert [row["vector"] is None for row in rows] == [False, False, False, True]
    assert "gone.jpg" in rows[3]["fault"] or "no such file" in rows[3]["fault"].lower()
    images = [(photos / name).read_bytes() for name in ("1.jpg", "2.jpg", "0.jpg")]
    np.testing.assert_allclose(vectors_of(tmp_path / "out"), expected(weights, images), rtol=2e-3, atol=2e-3)


def test_tokens_are_averaged(capsys, tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("test_vit", img_size=32).eval()
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    photos = write_images(tmp_path / "photos", {"0.jpg": 0, "1.jpg": 1})
    how = ["--model", "test_vit", "--layer", "blocks.1", "--dtype", "float32"]
    embed(capsys, [photos], tmp_path / "out", tmp_path / "vit.safetensors", *how)
    seen = []
    model.blocks[1].register_forward_hook(lambda _module, _inputs, output: seen.append(output.mean(1)))
    with torch.inference_mode():
        model(torch.cat([inputs_of(model, path.read_bytes()) for path in sorted(photos.iterdir())]))
    np.testing.assert_allclose(vectors_of(tmp_path / "out"), seen[0].numpy(), rtol=1e-4, atol=1e-5)


def test_of_two_classifiers_none_is_chosen_and_a_layer_can_be_named(capsys, tmp_path):
    name = "deit_tiny_distilled_patch16_224"
    save_file(timm.create_model(name).state_dict(), tmp_path / "deit.safetensors")
    photos, how = write_images(tmp_path / "photos", {"0.jpg": 0}), ["--model", name, "--image-size", 224]
    said = refusal(capsys, [photos], tmp_path / "out", tmp_path / "deit.safetensors", *how)
    assert f"{name} has several classifiers (head, head_dist); name a layer with --layer" in said
    embed(capsys, [photos], tmp_path / "out", tmp_path / "deit.safetensors", *how, "--layer", "norm")
    assert vectors_of(tmp_path / "out").shape == (1, 192)
