"""Small videos, written by PyAV, changed by the ffmpeg binary; and the frames that the binary shows at stated times."""

import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

MILLISECONDS = Fraction(1, 1000)


def ffmpeg(*arguments: object) -> bytes:
    """Run the ffmpeg binary; what it writes to stdout."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout


def gray(number: int, width: int, height: int) -> np.ndarray:
    """A frame whose level says its number, with an edge across, so that a turn shows."""
    pixels = np.full((height, width, 3), 16 + number * 3 % 224, np.uint8)
    pixels[: height // 3, : width // 2] = (235, 16, number * 5 % 256)
    return pixels


def write_video(
    path: Path,
    codec: str = "mpeg4",
    frames: int | Sequence[np.ndarray] = 30,
    size: tuple[int, int] = (64, 48),
    rate: int = 25,
    times: Callable[[int], int] | None = None,
    **options: str,
) -> Path:
    """Write a video; its timestamps are by rate, or in milliseconds by frame number."""
    pictures = [gray(number, *size) for number in range(frames)] if isinstance(frames, int) else frames
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 12
        stream.bit_rate = 2_000_000  # so that no frame looks like the one before
        if times is not None:
            stream.codec_context.time_base = MILLISECONDS
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times(number), MILLISECONDS
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frames_by_ffmpeg(path: Path, rate: Fraction | int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """The frames at 0, 1 / rate, 2 / rate … seconds from the first one, uint8 [N, H, W, 3], upright, by the binary."""
    filters = f"setpts=PTS-STARTPTS,fps={rate}:round=up"
    raw = ffmpeg("-i", path, "-an", "-vf", filters, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, size[1], size[0], 3)


ORDERED = {"up": (0, 1, 2, 3), "down": (3, 2, 1, 0)}
"""The classes of `write_ordered`: in which order they show the same four pictures."""


def write_ordered(root: Path, train: int = 24, val: int = 8) -> Path:
    """Write videos whose class is nothing but the order of their frames: each has a twin in the other class.

    Four pictures, two per second, each a file's own frame: Motion JPEG refers to no other.
    """
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            tint = np.random.default_rng([number, split == "val"]).integers(0, 40, 3)
            pictures = [np.full((32, 32, 3), 20 + 50 * level, np.uint8) + tint.astype(np.uint8) for level in range(4)]
            for label, order in ORDERED.items():
                frames = [pictures[at] for at in order]
                write_video(root / split / label / f"{number}.avi", "mjpeg", frames, rate=2)
    return root
