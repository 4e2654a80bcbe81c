"""The loaders to compare: each yields stacked uint8 batches [B, H, W, 3] of the same JPEG bytes."""

import io
import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

BATCH = 256

Batches = Iterator[Any]


@dataclass(frozen=True)
class Inputs:
    """The samples that all loaders read; each peer gets them in its own format."""

    dataset: Path
    """Prepared by `in21k-prep` or by bench_loader."""
    uri: str
    """The same dataset, where this loader reads it."""
    scratch: Path
    """Folder for the peers' formats."""
    shards: tuple[Path, ...]
    lengths: tuple[int, ...]
    """Samples per shard."""
    size: int
    """Side of the images."""

    @property
    def samples(self) -> int:
        """Number of samples."""
        return sum(self.lengths)


def rate(make: Callable[[Inputs], Iterator[Any]], inputs: Inputs) -> float:
    """Return a loader's images per second of this process's CPU time, including that of the loader's threads."""
    began, images = time.process_time(), 0
    for batch in make(inputs):
        images += len(batch)
    return images / (time.process_time() - began)


def stacked(images: Iterator[Any]) -> Batches:
    """Stack single images into batches, as a DataLoader's default collation does."""
    batch = []
    for image in images:
        batch.append(np.asarray(image))
        if len(batch) == BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def jpegs(inputs: Inputs) -> Iterator[bytes]:
    """Yield all image files, read by tarfile."""
    import tarfile

    for path in inputs.shards:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    file = tar.extractfile(member)
                    assert file is not None
                    yield file.read()


def floor(inputs: Inputs) -> Batches:
    """Libjpeg-turbo alone: files that are already in memory, decoded into one reused buffer."""
    buffer = np.empty((BATCH, inputs.size, inputs.size, 3), np.uint8)
    for start in range(0, inputs.samples, BATCH):
        files = _in_memory(inputs)[start : start + BATCH]
        for row, content in enumerate(files):
            simplejpeg.decode_jpeg(content, "RGB", buffer=buffer[row])
        yield buffer[: len(files)]


_files: list[bytes] = []


def _in_memory(inputs: Inputs) -> list[bytes]:
    if not _files:
        _files.extend(jpegs(inputs))
    return _files


def ours(
    inputs: Inputs,
    *,
    augmented: bool = False,
    workers: int = 0,
    start_step: int = 0,
    size: int | None = None,
    downscale: str = "libjpeg",
    block: int | None = None,
    epochs: int = 1,
) -> Generator[Any]:
    """Yield this project's batches, at the images' own size, or at one that `data.image_size` has for some epochs."""
    from in21k.shards_manifest.manifest import read_manifest
    from in21k.shards_manifest.storage.location import locate
    from in21k.train.data.interfaces import Decoding
    from in21k.train.data.partition import BLOCK, TrainPlan
    from in21k.train.data.prepared.reader import ShardReaders
    from in21k.train.images.augment_draws import Augmentation
    from in21k.train.stream.loader import open_stream
    from in21k.train.stream.source import StreamSource

    location = locate(inputs.uri)
    augmentation = Augmentation(0, 0.5, 2, 9) if augmented else None
    readers = ShardReaders(location, read_manifest(location), "train")
    decoding = Decoding(image_size=size or inputs.size, downscale=downscale if size else "")
    source = StreamSource(readers, decoding, augmentation)
    plan = TrainPlan(inputs.lengths, seed=0, epochs=epochs, global_batch=BATCH, block=block or BLOCK)
    for batch in open_stream(source, plan, workers=workers, start_step=start_step):
        yield batch.images


def paper_on_pil(image: Any) -> Any:
    """Cutout and RandAugment in torchvision's way, on Pillow images."""
    from torchvision.transforms import RandAugment

    pixels = np.array(image)
    side = pixels.shape[0] // 2
    y, x = np.random.randint(0, pixels.shape[0], 2)
    rows, columns = slice(max(y - side // 2, 0), y + side // 2), slice(max(x - side // 2, 0), x + side // 2)
    pixels[rows, columns] = np.random.randint(0, 256, 3)
    from PIL import Image

    global _rand_augment
    _rand_augment = _rand_augment or RandAugment(2, 9)
    return _rand_augment(Image.fromarray(pixels))


_rand_augment: Any = None


def webdataset_pil(inputs: Inputs, *, augmented: bool = False) -> Batches:
    """Plain webdataset, decoded by Pillow."""
    import webdataset

    urls = [str(path) for path in inputs.shards]
    dataset = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).decode("pil").to_tuple("jpg")
    return stacked(paper_on_pil(image) if augmented else image for (image,) in dataset)


def webdataset_simplejpeg(inputs: Inputs) -> Batches:
    """Plain webdataset, decoded by simplejpeg."""
    import webdataset

    urls = [str(path) for path in inputs.shards]
    dataset = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False).to_tuple("jpg")
    return stacked(simplejpeg.decode_jpeg(content, "RGB") for (content,) in dataset)


def timm_wds(inputs: Inputs, *, augmented: bool = False) -> Batches:
    """Timm's ReaderWds."""
    from timm.data.readers.reader_wds import ReaderWds

    reader = ReaderWds(str(inputs.dataset), split="train", is_training=False, batch_size=BATCH)
    return stacked(paper_on_pil(image) if augmented else image for image, _ in reader)


def timm_collated(inputs: Inputs) -> Batches:
    """Timm's ReaderWds with timm's own collation, uint8 [B, 3, H, W]."""
    from timm.data import create_dataset
    from timm.data.loader import fast_collate
    from timm.data.transforms import ToNumpy
    from torch.utils.data import DataLoader

    dataset = create_dataset("wds/x", str(inputs.dataset), split="train", batch_size=BATCH, transform=ToNumpy())
    for images, _ in DataLoader(dataset, BATCH, collate_fn=fast_collate):
        yield images


def image_folder(inputs: Inputs, *, augmented: bool = False) -> Batches:
    """Torchvision's ImageFolder, decoded by Pillow."""
    from torchvision.datasets import ImageFolder

    folder = inputs.scratch / "folder"
    if not folder.exists():
        for number, content in enumerate(jpegs(inputs)):
            path = folder / f"{number % 10}" / f"{number:06d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return stacked(paper_on_pil(image) if augmented else image for image, _ in ImageFolder(str(folder)))


def litdata(inputs: Inputs, *, decode: bool) -> Batches:
    """LitData, decoded by itself or by simplejpeg."""
    os.environ["DO_NOT_TRACK"] = "1"
    import litdata as library
    from litdata.streaming.writer import BinaryWriter
    from PIL import Image

    folder = inputs.scratch / ("litdata-jpeg" if decode else "litdata-bytes")
    if not (folder / "index.json").exists():
        folder.mkdir(parents=True)
        writer = BinaryWriter(str(folder), chunk_bytes="64MB")
        for number, content in enumerate(jpegs(inputs)):
            writer.add_item(number, {"x": Image.open(io.BytesIO(content)) if decode else content})
        writer.done()
        writer.merge(1)
    dataset = library.StreamingDataset(str(folder), shuffle=False)

    def images() -> Iterator[Any]:
        for item in dataset:
            yield np.asarray(item["x"]).transpose(1, 2, 0) if decode else simplejpeg.decode_jpeg(item["x"], "RGB")

    return stacked(images())


def mosaicml(inputs: Inputs) -> Batches:
    """MosaicML Streaming, decoded by simplejpeg."""
    from streaming import MDSWriter, StreamingDataset

    folder = inputs.scratch / "mds"
    if not (folder / "index.json").exists():
        with MDSWriter(out=str(folder), columns={"x": "bytes"}) as writer:
            for content in jpegs(inputs):
                writer.write({"x": content})
    dataset = StreamingDataset(local=str(folder), shuffle=False, batch_size=1)
    return stacked(simplejpeg.decode_jpeg(item["x"], "RGB") for item in dataset)


DECODING: dict[str, Callable[[Inputs], Batches]] = {
    "decode floor (simplejpeg into one buffer)": floor,
    "in21k": ours,
    "webdataset, Pillow": webdataset_pil,
    "webdataset + simplejpeg": webdataset_simplejpeg,
    "timm ReaderWds": timm_wds,
    "timm ReaderWds, timm's own collation": timm_collated,
    "torchvision ImageFolder": image_folder,
    "LitData, its own decoding": lambda inputs: litdata(inputs, decode=True),
    "LitData + simplejpeg": lambda inputs: litdata(inputs, decode=False),
    "MosaicML Streaming + simplejpeg": mosaicml,
}
AUGMENTING: dict[str, Callable[[Inputs], Batches]] = {
    "in21k": lambda inputs: ours(inputs, augmented=True),
    "webdataset, Pillow": lambda inputs: webdataset_pil(inputs, augmented=True),
    "timm ReaderWds": lambda inputs: timm_wds(inputs, augmented=True),
    "torchvision ImageFolder": lambda inputs: image_folder(inputs, augmented=True),
}
