"""The one place that opens video files, by PyAV: how long they are, and which frame they show at a time.

The frame at a time is the last one whose timestamp is not later, as FFmpeg's filter `fps=…:round=up` has it. Files are
untrusted: containers and codecs are those of `formats.py`, nothing but the file itself is opened, sizes are checked
before memory is taken, and one thread decodes. Memory holds the decoder's frames and two more, whatever the length.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from in21k.shards_manifest.images.decode import Pixels
from in21k.train.errors import TrainError
from in21k.train.video.faults import VideoError, VideoFault
from in21k.train.video.formats import CODECS, HEAD, container_of
from in21k.train.video.upright import upright

MOST_PIXELS = 1 << 25
"""Of a frame, enough for 8K; larger ones are skipped by their header."""

_OPTIONS = {"max_pixels": str(MOST_PIXELS), "protocol_whitelist": "none", "threads": "1"}

_MARKS_DAMAGE = frozenset(("h264",))
"""Codecs whose damaged frames are marked as such; the others are asked to fail, or they would paint over damage.

Asked to fail, H.264 would also do so behind each keyframe of an open group of pictures, which refers to frames before.
"""

_FURTHER_BACK = (0, 2, 20)
"""Seconds before a time at which to seek, where the keyframe found is later than the time; then from the beginning."""


def require_av() -> None:
    """Refuse to go on without PyAV.

    Raises:
        TrainError: it is not installed.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise TrainError("video needs PyAV: pip install 'in21k[video]'") from error


@contextmanager
def open_video(path: Path) -> Iterator["VideoFile"]:
    """Give a video file, open for the block.

    Raises:
        VideoError: it is none that is opened, or is damaged; also in place of whatever FFmpeg raises in the block.
        OSError: it cannot be read.
    """
    import av

    try:
        with path.open("rb") as file:
            container = container_of(file.read(HEAD))
            file.seek(0)
            with av.open(file, format=container, options=_OPTIONS) as opened:
                yield VideoFile(opened)
    except av.FFmpegError as error:
        raise _as_video_error(error) from error
    except (MemoryError, OverflowError, ValueError) as error:  # of numbers that are no sound file's
        raise VideoError(VideoFault.DAMAGED, f"{type(error).__name__}: {error}") from error


class VideoFile:
    """The frames of an open video file; times are seconds from its first frame."""

    def __init__(self, container: Any) -> None:
        """Look for a container's video, its first frame and its end.

        Raises:
            VideoError: there is no video, its codec or its size is not decoded, or its end is missing.
        """
        self._container = container
        self._stream = _video_of(container)
        first = next(self._frames(), None)
        if first is None:
            raise VideoError(VideoFault.DAMAGED, "not one frame is in it")
        self._start = self._time(first)
        self.duration = self._end() - self._start
        """From the first frame to the end of the last one."""

    def frames_at(self, times: Sequence[Fraction]) -> Iterator[Pixels]:
        """Yield the frame that is shown at each time, uint8 [H, W, 3], upright; the last one beyond the end.

        Args:
            times: ascending, none below 0. The same array is yielded for times that show the same frame.

        Raises:
            VideoError: a frame on the way from the keyframe before is damaged.
        """
        frames = self._from(self._start + times[0])
        shown, ahead, pixels = next(frames), next(frames, None), None
        for time in times:
            while ahead is not None and self._time(ahead) <= self._start + time:
                shown, ahead, pixels = ahead, next(frames, None), None
            if pixels is None:
                pixels = _pixels_of(shown)
            yield pixels

    def _from(self, time: Fraction) -> Iterator[Any]:
        """Yield decoded frames in order; the first one is not later than a time."""
        for back in (*_FURTHER_BACK, time - self._start):
            self._container.seek(int((time - back) // self._stream.time_base), stream=self._stream)
            frames = self._frames()
            first = next(frames, None)
            if first is not None and self._time(first) <= time:
                yield first
                yield from frames
                return
        raise VideoError(VideoFault.DAMAGED, f"no frame is found at {float(time - self._start):.3f} seconds")

    def _frames(self) -> Iterator[Any]:
        """Yield the frames from where the container stands, decoded.

        Of an open group of pictures, decoders leave out themselves what refers to frames before the keyframe.
        """
        for packet in self._container.demux(self._stream):
            if packet.is_corrupt:
                raise VideoError(VideoFault.TRUNCATED, "a packet is incomplete")
            for frame in packet.decode():
                if frame.is_corrupt:
                    raise VideoError(VideoFault.DAMAGED, f"the frame at {float(self._time(frame)):.3f} seconds")
                yield frame

    def _time(self, frame: Any) -> Fraction:
        """Return a frame's timestamp in seconds."""
        if frame.pts is None:
            raise VideoError(VideoFault.DAMAGED, "a frame has no timestamp")
        time: Fraction = frame.pts * self._stream.time_base
        return time

    def _end(self) -> Fraction:
        """Return when the last frame ends: headers claim it, and only its packet shows it."""
        stream, last = self._stream, None
        claimed = stream.duration or (self._container.duration or 0) / (1_000_000 * stream.time_base)
        self._container.seek(int(claimed) + (stream.start_time or 0), stream=stream)
        for packet in self._container.demux(stream):
            if packet.is_corrupt:
                raise VideoError(VideoFault.TRUNCATED, "the last packet is incomplete")
            if packet.pts is not None and not packet.is_discard:
                last = max(last or 0, packet.pts + (packet.duration or 0))
        if last is None:
            seconds = float(claimed * stream.time_base)
            raise VideoError(VideoFault.TRUNCATED, f"the header says {seconds:.1f} seconds, and the end is missing")
        end: Fraction = last * stream.time_base
        return max(end, self._start)


def _video_of(container: Any) -> Any:
    """Return a container's video stream, set up to be decoded by one thread."""
    stream = container.streams.best("video")
    if stream is None:
        raise VideoError(VideoFault.NOT_A_VIDEO, "there is no video in it")
    context = stream.codec_context
    if context is None or context.name not in CODECS:
        raise VideoError(VideoFault.NOT_A_VIDEO, f"its codec is {context.name if context else 'unknown'}")
    if context.width * context.height > MOST_PIXELS:
        raise VideoError(VideoFault.TOO_MANY_PIXELS, f"{context.width} × {context.height} pixels")
    strict = {} if context.name in _MARKS_DAMAGE else {"err_detect": "explode"}
    context.options = {"max_pixels": _OPTIONS["max_pixels"], **strict}
    context.thread_count = 1
    return stream


def _pixels_of(frame: Any) -> Pixels:
    matrix = frame.side_data.get("DISPLAYMATRIX")
    pixels: Pixels = frame.to_ndarray(format="rgb24", interpolation="BICUBIC", threads=1)
    return upright(pixels, b"" if matrix is None else bytes(matrix))


def _as_video_error(error: Any) -> VideoError:
    import av

    fault = VideoFault.TRUNCATED if isinstance(error, av.EOFError) else VideoFault.DAMAGED
    return VideoError(fault, f"FFmpeg: {error.strerror}")
