"""The loader over real shards: what it reads, in which order, and what it says about damaged ones."""

import io
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from dumps import rotated_jpeg
from image_files import damaged_in_the_middle
from PIL import Image
from small_dataset import jpeg, picture, write_dataset
from streams import AUGMENTATION, decoding_with, equal, source_of, stream, train_plan

from in21k.shards_manifest.errors import DatasetError
from in21k.shards_manifest.sample_table import SampleTable
from in21k.train.data.interfaces import ReadOptions
from in21k.train.data.partition import TrainPlan
from in21k.train.data.prepared.dataset import open_dataset
from in21k.train.data.prepared.reader import ShardReader
from in21k.train.errors import TrainError
from in21k.train.images.decode_wild import decode_wild
from in21k.train.stream.loader import open_stream
from in21k.train.stream.source import StreamSource


def test_batches_hold_the_images_that_pillow_decodes(dataset_folder):
    source = source_of(dataset_folder, "val")
    batches = stream(source)
    images = torch.cat([batch.images for batch in batches])
    valid = torch.cat([batch.labels.valid for batch in batches])
    assert images.shape == (24, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert valid.tolist() == [True] * 17 + [False] * 7
    reader = ShardReader(source.open_reader.location, source.open_reader.manifest, "val")
    for number, sample in enumerate(reader.read(np.arange(17))):
        expected = np.asarray(Image.open(io.BytesIO(sample.image)))
        np.testing.assert_array_equal(images[number].permute(1, 2, 0).numpy(), expected)
        assert sample.key.startswith(f"n{sample.key[1:9]}_val")
    reader.close()


def test_labels_and_keys_are_those_of_the_sample_table(dataset_folder):
    source = source_of(dataset_folder)
    table = SampleTable(source.open_reader.location, source.open_reader.manifest)
    indices = [table.index("train", shard).class_indices for shard in range(5)]
    keys = [key for shard in range(5) for key in table.keys("train", shard)]
    reader = ShardReader(source.open_reader.location, source.open_reader.manifest, "train", open_shards=2)
    numbers = np.random.default_rng(0).permutation(93)
    samples = reader.read(numbers)
    assert [sample.class_index for sample in samples] == np.concatenate(indices)[numbers].tolist()
    assert [sample.key for sample in samples] == [keys[number] for number in numbers]
    reader.close()


def test_loader_processes_and_ranks_see_the_same_batches(dataset_folder):
    source = source_of(dataset_folder, augmentation=AUGMENTATION)
    alone = stream(source, epochs=2)
    assert len(alone) == 2 * (93 // 8)
    assert equal(stream(source, epochs=2, workers=2), alone)
    halves = [stream(source, epochs=2, rank=rank, world=2) for rank in (0, 1)]
    joined = [torch.cat([left.images, right.images]) for left, right in zip(*halves, strict=True)]
    assert all(torch.equal(both, one.images) for both, one in zip(joined, alone, strict=True))


def test_a_resumed_stream_is_the_rest(dataset_folder):
    source = source_of(dataset_folder, augmentation=AUGMENTATION)
    assert equal(stream(source, epochs=2, start_step=9), stream(source, epochs=2)[9:])


def test_an_augmented_epoch_differs_from_the_next(dataset_folder):
    source = source_of(dataset_folder, augmentation=AUGMENTATION)
    assert not equal(stream(source, 93, epochs=2)[:1], stream(source, 93, epochs=2)[1:])


def test_the_global_random_state_does_not_change(dataset_folder):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    stream(source_of(dataset_folder, augmentation=AUGMENTATION))
    assert torch.equal(torch.get_rng_state(), before)


def test_another_size_is_resized(dataset_folder):
    source = source_of(dataset_folder, "val", size=20)
    (batch,) = stream(source, 17)
    assert batch.images.shape == (17, 3, 20, 20)
    (full,) = stream(decoding_with(source, image_size=32), 17)
    means = [b.images.float().mean((2, 3)) for b in (batch, full)]
    torch.testing.assert_close(*means, atol=2, rtol=0)


def test_images_that_do_not_decode_are_skipped_and_named(tmp_path):
    def damage(split, number, sample):
        cut = {4: sample.image[:150], 9: b"", 30: b"no picture"}
        return replace(sample, image=cut.get(number, sample.image)) if split == "train" else sample

    source = source_of(write_dataset(tmp_path, replace=damage))
    batches = stream(source, 93)
    assert batches[0].labels.valid.sum() == 90
    assert sorted(key.split("_")[1] for key in batches[0].labels.skipped) == ["train30", "train4", "train9"]


def test_png_gray_and_cmyk_decode_too(tmp_path):
    def other(split, number, sample):
        kinds = {0: ("PNG", "RGBA"), 1: ("JPEG", "L"), 2: ("JPEG", "CMYK"), 3: ("GIF", "P")}
        if number not in kinds:
            return sample
        file = io.BytesIO()
        picture(sample.class_index, number).convert(kinds[number][1]).save(file, kinds[number][0])
        return replace(sample, image=file.getvalue())

    source = source_of(write_dataset(tmp_path, replace=other), "val")
    (batch,) = stream(source, 17)
    assert batch.labels.valid.all()
    assert not batch.labels.skipped


@pytest.mark.parametrize("workers", [0, 1])
def test_a_truncated_shard_is_one_line(tmp_path, workers):
    folder = write_dataset(tmp_path)
    path = folder / "train/in21k-train-000001.tar"
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(
        TrainError, match=r"in21k-train-000001.tar is \d+ bytes long, not \d+ as in the manifest"
    ) as caught:
        stream(source_of(folder), workers=workers)
    assert "\n" not in str(caught.value)


def test_a_missing_shard_is_one_line(tmp_path):
    folder = write_dataset(tmp_path)
    (folder / "train/in21k-train-000003.tar").unlink()
    with pytest.raises(DatasetError, match=r"in21k-train-000003.tar: there is no such file"):
        stream(source_of(folder))


def overwrite(folder: Path, shard: int, sample: int, at: int, content: bytes) -> Path:
    data = open_dataset(folder)
    index = SampleTable(data.location, data.manifest).index("train", shard)
    path = folder / f"train/in21k-train-{shard:06d}.tar"
    data = bytearray(path.read_bytes())
    begin = int(index.offsets[sample]) + at if at >= 0 else int(index.offsets[sample] + index.sizes[sample]) + at
    data[begin : begin + len(content)] = content
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (-1024, bytes(1024), "not an image and its label"),  # no label
        (-512, b"7", "the label 7, but the sample table says 4"),
    ],
)
def test_a_sample_without_its_label_is_an_error_that_names_the_shard(tmp_path, at, content, message):
    folder = write_dataset(tmp_path)
    overwrite(folder, 1, 6, at, content)
    with pytest.raises(
        TrainError,
        match=rf"in21k-train-000001.tar: the sample at byte \d+ is not the one in the sample table.*{message}",
    ):
        stream(source_of(folder), 93)


@pytest.mark.parametrize(
    ("at", "content", "message"),
    [
        (0, b"x", "wrong checksum"),  # the image's header
        (-512, b"d", "its label is b'd', not a number"),
        (700, np.random.default_rng(0).integers(1, 256, 5000).astype(np.uint8).tobytes(), "no tar header at"),
        (0, bytes(5000), "its first header is empty"),  # a lost block of a disk
    ],
)
def test_structural_damage_ends_the_stream_with_the_shard_and_the_remedy(tmp_path, at, content, message):
    folder = write_dataset(tmp_path)
    overwrite(folder, 1, 20, at, content)
    wanted = rf"in21k-train-000001.tar: the sample at byte \d+ is damaged \(.*{message}.*in21k-prep verify.*repair"
    with pytest.raises(TrainError, match=wanted):
        stream(source_of(folder), 93)


def test_an_image_that_does_not_decode_is_skipped_and_named_or_an_error_when_strict(tmp_path):
    folder = write_dataset(tmp_path)
    overwrite(folder, 1, 6, 512, bytes(300))
    source = source_of(folder)
    (batch,) = stream(source, 93)
    assert [key.split("_")[1] for key in batch.labels.skipped] == ["train13"]
    assert (~batch.labels.valid).sum() == 1
    with pytest.raises(TrainError, match=r"the image \w+_train13 does not decode"):
        stream(decoding_with(source, strict=True), 93)


def test_a_shard_without_its_end_mark_is_an_error(tmp_path):
    folder = write_dataset(tmp_path)
    path = folder / "train/in21k-train-000002.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(TrainError, match=r"in21k-train-000002.tar lacks tar's end-of-archive marker"):
        stream(source_of(folder))


def test_digests_are_compared_on_request(tmp_path):
    folder = write_dataset(tmp_path)
    overwrite(folder, 3, 6, 900, b"?")  # within an image
    source = source_of(folder)
    stream(source)
    with pytest.raises(TrainError, match=r"the SHA-256 of \S*in21k-train-000003.tar is not the manifest's"):
        stream(replace(source, open_reader=replace(source.open_reader, options=ReadOptions(verify_digest=True))))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_no_batch_is_overwritten_while_it_is_held(dataset_folder, workers):
    """Whether one batch is held, or a few, or all: memory is reused only when nothing refers to it."""
    source = source_of(dataset_folder, augmentation=AUGMENTATION)
    expected = [batch.images.clone() for batch in stream(source, epochs=3)]
    for hold in (1, 2, 5, 100):
        held: list[tuple[int, torch.Tensor]] = []
        plan = train_plan(source, epochs=3)
        for number, batch in enumerate(open_stream(source, plan, workers=workers)):
            held = [*held, (number, batch.images[2:])][-hold:]  # views of it count too
            del batch
            assert all(torch.equal(images, expected[at][2:]) for at, images in held)


@pytest.mark.parametrize("workers", [0, 1])
def test_memory_is_reused(dataset_folder, workers):
    addresses = set()
    source = source_of(dataset_folder)
    plan = train_plan(source, epochs=4)
    for batch in open_stream(source, plan, workers=workers):
        addresses.add(batch.images.data_ptr())
        del batch
    assert plan.total_steps == 44
    assert len(addresses) <= 6


def test_images_that_are_not_square_are_cropped(tmp_path):
    """At the center for validation, anywhere for training; in the other mode they are squished."""

    def wide(split, number, sample):
        file = io.BytesIO()
        pixels = np.zeros((32, 96, 3), np.uint8)
        pixels[:, 32:64] = 255
        Image.fromarray(pixels).save(file, "PNG")
        return replace(sample, image=file.getvalue())

    folder = write_dataset(tmp_path, replace=wide, parameters={"size": 32, "mode": "short-edge"})
    cropped = source_of(folder, "val")
    squished = decoding_with(cropped, crops=False)
    assert (stream(cropped, 17)[0].images == 255).all()
    assert not (stream(squished, 17)[0].images == 255).all()
    training = decoding_with(source_of(folder), crop_seed=1)
    first, second = stream(training, 93, epochs=2)
    whites = (first.images[:, 0] == 255).float().mean((1, 2))
    assert 0 <= whites.min() < 0.3
    assert 0.7 < whites.max() <= 1
    assert not torch.equal(first.images, second.images)
    assert equal([first, second], stream(training, 93, epochs=2, workers=2))


@pytest.mark.parametrize("workers", [0, 1])
def test_images_as_found_are_turned_upright_and_may_be_damaged_a_little(tmp_path, workers):
    found = {("val", 0): damaged_in_the_middle(), **{("val", number): rotated_jpeg(number) for number in range(1, 9)}}
    folder = write_dataset(
        tmp_path, replace=lambda split, number, sample: replace(sample, image=found.get((split, number), sample.image))
    )
    (strict,) = stream(source_of(folder, "val"), 17, workers=workers)
    assert strict.labels.valid.tolist() == [number != 0 for number in range(17)]
    (wild,) = stream(decoding_with(source_of(folder, "val"), wild=True), 17, workers=workers)
    assert wild.labels.valid.all()
    for (_, number), content in found.items():
        row = np.zeros((32, 32, 3), np.uint8)
        decode_wild(content, row)
        assert torch.equal(wild.images[number], torch.from_numpy(row).permute(2, 0, 1))
        assert torch.equal(wild.images[number], strict.images[number]) is (number == 1)  # upright


def test_webp_is_read_where_the_manifest_says_so(tmp_path):
    def webp(split, number, sample):
        pixels = np.array(Image.open(io.BytesIO(sample.image)))
        content = cv2.imencode(".webp", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, 101])[1]
        cut = 60 if (split, number) == ("val", 3) else None
        return replace(sample, image=content.tobytes()[:cut])

    folder = write_dataset(tmp_path, replace=webp, suffix=".webp", parameters={"size": 32, "format": "webp"})
    (batch,) = stream(source_of(folder, "val"), 17)
    assert batch.labels.valid.tolist() == [number != 3 for number in range(17)]
    labels = batch.labels.class_indices.tolist()
    np.testing.assert_array_equal(
        batch.images[5].permute(1, 2, 0), np.array(Image.open(io.BytesIO(jpeg(labels[5], 1005))))
    )


def test_a_shard_with_the_samples_of_another_is_an_error(tmp_path):
    folder = write_dataset(tmp_path, train=(20, 20), replace=lambda s, n, sample: replace(sample, image=jpeg(1, 1)))
    shutil.copy(folder / "train/in21k-train-000000.tar", folder / "train/in21k-train-000001.tar")
    with pytest.raises(TrainError, match=r"in21k-train-000001.tar"):
        stream(source_of(folder), 40)


def test_a_source_can_be_pickled_for_loader_processes(dataset_folder):
    source = source_of(dataset_folder, augmentation=AUGMENTATION)
    assert pickle.loads(pickle.dumps(source)).open_reader.manifest == source.open_reader.manifest


@pytest.mark.parametrize("workers", [0, 1])
def test_the_defaults_serve_a_training_loop_of_ones_own(dataset_folder, workers):
    dataset = open_dataset(str(dataset_folder))
    source = StreamSource(dataset.reader("train"), dataset.decoding())
    plan = TrainPlan(dataset.shard_lengths("train"), seed=0, epochs=1, global_batch=31)
    batches = list(open_stream(source, plan, workers=workers))
    assert [batch.images.shape for batch in batches] == [(31, 3, 32, 32)] * 3
    assert all(batch.labels.valid.all() for batch in batches)
    labels = torch.cat([batch.labels.class_indices for batch in batches])
    assert torch.bincount(labels, minlength=len(dataset.hierarchy)).tolist() == dataset.images_train.tolist()
    assert [(batch.labels.epoch, batch.labels.start) for batch in batches] == [(0, 0), (0, 31), (0, 62)]


def test_a_dataset_of_unknown_image_size_needs_one(tmp_path):
    dataset = open_dataset(str(write_dataset(tmp_path, parameters={})))
    assert dataset.decoding(48).image_size == 48
    with pytest.raises(TrainError, match="does not say how large its images are; give a size"):
        dataset.decoding()


def test_pickled_labels_are_the_same(dataset_folder):
    (batch,) = stream(source_of(dataset_folder), 93)
    labels = pickle.loads(pickle.dumps(batch.labels))
    assert torch.equal(labels.class_indices, batch.labels.class_indices)
    assert torch.equal(labels.valid, batch.labels.valid)
    assert (labels.skipped, labels.epoch, labels.start) == ((), 0, 0)


def test_a_batch_moves_to_a_device_whole(dataset_folder):
    (batch,) = stream(source_of(dataset_folder), 93)
    moved = batch.to(torch.device("meta"), non_blocking=True)
    assert [tensor.device.type for tensor in moved.tensors()] == ["meta"] * 3
    assert [(t.shape, t.dtype) for t in moved.tensors()] == [(t.shape, t.dtype) for t in batch.tensors()]
    assert moved.images.is_contiguous(memory_format=torch.channels_last)
    labels, before = moved.labels, batch.labels
    assert (labels.skipped, labels.epoch, labels.start) == (before.skipped, before.epoch, before.start)
