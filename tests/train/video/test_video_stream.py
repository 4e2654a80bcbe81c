"""Batches of clips: the frames at the times that seed, epoch and position say, whoever decodes them."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from small_videos import write_video
from streams import AUGMENTATION, equal

from in21k.train.data.interfaces import RandomCrops
from in21k.train.data.open_datasets.videos import open_video_folder
from in21k.train.data.partition import EvalPlan, TrainPlan
from in21k.train.errors import TrainError
from in21k.train.images.augment_cpu import augment
from in21k.train.images.augment_draws import draw
from in21k.train.stream.loader import open_stream
from in21k.train.stream.source import StreamSource
from in21k.train.video.clips import Clips
from in21k.train.video.video_file import open_video

SIDE, FRAMES = 32, 3
RANDOM = Clips(FRAMES, Fraction(5), seed=7)
MIDDLE = Clips(FRAMES, Fraction(5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for split, count in (("train", 6), ("val", 5)):
        for number in range(count):
            codec, form = (("mpeg4", "mp4"), ("libvpx-vp9", "webm"))[number % 2]
            write_video(root / split / "ab"[number % 2] / f"{number}.{form}", codec, 30 + number)
    return root


def source_of(folder, split="train", clips=RANDOM, augmentation=None, **decoding):
    data = open_video_folder(folder)
    return StreamSource(data.reader(split), replace(data.decoding(SIDE), **decoding), augmentation, clips=clips)


def stream(folder, split="train", world=1, rank=0, source=None, start=0, workers=0):
    source = source or source_of(folder, split)
    data = open_video_folder(folder)
    if split == "val":
        plan = EvalPlan(data.samples("val"), 2, rank, world)
    else:
        plan = TrainPlan(data.shard_lengths("train"), seed=3, epochs=2, global_batch=2, rank=rank, world_size=world)
    return list(open_stream(source, plan, start_step=start, workers=workers))


def frames_of(path, clips, place):
    with open_video(path) as video:
        for pixels in video.frames_at(clips.times(video.duration, place)):
            yield np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def test_a_batch_holds_the_frames_of_each_clip_together(folder):
    source = source_of(folder)
    reader = source.open_reader()
    for batch in stream(folder, source=source):
        assert batch.images.shape == (2 * FRAMES, 3, SIDE, SIDE)
        assert (batch.labels.valid.tolist(), batch.labels.skipped) == ([True, True], ())
        places = RANDOM.places(batch.labels.epoch, batch.labels.start, 2)
        data = open_video_folder(folder)
        plan = TrainPlan(data.shard_lengths("train"), seed=3, epochs=2, global_batch=2)
        (numbers,) = [
            each.samples
            for each in plan.batches(0)
            if each.epoch == batch.labels.epoch and each.start == batch.labels.start
        ]
        samples = reader.collect(reader.request(numbers))
        expected = [
            frame
            for each, (place,) in zip(samples, places, strict=True)
            for frame in frames_of(each.image, RANDOM, place)
        ]
        assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), np.stack(expected))
        assert batch.labels.class_indices.tolist() == [each.class_index for each in samples]


def test_a_clip_begins_elsewhere_in_each_epoch_and_always_within_the_video():
    first, second = RANDOM.places(0, 0, 100), RANDOM.places(1, 0, 100)
    assert len({*first, *second}) == 200
    assert RANDOM.places(0, 40, 60) == first[40:]
    assert all(0 <= place < 1 for (place,) in first)
    times = [RANDOM.times(Fraction(10), place) for (place,) in first]
    assert all(each[0] >= 0 and each[-1] <= 10 for each in times)
    assert all(b - a == Fraction(1, 5) for each in times for a, b in pairwise(each))
    assert min(each[0] for each in times) < 0.5 < 9 < max(each[0] for each in times)


def test_validation_takes_the_middle_or_clips_at_even_distances():
    assert MIDDLE.places(4, 9, 2) == [(Fraction(1, 2),)] * 2
    (middle,) = MIDDLE.places(0, 0, 1)[0]
    assert MIDDLE.times(Fraction(2), middle) == [Fraction(8, 10), 1, Fraction(12, 10)]
    (three,) = replace(MIDDLE, count=3).places(0, 0, 1)
    assert three == (Fraction(1, 6), Fraction(1, 2), Fraction(5, 6))


def test_a_video_has_the_rows_of_all_its_clips(folder):
    clips = replace(MIDDLE, count=2)
    batch = stream(folder, "val", source=source_of(folder, "val", clips))[0]
    assert batch.images.shape[0] == 2 * 2 * FRAMES
    reader = source_of(folder, "val").open_reader()
    path = reader.collect(reader.request(np.array([0])))[0].image
    expected = [frame for place in clips.places(0, 0, 1)[0] for frame in frames_of(path, clips, place)]
    assert np.array_equal(batch.images[: 2 * FRAMES].permute(0, 2, 3, 1).numpy(), np.stack(expected))


def test_all_frames_of_a_clip_are_augmented_alike(folder):
    plain = stream(folder)
    augmented = stream(folder, source=source_of(folder, augmentation=AUGMENTATION))
    for before, after in zip(plain, augmented, strict=True):
        frames = before.images.permute(0, 2, 3, 1).numpy().copy()
        draws = draw(AUGMENTATION, before.labels.epoch, before.labels.start, 2)
        for row, frame in enumerate(frames):
            augment(frame, AUGMENTATION, draws, row // FRAMES)
        assert np.array_equal(after.images.permute(0, 2, 3, 1).numpy(), frames)


def test_all_frames_of_a_clip_are_cropped_alike(folder):
    crops = RandomCrops(1, (0.2, 0.3), (1.0, 1.0))
    still = write_video(
        folder.parent / "still" / "train" / "a" / "1.mp4",
        frames=[np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)] * 30,
    )
    write_video(still.parents[1] / "b" / "1.mp4")
    write_video(still.parents[2] / "val" / "a" / "1.mp4")
    for batch in stream(still.parents[2], source=source_of(still.parents[2], random_crops=crops)):
        row = batch.labels.class_indices.tolist().index(0)
        first, *others = batch.images[row * FRAMES : (row + 1) * FRAMES].float()
        assert all((first - other).abs().mean() < 3 for other in others)


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_processes_give_the_same_batches(folder, workers):
    source = source_of(folder, augmentation=AUGMENTATION)
    assert equal(stream(folder, source=source), stream(folder, source=source, workers=workers))


def test_two_ranks_and_a_resumed_stream_share_the_clips_of_one(folder):
    whole = stream(folder)
    halves = zip(stream(folder, world=2), stream(folder, world=2, rank=1), strict=True)
    for batch, (one, two) in zip(whole, halves, strict=True):
        assert torch.equal(batch.images, torch.cat((one.images, two.images)))
    assert equal(whole[4:], stream(folder, start=4))


def test_a_video_that_does_not_decode_is_black_and_named_with_its_reason(folder, tmp_path):
    for split in ("train", "val"):
        write_video(tmp_path / split / "a" / "1.mp4")
        (tmp_path / split / "a" / "2.mp4").write_bytes(b"")
    (batch,) = stream(tmp_path, "val", source=replace(source_of(tmp_path, "val", MIDDLE), names_samples=True))
    bad = batch.labels.valid.tolist().index(False)
    assert batch.labels.skipped == ("val/a/2.mp4",)
    assert batch.labels.faults == ("empty: 0 bytes",)
    assert [each.fault for each in batch.labels.named if each.key == "val/a/2.mp4"] == ["empty: 0 bytes"]
    assert not batch.images[bad * FRAMES : (bad + 1) * FRAMES].any()
    assert batch.images[(1 - bad) * FRAMES : (2 - bad) * FRAMES].any()
    with pytest.raises(TrainError, match=r"the video val/a/2\.mp4 does not decode"):
        stream(tmp_path, "val", source=source_of(tmp_path, "val", MIDDLE, strict=True))
