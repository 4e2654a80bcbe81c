"""What bench_prep.py compares with: the reference's way, a plain script, and bare loops; each runs as its own process.

python bench/peers_prep.py STEP ARGUMENT…
"""

import io
import random
import shutil
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing import Pool
from multiprocessing.pool import ThreadPool
from pathlib import Path

SIZE, QUALITY = 224, 95
SAMPLES_PER_SHARD = 1000
WARM_UP = 20
"""Images before a loop on one core is timed."""


def extract(raw: str, folder: str) -> None:
    """Unpack the class tars, then each of them into a folder of its class, as the reference's script does."""
    tars = Path(folder, "tars")
    shutil.unpack_archive(raw, tars)
    for path in sorted(tars.iterdir()):
        shutil.unpack_archive(path, Path(folder, "train", path.stem))
        path.unlink()


def move(folder: str, val_per_class: str) -> None:
    """Move the first files of each class to a folder of validation."""
    for source in sorted(Path(folder, "train").iterdir()):
        target = Path(folder, "val", source.name)
        target.mkdir(parents=True)
        for path in sorted(source.iterdir())[: int(val_per_class)]:
            path.rename(target / path.name)


def resize_files(folder: str, threads: str) -> None:
    """Resize all files in place with a pool of threads: OpenCV, bilinear, no antialiasing, small images left alone."""
    import cv2

    cv2.setNumThreads(1)

    def resize(path: Path) -> None:
        image = cv2.imread(str(path))
        if max(image.shape[:2]) >= SIZE:
            resized = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
            cv2.imwrite(str(path), resized, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])

    with ThreadPool(int(threads)) as pool:
        for _ in pool.imap_unordered(resize, Path(folder).rglob("*.JPEG")):
            pass


def shard_files(folder: str, output: str) -> None:
    """Write the files of both splits as shuffled shards with webdataset."""
    from webdataset import ShardWriter

    index = {wnid: number for number, wnid in enumerate(sorted(path.name for path in Path(folder, "train").iterdir()))}
    for split in ("train", "val"):
        files = sorted(Path(folder, split).rglob("*.JPEG"))
        random.Random(0).shuffle(files)
        Path(output, split).mkdir(parents=True)
        with ShardWriter(f"{output}/{split}/%06d.tar", maxcount=SAMPLES_PER_SHARD, verbose=0, mtime=0) as writer:
            for path in files:
                writer.write(
                    {"__key__": path.stem, "jpg": path.read_bytes(), "cls": str(index[path.parent.name]).encode()}
                )


def plain_script(raw: str, output: str, workers: str) -> None:
    """Read the dump with tarfile, resize with Pillow in a pool, and write with webdataset, in the dump's order."""
    from webdataset import ShardWriter

    Path(output).mkdir(parents=True)
    with (
        Pool(int(workers)) as pool,
        ShardWriter(f"{output}/%06d.tar", maxcount=SAMPLES_PER_SHARD, verbose=0, mtime=0) as writer,
    ):
        for name, image in pool.imap(_pillow_sample, images(raw), chunksize=32):
            wnid = name.partition("_")[0]
            writer.write({"__key__": name.removesuffix(".JPEG"), "jpg": image, "cls": wnid.encode()})


def images(raw: str) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of a dump's images."""
    with tarfile.open(raw) as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                for image in inner:
                    yield image.name, inner.extractfile(image).read()


def _pillow_sample(sample: tuple[str, bytes]) -> tuple[str, bytes]:
    return sample[0], pillow_resize(sample[1])


def pillow_resize(data: bytes) -> bytes:
    """Return an image as Pillow alone squishes it."""
    from PIL import Image

    resized = Image.open(io.BytesIO(data)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    resized.save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()


def opencv_resize(data: bytes) -> bytes:
    """Return an image as the reference squishes it."""
    import cv2
    import numpy as np

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    resized = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return bytes(cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def opencv_loop(raw: str) -> None:
    """Print the seconds of a core that the bare OpenCV loop takes, from memory to memory."""
    import cv2

    cv2.setNumThreads(1)
    _bare_loop(raw, opencv_resize)


def pillow_loop(raw: str) -> None:
    """Print the seconds of a core that a bare loop of Pillow alone takes."""
    _bare_loop(raw, pillow_resize)


def _bare_loop(raw: str, resize: Callable[[bytes], bytes]) -> None:
    data = [image for _, image in images(raw)]
    for image in data[:WARM_UP]:
        resize(image)
    begun = time.process_time()
    for image in data:
        resize(image)
    print(time.process_time() - begun)


def our_loop(raw: str, work: str) -> None:
    """Print the seconds of a core that our resize takes in one process, reading the tar and writing parts included."""
    from in21k.prep.executor import Workers
    from in21k.prep.images.parameters import ResizeParameters
    from in21k.prep.images.resize_image import resize_image
    from in21k.prep.stages import part_plan as plan
    from in21k.prep.stages import resize
    from in21k.prep.without_pandas import leave_pandas_out
    from in21k.shards_manifest.storage.location import locate

    leave_pandas_out()  # as a worker does
    for _, image in islice(images(raw), WARM_UP):
        resize_image(image, ResizeParameters(SIZE, QUALITY))
    plan._LEAST_PARTS = 1  # tasks as large as those of a whole dump, so that what each one costs counts as little
    resize.run_tasks = lambda function, tasks, _: map(function, tasks)  # the worker's task in this process
    begun = time.process_time()
    resize.resize_images(locate(work), ResizeParameters(SIZE, QUALITY), Workers(1))
    print(time.process_time() - begun)


STEPS: dict[str, Callable[..., None]] = {
    "extract": extract,
    "move": move,
    "resize": resize_files,
    "shard": shard_files,
    "plain": plain_script,
    "opencv-loop": opencv_loop,
    "pillow-loop": pillow_loop,
    "our-loop": our_loop,
}

if __name__ == "__main__":
    STEPS[sys.argv[1]](*sys.argv[2:])
