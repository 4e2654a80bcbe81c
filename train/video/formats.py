"""Which video files are opened: containers by their first bytes, and codecs by name.

FFmpeg would try hundreds of formats on an unknown file, among them playlists that open other files and addresses.
"""

from in21k.train.video.faults import VideoError, VideoFault

HEAD = 64
"""Bytes that tell a container."""

MOV, MATROSKA, AVI = "mov", "matroska", "avi"
"""FFmpeg's demuxers: MP4 and QuickTime, Matroska and WebM, AVI."""

_BOXES = frozenset((b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"))
"""What an MP4 or QuickTime file may begin with, after a length of 4 bytes."""

CODECS = frozenset(
    (
        "av1",
        "flv1",
        "h263",
        "h264",
        "hevc",
        "libdav1d",
        "mjpeg",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
        "msmpeg4v2",
        "msmpeg4v3",
        "prores",
        "theora",
        "vc1",
        "vp8",
        "vp9",
        "wmv2",
        "wmv3",
    )
)
"""The codecs that are decoded, by FFmpeg's names of them."""


def container_of(head: bytes) -> str:
    """Return FFmpeg's name of a file's container.

    Args:
        head: the file's first bytes, at most `HEAD`.

    Raises:
        VideoError: it is none of those that are opened.
    """
    if not head:
        raise VideoError(VideoFault.EMPTY, "0 bytes")
    if head[4:8] in _BOXES:
        return MOV
    if head[:4] == b"\x1aE\xdf\xa3":  # EBML's
        return MATROSKA
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return AVI
    raise VideoError(VideoFault.NOT_A_VIDEO, f"a file that begins {head[:16]!r}")
