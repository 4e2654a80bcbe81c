"""A video's clips into its rows of a batch."""

from pathlib import Path

from in21k.shards_manifest.images.decode import Pixels
from in21k.shards_manifest.images.faults import ImageError
from in21k.train.images.crops import Crop
from in21k.train.images.decode import fit_into
from in21k.train.video.clips import Clips, Places
from in21k.train.video.faults import VideoError, VideoFault
from in21k.train.video.video_file import open_video


def decode_clips(
    path: Path, rows: Pixels, clips: Clips, places: Places, crop: Crop | None, *, downscale: str, interpolation: str
) -> None:
    """Decode a video's clips to RGB, each frame squished to the size of a row, or part of it cropped before.

    Args:
        path: the video file.
        rows: uint8 [N T, H, W, 3], contiguous: the frames of the first clip, then those of the next one.
        clips: N clips of T frames.
        places: [N]: where they begin.
        crop: what to cut out of each frame, the same of all; None squishes.
        downscale: as for `fit_into`.
        interpolation: likewise.

    Raises:
        VideoError: it gives no frames, or none that can be resized; the rows are then undefined.
        OSError: the file cannot be read.
    """
    with open_video(path) as video:
        for clip, place in enumerate(places):
            last, first = None, clip * clips.frames
            for at, pixels in enumerate(video.frames_at(clips.times(video.duration, place)), first):
                if pixels is last:
                    rows[at] = rows[at - 1]
                    continue
                last = pixels
                try:
                    fit_into(pixels, rows[at], crop, downscale=downscale, interpolation=interpolation)
                except ImageError as error:
                    raise VideoError(VideoFault.TOO_MANY_PIXELS, error.detail) from error
